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
class Measures:
    """Alignment and activations of one encoder on n images.

    Attributes:
        points: [n] indices of the images in their dataset.
        alignment: [n, layers, HALVES] mean distance between pairs of views, within each half of the draws; None if not
            measured.
        views: by layer name, [n, HALVES, units] mean activation over augmented views, within each half of the draws.
        plain: by layer name, [n, units] activation of the image as it is; empty if not measured.
        features: [n, dim] output of the encoder on the image as it is; None if not measured.
    """

    points: NDArray[np.int64]
    alignment: NDArray[np.floating] | None
    views: dict[str, NDArray[np.floating]]
    plain: dict[str, NDArray[np.floating]]
    features: NDArray[np.floating] | None


class Reader:
    """Reduces every layer's output to a few numbers as it passes by, and joins the numbers of one batch.

    Args:
        alignment, activations, plain: what to measure; ``plain`` is the images as they are.
        draws: views of each image, if not those of the protocol.

    Attributes:
        readers: functions that read outputs, by module, for ``models.capture.reading``.
        image_first: whether each image itself precedes its views in a batch.
    """

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
        self.layers, self.protocol, self.alignment, self.plain = layers, protocol, alignment, plain
        self.units = [layer.name for layer in layers if layer.units and activations]
        self.image_first = plain or (alignment and protocol.pairs == "image-aug")
        self.draws = protocol.draws if draws is None else draws
        self.views = self.draws + self.image_first
        self.images = 0
        self.distances: dict[str, Tensor] = {}
        self.activations: dict[str, Tensor] = {}
        self.readers: dict[str, list[Callable[[Tensor], None]]] = {}
        for layer in layers:
            if alignment:
                self.readers.setdefault(layer.representation, []).append(self._reads_distances(layer))
            if layer.units and activations:
                self.readers.setdefault(layer.units, []).append(self._reads_activations(layer))

    def expect(self, images: int) -> None:
        """Prepare for a batch of so many images; 0 reads nothing until the next call."""
        self.images, self.distances, self.activations = images, {}, {}

    def _reads_distances(self, layer: Layer) -> Callable[[Tensor], None]:
        def read(output: Tensor) -> None:
            if self.images:
                views, positions = by_image(output, self.images, self.views, layer)
                if self.protocol.representation == "pooled":
                    views = views.mean(dim=positions)
                self.distances[layer.name] = alignments(views, self.protocol, plain=self.image_first)

        return read

    def _reads_activations(self, layer: Layer) -> Callable[[Tensor], None]:
        def read(output: Tensor) -> None:
            if self.images:
                views, positions = by_image(output, self.images, self.views, layer)
                self.activations[layer.name] = unit_activations(views, self.protocol, positions=positions)

        return read

    def measures(self, points: NDArray[np.int64], output: Tensor) -> Measures:
        """What was read of the batch that passed through, and the encoder's output.

        Raises:
            InputError: a layer was not called, or its output isn't finite.
        """
        numbers: list[tuple[str, Tensor]] = []
        for layer in self.layers:
            for kind in [self.distances] * self.alignment + [self.activations] * (layer.name in self.units):
                if layer.name not in kind:
                    raise InputError(f"layer {layer.name}: the encoder didn't call it; choose other layers")
                numbers.append((layer.name, kind[layer.name]))
        features = output[:: self.views] if self.plain else None
        _check_finite([*numbers, *([("output", features)] if features is not None else [])])
        distances = torch.stack([self.distances[layer.name] for layer in self.layers], 1) if self.alignment else None
        return Measures(
            points=points,
            alignment=None if distances is None else _array(distances),
            views={name: _array(self._by_half(self.activations[name])) for name in self.units} if self.draws else {},
            plain={name: _array(self.activations[name][:, 0]) for name in self.units} if self.plain else {},
            features=None if features is None else _array(features),
        )

    def _by_half(self, activations: Tensor) -> Tensor:
        """Mean over the views of each half, [images, HALVES, units]."""
        return torch.stack(activations[:, self.image_first :].chunk(HALVES, dim=1), dim=1).mean(dim=2)


def _check_finite(numbers: Sequence[tuple[str, Tensor]]) -> None:
    """Refuse non-finite numbers: one in an output makes every sum over it non-finite.

    All layers are checked at once, as every check waits for the GPU.
    """
    finite = torch.stack([torch.isfinite(values).all() for _, values in numbers]) if numbers else torch.ones(1)
    if not finite.all():
        layer = next(name for (name, _), fine in zip(numbers, finite.tolist(), strict=True) if not fine)
        raise InputError(f"layer {layer}: output isn't finite; the encoder is damaged, train it again")


def _array(tensor: Tensor) -> NDArray[np.floating]:
    array: NDArray[np.floating] = (tensor if tensor.dtype == torch.float64 else tensor.float()).cpu().numpy()
    return array


def by_image(output: Tensor, images: int, views: int, layer: Layer) -> tuple[Tensor, int]:
    """[images, views, ...] with two more dimensions, positions and units in the order they have in memory.

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
    # Some attentions cut an image into windows: several adjacent rows for each view.
    return output.reshape(images, views, -1, output.shape[-1]), 2


def unit_activations(views: Tensor, protocol: Protocol, *, positions: int) -> Tensor:
    """Mean over positions of each unit's activation (paper, Eq. 5), [images, views, units].

    Args:
        views: [images, views, ...] with positions and units.
        positions: the dimension that counts positions.
    """
    if protocol.activation == "as-is":
        return _mean(views, positions)
    # A few views at a time, in the same memory, so that intermediate results stay in the cache.
    flat = views.flatten(0, 1)[:, None]
    room = flat.new_empty(min(len(flat), at_once(1, views[0, 0].numel(), flat.device)), *flat.shape[1:])
    parts = []
    for part in torch.split(flat, len(room)):
        out = room[: len(part)]
        torch.abs(part, out=out)
        if protocol.activation == "relu":
            # (x + |x|) / 2, which keeps minus infinity visible.
            out.add_(part).mul_(0.5)
        parts.append(_mean(out, positions))
    return torch.cat(parts).view(*views.shape[:2], -1)


def _mean(views: Tensor, positions: int) -> Tensor:
    """Mean over positions. Where units are adjacent in memory, the product with a row of 1/n is the fastest sum."""
    if positions == 3:
        return views.mean(dim=3)
    n = views.shape[2]
    row = views.new_full((1, 1, n), 1 / n)
    return torch.matmul(row, views.flatten(0, 1)).view(*views.shape[:2], -1)
