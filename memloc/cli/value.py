"""``memloc value``: values of the rows and cells of a table, or of images and their patches."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from memloc.cli.options import CORES
from memloc.cli.terminal import Bar, prepare, say
from memloc.errors import InputError, show
from memloc.job import log
from memloc.valuation import files, issues, sources
from memloc.valuation.oob import Values, value
from memloc.valuation.reading import TABLES
from memloc.valuation.sources import Source


def run(options: argparse.Namespace) -> int:
    """Value a source and write what ``memloc.valuation.files`` says; the exit status."""
    prepare(options, ("size", 1, 1024), ("patch", 1, options.size), ("learners", 1, 1_000_000), ("workers", 1, CORES))
    if not 0 < options.ratio <= 1:
        raise InputError(f"ratio: {options.ratio}; give a share of the cells above 0, up to 1")
    out = files.output(options.out, replace=options.replace)
    out.check(options.source)
    source, reading = _read(options)
    settings = {"learners": options.learners, "ratio": options.ratio, "seed": options.seed}
    meta = files.describe(source, {"source": options.source, **reading, **settings})
    with out.writing(str(meta["identity"])) as work:
        if work is None:
            found, last = (
                files.read(source, options.out),
                "already finished, nothing to do; remove the folder to value again",
            )
        else:
            found, last = files.Found.of(source, _value(options, source)), "index.html shows it, issues.csv has every row"
            files.write(source, found, meta | {"called": _called()}, out.staged(work))
            out.publish(work, meta)
    _report(source, found)
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
    if not path.is_dir() and (path.suffix.lower() in TABLES or path.exists()):
        columns = {"label": options.label, "id": options.id, "ignore": options.ignore, "text": options.text}
        return sources.read_table(options.source, **columns), columns
    if options.label or options.id or options.ignore or options.text:
        raise InputError(f"source: {show(options.source)} is not a table; --label, --id, --ignore and --text need one")
    images = {"size": options.size, "patch": options.patch, "part": options.part, "strict": options.strict}
    return sources.read_images(options.source, config=options.config, **images), images


def _called() -> str:
    """The command as it was called."""
    return shlex.join(["memloc", *sys.argv[1:]])


def _report(source: Source, found: files.Found) -> None:
    """Print what was found, and say whether few learners are behind many values."""
    counts = found.values.counts
    say(files.printed(source, found, issues.table(source, found.values, found.labels, found.deviating)))
    few = int((counts < files.FEW).sum())
    if few:
        log.info(
            "%d of %d cells have fewer than %d learners behind them; raise --learners or --ratio",
            *(few, counts.size, files.FEW),
        )
