"""``memloc value``: values of the rows and cells of a table, or of images and their patches."""

from __future__ import annotations

import argparse
import glob
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memloc.cli.options import CORES
from memloc.cli.terminal import Bar, prepare, say
from memloc.errors import InputError, show
from memloc.job import log
from memloc.valuation import files, sources
from memloc.valuation.columns import KINDS
from memloc.valuation.oob import Values, value
from memloc.valuation.reading import is_table
from memloc.valuation.sources import Source, UnfitError

COLUMNS = 40
"""Columns of a table that can't be valued as it is that are shown."""


def run(options: argparse.Namespace) -> int:
    """Value a source and write what ``memloc.valuation.files`` says; the exit status."""
    prepare(options, ("size", 1, 1024), ("patch", 1, options.size), ("learners", 1, 1_000_000), ("workers", 1, CORES))
    if not 0 < options.ratio <= 1:
        raise InputError(f"ratio: {options.ratio}; give a share of the cells above 0, up to 1")
    out = files.output(options.out, replace=options.replace)
    out.check(options.source)
    try:
        source, reading = _read(options)
    except UnfitError as error:
        _show_look(error.look)
        if error.options is None:
            raise
        on = f"to go on: {_command(options, error.options, str(options.out))}"
        if options.label is not None:
            raise InputError(f"{error}; {on}") from error
        say(f"a look alone, nothing is valued: {error}; {on}")
        return 0
    settings = {"learners": options.learners, "ratio": options.ratio, "seed": options.seed}
    meta = files.describe(source, {"source": options.source, **reading, **settings})
    with out.writing(str(meta["identity"])) as work:
        if work is None:
            values, last = (
                files.read(source, options.out),
                "already finished, nothing to do; remove the folder to value again",
            )
            found = files.Found.of(source, values)
        else:
            values, last = _value(options, source), "index.html shows it, issues.csv has every row"
            found = files.Found.of(source, values)
            images = () if source.pixels is None else ("size", "patch", "part")
            files.write(
                source,
                values,
                out.staged(work),
                meta=meta | {"called": _command(options, {}, "DIR", "learners", "ratio", "seed", *images)},
                found=found,
            )
            out.publish(work, meta)
    _report(source, values, found)
    log.info("%s: %s", options.out, last)
    return 0


def _value(options: argparse.Namespace, source: Source) -> Values:
    """The values, with a progress bar."""
    for remark in source.remarks:
        log.info("%s", remark)
    bar = Bar(options.learners, quiet=options.quiet, unit="learners")
    try:
        return value(
            source.x,
            source.y,
            groups=source.groups,
            learners=options.learners,
            ratio=options.ratio,
            seed=options.seed,
            workers=options.workers or CORES,
            progress=bar.update,
        )
    finally:
        bar.close()


def _read(options: argparse.Namespace) -> tuple[Source, dict[str, object]]:
    """The source, and the options that it was read with."""
    path = Path(options.source)
    # What isn't there may be the name of a dataset; devices and pipes are told apart where tables are read.
    if not path.is_dir() and (is_table(path) or path.exists()):
        columns = {"label": options.label, "id": options.id, "ignore": options.ignore, "text": options.text}
        return sources.read_table(options.source, **columns), columns
    if options.label or options.id or options.ignore or options.text:
        raise InputError(f"source: {show(options.source)} is not a table; --label, --id, --ignore and --text need one")
    images = {"size": options.size, "patch": options.patch, "part": options.part, "strict": options.strict}
    return sources.read_images(options.source, config=options.config, **images), images


def _show_look(look: Sequence[Mapping[str, Any]]) -> None:
    """A line for each column, those with something to say first."""
    for one in sorted(look, key=lambda one: (one["kind"] in KINDS, not one["odd"]))[:COLUMNS]:
        missing = f"{one['missing']} missing" if one["missing"] else ""
        told = [part for part in (one["kind"], one["holds"], missing, one["odd"]) if part]
        log.info("%s: %s", show(one["column"]), "; ".join(told))
    if len(look) > COLUMNS:
        log.info("and %d more columns", len(look) - COLUMNS)


def _command(options: argparse.Namespace, more: Mapping[str, Sequence[str]], out: str, *others: str) -> str:
    """The command as it is typed, with more columns of options and with other options."""
    words = ["memloc", "value", options.source]
    for option in ("label", "id", "ignore", "text"):
        given = getattr(options, option) or []
        added = [glob.escape(name) for name in more.get(option, ())] if option == "ignore" else more.get(option, ())
        values = [*([given] if isinstance(given, str) else given), *added]
        words += [f"--{option}", *values] if values else []
    for option in others:
        words += [f"--{option}", str(getattr(options, option))]
    return shlex.join([*words, "--out", out])


def _report(source: Source, values: Values, found: files.Found) -> None:
    """Print what was found, and say whether few learners are behind many values."""
    say(files.lowest(source, values, found))
    few = int((values.counts < files.FEW).sum())
    if few:
        log.info(
            "%d of %d cells have fewer than %d learners behind them; raise --learners or --ratio",
            *(few, values.counts.size, files.FEW),
        )
