"""What to pass over for the scores of an encoder, or of a pair of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
import torch

from memloc.data.augment import UNIFORMS, augment, for_encoder
from memloc.data.augmentations import AUGMENTATIONS
from memloc.data.groups import CANDIDATE_AND_NULL, GROUPS, UNSHARED
from memloc.data.images import Images
from memloc.data.left_out import counted
from memloc.errors import InputError
from memloc.job import log
from memloc.measuring.one_pass import measure_batches
from memloc.models.architectures import Layer
from memloc.models.calibration import calibrate
from memloc.models.capture import discover
from memloc.models.frameworks.learner import Views
from memloc.models.network import Normalise
from memloc.scoring.encoders import OpenEncoder
from memloc.scoring.passes import Pass, Settings
from memloc.scoring.stores import Rows
from memloc.streams import generator, uniforms
from memloc.streams import stream as seed_of

CLASS_MEMORY = 2**30
"""Bytes of class sums from which a line in the log says how to save memory."""

NEEDS_SPLIT = (
    "--against needs --split FILE, which says which images f alone was trained on (candidate) and which g alone"
    " (independent) or neither (external)"
)
"""What is said of two encoders without a split."""

WORDS = {
    "f-candidate": "scored images",
    "f-external": "external images",
    "f-independent": "independent images",
    "g-candidate": "scored images, second encoder",
    "g-external": "external images, second encoder",
    "g-independent": "independent images, second encoder",
    "untrained-candidate": "scored images, untrained encoder",
}
"""What each pass is over, as it is told while it is made."""

CALIBRATION = 500
"""Images whose views set the batch-norm statistics of an untrained encoder."""


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
    """The passes for UnitMem of an encoder (paper, Section 4), and with a second encoder for LayerMem (Section 3).

    Args:
        encoder: f, trained on the candidates.
        images: those to score: f's training images or some of them.
        against: g, trained on the independent points instead.
        split: rows of ``images`` by group: candidate, and as far as they are known independent and external.
        external: held-out images for UnitMem's nulls, if there is no split.
        patterns: names of layers.

    Returns:
        Passes by name: ``f-candidate`` first.

    Raises:
        InputError: there is nothing to compare, or encoder, images or split don't fit together.
    """
    groups = _groups(images, against, split, external)
    layers = _layers(encoder, images, patterns, settings)
    if against is not None:
        layers = _paired_layers(encoder, against, layers, images, patterns, settings)
    counts = _count_units(encoder, layers, images, groups["candidate"], settings, only_units=against is None)
    if not sum(counts):
        names = ", ".join(layer.name for layer in layers)
        raise InputError(f"layers: {names} has no units; add a layer that has some")
    candidate = Pass("f-candidate", encoder, layers, images, groups["candidate"], "images", counts=counts)
    passes = _unit_passes(candidate, groups, external, pair=against is not None, settings=settings)
    if against is not None:
        aligned = replace(candidate, units=False, alignment=True)
        if "independent" in groups:
            passes["f-independent"] = replace(aligned, name="f-independent", rows=groups["independent"])
        for group in groups:
            passes[f"g-{group}"] = replace(aligned, name=f"g-{group}", encoder=against, rows=groups[group])
    return passes


def describe(passes: Mapping[str, Pass], split: Mapping[str, Rows] | None) -> str:
    """What is scored, what it is compared with, and which groups of the split aren't used, in one line."""
    sizes = {name: len(task.images.readable(task.rows)) for name, task in passes.items()}
    parts = [f"scored: {counted(sizes['f-candidate'], 'image' if split is None else 'candidate image')}"]
    null = [counted(sizes["f-external"], "external image")] if "f-external" in sizes else []
    null += ["an untrained encoder"] if "untrained-candidate" in sizes else []
    parts.append(f"null: {' and '.join(null) or 'none, as no external images are named'}")
    compared = [name.removeprefix("g-") for name in passes if name.startswith("g-")]
    if compared:
        listed = ", ".join(f"{sizes[f'g-{group}']} {group}" for group in compared)
        parts.append(f"LayerMem: {listed} images")
    used = {"candidate", *compared, *(["external"] if "f-external" in passes else [])}
    unused = [group for group in GROUPS if len((split or {}).get(group, ())) and group not in used]
    if unused:
        parts.append(f"{' and '.join(unused)} images aren't used")
    passed = counted(len(passes), "pass", plural="passes")
    return f"{'; '.join(parts)}; {passed} over {counted(sum(sizes.values()), 'image')} in all"


def _unit_passes(
    candidate: Pass, groups: Mapping[str, Rows], external: Images | None, *, pair: bool, settings: Settings
) -> dict[str, Pass]:
    """The passes that tally activations: of candidates and, for UnitMem's nulls, external images and fresh weights."""
    outside: Pass | None = None
    if "external" in groups:
        outside = replace(candidate, name="f-external", rows=groups["external"])
    elif external is not None:
        rows = np.arange(len(external))
        outside = replace(candidate, name="f-external", images=external, rows=rows, source="external")
    size = min(len(task.rows) for task in (candidate, outside) if task is not None)
    passes = {
        task.name: replace(
            task,
            matched=_matched(task, size, settings),
            classes=_classes(task.images, task.rows, sum(task.counts), settings),
            alignment=pair and task.images is candidate.images,
        )
        for task in (candidate, outside)
        if task is not None
    }
    if outside is None:
        return passes
    if candidate.encoder.untrained is None:
        log.info(
            "%s can't be built with fresh weights: the null of an untrained encoder is left out", candidate.encoder.name
        )
        return passes
    matched = passes["f-candidate"].matched
    fresh = _calibrated(candidate.encoder, candidate.images, candidate.rows, settings)
    rows = candidate.rows if matched is None else matched
    passes["untrained-candidate"] = replace(candidate, name="untrained-candidate", encoder=fresh, rows=rows)
    return passes


def _matched(task: Pass, size: int, settings: Settings) -> Rows | None:
    """A random subset of a pass's rows; None if it has no more than ``size``."""
    if len(task.rows) == size:
        return None
    rng = generator("matched", settings.seed, task.name.removeprefix("f-"))
    return np.sort(rng.choice(task.rows, size, replace=False))


def _groups(
    images: Images, against: OpenEncoder | None, split: Mapping[str, Rows] | None, external: Images | None
) -> dict[str, Rows]:
    """Rows of ``images`` by group, the candidates first."""
    if against is not None and split is None:
        raise InputError(NEEDS_SPLIT)
    if external is not None and external.sha256 == images.sha256:
        raise InputError("external: the same images as --images; name images that the encoder has never seen")
    if split is None:
        groups = {"candidate": np.arange(len(images))}
    else:
        if external is not None and "external" in split:
            raise InputError("external: the split has external images already; leave one of the two out")
        wanted = UNSHARED if against is not None else CANDIDATE_AND_NULL
        groups = {group: np.sort(split[group]) for group in wanted if len(split.get(group, ()))}
        if "candidate" not in groups:
            raise InputError("split: no candidate images in it; add the images that f alone was trained on")
    sizes = {group: len(rows) for group, rows in groups.items()}
    for group, size in (sizes if external is None else {**sizes, "external": len(external)}).items():
        if size < 2:
            raise InputError(f"images: {size} {group} image; give 2 or more, as memorization compares images")
    return groups


def _layers(encoder: OpenEncoder, images: Images, patterns: Sequence[str], settings: Settings) -> tuple[Layer, ...]:
    """The layers of an encoder that fit the patterns; all of them without patterns."""
    own = encoder.layers or ()
    names = [layer.name for layer in own]
    if own and settings.hook == "paper" and all(any(fnmatchcase(n, p) for n in names) for p in patterns):
        return tuple(x for x in own if not patterns or any(fnmatchcase(x.name, p) for p in patterns))
    example = torch.zeros(2, 3, encoder.size, encoder.size)
    discovered = discover(encoder.module, example, patterns, hook=settings.hook)
    layers = [x for x in discovered if not any(x.name == a or x.name.startswith(f"{a}.") for a in encoder.absent)]
    if not layers:
        raise InputError(f"layers: {encoder.name} has none to score; name some with --layers")
    return tuple(layers)


def _paired_layers(
    encoder: OpenEncoder,
    against: OpenEncoder,
    layers: tuple[Layer, ...],
    images: Images,
    patterns: Sequence[str],
    settings: Settings,
    what: str = "against",
) -> tuple[Layer, ...]:
    """The layers of a pair, and its output as the last one."""
    names = {layer.name for layer in _layers(against, images, patterns, settings)}
    lacking = [layer.name for layer in layers if layer.name not in names]
    if lacking or against.size != encoder.size:
        reason = f"it has no layer {lacking[0]}" if lacking else f"its images have {against.size} pixels a side"
        raise InputError(
            f"{what}: {against.name} differs from {encoder.name} in architecture ({reason}); name a twin of it"
        )
    return with_output(layers)


def common_layers(
    encoders: Sequence[OpenEncoder], images: Images, patterns: Sequence[str], settings: Settings
) -> tuple[Layer, ...]:
    """The layers of encoders of one architecture, and their output as the last one.

    Raises:
        InputError: one has other layers, or images of another size.
    """
    first, *others = encoders
    layers = _layers(first, images, patterns, settings)
    for other in others:
        _paired_layers(first, other, layers, images, patterns, settings, what="encoder")
    return with_output(layers)


def with_output(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Layers and, once, the encoder's output as the last of them."""
    if any(layer.kind == "output" for layer in layers):
        return layers
    last = "output" if all(layer.name != "output" for layer in layers) else "output of the encoder"
    return (*layers, Layer(last, "", None, float(len(layers) + 1), kind="output"))


def _count_units(
    encoder: OpenEncoder,
    layers: tuple[Layer, ...],
    images: Images,
    rows: Rows,
    settings: Settings,
    *,
    only_units: bool,
) -> tuple[int, ...]:
    """Number of units of each layer, by a look at a few images, which also finds faults early.

    Args:
        only_units: whether UnitMem is all there is to score.
    """
    pixels, points = images.read(rows[:4])
    if not len(points):
        pixels, points = np.zeros((1, 3, encoder.size, encoder.size), dtype=np.uint8), np.zeros(1, dtype=np.int64)
    # To its end: a pass that is left in the middle would leave torch without gradients.
    first, *_ = measure_batches(
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
    views = first.views
    if settings.protocol.activation == "as-is":
        shares = {name: float((values < 0).any(axis=(0, 1)).mean()) for name, values in views.items()}
        _report_negative(shares, only_units=only_units)
    return tuple(views[layer.name].shape[-1] if layer.units else 0 for layer in layers)


def _report_negative(shares: Mapping[str, float], *, only_units: bool) -> None:
    """Name the layers with units that go below 0, and refuse to go on if there is nothing else to score.

    Args:
        shares: of such units by layer.
    """
    names = [name for name, share in shares.items() if share > 0]
    if not names:
        return
    way_out = "add --activation abs (or relu) to score them"
    if only_units and min(shares.values()) >= 0.5:
        raise InputError(
            f"activation: as-is, but most units of every layer go below 0, and such units have no UnitMem: {way_out}"
        )
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    log.info(
        "units that go below 0 have no UnitMem; %s; layers with such units: %s%s", way_out, ", ".join(names[:4]), more
    )


def _classes(images: Images, rows: Rows, units: int, settings: Settings) -> int:
    """Number of classes to compare; 0 if ClassMem can't be computed."""
    if images.labels is None:
        return 0
    present, count = len(np.unique(images.labels[rows])), len(images.classes)
    if present < 2:
        log.info("all images are of one class: ClassMem is left out")
        return 0
    if present < count:
        log.info("%d images are of %d of the %d classes: ClassMem compares those", len(rows), present, count)
    memory = 3 * 8 * units * count * (1 + settings.shuffles)
    if memory > CLASS_MEMORY:
        log.info("class sums take %.1f GiB of memory: --shuffles 0 takes less", memory / 2**30)
    return count


def _calibrated(encoder: OpenEncoder, images: Images, rows: Rows, settings: Settings) -> OpenEncoder:
    """The same encoder untrained; its batch-norm statistics are those of its own views, as a trained encoder's are."""
    assert encoder.untrained is not None
    module = encoder.untrained(seed_of("untrained", settings.seed))
    normalise = Normalise({"mean": [*encoder.mean], "std": [*encoder.std]})

    def batches() -> Iterator[Views]:
        subset = generator("calibrate", settings.seed).permutation(rows)[:CALIBRATION]
        step = max(4, CALIBRATION * 32**2 // encoder.size**2 // 5)
        for start in range(0, len(subset), step):
            pixels, points = images.read(subset[start : start + step])
            if len(points) > 1:
                u = torch.from_numpy(uniforms(seed_of("calibrate", settings.seed), points, (UNIFORMS,)))
                whole = torch.from_numpy(pixels).float().div_(255)
                yield Views(normalise(augment(whole, u, AUGMENTATIONS[settings.augmentation])))

    calibrate(module, batches())
    name = f"{encoder.name}, untrained"
    return replace(encoder, name=name, module=module.eval(), sha256="", untrained=None, augmentation=None)
