"""``memloc score``: UnitMem of an encoder, and LayerMem of a pair."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from memloc import provenance
from memloc.cli.parser import CORES
from memloc.cli.terminal import Bar, prepare, stop_requests
from memloc.data.images import Images
from memloc.data.opening import open_images
from memloc.errors import InputError
from memloc.job import log
from memloc.measuring.protocol import Protocol
from memloc.models.network import device as device_of
from memloc.scoring import files
from memloc.scoring.encoders import OpenEncoder, has_file, open_encoder
from memloc.scoring.passes import Pass, Settings
from memloc.scoring.plan import plan
from memloc.scoring.run import Shard
from memloc.scoring.score import Scores, score
from memloc.scoring.splits import load_split
from memloc.scoring.stores import Rows

SKIPPED = 10
"""Images that can't be read and are named on the terminal; meta.json lists all."""


def run(options: argparse.Namespace) -> int:
    """Score an encoder and write what ``memloc.scoring.files`` says; the exit status."""
    shard = _shard(options.shard)
    prepare(options, ("replicates", 2, 1000), ("shuffles", 0, 1000), ("draws", 0, 1000), ("threads", 1, CORES))
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"out: {options.out} is a file; name a folder")
    device = device_of(options.device)
    Protocol(options.draws, options.pairs, options.distance)  # Before an encoder is opened, which takes a while.
    encoder, against = _encoders(options)
    taken = _report_taken(encoder, against)
    settings = _settings(options, encoder)
    _check_out(options)
    images, external, split = _images(options, encoder)
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
    if files.finished(options.out, key):
        log.info("%s: already finished, nothing to do; remove it to score again", options.out / "index.html")
        return 0
    work = _work(options.out, key)
    passes = plan(
        encoder, images, against=against, split=split, external=external, patterns=options.layers, settings=settings
    )
    scores = _score(options, passes, settings, shard, work, device)
    if scores is None:
        log.info("shard %s is done; the same command without --shard joins all shards", options.shard)
        return 0
    _report_skipped(scores.skipped)
    meta = _meta(options, encoder, settings, passes, scores, device) | taken | {"identity": key}
    files.write(scores, images, meta, options.out)
    files.clear(work)
    log.info("%s: open it in a browser; the tables are beside it", options.out / "index.html")
    return 0


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
    log.info("opening %s", options.encoder)
    stated = {"size": options.size, "mean": options.mean, "std": options.std}
    key, both = options.weights_key, (options.encoder, options.against or "")

    def opened(text: str) -> OpenEncoder:
        # A key is of the encoders that have a file; where none has, the first one says so.
        return open_encoder(text, **stated, weights_key=key if has_file(text) or not any(map(has_file, both)) else None)

    return opened(options.encoder), None if options.against is None else opened(options.against)


def _report_taken(encoder: OpenEncoder, against: OpenEncoder | None) -> dict[str, object]:
    """Say what was taken of the encoders, in the log and for meta.json."""
    both = {"encoder": encoder} if against is None else {"encoder": encoder, "against": against}
    remarks = [f"{each.name}: {remark}" for each in both.values() for remark in each.remarks]
    if against is not None and against.sha256 == encoder.sha256:
        remarks.append(f"--against has the same weights as the encoder: LayerMem compares {encoder.name} with itself")
    for each in both.values():
        log.info("%s: %s", each.name, each.taken)
    for remark in remarks:
        log.info("%s", remark)
    return {"taken": {role: each.taken for role, each in both.items()}, "remarks": remarks}


def _settings(options: argparse.Namespace, encoder: OpenEncoder) -> Settings:
    """The choices behind the numbers; what isn't given follows from the encoder."""
    augmentation = options.augmentation or encoder.augmentation or "normal"
    # A ViT that memloc trained is scored as the workflow measures it, see config.complete.
    vit = getattr(encoder.module, "skips_hidden", False)
    protocol = Protocol(
        options.draws,
        options.pairs,
        options.distance,
        representation=options.representation or ("pooled" if vit and augmentation == "masking" else "flattened"),
        activation=options.activation or ("abs" if vit else "as-is"),
    )
    return Settings(
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


def _check_out(options: argparse.Namespace) -> None:
    """Refuse a folder whose files would be scored, or that has somebody else's page."""
    for option in ("images", "external"):
        folder = Path(getattr(options, option) or "")
        if getattr(options, option) and folder.is_dir() and options.out.resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"out: {options.out} lies inside --{option}, so its figures would be scored; choose another folder"
            )
    if (options.out / "index.html").exists() and not (options.out / "units.parquet").exists():
        raise InputError(f"out: {options.out} has an index.html that isn't memloc's; choose another folder")


def _images(
    options: argparse.Namespace, encoder: OpenEncoder
) -> tuple[Images, Images | None, Mapping[str, Rows] | None]:
    """Images to score, external images and the split, as far as they are given."""

    def read(path: str) -> Images:
        return open_images(path, size=encoder.size, part=options.part, config=options.config, strict=options.strict)

    images = read(options.images)
    external = None if options.external is None else read(options.external)
    return images, external, None if options.split is None else load_split(options.split, images.names)


def _work(out: Path, key: str) -> Path:
    """The folder of unfinished work."""
    out.mkdir(parents=True, exist_ok=True)
    work = out / "unfinished" / key
    if any(other.name != key for other in work.parent.glob("*")):
        log.info("%s holds unfinished work of other settings or images; it is kept and not joined", work.parent)
    return work


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
    bar = Bar(sum(len(task.rows) for task in passes.values()), quiet=options.quiet)
    try:
        with stop_requests() as stop:
            return score(passes, settings=settings, shard=shard, folder=work, progress=bar, stop=stop, device=device)
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
    scores: Scores,
    device: str,
) -> dict[str, object]:
    """What meta.json says; settings are spelled as on the command line."""
    choices = asdict(settings)
    protocol = choices.pop("protocol")
    about_encoder = {"size": encoder.size, "mean": list(encoder.mean), "std": list(encoder.std)}
    about_encoder |= {"channels": encoder.channels, "weights_key": options.weights_key, "device": device}
    return {
        "encoder": encoder.name,
        "against": options.against,
        "images": options.images,
        "external": options.external,
        "split": None if options.split is None else str(options.split),
        "counts": {name: len(task.rows) for name, task in passes.items()},
        "skipped": scores.skipped,
        "settings": protocol | choices | {"layers": options.layers or "default"} | about_encoder,
        "versions": provenance.versions("memloc", "torch", "timm", "torchvision", "numpy"),
    }
