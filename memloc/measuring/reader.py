"""What is read of every layer while a batch passes through an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memloc.errors import InputError
from memloc.measuring.batches import at_once
from memloc.measuring.distances import alignments
from memloc.measuring.protocol import HALVES, Protocol
from memloc.models.architectures import Layer


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
    room = flat.new_empty(min(len(flat), at_once(1, views[0, 0].numel(), flat.device)), *flat.shape[1:])
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
