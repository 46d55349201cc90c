"""``memloc charts ask`` and ``memloc charts locate``: their options, and what they do."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memloc.cli.options import CORES, EXITS, add_messages, add_out

if TYPE_CHECKING:
    from memloc.charts.models import Model
    from memloc.charts.reading import Row, Suite

ASK_EXAMPLES = """
examples:
  How often is a model right, by task, number of marks and kind of chart?
    memloc charts ask llava-onevision/ --suite charts/ --out answers/

  Does it help to be told the coordinates, and how does it answer without seeing the chart?
    memloc charts ask qwen2-vl/ --suite charts/ --strategies free true wrong text blank --device cuda --out answers/
"""
LOCATE_EXAMPLES = """
examples:
  At which stage can coordinates no longer be read, and which part of the image carries the answer?
    memloc charts locate llava-onevision/ --suite charts/ --out where/

  The same of a model whose parts have other names:
    memloc charts locate my-vlm/ --suite charts/ --tower '*.vit.blocks.?' --connector '*.bridge' --out where/
"""


def add_ask(commands: Any) -> None:
    """Add both commands to those of ``memloc charts``."""
    ask = commands.add_parser(
        "ask",
        help="accuracy of a vision-language model on a suite of charts",
        description="Greedy answers of a local vision-language model to a suite of charts, scored without a judge.",
        epilog=ASK_EXAMPLES + EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = _add_both(ask, run_ask, "folder for the page, answers, accuracy and figure")
    where.add_argument(
        *("--strategies",), nargs="+", default=["free"], metavar="NAME", help="how items are asked (default: free)"
    )
    where.add_argument("--tasks", nargs="+", default=[], metavar="TASK", help="tasks (default: all of the suite)")
    where.add_argument("--part", default="test", choices=["train", "test", "all"], help="of the suite (default: test)")
    ask.set_defaults(seed=0)

    locate = commands.add_parser(
        "locate",
        help="where a vision-language model loses what its tower has seen",
        description="Linear probes and activation patches at every stage of a local vision-language model: patch"
        " embedding, tower, connector, decoder.",
        epilog=LOCATE_EXAMPLES + EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = _add_both(locate, run_locate, "folder for the page, tables and figures")
    where.add_argument(
        *("--tasks",),
        nargs="+",
        default=[],
        metavar="TASK",
        help="tasks (default: position and count, or that of them that the suite has)",
    )
    where.add_argument(
        "--strategy", default="templated", metavar="NAME", help="how items are asked (default: templated)"
    )
    where.add_argument("--pairs", type=int, default=100, metavar="N", help="pairs of a task and n (default: 100)")
    where.add_argument("--seed", type=int, default=0, metavar="N", help="of pairs and shuffled labels (default: 0)")
    parts = locate.add_argument_group("parts of the model, if the architecture doesn't tell")
    for name, what in (("tower", "layers of the vision tower"), ("connector", "what is between tower and decoder")):
        parts.add_argument(f"--{name}", metavar="GLOB", help=what)
    parts.add_argument("--decoder", metavar="GLOB", help="layers of the decoder")


def _add_both(parser: argparse.ArgumentParser, run: Any, what: str) -> argparse._ArgumentGroup:
    parser.set_defaults(
        command="charts_ask",
        extra="huggingface",
        act=run,
        if_interrupted="the same command continues where it stopped",
        if_disk_full="run the same command again, finished work is kept",
        if_out_of_memory="give --precision bfloat16 or a smaller --batch",
        faulty="the model or memloc",
    )
    parser.add_argument("model", metavar="MODEL", help="folder of a vision-language model in Hugging Face's format")
    where = parser.add_argument_group("what is asked")
    where.add_argument("--suite", required=True, type=Path, metavar="DIR", help="suite of memloc charts make")
    add_out(where, what, record="meta.json")
    running = parser.add_argument_group("running")
    running.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    running.add_argument(
        "--precision",
        default="auto",
        choices=["auto", "float32", "bfloat16", "float16"],
        help="of weights and states (default: float32 on a CPU; elsewhere bfloat16 for weights of 16 bits)",
    )
    running.add_argument("--batch", type=int, default=16, metavar="N", help="items at once (default: 16)")
    running.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    add_messages(running)
    return where


def run(options: argparse.Namespace) -> int:
    """Do what was asked for; the exit status."""
    from memloc.charts.batches import StoppedError

    try:
        return int(options.act(options))
    except StoppedError:
        raise KeyboardInterrupt from None


def run_ask(options: argparse.Namespace) -> int:
    """Ask a model and write what ``memloc.charts.results`` says."""
    import pandas as pd

    from memloc.charts import ask, results
    from memloc.cli.terminal import Bar, say, stop_requests
    from memloc.job import log

    out = results.output(options.out, replace=options.replace)
    suite, items = _suite(options, out, part=options.part)
    ask.check_strategies(options.strategies)
    model = _model(options)
    settings = {name: getattr(options, name) for name in ("tasks", "part", "strategies", "batch")}
    meta = results.described(model, suite, settings)
    with out.writing(str(meta["identity"])) as work:
        if work is None:
            say(ask.shown(pd.read_parquet(options.out / "accuracy.parquet")))
            log.info("%s: already finished, nothing to do; remove the folder to ask again", options.out)
            return 0
        meta["taken"] = taken = [*model.remarks, *ask.remarks(model, suite, items, options.strategies)]
        for line in taken:
            log.info("%s", line)
        bar = Bar(len(items) * len(options.strategies), quiet=options.quiet, unit="answers")
        try:
            with stop_requests() as stop:
                answers = ask.answers(
                    *(model, suite, items, options.strategies),
                    batch=options.batch,
                    work=work,
                    progress=bar.update,
                    stop=stop,
                )
        finally:
            bar.close()
        found = results.write_asked(answers, suite, meta, out.staged(work))
        out.publish(work, meta)
    say(ask.shown(found))
    log.info("%s: index.html shows what was found", options.out)
    return 0


def run_locate(options: argparse.Namespace) -> int:
    """Look into a model and write what ``memloc.charts.results`` says."""
    import pandas as pd

    from memloc.charts import ask, locate, patching, results, states
    from memloc.charts.models.tokens import layout
    from memloc.cli.terminal import Bar, say, stop_requests
    from memloc.errors import InputError, show
    from memloc.job import log

    out = results.output(options.out, locating=True, replace=options.replace)
    suite, items = _suite(options, out, part="all", locating=True)
    tested = suite.choose(tasks=options.tasks, split="test")
    if options.strategy not in locate.STRATEGIES:
        raise InputError(f"strategy: {show(options.strategy)}; give one of {', '.join(locate.STRATEGIES)}")
    globs = {name: getattr(options, name) for name in ("tower", "connector", "decoder") if getattr(options, name)}
    model = _model(options, globs)
    settings = {name: getattr(options, name) for name in ("tasks", "strategy", "batch", "pairs", "seed")} | {
        "globs": globs
    }
    meta = results.described(model, suite, settings)
    with out.writing(str(meta["identity"])) as work:
        if work is None:
            say(locate.shown(*(pd.read_parquet(options.out / f"{name}.parquet") for name in ("probes", "patches"))))
            log.info("%s: already finished, nothing to do; remove the folder to locate again", options.out)
            return 0
        plan = layout(model, suite)
        said = ask.remarks(model, suite, tested, [options.strategy])
        taken = [*model.remarks, *said, *locate.described(model, plan)]
        for line in taken:
            log.info("%s", line)
        bar = Bar(len(tested) + len(items) + len(model.stages), quiet=options.quiet, unit="steps")
        common = {"batch": options.batch, "work": work, "progress": bar.update}
        try:
            with stop_requests() as stop:
                answers = ask.answers(model, suite, tested, [options.strategy], stop=stop, **common)
                read = states.read(model, suite, items, options.strategy, stop=stop, **common)
                predictions = locate.probe(model, suite, items, read, seed=options.seed, progress=bar.update)
                chosen = locate.chosen_pairs(
                    *(model, suite, tested, answers, options.strategy),
                    most=options.pairs,
                    seed=options.seed,
                    batch=options.batch,
                    work=work,
                    stop=stop,
                )
                bar.more(len(chosen))
                pairs = locate.patch(model, plan, suite, chosen, options.strategy, stop=stop, **common)
        finally:
            bar.close()
        told, cells = locate.own_answers(suite, tested, answers), patching.cells(pairs)
        tables = {
            **{"answers": answers, "predictions": predictions, "pairs": pairs, "patches": cells},
            **{"probes": locate.accuracies(predictions, told), "drops": locate.drops(predictions, told)},
        }
        meta |= {"taken": taken, "sanity": locate.sanity(cells, crosses=model.crosses)}
        results.write_located(tables, suite, meta, out.staged(work))
        out.publish(work, meta)
    say(locate.shown(tables["probes"], cells))
    log.info("%s: index.html shows what was found", options.out)
    return 0


def _suite(options: argparse.Namespace, out: Any, *, part: str, locating: bool = False) -> tuple[Suite, list[Row]]:
    """The suite and its items, once numbers and folders are checked."""
    from memloc.charts.reading import open_suite
    from memloc.cli.terminal import prepare
    from memloc.errors import InputError

    prepare(
        options, ("batch", 1, 4096), ("threads", 1, CORES), *([("pairs", 0, 100_000)] if "pairs" in options else [])
    )
    out.check()
    if options.out.resolve().is_relative_to(options.suite.resolve()):
        raise InputError(f"out: {options.out} lies inside the suite; choose another folder")
    suite = open_suite(options.suite)
    if locating and not options.tasks:
        from memloc.charts.locate import PROBED

        options.tasks = [task for task in PROBED if task in suite.tasks]
        if not options.tasks:
            known = " or ".join(PROBED)
            raise InputError(f"tasks: the suite has no {known}, but {', '.join(suite.tasks)}; name --tasks")
    return suite, suite.choose(tasks=options.tasks, split=part)


def _model(options: argparse.Namespace, globs: dict[str, str] | None = None) -> Model:
    import torch

    from memloc.charts.models import open_model
    from memloc.job import log
    from memloc.models.network import device

    if options.threads:
        torch.set_num_threads(options.threads)
    log.info("opening %s", options.model)
    return open_model(options.model, device=device(options.device), precision=options.precision, globs=globs)
