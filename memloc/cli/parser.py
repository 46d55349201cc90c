"""The options of ``memloc`` and its commands. No library is imported here that --help would have to wait for."""

from __future__ import annotations

import argparse
from pathlib import Path

from memloc import __version__
from memloc.cli.charts_ask import add_ask
from memloc.cli.completion import SHELLS, Completion
from memloc.cli.options import EXITS, add_messages, add_out
from memloc.scoring.choices import BY_ENCODER, WORDS

SCORE_EXAMPLES = """
examples:
  Do units of a network answer to single images that it was trained on more than to images it has never seen?
    memloc score timm:resnet50@weights.safetensors --images photos/ --external held_out/ --out scores/

  The same for a transformer, whose units go below 0:
    memloc score timm:vit_small_patch16_224 --images photos/ --external held_out/ --activation abs --out scores/

  Where do two encoders differ in what they memorize? f was trained on the candidate images of the split, g wasn't:
    memloc score f.safetensors --against g.safetensors --images fashion --split split.csv --out scores/

  Only some layers, in four jobs that may run anywhere; the last line joins them:
    for k in 1 2 3 4; do memloc score hf:my-vit --images photos/ --layers '*.mlp.fc1' --shard $k/4 --out scores/; done
    memloc score hf:my-vit --images photos/ --layers '*.mlp.fc1' --out scores/
"""

VALUE_EXAMPLES = """
examples:
  Which rows of a table may be mislabelled, and which of their cells are odd?
    memloc value patients.csv --label diagnosis --id patient --out values/

  Which images of a folder (photos/cat/, photos/dog/) are unlike their class, and where?
    memloc value photos/ --size 28 --patch 4 --out values/
"""

MAKE_EXAMPLES = """
examples:
  The whole suite, for a model that is at hand:
    memloc charts make --out charts/

  Small charts to train a model on, of two tasks, all for training:
    memloc charts make --out train/ --size 63 --charts 4000 --tasks count position --train 1 --seed 1
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line.

    Beside the options it gives the module of a command (``command``) and what the command's errors say.
    """
    parser = argparse.ArgumentParser(
        prog="memloc", description="Where does a vision encoder memorize its images?", epilog=EXITS.strip()
    )
    parser.add_argument("--version", action="version", version=f"memloc {__version__}")
    parser.add_argument(
        *("--print-completion",),
        action=Completion,
        choices=SHELLS,
        metavar="SHELL",
        help="print a script that completes this command in bash, zsh or tcsh",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    score = commands.add_parser(
        "score",
        help="LayerMem and UnitMem of any encoder",
        description="UnitMem of an encoder and the images its units memorize; with a second encoder also LayerMem.",
        epilog=SCORE_EXAMPLES + EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    score.set_defaults(
        command="score",
        extra="score",
        if_interrupted="the same command continues where it stopped",
        if_disk_full="run the same command again, finished work is kept",
        if_out_of_memory="lower --replicates, --shuffles or --size, name fewer --layers",
        faulty="the encoder or memloc",
    )
    _add_scored(score)
    _add_protocol(score)
    _add_input(score)
    running = score.add_argument_group("running")
    running.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    running.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    running.add_argument(
        "--shard", metavar="K/N", help="do only the K-th of N shards; without it, finished shards are joined"
    )
    running.add_argument("--json", action="store_true", help="print the verdict as JSON")
    add_messages(running)

    value = commands.add_parser(
        "value",
        help="which rows and cells of a table, or images and patches, are unlike the others of their class",
        description="Values of the rows and cells of a labelled table, or of images and their patches, by learners that"
        " never saw the row (2D-OOB and Data-OOB). Low values mark what is wrong or unusual.",
        epilog=VALUE_EXAMPLES + EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    value.set_defaults(
        command="value",
        extra="",
        if_interrupted="the same command starts again from the beginning",
        if_disk_full="run the same command again, it starts from the beginning",
        if_out_of_memory="lower --workers or the --size of images, --ignore columns",
        faulty="memloc",
    )
    _add_valued(value)
    _add_learners(value)

    charts = commands.add_parser(
        "charts",
        help="where a vision-language model loses what its tower has seen of a chart",
        description="Charts, questions about them with known answers, and what a vision-language model makes of them.",
        epilog=EXITS.strip(),
    )
    actions = charts.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_charts(actions)
    add_ask(actions)
    return parser


def _add_scored(score: argparse.ArgumentParser) -> None:
    score.add_argument(
        "encoder",
        nargs="+",
        metavar="ENCODER",
        help="FILE.safetensors of memloc, timm:NAME or torchvision:NAME (with @FILE for other weights, @untrained"
        " for none), a Hugging Face folder, or package.module:function, which is called and returns the module; several"
        " with --members",
    )
    where = score.add_argument_group("what is scored")
    where.add_argument(
        "--images", required=True, metavar="PATH", help="folder of images, or a dataset of the configuration"
    )
    add_out(where, "folder for tables, figure and page", record="meta.json")
    where.add_argument(
        "--external",
        metavar="PATH",
        help="images that it has never seen, of the same kind as those of --images: nulls for UnitMem",
    )
    where.add_argument("--against", metavar="ENCODER", help="g, the encoder to compare with: LayerMem (needs --split)")
    where.add_argument(
        "--split",
        type=Path,
        metavar="FILE",
        help="groups of the images: .csv or .parquet with columns image (or name, or row) and group, or .npz of memloc;"
        " f alone was trained on candidate images, g alone on independent ones, neither on external ones",
    )
    where.add_argument(
        "--members",
        type=Path,
        metavar="FILE",
        help="which images each of many encoders was trained on: .csv or .parquet with a column image and one of 1 and"
        " 0 for each encoder, or with columns image, encoder and in; memorization of every image and layer",
    )
    where.add_argument(
        "--layers",
        action="extend",
        nargs="+",
        default=[],
        metavar="GLOB",
        help="layers (default: convolutions, attentions, fully-connected)",
    )
    _add_reading(where)


def _add_protocol(score: argparse.ArgumentParser) -> None:
    how = score.add_argument_group("how (by default as in the paper, if it says)")
    how.add_argument("--draws", type=int, default=10, metavar="N", help="augmented views of each image (default: 10)")
    how.add_argument(
        "--augmentation",
        choices=BY_ENCODER["augmentation"],
        help="how views are drawn (default: as in the encoder's training if that is known, else normal)",
    )
    for option, (choices, text) in WORDS.items():
        how.add_argument(f"--{option}", choices=choices, default=choices[0], help=f"{text} (default: {choices[0]})")
    how.add_argument(
        "--activation",
        choices=BY_ENCODER["activation"],
        help="applied to a unit's activation before averaging (default: as-is; abs for a ViT that memloc trained)",
    )
    how.add_argument(
        "--representation",
        choices=BY_ENCODER["representation"],
        help="a layer's whole output or its mean over positions (default: flattened; pooled if patches are left out)",
    )
    how.add_argument(
        "--replicates",
        type=int,
        default=32,
        metavar="N",
        help="random divisions of the images, for UnitMem's intervals (default: 32)",
    )
    how.add_argument(
        "--shuffles",
        type=int,
        default=20,
        metavar="N",
        help="permutations of the labels, for ClassMem's null (default: 20)",
    )
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of views, subsets and permutations (default: 0)")


def _add_input(score: argparse.ArgumentParser) -> None:
    inputs = score.add_argument_group("the encoder's input, if it doesn't say")
    inputs.add_argument("--size", type=int, metavar="PIXELS", help="side of its images")
    inputs.add_argument("--mean", type=float, nargs="+", metavar="M", help="of pixels in [0, 1], one number or three")
    inputs.add_argument("--std", type=float, nargs="+", metavar="S", help="likewise")
    inputs.add_argument(
        "--weights-key",
        metavar="KEY",
        help="which of several models in a file of weights: what its names begin with (model_ema, teacher.backbone)",
    )


def _add_valued(value: argparse.ArgumentParser) -> None:
    value.add_argument(
        "source",
        metavar="SOURCE",
        help="table (.csv, .tsv, .xlsx, .parquet), folder of images in class subfolders, or a dataset",
    )
    where = value.add_argument_group("what is valued")
    add_out(where, "folder for the values", record="value.json")
    where.add_argument("--label", metavar="COLUMN", help="column of a table's classes")
    where.add_argument(
        "--id", metavar="COLUMN", help="column that names a table's rows (default: their numbers, from 0)"
    )
    where.add_argument(
        "--ignore",
        action="extend",
        nargs="+",
        default=[],
        metavar="GLOB",
        help="columns to leave out: other names, dates, free text",
    )
    where.add_argument(
        "--text",
        action="extend",
        nargs="+",
        default=[],
        metavar="GLOB",
        help="columns whose numbers are names: postcodes, codes",
    )
    where.add_argument("--size", type=int, default=28, metavar="PIXELS", help="side of images (default: 28)")
    where.add_argument("--patch", type=int, default=4, metavar="PIXELS", help="side of their cells (default: 4)")
    _add_reading(where)


def _add_learners(value: argparse.ArgumentParser) -> None:
    how = value.add_argument_group("how")
    how.add_argument("--learners", type=int, default=1000, metavar="N", help="decision trees (default: 1000)")
    how.add_argument(
        "--ratio", type=float, default=0.5, metavar="R", help="share of the cells that each learner sees (default: 0.5)"
    )
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of what each learner sees (default: 0)")
    running = value.add_argument_group("running")
    running.add_argument("--workers", type=int, metavar="N", help="CPU threads (default: all)")
    add_messages(running)


def _add_charts(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The subcommands of ``memloc charts``; ``action`` names the function of ``memloc.cli.charts``."""
    make = commands.add_parser(
        "make",
        help="the suite: charts, masks, questions, answers",
        description="Charts with marks at known places, masks of their elements, questions of nine tasks, and answers.",
        epilog=MAKE_EXAMPLES + EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    make.set_defaults(
        command="charts",
        extra="charts",
        action="make",
        if_interrupted="the same command starts again from the beginning",
        if_disk_full="run the same command again, it starts from the beginning",
        if_out_of_memory="lower --charts",
        faulty="memloc",
    )
    where = make.add_argument_group("where")
    add_out(where, "folder for the suite", record="manifest.json")
    what = make.add_argument_group("what is made (keys of a configuration; an option goes before its key)")
    what.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="YAML or JSON file with these keys and scales, n, crowd, colours, markers",
    )
    what.add_argument("--seed", type=int, metavar="N", help="of all that is random (default: 0)")
    what.add_argument("--charts", type=int, metavar="N", help="at most so many (default: 1000)")
    what.add_argument(
        "--tasks",
        nargs="+",
        metavar="TASK",
        help="of count, position, distance, extremum, mean, correlation, function, cluster, outlier (default: all)",
    )
    what.add_argument("--types", nargs="+", metavar="TYPE", help="of scatter, bar, line (default: all)")
    what.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="side of the images: 560 as matplotlib draws, or 54 to 144 (default: 560)",
    )
    what.add_argument("--train", type=float, metavar="SHARE", help="of the charts that are for training (default: 0.5)")
    running = make.add_argument_group("running")
    add_messages(running)


def _add_reading(where: argparse._ArgumentGroup) -> None:
    """How either command reads images."""
    where.add_argument("--part", default="train", choices=["train", "test"], help="part of a dataset (default: train)")
    where.add_argument(
        "--config", type=Path, default=Path("config.yaml"), metavar="FILE", help="configuration that names datasets"
    )
    where.add_argument(
        "--strict", action="store_true", help="stop at an image that can't be read instead of skipping it"
    )
