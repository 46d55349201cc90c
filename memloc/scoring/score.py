"""Scoring an encoder, or a pair of them, from end to end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from memloc import io, provenance
from memloc.analysis.tables import save_table
from memloc.data.augment import UNIFORMS, augment, for_encoder
from memloc.data.augmentations import AUGMENTATIONS
from memloc.data.images import Images
from memloc.errors import InputError
from memloc.job import log
from memloc.measuring.one_pass import measure_batches
from memloc.models.architectures import Layer
from memloc.models.capture import discover
from memloc.models.network import Normalise
from memloc.scoring import figure, page, tables
from memloc.scoring.encoders import OpenEncoder
from memloc.scoring.run import Pass, Progress, Result, Settings, Shard, gather, run
from memloc.streams import generator, uniforms
from memloc.streams import stream as seed_of

Rows = NDArray[np.int64]

CLASS_MEMORY = 2**30
"""Bytes that class sums may take before permutations of the labels are left out."""

FILES = (
    *("units.parquet", "tops.parquet", "layers.parquet", "points.parquet", "layers.csv"),
    *("summary.png", "summary.csv", "index.html"),
)
"""What is written beside meta.json; points.parquet for two encoders only."""


@dataclass(frozen=True)
class Scores:
    """What scoring gives.

    Attributes:
        units: one row a unit: UnitMem, its owner, the runner-up; ClassMem and nulls where there are any.
        tops: the images that excite each unit most.
        layers: one row a layer: means, intervals, LayerMem.
        points: SSLMem of every point at every layer; None for one encoder.
        skipped: name and reason of every image that couldn't be read.
    """

    units: pd.DataFrame
    tops: pd.DataFrame
    layers: pd.DataFrame
    points: pd.DataFrame | None
    skipped: dict[str, str]


class Silent:
    """Progress that nobody watches."""

    def update(self, n: float | None = 1) -> None:
        """Say nothing."""


def score(
    passes: Mapping[str, Pass],
    *,
    settings: Settings,
    shard: Shard | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    device: str = "cpu",
) -> Scores | None:
    """Do the passes of a plan and make tables of them.

    Args:
        shard: do just this part of the work and return None.
        folder: where unfinished work is kept, and shards wait for being joined; None keeps nothing.
        progress: told of every image done.
        stop: asked now and then; where it says so, work is saved and KeyboardInterrupt raised.
    """
    results: dict[str, Result] = {}
    for name, task in passes.items():
        whole = gather(task, settings, folder=folder) if folder is not None and shard is None else None
        if whole is not None and progress is not None:
            progress.update(len(task.rows))
        results[name] = whole or run(
            task,
            settings,
            shard=shard or Shard(),
            folder=folder,
            progress=progress or Silent(),
            stop=stop,
            device=device,
        )
    return None if shard is not None else tabulate(passes, results, settings)


def plan(
    encoder: OpenEncoder,
    images: Images,
    *,
    against: OpenEncoder | None = None,
    split: Mapping[str, Rows] | None = None,
    external: Images | None = None,
    patterns: Sequence[str] = (),
    settings: Settings,
) -> dict[str, Pass]:
    """What to do for UnitMem of an encoder (paper, Section 4), and with a second one for LayerMem (Section 3).

    Args:
        encoder: f, trained on the candidates.
        images: those to score, f's training images or some of them.
        against: g, trained on the independent points instead.
        split: rows of ``images`` by group: candidate, and as far as they are known independent and external.
        external: held-out images for UnitMem's nulls, where there is no split.
        patterns: names of layers.

    Returns:
        Passes by name: ``f-candidate`` first.

    Raises:
        InputError: there is nothing to compare, or encoder, images or split don't fit together.
    """
    groups = _groups(images, against, split, external)
    layers = _layers(encoder, images, patterns, settings)
    if against is not None:
        others = {layer.name for layer in _layers(against, images, patterns, settings)}
        lacking = [layer.name for layer in layers if layer.name not in others]
        if lacking or against.size != encoder.size:
            what = f"it has no layer {lacking[0]}" if lacking else f"its images have {against.size} pixels a side"
            raise InputError(f"against: {against.name} isn't {encoder.name}'s architecture ({what}); name a twin of it")
        last = "output" if all(layer.name != "output" for layer in layers) else "output of the encoder"
        layers = (*layers, Layer(last, "", None, float(len(layers) + 1)))
    candidate = groups["candidate"]
    outside: tuple[Images, Rows, str] | None = None
    if "external" in groups:
        outside = (images, groups["external"], "images")
    elif external is not None:
        outside = (external, np.arange(len(external)), "external")
    counts = _look(encoder, layers, images, candidate, settings, needed=against is None)
    size = len(candidate) if outside is None else min(len(candidate), len(outside[1]))
    units = sum(counts)
    if not units:
        raise InputError(f"layers: {', '.join(layer.name for layer in layers)} has no units; name one that has as well")

    def matched(rows: Rows, name: str) -> Rows | None:
        if outside is None or len(rows) == size:
            return None
        return np.sort(generator("matched", settings.seed, name).choice(rows, size, replace=False))

    common: dict[str, Any] = {"layers": layers, "counts": counts}
    passes = {
        "f-candidate": Pass(
            name="f-candidate",
            encoder=encoder,
            images=images,
            rows=candidate,
            source="images",
            matched=matched(candidate, "candidate"),
            classes=_classes(images, candidate, units, settings),
            alignment=against is not None,
            **common,
        )
    }
    if outside is not None:
        theirs, rows, source = outside
        passes["f-external"] = Pass(
            name="f-external",
            encoder=encoder,
            images=theirs,
            rows=rows,
            source=source,
            matched=matched(rows, "external"),
            classes=_classes(theirs, rows, units, settings),
            alignment=against is not None,
            **common,
        )
        if encoder.untrained is None:
            log.info("%s: nobody knows how to make it untrained, so that null is left out", encoder.name)
        else:
            mine = passes["f-candidate"]
            fresh = _calibrated(encoder, images, candidate, settings)
            rows = candidate if mine.matched is None else mine.matched
            passes["untrained-candidate"] = Pass(
                name="untrained-candidate", encoder=fresh, images=images, rows=rows, source="images", **common
            )
    if against is not None:
        bare: dict[str, Any] = {"images": images, "source": "images", "units": False, "alignment": True, **common}
        if "independent" in groups:
            passes["f-independent"] = Pass("f-independent", encoder, rows=groups["independent"], **bare)
        for group in groups:
            passes[f"g-{group}"] = Pass(f"g-{group}", against, rows=groups[group], **bare)
    return passes


def tabulate(passes: Mapping[str, Pass], results: Mapping[str, Result], settings: Settings) -> Scores:
    """The tables of finished passes."""
    task, result = passes["f-candidate"], results["f-candidate"]
    for name, other in results.items():
        readable = sum(map(len, other.rows)) if other.tally is None else other.tally.points
        if readable < 2:
            raise InputError(f"images: {readable} readable in {name}; memorization is measured against others")
    external, untrained = results.get("f-external"), results.get("untrained-candidate")
    units = tables.unit_table(task, settings, result, external=external, untrained=untrained)
    points = None
    if any(name.startswith("g-") for name in results):
        sides = [
            {name.partition("-")[2]: r for name, r in results.items() if name.startswith(f"{role}-")} for role in "fg"
        ]
        points = tables.point_table(task, settings, *sides)
    skipped: dict[str, str] = {}
    for place, each in {p.source: p.images for p in passes.values()}.items():
        before = "" if place == "images" else f"{place}: "
        skipped |= {before + each.names[row]: reason for row, reason in sorted(each.skipped.items())}
    return Scores(
        units=units,
        tops=tables.top_table(task, result),
        layers=tables.layer_table(task, settings, units, result, external=external, untrained=untrained, points=points),
        points=points,
        skipped=skipped,
    )


def write(scores: Scores, images: Images, meta: Mapping[str, Any], folder: Path) -> None:
    """Tables as Parquet, the layers as CSV too, the figure, the page, and last what all this is."""
    # Until all is written, nothing says that it is.
    (folder / "meta.json").unlink(missing_ok=True)
    for name in ("units", "tops", "layers", "points"):
        table, path = getattr(scores, name), folder / f"{name}.parquet"
        if table is None:
            path.unlink(missing_ok=True)
        else:
            save_table(table, path)
    save_table(scores.layers, folder / "layers.csv")
    figure.summary(scores.layers, scores.units, path_png=folder / "summary.png", path_csv=folder / "summary.csv")
    html = page.render(
        units=scores.units,
        tops=scores.tops,
        layers=scores.layers,
        points=scores.points,
        meta=meta,
        figure_png=(folder / "summary.png").read_bytes(),
        thumbnail=lambda row: images.thumbnail(row, page.SIDE),
    )
    io.save_text(html, folder / "index.html")
    io.save_json(meta, folder / "meta.json")


def finished(folder: Path, key: str) -> bool:
    """Whether a folder holds all that ``write`` puts there for an identity."""
    try:
        meta = io.load_json(folder / "meta.json")
    except InputError:
        return False
    if not isinstance(meta, dict) or meta.get("identity") != key:
        return False
    names = FILES if meta.get("against") else [name for name in FILES if name != "points.parquet"]
    return all((folder / name).is_file() for name in names)


def identity(
    encoder: OpenEncoder,
    images: Images,
    *,
    against: OpenEncoder | None,
    split: Mapping[str, Rows] | None,
    external: Images | None,
    patterns: Sequence[str],
    settings: Settings,
    device: str,
) -> str:
    """A hash of everything that the numbers depend on: unfinished work is gone on with by the same only."""
    about = {
        "encoders": [
            [e.name, re.sub(" at 0x[0-9a-f]+", "", str(e.module)), e.sha256, e.size, e.mean, e.std]
            for e in (encoder, against)
            if e is not None
        ],
        "images": [[i.sha256, len(i)] for i in (images, external) if i is not None],
        "split": {group: rows.tolist() for group, rows in sorted((split or {}).items())},
        "layers": list(patterns),
        "settings": asdict(settings),
        "device": device,
        "code": provenance.digest("memloc/scoring/score.py"),
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def clear(folder: Path) -> None:
    """Remove the work of an identity, and the folder around it where nothing else is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()


def _groups(
    images: Images, against: OpenEncoder | None, split: Mapping[str, Rows] | None, external: Images | None
) -> dict[str, Rows]:
    if against is not None and split is None:
        raise InputError("split: two encoders are compared on the points that only one was trained on; name the split")
    if external is not None and external.sha256 == images.sha256:
        raise InputError("external: the same images as --images; name some that the encoder has never seen")
    if split is None:
        groups = {"candidate": np.arange(len(images))}
    else:
        if external is not None and "external" in split:
            raise InputError("external: the split has external images already; leave one of the two out")
        groups = {g: np.sort(split[g]) for g in ("candidate", "independent", "external") if len(split.get(g, ()))}
        if "candidate" not in groups:
            raise InputError("split: it has no candidate images, the ones that f alone was trained on; add them")
    for name, rows in (*groups.items(), *([("external", np.arange(len(external)))] if external is not None else [])):
        if len(rows) < 2:
            raise InputError(
                f"images: {len(rows)} {name} image; memorization is measured against others, give 2 or more"
            )
    return groups


def _layers(encoder: OpenEncoder, images: Images, patterns: Sequence[str], settings: Settings) -> tuple[Layer, ...]:
    known = encoder.layers or ()
    names = [layer.name for layer in known]
    if known and settings.hook == "paper" and all(any(fnmatchcase(n, p) for n in names) for p in patterns):
        return tuple(x for x in known if not patterns or any(fnmatchcase(x.name, p) for p in patterns))
    example = torch.zeros(2, 3, encoder.size, encoder.size)
    found = discover(encoder.module, example, patterns, hook=settings.hook)
    kept = [x for x in found if not any(x.name == a or x.name.startswith(f"{a}.") for a in encoder.absent)]
    if not kept:
        raise InputError(f"layers: {encoder.name} has none to score; name some with --layers")
    return tuple(kept)


def _look(
    encoder: OpenEncoder,
    layers: tuple[Layer, ...],
    images: Images,
    rows: Rows,
    settings: Settings,
    *,
    needed: bool,
) -> tuple[int, ...]:
    """Number of units of each layer, from a first look at a few images that tells of bad news early.

    Args:
        needed: whether UnitMem is all there is to score.
    """
    pixels, points = images.read(rows[:4])
    if not len(points):
        pixels, points = np.zeros((1, 3, encoder.size, encoder.size), dtype=np.uint8), np.zeros(1, dtype=np.int64)
    seen = next(
        iter(
            measure_batches(
                encoder.module,
                [(pixels, points)],
                layers=layers,
                protocol=settings.protocol,
                augmentation=for_encoder(AUGMENTATIONS[settings.augmentation], encoder.module),
                normalise=Normalise({"mean": [*encoder.mean], "std": [*encoder.std]}),
                seed=seed_of("views", settings.seed, "images"),
                alignment=False,
                plain=False,
            )
        )
    )
    share = {name: float((values < 0).any(axis=(0, 1)).mean()) for name, values in seen.views.items()}
    signed = [name for name, part in share.items() if part > 0]
    if signed and settings.protocol.activation == "as-is":
        way_out = "add --activation abs (or relu) to score them"
        if needed and min(share.values()) >= 0.5:
            raise InputError(
                f"activation: as-is, but most units of every layer go below 0, which have no UnitMem: {way_out}"
            )
        log.info(
            "units that go below 0 have no UnitMem as they are; %s: %s%s",
            *(way_out, ", ".join(signed[:4]), f" and {len(signed) - 4} layers more" if len(signed) > 4 else ""),
        )
    return tuple(seen.views[layer.name].shape[-1] if layer.units else 0 for layer in layers)


def _classes(images: Images, rows: Rows, units: int, settings: Settings) -> int:
    """Number of classes to tell apart; 0 where ClassMem can't be had."""
    if images.labels is None:
        return 0
    present = len(np.unique(images.labels[rows]))
    if present < 2:
        log.info("all images are of one class: ClassMem is left out")
        return 0
    if present < len(images.classes):
        log.info("%d images hold %d of %d classes: ClassMem compares those", len(rows), present, len(images.classes))
    memory = 3 * 8 * units * len(images.classes) * (1 + settings.shuffles)
    if memory > CLASS_MEMORY:
        log.info("class sums take %.1f GiB of memory: --shuffles 0 takes less", memory / 2**30)
    return len(images.classes)


CALIBRATION = 500


def _calibrated(encoder: OpenEncoder, images: Images, rows: Rows, settings: Settings) -> OpenEncoder:
    """The same encoder untrained, its batch-norm statistics those of its own views, as a trained one's are."""
    assert encoder.untrained is not None
    module = encoder.untrained(seed_of("untrained", settings.seed))
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    normalise = Normalise({"mean": [*encoder.mean], "std": [*encoder.std]})
    if norms:
        for norm in norms:
            norm.train()  # Nothing else, so that dropout stays off.
            norm.momentum = None  # The plain average over all batches.
            norm.reset_running_stats()
        chosen = generator("calibrate", settings.seed).permutation(rows)[:CALIBRATION]
        step = max(4, CALIBRATION * 32**2 // encoder.size**2 // 5)
        for start in range(0, len(chosen), step):
            pixels, points = images.read(chosen[start : start + step])
            if len(points) > 1:
                u = uniforms(seed_of("calibrate", settings.seed), points, (UNIFORMS,))
                views = augment(
                    torch.from_numpy(pixels).float().div_(255),
                    torch.from_numpy(u),
                    AUGMENTATIONS[settings.augmentation],
                )
                with torch.no_grad():
                    module(normalise(views))
    return OpenEncoder(
        name=f"{encoder.name}, untrained",
        module=module.eval(),
        size=encoder.size,
        mean=encoder.mean,
        std=encoder.std,
        layers=encoder.layers,
        absent=encoder.absent,
        sha256="",
        untrained=None,
        augmentation=None,
    )
