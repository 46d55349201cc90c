"""One pass over images that measures every layer at once: alignment for LayerMem, activations for UnitMem."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memloc import io
from memloc.data.augment import RECIPES, UNIFORMS, Recipe, augment, hidden, hide
from memloc.errors import InputError, out_of_memory
from memloc.job import log
from memloc.models.architectures import Layer
from memloc.models.capture import reading
from memloc.models.network import Normalise
from memloc.streams import uniforms

HALVES = 2
"""Draws are split in two: groups are chosen on one half and scored on the other."""

PAIRS = ("aug-aug", "image-aug")
DISTANCES = ("l2", "l1", "cosine", "angular")
REPRESENTATIONS = ("flattened", "pooled")
ACTIVATIONS = ("as-is", "abs", "relu")


VIEWS = RECIPES | {"none": Recipe(crop=False)}
"""Recipes of views to measure on: those of trainings, and none, whose every view is the image itself. It stands here
because no training may ask for it, and so none has to be done again on its account."""


@dataclass(frozen=True)
class Protocol:
    """How views are compared and activations read; the paper's form unless said otherwise.

    Attributes:
        draws: augmented views of each image, an even number of at least 4 (paper: 10, Appendix B).
        pairs: views compared with one another (Eq. 1), or the image as it is with each of its views.
        distance: between representations scaled to unit length: l2 (Eq. 1), l1, cosine (1 - cos) or angular
            (angle / pi) (Table 26).
        representation: the whole output of a layer, or its mean over positions.
        activation: of a unit at a position, before the mean over positions: as-is (Eq. 5), abs or relu.
    """

    draws: int = 10
    pairs: str = "aug-aug"
    distance: str = "l2"
    representation: str = "flattened"
    activation: str = "as-is"

    def __post_init__(self) -> None:
        if self.draws < 2 * HALVES or self.draws % HALVES:
            raise InputError(f"draws: {self.draws} views; an even number of at least {2 * HALVES} is needed")
        for key, allowed in (
            ("pairs", PAIRS),
            ("distance", DISTANCES),
            ("representation", REPRESENTATIONS),
            ("activation", ACTIVATIONS),
        ):
            if getattr(self, key) not in allowed:
                raise InputError(f"{key}: {getattr(self, key)!r} is none of {', '.join(allowed)}")


@dataclass(frozen=True)
class Batch:
    """What one encoder does with a few images.

    Attributes:
        points: [b] the images' indices in their dataset.
        alignment: [b, layers, HALVES] mean distance between pairs of views, within each half of the draws; None where
            it wasn't asked for.
        views: by layer name, [b, HALVES, units] mean activation over augmented views, within each half of the draws.
        plain: by layer name, [b, units] activation of the image as it is; empty where it wasn't asked for.
        features: [b, dim] output of the encoder on the image as it is; None where it wasn't asked for.
    """

    points: NDArray[np.int64]
    alignment: NDArray[np.floating] | None
    views: dict[str, NDArray[np.floating]]
    plain: dict[str, NDArray[np.floating]]
    features: NDArray[np.floating] | None


def measured(
    encoder: nn.Module,
    batches: Iterable[tuple[NDArray[np.uint8], NDArray[np.int64]]],
    *,
    layers: Sequence[Layer],
    protocol: Protocol,
    recipe: Recipe,
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
    apart = bool(recipe.mask) and getattr(encoder, "skips_hidden", False)
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
                    room = with_views(images[rows], u, recipe, normalise, plain=reader.plain, room=room, nan=apart)
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


def with_views(
    images: NDArray[np.uint8],
    u: Tensor,
    recipe: Recipe,
    normalise: Normalise,
    *,
    plain: bool,
    room: Tensor | None = None,
    nan: bool = False,
) -> Tensor:
    """What an encoder is shown: standardised views of each image in a row, behind the image itself if ``plain``.

    Args:
        images: [n, c, h, w].
        u: [n, draws, UNIFORMS], on the device of the result.
        room: a result of the same shape to be overwritten.
        nan: hidden patches are nan, for an encoder that leaves them out, not grey.

    Returns:
        [n * (draws + plain), 3, h, w].
    """
    n, draws = u.shape[:2]
    shape = (n * (draws + plain), 3, *images.shape[2:])
    if room is None or room.shape != shape:
        room = torch.empty(shape, device=u.device).to(memory_format=torch.channels_last)
    out = room.unflatten(0, (n, draws + plain))  # type: ignore[no-untyped-call]
    # Some images at a time: what happens to them on the way stays near.
    step = _at_once(4, draws * images[0].size, u.device)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        clean = torch.from_numpy(np.array(images[rows])).to(u.device).float().div_(255)
        views = augment(clean.repeat_interleave(draws, dim=0), u[rows].flatten(0, 1), recipe)
        shown = normalise(views)
        if recipe.mask:
            shown = hide(shown, hidden(u[rows].flatten(0, 1), recipe, shown.shape[-1]), with_nan=nan)
        out[rows, plain:] = shown.unflatten(0, (-1, draws))  # type: ignore[no-untyped-call]
        if plain:
            out[rows, 0] = normalise(clean)
    return room


class Reader:
    """Reduces every layer's output to a few numbers while it passes by, and joins those of one batch."""

    def __init__(
        self,
        layers: Sequence[Layer],
        protocol: Protocol,
        *,
        alignment: bool,
        activations: bool,
        plain: bool,
        draws: int | None = None,
    ) -> None:
        self.layers, self.protocol, self.alignment, self.asked = layers, protocol, alignment, plain
        self.units = [layer.name for layer in layers if layer.units and activations]
        self.plain = plain or (alignment and protocol.pairs == "image-aug")
        self.draws = protocol.draws if draws is None else draws
        self.views = self.draws + self.plain
        self.images = 0
        self.distances: dict[str, Tensor] = {}
        self.activations: dict[str, Tensor] = {}
        self.readers: dict[str, list[Callable[[Tensor], None]]] = {}
        for layer in layers:
            if alignment:
                self.readers.setdefault(layer.representation, []).append(self._heard(self._align(layer)))
            if layer.units and activations:
                self.readers.setdefault(layer.units, []).append(self._heard(self._activate(layer)))

    def expect(self, images: int) -> None:
        """How many images the next batch holds; 0 where it isn't to be read."""
        self.images, self.distances, self.activations = images, {}, {}

    def _heard(self, read: Callable[[Tensor], None]) -> Callable[[Tensor], None]:
        return lambda output: read(output) if self.images else None

    def _align(self, layer: Layer) -> Callable[[Tensor], None]:
        def read(output: Tensor) -> None:
            views, _ = by_image(output, self.images, self.views, layer)
            self.distances[layer.name] = alignments(views, self.protocol, plain=self.plain)

        def pooled(output: Tensor) -> None:
            views, positions = by_image(output, self.images, self.views, layer)
            self.distances[layer.name] = alignments(views.mean(dim=positions), self.protocol, plain=self.plain)

        return pooled if self.protocol.representation == "pooled" else read

    def _activate(self, layer: Layer) -> Callable[[Tensor], None]:
        def read(output: Tensor) -> None:
            views, positions = by_image(output, self.images, self.views, layer)
            self.activations[layer.name] = unit_activations(views, self.protocol, positions=positions)

        return read

    def batch(self, points: NDArray[np.int64], output: Tensor) -> Batch:
        """What the readers have seen of the batch that went through."""
        read: list[tuple[str, Tensor]] = []
        for layer in self.layers:
            for kind in [self.distances] * self.alignment + [self.activations] * (layer.name in self.units):
                if layer.name not in kind:
                    raise InputError(f"layer {layer.name}: the encoder didn't call it; choose other layers")
                read.append((layer.name, kind[layer.name]))
        features = output[:: self.views] if self.asked else None
        _check_finite([*read, *([("output", features)] if features is not None else [])])
        return Batch(
            points=points,
            alignment=_array(torch.stack([self.distances[x.name] for x in self.layers], 1)) if self.alignment else None,
            views={
                name: _array(torch.stack(values[:, self.plain :].chunk(HALVES, dim=1), dim=1).mean(dim=2))
                for name, values in ((name, self.activations[name]) for name in self.units)
                if self.draws
            },
            plain={name: _array(self.activations[name][:, 0]) for name in self.units} if self.asked else {},
            features=None if features is None else _array(features),
        )


def _check_finite(read: Sequence[tuple[str, Tensor]]) -> None:
    """No sum is finite of an output in which a number isn't. All are asked at once, as a GPU must be waited for."""
    finite = torch.stack([torch.isfinite(values).all() for _, values in read]) if read else torch.ones(1)
    if not finite.all():
        layer = next(name for (name, _), fine in zip(read, finite.tolist(), strict=True) if not fine)
        raise InputError(f"layer {layer}: output isn't finite; the encoder is damaged, train it again")


def _array(tensor: Tensor) -> NDArray[np.floating]:
    array: NDArray[np.floating] = (tensor if tensor.dtype == torch.float64 else tensor.float()).cpu().numpy()
    return array


def by_image(output: Tensor, images: int, views: int, layer: Layer) -> tuple[Tensor, int]:
    """[images, views, ...] with two more dimensions, positions and units in the order they lie in memory.

    Returns:
        The tensor, and which of its dimensions counts positions.

    Raises:
        InputError: the output's first dimension doesn't count views.
    """
    rows = images * views
    if output.dim() < 2 or len(output) % rows or (layer.axis == 1 and len(output) != rows):
        raise InputError(
            f"layer {layer.name}: its output {[*output.shape]} has no dimension for {rows} views; choose other layers"
        )
    if layer.axis == 1 and output.dim() == 4 and output.is_contiguous(memory_format=torch.channels_last):
        output = output.permute(0, 2, 3, 1)
    elif layer.axis == 1 and output.dim() > 2:
        return output.reshape(images, views, output.shape[1], -1), 3
    # Some attentions cut an image into windows: more rows than views, side by side.
    return output.reshape(images, views, -1, output.shape[-1]), 2


_NEARBY = {"cpu": 2**18, "cuda": 2**27}
"""Numbers that stay in a CPU's cache, or that a GPU has room for, where starting a computation takes longer than it."""


def _at_once(times: int, numbers: int, device: torch.device) -> int:
    """How many things of so many numbers to work on at a time, where ``times`` as many as are nearby will do."""
    return max(1, times * _NEARBY.get(device.type, _NEARBY["cuda"]) // numbers)


def unit_activations(views: Tensor, protocol: Protocol, *, positions: int) -> Tensor:
    """Mean over positions of each unit's activation (paper, Eq. 5), [images, views, units].

    Args:
        views: [images, views, ...] with positions and units.
        positions: the dimension that counts positions.
    """
    if protocol.activation == "as-is":
        return _mean(views, positions)
    # A few views at a time, in the same place: what becomes of them stays near.
    flat = views.flatten(0, 1)[:, None]
    room = flat.new_empty(min(len(flat), _at_once(1, views[0, 0].numel(), flat.device)), *flat.shape[1:])
    parts = []
    for part in torch.split(flat, len(room)):
        out = room[: len(part)]
        torch.abs(part, out=out)
        if protocol.activation == "relu":
            # (x + |x|) / 2, in which minus infinity doesn't vanish.
            out.add_(part).mul_(0.5)
        parts.append(_mean(out, positions))
    return torch.cat(parts).view(*views.shape[:2], -1)


def _mean(views: Tensor, positions: int) -> Tensor:
    """Mean over positions. Where units lie side by side in memory a product with a row of 1/n is the fastest sum."""
    if positions == 3:
        return views.mean(dim=3)
    n = views.shape[2]
    row = views.new_full((1, 1, n), 1 / n)
    return torch.matmul(row, views.flatten(0, 1)).view(*views.shape[:2], -1)


_BLOCK = 1024
_NEAR = 0.01
_MANY = 256
"""Matrices that keep a GPU busy side by side."""


def alignments(representations: Tensor, protocol: Protocol, *, plain: bool) -> Tensor:
    """Mean distance over the pairs within each half of the draws, [images, HALVES].

    All distances but l1 follow from inner products, |a - b|^2 = 2 - 2 a.b, which takes one pass over memory. That
    cancels where views lie close together, so images with a pair closer than 0.1 are done again from differences.

    Args:
        representations: [images, views, ...].
        plain: the first view is the image as it is.
    """
    vectors = representations.flatten(2)
    i, j = _pairs(protocol.pairs, protocol.draws, plain, vectors.device)
    if protocol.distance == "l1":
        distances = _l1(vectors, i, j)
    else:
        distances = _l2(vectors, i, j)
        if protocol.distance == "cosine":
            distances = distances.square() / 2
        elif protocol.distance == "angular":
            distances = 2 / math.pi * torch.asin((distances / 2).clamp(max=1))
    return torch.stack([part.mean(dim=1) for part in distances.chunk(HALVES, dim=1)], dim=1)


@cache
def _pairs(kind: str, draws: int, plain: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which views are compared with which, those of the first half of the draws first."""
    half = draws // HALVES
    starts = [plain + h * half for h in range(HALVES)]
    if kind == "image-aug":
        pairs = [(0, start + k) for start in starts for k in range(half)]
    else:
        pairs = [(start + i, start + j) for start in starts for i, j in combinations(range(half), 2)]
    first, second = zip(*pairs, strict=True)
    return torch.tensor(first, device=device), torch.tensor(second, device=device)


def _l2(vectors: Tensor, i: Tensor, j: Tensor) -> Tensor:
    gram = _gram(vectors)
    squared = gram.diagonal(dim1=1, dim2=2)
    inverse = squared.rsqrt()
    cosine = (gram * inverse[:, :, None] * inverse[:, None]).flatten(1)[:, i * gram.shape[1] + j]
    distances = (2 - 2 * cosine).sqrt()
    # A square may be 0, or more or less than a number can hold.
    odd = ~((squared > 1e-30) & (squared < 1e30)).all(dim=1)
    near = odd | (cosine > 1 - _NEAR / 2).any(dim=1)
    rows = near.nonzero()[:, 0]
    if len(rows):
        distances[rows] = _near(vectors, rows, inverse, odd, i, j)
    return distances


def _gram(vectors: Tensor) -> Tensor:
    """Inner products between the rows of each matrix of [n, rows, length]."""
    n, _, length = vectors.shape
    if vectors.device.type != "cpu":
        # A GPU multiplies many matrices side by side; of few long ones it needs parts to be as busy.
        return _squared(vectors) if n >= _MANY else _in_blocks(vectors, 4 * _BLOCK)
    if length <= 32 * _BLOCK:
        return _squared(vectors)
    # In blocks that fit the cache, as a long thin matrix doesn't.
    return torch.cat([_in_blocks(matrix, _BLOCK) for matrix in torch.split(vectors, 1)])


def _squared(matrices: Tensor) -> Tensor:
    """Every matrix [n, rows, length] times its own transpose."""
    return torch.bmm(matrices, matrices.transpose(1, 2))


def _in_blocks(matrices: Tensor, block: int) -> Tensor:
    """The same from blocks of columns."""
    n, rows, length = matrices.shape
    whole = length // block * block
    blocks = matrices[:, :, :whole].unflatten(2, (-1, block)).transpose(1, 2).flatten(0, 1)  # type: ignore[no-untyped-call]
    return _squared(blocks).view(n, whole // block, rows, rows).sum(dim=1) + _squared(matrices[:, :, whole:])


def _near(vectors: Tensor, rows: Tensor, inverse: Tensor, odd: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """l2 distances within some of the matrices, however small: from products of differences to the first view."""
    out = []
    # Together as many as are nearby, a long one alone.
    for some in torch.split(rows, _at_once(2, vectors[0].numel(), vectors.device)):
        unit = vectors[some] * inverse[some][:, :, None] if not odd[some].any() else _unit(vectors[some])
        gram = _gram(unit - unit[:, :1])
        squared = gram.diagonal(dim1=1, dim2=2)
        both = squared[:, i] + squared[:, j]
        distances = both - 2 * gram[:, i, j]
        # That in turn cancels where a pair lies much closer together than to the first.
        again = (distances < _NEAR * both).nonzero()
        for row, pair in map(torch.unbind, torch.split(again.T, _at_once(1, unit[0, 0].numel(), unit.device), dim=1)):
            distances[row, pair] = (unit[row, i[pair]] - unit[row, j[pair]]).square().sum(dim=1)
        out.append(distances.clamp(min=0).sqrt())
    return torch.cat(out)


def _unit(vectors: Tensor) -> Tensor:
    """The vectors along the last dimension scaled to unit length, whatever their size; zeros stay zeros."""
    largest = vectors.abs().amax(dim=-1, keepdim=True)
    scaled = vectors / torch.where(largest > 0, largest, 1)
    length = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
    return scaled / torch.where(length > 0, length, 1)


def _l1(vectors: Tensor, i: Tensor, j: Tensor) -> Tensor:
    unit = _unit(vectors)
    pairs = zip(i.tolist(), j.tolist(), strict=True)
    return torch.stack([(unit[:, a] - unit[:, b]).abs().sum(dim=1) for a, b in pairs], dim=1)


@dataclass(frozen=True)
class Measures:
    """What one encoder does with n images: the attributes of ``Batch``, joined."""

    alignment: NDArray[np.floating]
    views: dict[str, NDArray[np.floating]]
    plain: dict[str, NDArray[np.floating]]
    features: NDArray[np.floating]


TOGETHER = {"cuda": 8}
"""Batches that are measured as one where it takes as many to keep a device busy; last bits differ by that."""
BATCH = 25
"""Images in a batch: how many lie beside each other may change the last bits of sums, so this is no option."""


def shard(points: int, *, number: int = 1, of: int = 1) -> slice:
    """Which of so many points are part ``number`` of ``of``: whole batches, the same ones that there are without parts.

    Views depend on seed and point only, so parts that are joined have the same bytes as the whole.
    """
    batches = -(-points // BATCH)
    return slice(batches * (number - 1) // of * BATCH, min(batches * number // of * BATCH, points))


def windows(
    path: str | Path, points: NDArray[np.int64], *, device: str = "cpu"
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Batches of images of a .npy file and their indices there.

    A map's pages count as memory as long as it is open, so each batch has one of its own that is dropped at once.
    """
    batch = BATCH * TOGETHER.get(device, 1)
    for start in range(0, len(points), batch):
        some = points[start : start + batch]
        yield np.asarray(io.load_array(path)[some]), some


def measure(
    encoder: nn.Module,
    images: NDArray[np.uint8],
    points: NDArray[np.int64],
    *,
    layers: Sequence[Layer],
    recipe: Recipe,
    normalise: Normalise,
    protocol: Protocol,
    seed: int,
    batch: int = BATCH,
    device: str = "cpu",
) -> Measures:
    """Everything ``measured`` gives for images [n, c, h, w] that fit in memory, the plain images included."""
    starts = range(0, len(points), batch)
    parts = list(
        measured(
            encoder,
            ((images[start : start + batch], points[start : start + batch]) for start in starts),
            layers=layers,
            protocol=protocol,
            recipe=recipe,
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
