"""``memloc score``: UnitMem of an encoder, LayerMem of a pair, memorization of images by many encoders."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from memloc import io
from memloc.cli.options import CORES
from memloc.cli.parser import build_parser
from memloc.cli.terminal import Bar, prepare, say, stop_requests
from memloc.data.image_folder import ImageFolder
from memloc.data.images import Images
from memloc.data.opening import open_images
from memloc.data.stored_images import folder_of_named
from memloc.errors import InputError, show
from memloc.job import log
from memloc.measuring.protocol import Protocol
from memloc.models.network import device as device_of
from memloc.output import Output
from memloc.scoring import belonging, files
from memloc.scoring.asked import about_encoders, about_images, check_differ, compared, record, settings_for
from memloc.scoring.choices import BY_ENCODER, RANGES
from memloc.scoring.choices import WORDS as WORDS_OF
from memloc.scoring.encoders import OpenEncoder, has_file, open_encoder
from memloc.scoring.members import check_trained, estimated, load_members, per_image, plan_members, tables
from memloc.scoring.members import verdict as members_verdict
from memloc.scoring.passes import Pass, Settings
from memloc.scoring.plan import NEEDS_SPLIT, WORDS, common_layers, describe, plan
from memloc.scoring.run import Shard
from memloc.scoring.score import Scores, measure, score
from memloc.scoring.splits import Split, load_split
from memloc.scoring.verdict import of_layers

SKIPPED = 10
"""Images that can't be read and are named on the terminal; meta.json lists all."""


def run(options: argparse.Namespace) -> int:
    """Score an encoder and write what ``memloc.scoring.files`` says; the exit status."""
    shard = _shard(options.shard)
    prepare(options, *((key, *ends) for key, ends in RANGES.items()), ("threads", 1, CORES))
    if options.threads:
        torch.set_num_threads(options.threads)
    out = files.output(options.out, replace=options.replace)
    out.check(options.split)
    out.check(options.members)
    _check_apart(options)
    device = device_of(options.device)
    Protocol(options.draws, options.pairs, options.distance)  # Before an encoder is opened, which takes a while.
    if options.members is not None:
        return _score_members(options, out, shard, device)
    if options.against is not None and options.split is None:
        raise InputError(NEEDS_SPLIT)
    encoder, against = _encoders(options)
    taken = _say_all(about_encoders(encoder, against))
    settings = _settings(options, encoder)
    images, external, split = _images(options, encoder)
    belong = _say_all(belonging.check(encoder, images, against=against, split=split, path=options.split))
    key = files.identity(
        encoder,
        images,
        against=against,
        split=split,
        external=external,
        patterns=options.layers,
        settings=settings,
        device=device,
    )
    with out.writing(key, share=None if shard is None else f"shard-{shard.number}-of-{shard.of}") as work:
        if work is None:
            return _finished(options)
        if any(other.name != key for other in work.parent.iterdir() if other.is_dir()):
            log.info("%s holds unfinished work of other settings or images; it is kept and not joined", work.parent)
        taken += [*belong, *_say_all(about_images(images, external, split, _names(options)))]
        passes = plan(
            encoder, images, against=against, split=split, external=external, patterns=options.layers, settings=settings
        )
        taken.append(describe(passes, split))
        log.info("%s", taken[-1])
        scores = _score(options, passes, settings, shard, work, device)
        if scores is None:
            return _shard_done(options)
        _report_skipped(scores.skipped)
        verdict = of_layers(scores.layers, compared(passes, split)).record()
        meta = _meta(options, encoder, settings, passes, scores.skipped, device)
        meta |= {"verdict": verdict, "taken": taken, "identity": key}
        files.write(scores, images, meta | {"command": command(options)}, out.staged(work))
        out.publish(work, meta)
    return _done(options, verdict)


def _score_members(options: argparse.Namespace, out: Output, shard: Shard | None, device: str) -> int:
    """Score many encoders by what each was trained on; the exit status."""
    for option in ("against", "split", "external"):
        if getattr(options, option) is not None:
            raise InputError(f"members: says which images are in which encoders; leave --{option} out")
    encoders = _opened(options, options.encoder)
    images = _read(options, options.images, encoders[0])
    members = load_members(options.members, images, options.encoder)
    unchecked = check_trained(encoders, images, members)
    settings = _settings(options, encoders[0])
    taken = list(dict.fromkeys(line for e in encoders for line in (e.pixels, e.weights, *e.remarks)))
    taken = _say_all([*taken, *images.taken(options.images), *members.taken, *unchecked])
    layers = common_layers(encoders, images, options.layers, settings)
    inside = {f"e{i}": members.rows[has] for i, has in enumerate(members.inside)} | {"pool": members.rows}
    key = files.identity(
        encoders[0],
        images,
        others=encoders[1:],
        split=inside,
        patterns=options.layers,
        settings=settings,
        device=device,
    )
    with out.writing(key, share=None if shard is None else f"shard-{shard.number}-of-{shard.of}") as work:
        if work is None:
            return _finished(options)
        passes = plan_members(encoders, images, members, layers)
        words = {name: f"{show(e.name)}" for name, e in zip(passes, encoders, strict=True)}
        with _progress(options, passes, words) as progress:
            results = measure(passes, settings, shard=shard, folder=work, device=device, **progress)
        if shard is not None:
            return _shard_done(options)
        skipped = {images.names[row]: reason for row, reason in sorted(images.skipped.items())}
        _report_skipped(skipped)
        scores = per_image(passes, results, members, settings)
        found = estimated(scores)
        layer_table, image_table = tables(next(iter(passes.values())), scores, found)
        verdict = members_verdict(layer_table, scores, found).record()
        meta = _meta(options, encoders[0], settings, passes, skipped, device) | {"encoders": options.encoder}
        meta |= {"encoder": None, "members": str(options.members), "verdict": verdict, "taken": taken, "identity": key}
        files.write_members(
            scores, layer_table, image_table, images, meta | {"command": command(options)}, out.staged(work)
        )
        out.publish(work, meta)
    return _done(options, verdict)


def _finished(options: argparse.Namespace) -> int:
    _answer(options, io.load_json(options.out / "meta.json")["verdict"])
    log.info("%s: already finished, nothing to do; remove the folder to score again", options.out)
    return 0


def _shard_done(options: argparse.Namespace) -> int:
    log.info("shard %s is done; the same command without --shard joins all shards", options.shard)
    return 0


def _done(options: argparse.Namespace, verdict: Mapping[str, Any]) -> int:
    _answer(options, verdict)
    log.info("%s: open it in a browser; the tables are beside it", options.out / "index.html")
    return 0


def _answer(options: argparse.Namespace, verdict: Mapping[str, Any]) -> None:
    """Print the verdict, as sentences or as JSON."""
    if options.json:
        say(json.dumps({**verdict, "page": str(options.out / "index.html")}))
    else:
        say("\n".join(show(line) for line in (verdict["headline"], *verdict["more"])))


UNTOLD = ("command", "threads", "shard", "quiet", "traceback", "json", "replace", "out")
"""Options that change no number: the command on a page leaves them out, and pages of the same numbers are the same."""


def command(options: argparse.Namespace) -> str:
    """The command line that gives the same numbers, to any folder: what isn't as by default."""
    usual = vars(build_parser().parse_args(["score", "x", "--images", "x", "--out", "x"]))
    given = {key: value for key, value in vars(options).items() if key in usual and key not in UNTOLD}

    def words() -> Iterator[str]:
        yield from options.encoder
        for key, value in given.items():
            if key != "encoder" and (value != usual[key] or key == "images"):
                yield f"--{key.replace('_', '-')}"
                if value is not True:
                    yield from map(str, value) if isinstance(value, list) else (str(value),)

    return f"{shlex.join(['memloc', 'score', *words()])} --out DIR"


def _shard(text: str | None) -> Shard | None:
    if text is None:
        return None
    number, _, of = text.partition("/")
    plain = text.isascii() and len(text) < 16 and number.isdecimal() and of.isdecimal()
    if not (plain and 1 <= int(number) <= int(of) <= 100_000):
        raise InputError(f"shard: {text!r}; write K/N with K from 1 to N, as in 2/8")
    return Shard(int(number), int(of))


def _encoders(options: argparse.Namespace) -> tuple[OpenEncoder, OpenEncoder | None]:
    """f, and g if there is one."""
    if len(options.encoder) > 1:
        raise InputError(f"encoder: {len(options.encoder)} are named; --members says what each was trained on")
    encoder, *others = _opened(options, [*options.encoder, *([options.against] if options.against is not None else [])])
    against = others[0] if others else None
    if against is not None:
        check_differ(encoder, against)
    return encoder, against


def _opened(options: argparse.Namespace, texts: Sequence[str]) -> list[OpenEncoder]:
    """The encoders that texts name."""
    stated = {"size": options.size, "mean": options.mean, "std": options.std}
    with_file = [text for text in texts if has_file(text)] or texts[:1]
    encoders = []
    for text in texts:
        log.info("opening %s", text)
        # A key is of the encoders that have a file; where none has, the first one says so.
        key = options.weights_key if text in with_file else None
        encoders.append(open_encoder(text, **stated, weights_key=key))
    return encoders


def _names(options: argparse.Namespace) -> dict[str, str | None]:
    """What the user calls the inputs."""
    given = {key: getattr(options, key) for key in ("images", "external", "split", "against")}
    return {key: None if value is None else str(value) for key, value in given.items()}


def _settings(options: argparse.Namespace, encoder: OpenEncoder) -> Settings:
    """The choices behind the numbers."""
    return settings_for(encoder, **{key: getattr(options, key) for key in (*WORDS_OF, *BY_ENCODER, *RANGES)})


def _check_apart(options: argparse.Namespace) -> None:
    """Refuse a folder whose figures would be scored as well."""
    for option in ("images", "external"):
        text = getattr(options, option)
        if not text:
            continue
        folder = Path(text) if os.path.lexists(text) else folder_of_named(text, options.config)
        if folder is not None and options.out.resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"out: {options.out} lies inside --{option}, so its figures would be scored; choose another folder"
            )


def _images(options: argparse.Namespace, encoder: OpenEncoder) -> tuple[Images, Images | None, Split | None]:
    """Images to score, external images and the split, as far as they are given."""
    images = _read(options, options.images, encoder)
    external = None if options.external is None else _read(options, options.external, encoder)
    if options.part != "train" and all(isinstance(source, ImageFolder | None) for source in (images, external)):
        raise InputError(f"part: {options.part} is of datasets, and this is a folder of images; name the part's folder")
    return images, external, None if options.split is None else load_split(options.split, images.names)


def _read(options: argparse.Namespace, path: str, encoder: OpenEncoder) -> Images:
    return open_images(path, size=encoder.size, part=options.part, config=options.config, strict=options.strict)


def _score(
    options: argparse.Namespace,
    passes: Mapping[str, Pass],
    settings: Settings,
    shard: Shard | None,
    work: Path,
    device: str,
) -> Scores | None:
    """Do the passes, with a progress bar, until they are done or a stop is requested."""
    if settings.others == "median":
        size = 4 * sum(len(task.rows) * sum(task.counts) for task in passes.values() if task.units)
        log.info("a median keeps all activations in files below %s: %.2f GiB of disk", work, size / 2**30)
    with _progress(options, passes, WORDS) as progress:
        return score(passes, settings=settings, shard=shard, folder=work, device=device, **progress)


@contextlib.contextmanager
def _progress(
    options: argparse.Namespace, passes: Mapping[str, Pass], words: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """A progress bar that says in words what is being passed over, and requests to stop."""
    bar = Bar(sum(len(task.rows) for task in passes.values()), quiet=options.quiet)
    try:
        with stop_requests() as stop:
            yield {"progress": bar, "stop": stop, "begins": lambda name: bar.name(words[name])}
    finally:
        bar.close()


def _report_skipped(skipped: Mapping[str, str]) -> None:
    for name, reason in list(skipped.items())[:SKIPPED]:
        log.info("skipped %s: %s", name, reason)
    if len(skipped) > SKIPPED:
        log.info("skipped %d more images, all listed in meta.json", len(skipped) - SKIPPED)


def _meta(
    options: argparse.Namespace,
    encoder: OpenEncoder,
    settings: Settings,
    passes: Mapping[str, Pass],
    skipped: Mapping[str, str],
    device: str,
) -> dict[str, object]:
    """What meta.json says."""
    return record(
        *(encoder, settings, passes),
        skipped=skipped,
        device=device,
        names=_names(options),
        layers=options.layers,
        weights_key=options.weights_key,
    )


def _say_all(lines: Sequence[str]) -> list[str]:
    for line in lines:
        log.info("%s", line)
    return [*lines]
