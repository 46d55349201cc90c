"""One pass over images that measures every layer at once: alignment for LayerMem, activations for UnitMem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
from memloc.measuring.reader import Batch, Reader
from memloc.measuring.views import with_views
from memloc.models.architectures import Layer
from memloc.models.capture import reading
from memloc.models.network import Normalise
from memloc.streams import uniforms


def measure_batches(
    encoder: nn.Module,
    batches: Iterable[tuple[NDArray[np.uint8], NDArray[np.int64]]],
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
) -> Iterator[Batch]:
    """Alignment and activations of all layers over augmented views (and the plain image), batch by batch.

    A_h(x) = E d(h(x'), h(x'')) over pairs of views x', x'' ~ Aug(x) (paper, Eq. 1) between representations scaled to
    unit length; mu_u(x) = E act_u(x') with act the mean over positions (Eq. 5). Views depend on ``seed`` and the
    point only, so f and g see the same ones. A batch that memory can't hold is halved, and those after it.

    Args:
        batches: images [b, c, h, w] uint8 and their indices in their dataset [b].
        alignment, activations, plain: what to measure; ``plain`` is the images as they are.

    Raises:
        InputError: a layer's output isn't finite, or isn't called, or memory can't hold the views of one image.
    """
    # An encoder that leaves hidden patches out can't take them beside whole images: those go through on their own.
    apart = bool(augmentation.mask) and getattr(encoder, "skips_hidden", False)
    if apart and alignment and (protocol.pairs, protocol.representation) != ("aug-aug", "pooled"):
        raise InputError("representation: where patches are left out, only pooled ones compare, and pairs aug-aug")
    reader = Reader(layers, protocol, alignment=alignment, activations=activations, plain=plain and not apart)
    whole = Reader(layers, protocol, alignment=False, activations=activations, plain=True, draws=0)
    kind = next((p.dtype for p in encoder.parameters() if p.is_floating_point()), torch.float32)
    encoder.to(device)
    limit: int | None = None
    room: Tensor | None = None
    readers = {
        name: [*found, *(whole.readers.get(name, []) if apart else [])] for name, found in reader.readers.items()
    }
    with reading(encoder, readers):
        for images, points in batches:
            start = 0
            while start < len(points):
                rows = slice(start, start + (limit or len(points)))
                try:
                    u = torch.from_numpy(uniforms(seed, points[rows], (protocol.draws, UNIFORMS))).to(device)
                    room = with_views(
                        images[rows], u, augmentation, normalise, plain=reader.plain, room=room, nan=apart
                    )
                    reader.expect(len(u))
                    whole.expect(0)
                    batch = reader.batch(points[rows], encoder(room.to(kind)))
                    if apart and plain:
                        reader.expect(0)
                        whole.expect(len(u))
                        clean = torch.from_numpy(np.array(images[rows])).to(device).float().div_(255)
                        bare = whole.batch(points[rows], encoder(normalise(clean).to(kind)))
                        whole.expect(0)
                        batch = replace(batch, plain=bare.plain, features=bare.features)
                    yield batch
                except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                    if not out_of_memory(error):
                        raise
                    held = len(points[rows])
                    if held == 1:
                        raise InputError(
                            f"draws: memory can't hold {protocol.draws} views of one image; lower draws or size"
                        ) from error
                    limit = held // 2
                    log.info("memory can't hold the views of %d images; goes on with %d at a time", held, limit)
                else:
                    start += len(points[rows])


@dataclass(frozen=True)
class Measures:
    """What one encoder does with n images: the attributes of ``Batch``, joined."""

    alignment: NDArray[np.floating]
    views: dict[str, NDArray[np.floating]]
    plain: dict[str, NDArray[np.floating]]
    features: NDArray[np.floating]


def measure_images(
    encoder: nn.Module,
    images: NDArray[np.uint8],
    points: NDArray[np.int64],
    *,
    layers: Sequence[Layer],
    augmentation: Augmentation,
    normalise: Normalise,
    protocol: Protocol,
    seed: int,
    batch: int = BATCH,
    device: str = "cpu",
) -> Measures:
    """Everything ``measure_batches`` gives for images [n, c, h, w] that fit in memory, the plain images included."""
    starts = range(0, len(points), batch)
    parts = list(
        measure_batches(
            encoder,
            ((images[start : start + batch], points[start : start + batch]) for start in starts),
            layers=layers,
            protocol=protocol,
            augmentation=augmentation,
            normalise=normalise,
            seed=seed,
            device=device,
        )
    )
    return Measures(
        alignment=np.concatenate([part.alignment for part in parts if part.alignment is not None]),
        views={name: np.concatenate([part.views[name] for part in parts]) for name in parts[0].views},
        plain={name: np.concatenate([part.plain[name] for part in parts]) for name in parts[0].plain},
        features=np.concatenate([part.features for part in parts if part.features is not None]),
    )


def pack(
    measures: Measures, layers: Sequence[Layer], encoder: nn.Module, **about: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """The arrays of one measures file: ``about`` each image, by layer name what was measured."""
    return {**about, **described(layers, encoder), **by_point(measures)}


def described(layers: Sequence[Layer], encoder: nn.Module) -> dict[str, NDArray[Any]]:
    """What a measures file says of layers (``measures.ABOUT_LAYERS``), each array [layers]."""
    return {
        "layers": np.array([layer.name for layer in layers]),
        # A layer with parameters of its own, or a sum or a pool between layers.
        "own": np.array([bool(layer.modules) for layer in layers]),
        "kinds": np.array([layer.kind for layer in layers]),
        "parameters": np.array([parameters_of(encoder, layer) for layer in layers]),
    }


def by_point(measures: Measures | Batch) -> dict[str, NDArray[Any]]:
    """What a measures file says of images, each array [images, ...]."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in ("alignment", "features"):
        if (values := getattr(measures, name)) is not None:
            arrays[name] = values
    for name in measures.views:
        arrays[f"views/{name}"] = measures.views[name]
        arrays[f"plain/{name}"] = measures.plain[name]
    return arrays


def parameters_of(encoder: nn.Module, layer: Layer) -> int:
    """Number of parameters of all that belongs to a layer."""
    return sum(p.numel() for name in layer.parts for p in encoder.get_submodule(name).parameters())
