"""``memloc charts``: a suite of charts and questions."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from memloc.charts import files, settings, suite
from memloc.cli.terminal import Bar, prepare, say
from memloc.job import log


def run(options: argparse.Namespace) -> int:
    """Do what the subcommand says; the exit status."""
    return ACTIONS[options.action](options)


def make(options: argparse.Namespace) -> int:
    """Make a suite and write what ``memloc.charts.files`` says."""
    prepare(options)
    given = {key: getattr(options, key) for key in ("seed", "charts", "tasks", "types", "size", "train")}
    wanted = settings.read(options.config, **given)
    made = suite.plan(wanted)
    out = files.output(options.out, made, replace=options.replace)
    out.check(options.config)
    about = files.describe(wanted, made)
    last = "already finished, nothing to do; remove the folder to make it again"
    with out.writing(str(about["identity"])) as work:
        if work is not None:
            bar = Bar(len(made.charts), quiet=options.quiet, unit="charts")
            try:
                files.write(made, wanted.size, out.staged(work), bar.update)
            finally:
                bar.close()
            out.publish(work, about)
            last = "questions and answers are in items.jsonl, what the charts show is in charts.jsonl"
    say(files.report(made))
    log.info("%s: %s", options.out, last)
    return 0


ACTIONS: Mapping[str, Callable[[argparse.Namespace], int]] = {"make": make}
"""By subcommand; ``parser._add_charts`` has their options."""
