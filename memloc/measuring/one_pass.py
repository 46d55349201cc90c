"""One pass over images that measures every layer at once: alignment for LayerMem, activations for UnitMem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NotRequired, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memloc.data.augment import UNIFORMS
from memloc.data.augmentations import Augmentation
from memloc.errors import InputError, out_of_memory
from memloc.job import log
from memloc.measuring.batches import BATCH
from memloc.measuring.protocol import Protocol
from memloc.measuring.reader import Measures, Reader
from memloc.measuring.views import with_views
from memloc.models.architectures import Layer
from memloc.models.capture import reading
from memloc.models.network import Normalise
from memloc.streams import uniforms

Images = NDArray[np.uint8]
Points = NDArray[np.int64]


def measure_batches(
    encoder: nn.Module,
    batches: Iterable[tuple[Images, Points]],
    *,
    layers: Sequence[Layer],
    protocol: Protocol,
    augmentation: Augmentation,
    normalise: Normalise,
    seed: int,
    alignment: bool = True,
    activations: bool = True,
    plain: bool = True,
    device: str = "cpu",
) -> Iterator[Measures]:
    """Alignment and activations of all layers over augmented views (and the plain image), batch by batch.

    A_h(x) = E d(h(x'), h(x'')) over pairs of views x', x'' ~ Aug(x) (paper, Eq. 1) between representations scaled to
    unit length; mu_u(x) = E act_u(x') with act the mean over positions (Eq. 5). Views depend on ``seed`` and the
    point only, so f and g see the same views. If a batch doesn't fit in memory, it and those after it are halved.

    Args:
        batches: images [b, c, h, w] uint8 and their indices in their dataset [b].
        alignment, activations, plain: what to measure; ``plain`` is the images as they are.

    Raises:
        InputError: a layer's output isn't finite, or a layer isn't called, or the views of one image don't fit in
            memory.
    """
    passes = _Passes(encoder, layers, protocol, augmentation, normalise, seed, alignment, activations, plain, device)
    limit: int | None = None
    with reading(encoder, passes.readers):
        for images, points in batches:
            start = 0
            while start < len(points):
                rows = slice(start, start + (limit or len(points)))
                try:
                    measures = passes.measure(images[rows], points[rows])
                except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                    limit = _halved(len(points[rows]), protocol, error)
                else:
                    yield measures
                    start += len(measures.points)


class _Passes:
    """The forward passes of one encoder over batches of images.

    An encoder that leaves hidden patches out can't take views and whole images in one batch: whole images then have a
    pass apart from the views.
    """

    def __init__(
        self,
        encoder: nn.Module,
        layers: Sequence[Layer],
        protocol: Protocol,
        augmentation: Augmentation,
        normalise: Normalise,
        seed: int,
        alignment: bool,
        activations: bool,
        plain: bool,
        device: str,
    ) -> None:
        self.encoder, self.augmentation, self.normalise = encoder.to(device), augmentation, normalise
        self.draws, self.seed, self.device = protocol.draws, seed, device
        self.kind = next((p.dtype for p in encoder.parameters() if p.is_floating_point()), torch.float32)
        self.apart = bool(augmentation.mask) and getattr(encoder, "skips_hidden", False)
        if self.apart and alignment and (protocol.pairs, protocol.representation) != ("aug-aug", "pooled"):
            raise InputError(
                "representation: where patches are left out, only pooled representations and pairs aug-aug compare"
            )
        self.whole_images = self.apart and plain
        self.views = Reader(
            layers, protocol, alignment=alignment, activations=activations, plain=plain and not self.apart
        )
        self.whole = Reader(layers, protocol, alignment=False, activations=activations, plain=True, draws=0)
        self.room: Tensor | None = None

    @property
    def readers(self) -> dict[str, list[Callable[[Tensor], None]]]:
        """Functions that read outputs, by module."""
        whole = self.whole.readers if self.apart else {}
        return {name: [*reads, *whole.get(name, [])] for name, reads in self.views.readers.items()}

    def measure(self, images: Images, points: Points) -> Measures:
        """Alignment and activations of some images, all of them at a time."""
        u = torch.from_numpy(uniforms(self.seed, points, (self.draws, UNIFORMS))).to(self.device)
        self.room = with_views(
            *(images, u, self.augmentation, self.normalise),
            plain=self.views.image_first,
            room=self.room,
            nan=self.apart,
        )
        self.whole.expect(0)
        self.views.expect(len(points))
        measures = self.views.measures(points, self.encoder(self.room.to(self.kind)))
        if not self.whole_images:
            return measures
        self.views.expect(0)
        self.whole.expect(len(points))
        clean = torch.from_numpy(np.array(images)).to(self.device).float().div_(255)
        whole = self.whole.measures(points, self.encoder(self.normalise(clean).to(self.kind)))
        return replace(measures, plain=whole.plain, features=whole.features)


def _halved(images: int, protocol: Protocol, error: Exception) -> int:
    """How many images to measure at a time after so many didn't fit in memory; other errors are raised again."""
    if not out_of_memory(error):
        raise error
    if images == 1:
        raise InputError(f"draws: memory can't hold {protocol.draws} views of one image; lower draws or size") from None
    log.info("memory can't hold the views of %d images; continuing with %d at a time", images, images // 2)
    return images // 2


class MeasureSettings(TypedDict):
    """Keyword arguments of ``measure_batches``."""

    layers: Sequence[Layer]
    protocol: Protocol
    augmentation: Augmentation
    normalise: Normalise
    seed: int
    alignment: NotRequired[bool]
    activations: NotRequired[bool]
    plain: NotRequired[bool]
    device: NotRequired[str]


def measure_points(
    encoder: nn.Module, images: Images, points: Points, **settings: Unpack[MeasureSettings]
) -> dict[str, NDArray[np.floating]]:
    """Arrays of a measures file (``by_point``) for some points of a dataset, measured in batches of BATCH.

    ``activations=False, plain=False`` gives ``alignment`` alone; ``alignment=False, plain=False`` activations of views
    alone.

    Args:
        images: [n, c, h, w] uint8, the whole dataset; only a batch of it is read at a time.
        points: [k] rows of ``images``.
        settings: as in ``measure_batches``, which also says what is raised.

    Returns:
        What was measured, each array [k, ...].
    """
    some = np.split(points, range(BATCH, len(points), BATCH))
    return by_point(_join(measure_batches(encoder, ((images[rows], rows) for rows in some), **settings)))


def measure_images(
    encoder: nn.Module, images: Images, points: Points, *, batch: int = BATCH, **settings: Unpack[MeasureSettings]
) -> Measures:
    """Measures of images that are at hand.

    Args:
        images: [n, c, h, w] uint8.
        points: [n] indices of the same images in their dataset, which their views depend on.
        batch: images in a batch.
        settings: as in ``measure_batches``, which also says what is raised.
    """
    rows = [slice(start, start + batch) for start in range(0, len(points), batch)]
    return _join(measure_batches(encoder, ((images[some], points[some]) for some in rows), **settings))


def _join(parts: Iterable[Measures]) -> Measures:
    """The measures of all parts, in order."""
    parts = list(parts)

    def joined(arrays: Iterable[NDArray[np.floating] | None]) -> NDArray[np.floating] | None:
        present = [array for array in arrays if array is not None]
        return np.concatenate(present) if present else None

    return Measures(
        points=np.concatenate([part.points for part in parts]),
        alignment=joined(part.alignment for part in parts),
        views={name: np.concatenate([part.views[name] for part in parts]) for name in parts[0].views},
        plain={name: np.concatenate([part.plain[name] for part in parts]) for name in parts[0].plain},
        features=joined(part.features for part in parts),
    )


def by_point(measures: Measures) -> dict[str, NDArray[np.floating]]:
    """The arrays about points in a measures file, each [n, ...]: what was measured, by name."""
    arrays = {"alignment": measures.alignment, "features": measures.features}
    for name in measures.views:
        arrays[f"views/{name}"] = measures.views[name]
        arrays[f"plain/{name}"] = measures.plain.get(name)
    return {name: array for name, array in arrays.items() if array is not None}


def about_layers(layers: Sequence[Layer], encoder: nn.Module) -> dict[str, NDArray[np.generic]]:
    """The arrays about layers in a measures file (``files.ABOUT_LAYERS``), each [layers]."""
    return {
        "layers": np.array([layer.name for layer in layers]),
        # Whether it has parameters of its own, and is no sum or pool between layers.
        "own": np.array([bool(layer.modules) for layer in layers]),
        "kinds": np.array([layer.kind for layer in layers]),
        "parameters": np.array([parameters_of(encoder, layer) for layer in layers]),
    }


def parameters_of(encoder: nn.Module, layer: Layer) -> int:
    """Number of parameters of all parts of a layer."""
    return sum(p.numel() for name in layer.parts for p in encoder.get_submodule(name).parameters())
