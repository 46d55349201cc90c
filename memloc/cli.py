"""The ``memloc`` command."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from memloc import __version__, job
from memloc.data.augmentations import TRAINED_WITH
from memloc.errors import InputError, disk_full, one_line, out_of_memory

CORES = os.cpu_count() or 1

EXAMPLES = """
examples:
  Which units of a network memorize single images, and which images?
    memloc score timm:resnet50@weights.safetensors --images photos/ --out scores/

  The same for a transformer, whose units go below 0, with nulls from images it has never seen:
    memloc score timm:vit_small_patch16_224 --images photos/ --external held_out/ --activation abs --out scores/

  Where do two encoders differ in what they memorize? f was trained on the candidate images of the split, g wasn't:
    memloc score f.safetensors --against g.safetensors --images fashion --split split.csv --out scores/

  Only some layers, in four jobs that may run anywhere, joined by the last line:
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, 1 for bad input or a failure, 2 for a usage error, 130 if interrupted."""
    if sys.stderr is None:  # Closed by whoever started this.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    logging.raiseExceptions = False  # What can't be told is no reason to stop.
    options = _parser().parse_args(arguments)
    log = logging.getLogger("memloc")
    log.setLevel(logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("memloc: %(message)s"))
    log.handlers = [handler]
    job.keep_memory()
    try:
        return int(options.run(options))
    except InputError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print(f"memloc: interrupted; {options.again}", file=sys.stderr)
        return 130
    except OSError as error:
        if disk_full(error):
            return _fail(f"the disk is full; free some space and {options.full}")
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except Exception as error:
        if out_of_memory(error):
            return _fail(f"memory isn't enough; {options.less}, or use a machine with more")
        if options.traceback:
            raise
        reason = (str(error).splitlines() or [""])[0]
        return _fail(f"{type(error).__name__}: {reason} ({options.whose}; --traceback shows where)")
    finally:
        # What a broken terminal didn't take would fail again, and with it the command, when Python ends.
        try:
            sys.stderr.flush()
        except (OSError, ValueError):
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _fail(message: str) -> int:
    with contextlib.suppress(OSError):
        print(f"memloc: error: {one_line(message)}", file=sys.stderr)
    return 1


class _Bar:
    """A progress bar on a terminal that may go away."""

    def __init__(self, total: int, *, quiet: bool, unit: str = "images") -> None:
        from tqdm import tqdm

        # In a log file, a line now and then is enough.
        every = 0.5 if sys.stderr.isatty() else 30.0
        with contextlib.suppress(OSError):
            self.bar = tqdm(total=total, unit=f" {unit}", disable=quiet, smoothing=0.05, mininterval=every)

    def update(self, n: float | None = 1) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self.bar.update(n)

    def close(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self.bar.close()


@contextlib.contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Whether somebody asked to stop (Ctrl-C, or a scheduler's SIGTERM); asked twice, it stops at once."""
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="memloc", description="Where does a vision encoder memorize its images?")
    parser.add_argument("--version", action="version", version=f"memloc {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_score(commands.add_parser(
        "score",
        help="LayerMem and UnitMem of any encoder",
        description="UnitMem of an encoder and the images its units memorize; with a second encoder, LayerMem as well.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ))  # fmt: skip
    _add_value(commands.add_parser(
        "value",
        help="which rows and cells of a table, or images and patches, are unlike the others of their class",
        description="Values of the rows and cells of a labelled table, or of images and their patches, by learners that"
        " never saw the row (2D-OOB and Data-OOB). Low values mark what is wrong or unusual.",
        epilog=VALUE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ))  # fmt: skip
    return parser


def _add_reading(where: argparse._ArgumentGroup) -> None:
    """How images are read, in either command."""
    where.add_argument("--part", default="train", choices=["train", "test"], help="part of a dataset (default: train)")
    where.add_argument(
        "--config", type=Path, default=Path("config.yaml"), metavar="FILE", help="where datasets are named"
    )
    where.add_argument(
        "--strict", action="store_true", help="stop at an image that can't be read instead of skipping it"
    )


def _add_telling(running: argparse._ArgumentGroup) -> None:
    """What either command tells meanwhile."""
    running.add_argument("--quiet", action="store_true", help="no progress bar")
    running.add_argument("--traceback", action="store_true", help="show where an unforeseen error comes from")


def _add_score(score: argparse.ArgumentParser) -> None:
    score.set_defaults(
        run=_score,
        again="the same command goes on where it stopped",
        full="run the same command again, what is finished is kept",
        less="lower --replicates, --shuffles or --size",
        whose="the encoder's or memloc's",
    )
    score.add_argument(
        "encoder",
        metavar="ENCODER",
        help="FILE.safetensors of memloc, timm:NAME or torchvision:NAME (with @FILE for weights of your own, @untrained"
        " for none), a Hugging Face folder, or package.module:function, which is called for the module",
    )
    where = score.add_argument_group("what is scored")
    where.add_argument(
        "--images", required=True, metavar="PATH", help="folder of images, or a dataset of the configuration"
    )
    where.add_argument("--out", required=True, type=Path, metavar="DIR", help="where tables, figure and page go")
    where.add_argument(
        "--external",
        metavar="PATH",
        help="images it has never seen, of the same kind as those of --images: nulls for UnitMem",
    )
    where.add_argument("--against", metavar="ENCODER", help="g, the encoder to compare with: LayerMem (needs --split)")
    where.add_argument(
        "--split",
        type=Path,
        metavar="FILE",
        help="groups of the images: .csv or .parquet with columns image and group, or .npz of memloc; f alone was"
        " trained on candidate images, g alone on independent ones, neither on external ones",
    )
    where.add_argument(
        "--layers",
        nargs="+",
        default=[],
        metavar="GLOB",
        help="layers (default: convolutions, attentions, fully-connected)",
    )
    _add_reading(where)
    how = score.add_argument_group("how (the paper's choices where it makes one)")
    how.add_argument("--draws", type=int, default=10, metavar="N", help="augmented views of each image (default: 10)")
    how.add_argument(
        "--augmentation",
        choices=TRAINED_WITH,
        help="recipe of the views (default: that of the training where it is known, else normal)",
    )
    for option, choices, text in (
        ("others", ["mean", "median"], "UnitMem against the mean or median of the other images"),
        ("hook", ["paper", "before", "after"], "read layers before or after normalisation and activation; paper: "
         "LayerMem before, UnitMem after"),
        ("dead", ["zero", "nan"], "UnitMem of a unit that no image excites"),
        ("pairs", ["aug-aug", "image-aug"], "align views with one another, or the image with its views"),
        ("distance", ["l2", "l1", "cosine", "angular"], "between representations of unit length"),
        ("normalisation", ["ratio", "range", "none"], "of SSLMem"),
    ):  # fmt: skip
        how.add_argument(f"--{option}", choices=choices, default=choices[0], help=f"{text} (default: {choices[0]})")
    how.add_argument(
        "--activation",
        choices=["as-is", "abs", "relu"],
        help="what is done to a unit's activation before averaging (default: as-is, abs of a ViT that memloc trained)",
    )
    how.add_argument(
        "--representation",
        choices=["flattened", "pooled"],
        help="a layer's whole output or its mean over positions (default: flattened; pooled where patches are left "
        "out)",
    )
    how.add_argument(
        "--replicates", type=int, default=32, metavar="N", help="random cuts behind UnitMem's intervals (default: 32)"
    )
    how.add_argument(
        "--shuffles", type=int, default=20, metavar="N", help="permuted labels behind ClassMem's null (default: 20)"
    )
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of views and resamples (default: 0)")
    inputs = score.add_argument_group("the encoder's input, where it doesn't say")
    inputs.add_argument("--size", type=int, metavar="PIXELS", help="side of its images")
    inputs.add_argument("--mean", type=float, nargs="+", metavar="M", help="of pixels in [0, 1], one number or three")
    inputs.add_argument("--std", type=float, nargs="+", metavar="S", help="likewise")
    running = score.add_argument_group("running")
    running.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    running.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    running.add_argument(
        "--shard", metavar="K/N", help="do the K-th of N parts only; without it, finished parts are joined"
    )
    _add_telling(running)


def _add_value(value: argparse.ArgumentParser) -> None:
    value.set_defaults(
        run=_value,
        again="the same command starts anew",
        full="run the same command again, it starts anew",
        less="lower --size, or value fewer rows",
        whose="memloc's",
    )
    value.add_argument(
        "source", metavar="SOURCE", help="table (.csv, .parquet), folder of images in class subfolders, or a dataset"
    )
    where = value.add_argument_group("what is valued")
    where.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the values go")
    where.add_argument("--label", metavar="COLUMN", help="a table's classes")
    where.add_argument("--id", metavar="COLUMN", help="names of a table's rows (default: their numbers, from 0)")
    where.add_argument(
        "--ignore", nargs="+", default=[], metavar="GLOB", help="columns to leave out: other names, dates, free text"
    )
    where.add_argument("--size", type=int, default=28, metavar="PIXELS", help="side of images (default: 28)")
    where.add_argument("--patch", type=int, default=4, metavar="PIXELS", help="side of their cells (default: 4)")
    _add_reading(where)
    how = value.add_argument_group("how")
    how.add_argument("--learners", type=int, default=1000, metavar="N", help="decision trees (default: 1000)")
    how.add_argument(
        "--ratio", type=float, default=0.5, metavar="R", help="share of the cells that each sees (default: 0.5)"
    )
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of who sees what (default: 0)")
    running = value.add_argument_group("running")
    running.add_argument("--workers", type=int, metavar="N", help="CPU threads (default: all)")
    _add_telling(running)


def _value(options: argparse.Namespace) -> int:
    from memloc.errors import show
    from memloc.valuation import files, sources
    from memloc.valuation.oob import value

    _prepare(options, ("size", 1, 1024), ("patch", 1, options.size), ("learners", 1, 1_000_000), threads="workers")
    if not 0 < options.ratio <= 1:
        raise InputError(f"ratio: {options.ratio}; give a share of the cells above 0, up to 1")
    log = logging.getLogger("memloc")
    settings: dict[str, Any] = {"learners": options.learners, "ratio": options.ratio, "seed": options.seed}
    table = Path(options.source).suffix.lower() in sources.TABLES and not Path(options.source).is_dir()
    if table or Path(options.source).is_file():
        about = {"label": options.label, "id": options.id, "ignore": options.ignore}
        read = sources.read_table
    else:
        if options.label or options.id or options.ignore:
            raise InputError(f"source: {show(options.source)}: no table; --label, --id and --ignore need one")
        about = {"size": options.size, "patch": options.patch, "part": options.part, "strict": options.strict}
        read = partial(sources.read_images, config=options.config)
    source = read(options.source, **about)
    meta = files.about(source, {"source": options.source, **about, **settings})
    if files.finished(options.out, meta):
        log.info("%s: finished already, nothing to do; remove it to value anew", options.out / files.ABOUT)
        return 0
    files.prepare(options.out)
    for line in source.remarks:
        log.info("%s", line)
    bar = _Bar(options.learners, quiet=options.quiet, unit="learners")
    try:
        values = value(
            source.x, source.y, groups=source.groups, **settings, workers=options.workers or CORES, progress=bar.update
        )
    finally:
        bar.close()
    files.write(source, values, meta, options.out)
    try:
        print(files.lowest(source, values), flush=True)
    except (OSError, UnicodeError):  # Nobody reads it, or can; what Python ends with would fail again.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    few = int((values.counts < files.FEW).sum())
    if few:
        log.info("%d of %d cells have fewer than %d learners behind them; raise --learners or --ratio",
                 few, values.counts.size, files.FEW)  # fmt: skip
    log.info("%s: %s and %s have all of them", options.out, *files.FILES[:2])
    return 0


def _score(options: argparse.Namespace) -> int:
    # Heavy libraries only now: --help should not wait for them.
    import torch

    from memloc import provenance
    from memloc.data.opening import open_images
    from memloc.measuring.protocol import Protocol
    from memloc.models.network import device as device_of
    from memloc.scoring import score as scoring
    from memloc.scoring.encoders import open_encoder
    from memloc.scoring.run import Settings
    from memloc.scoring.splits import load_split

    shard = _shard(options.shard)
    _prepare(options, ("replicates", 2, 1000), ("shuffles", 0, 1000), ("draws", 0, 1000), threads="threads")
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"out: {options.out} is a file; name a folder")
    device = device_of(options.device)
    inputs = {"size": options.size, "mean": options.mean, "std": options.std}
    protocol = Protocol(options.draws, options.pairs, options.distance)
    log = logging.getLogger("memloc")
    log.info("opens %s", options.encoder)
    encoder = open_encoder(options.encoder, **inputs)
    against = None if options.against is None else open_encoder(options.against, **inputs)
    augmentation = options.augmentation or encoder.augmentation or "normal"
    # A ViT of memloc is scored as the workflow measures it, see config.complete.
    skips = getattr(encoder.module, "skips_hidden", False)
    protocol = replace(
        protocol,
        activation=options.activation or ("abs" if skips else "as-is"),
        representation=options.representation or ("pooled" if skips and augmentation == "masking" else "flattened"),
    )
    settings = Settings(
        protocol=protocol,
        augmentation=augmentation,
        normalisation=options.normalisation,
        others=options.others,
        dead=options.dead,
        hook=options.hook,
        seed=options.seed,
        replicates=options.replicates,
        shuffles=options.shuffles,
    )

    for option in ("images", "external"):
        folder = Path(getattr(options, option) or "")
        if getattr(options, option) and folder.is_dir() and options.out.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"out: {options.out} lies inside --{option}; its figures would be scored: choose another")
    if (options.out / "index.html").exists() and not (options.out / "units.parquet").exists():
        raise InputError(f"out: {options.out} has an index.html that isn't memloc's; choose another folder")

    def read(path: str) -> Any:
        return open_images(path, size=encoder.size, part=options.part, config=options.config, strict=options.strict)

    images = read(options.images)
    external = None if options.external is None else read(options.external)
    split = None if options.split is None else load_split(options.split, images.names)
    chosen: dict[str, Any] = {"against": against, "split": split, "external": external, "patterns": options.layers}
    key = scoring.identity(encoder, images, **chosen, settings=settings, device=device)
    if scoring.finished(options.out, key):
        log.info("%s: finished already, nothing to do; remove it to score anew", options.out / "index.html")
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    work = options.out / "unfinished" / key
    if any(other.name != key for other in work.parent.glob("*")):
        log.info("%s holds unfinished work of other settings or images; it stays there and isn't joined", work.parent)
    passes = scoring.plan(encoder, images, **chosen, settings=settings)
    if options.others == "median":
        size = 4 * sum(len(p.rows) * sum(p.counts) for p in passes.values() if p.units)
        log.info("the median keeps all activations in files below %s: %.2f GiB of disk", work, size / 2**30)
    total = sum(len(p.rows) for p in passes.values())
    bar = _Bar(total, quiet=options.quiet)
    try:
        with _stoppable() as stop:
            scores = scoring.score(
                passes, settings=settings, shard=shard, folder=work, progress=bar, stop=stop, device=device
            )
    finally:
        bar.close()
    if scores is None:
        log.info("part %s is done; when all are, the same command without --shard joins them", options.shard)
        return 0
    for name, reason in list(scores.skipped.items())[:10]:
        log.info("skipped %s: %s", name, reason)
    if len(scores.skipped) > 10:
        log.info("skipped %d images more, all listed in meta.json", len(scores.skipped) - 10)
    meta = {
        "encoder": encoder.name,
        "against": options.against,
        "images": options.images,
        "external": options.external,
        "split": None if options.split is None else str(options.split),
        "counts": {name: len(p.rows) for name, p in passes.items()},
        "skipped": scores.skipped,
        "settings": _told(asdict(settings)) | {"layers": options.layers or "default", "size": encoder.size,
                     "mean": list(encoder.mean), "std": list(encoder.std), "device": device},
        "versions": provenance.versions("memloc", "torch", "timm", "torchvision", "numpy"),
        "identity": key,
    }  # fmt: skip
    scoring.write(scores, images, meta, options.out)
    scoring.clear(work)
    log.info("%s: open it in a browser; tables lie beside it", options.out / "index.html")
    return 0


def _prepare(options: argparse.Namespace, *ranges: tuple[str, int, int], threads: str) -> None:
    """What either command does first: its numbers are within their ranges, and Pillow is quiet.

    Raises:
        InputError: an option is out of its range.
    """
    from PIL import Image

    # Too large images are refused and listed anyway.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    for option, least, most in (*ranges, ("seed", 0, 2**63 - 1), (threads, 1, CORES)):
        value = getattr(options, option)
        if value is not None and not least <= value <= most:
            raise InputError(f"{option}: {value}; give {least} to {most}")


def _told(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they are spelled on the command line."""
    nested = dict(settings)
    return {**nested.pop("protocol"), **nested}


def _shard(text: str | None) -> Any:
    from memloc.scoring.run import Shard

    if text is None:
        return None
    number, _, of = text.partition("/")
    plain = text.isascii() and len(text) < 16 and number.isdecimal() and of.isdecimal()
    if not (plain and 1 <= int(number) <= int(of) <= 100_000):
        raise InputError(f"shard: {text!r}; write K/N with K from 1 to N, as in 2/8")
    return Shard(int(number), int(of))


if __name__ == "__main__":
    sys.exit(main())
