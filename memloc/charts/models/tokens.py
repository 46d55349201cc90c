"""Which tokens of a stage show which elements of a chart.

An image's processor may scale, pad and cut it, so elements go the same way as pixels: an image that is white where an
element lies and black elsewhere is given to the processor, and patches with white in them show the element.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from memloc.charts.models import Model
from memloc.charts.models.stages import Stage, editing
from memloc.charts.reading import AXES, FIRST_MARK, Suite

UNITS = ("marks", "axes", "background")
"""Parts of an image, which share its patches out: what has a mark, what else has an axis, all others."""
WHITE = 0.1
"""Share of white from which a pixel counts as the element's; scaling makes thin lines grey."""
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Layout:
    """How patches of an image become tokens.

    Attributes:
        tiles: images that the processor makes of one.
        height, width: patches of a tile.
        grouped: whether patches that the connector merges follow one another, as in Qwen's families.
        order: by image token of the decoder's input, number of the connector's token that is there, -1 for one that is
            of no place; None where images reach the decoder by cross-attention.
    """

    tiles: int
    height: int
    width: int
    grouped: bool
    order: NDArray[np.int64] | None

    @property
    def patches(self) -> int:
        """Patches of an image."""
        return self.tiles * self.height * self.width

    @property
    def placed(self) -> bool:
        """Whether tokens of the decoder's input are of places in the image."""
        everything = np.ones(self.patches, dtype=np.bool_)
        return self.order is not None and self._merged(everything, 1 + int(self.order.max())) is not None

    def tokens(self, stage: Stage, shown: Bools, tokens: int) -> Bools | None:
        """Which of the stage's image tokens show what ``shown`` [patches] marks; None where that can't be said."""
        if stage.part == "tower":
            return self._tiled(shown, tokens)
        if stage.part == "connector":
            return self._merged(shown, tokens)
        if self.order is None:
            return None
        before = self._merged(shown, 1 + int(self.order.max()))
        return None if before is None else np.append(before, False)[self.order]

    def cells(self, stage: Stage, tokens: int, side: int) -> NDArray[np.int64] | None:
        """By image token of a stage, which cell of a chart it shows: row * side + column, -1 where it shows none.

        None where tokens are of no places, or where one token shows several cells.
        """
        if self.tiles > 1 or self.grouped:
            return None
        rows, columns = (((np.arange(n) + 0.5) / n * side).astype(int) for n in (self.height, self.width))
        cell = (rows[:, None] * side + columns).ravel()
        found = np.full(tokens, -1, dtype=np.int64)
        for number in range(side * side):
            shown = self.tokens(stage, cell == number, tokens)
            if shown is None or not shown.any() or (found[shown] >= 0).any():
                return None
            found[shown] = number
        return found

    def _tiled(self, shown: Bools, tokens: int) -> Bools | None:
        """A class token before the patches of each tile, and padding behind them, show nothing."""
        inside, patches = tokens // self.tiles, self.height * self.width
        if tokens % self.tiles or inside < patches:
            return None
        out = np.zeros((self.tiles, inside), dtype=np.bool_)
        first = int(inside > patches)
        out[:, first : first + patches] = shown.reshape(self.tiles, patches)
        return out.reshape(-1)

    def _merged(self, shown: Bools, tokens: int) -> Bools | None:
        """Tokens that are squares of patches."""
        if tokens >= self.patches:
            return self._tiled(shown, tokens)
        side = round((self.patches / tokens) ** 0.5)
        if side * side * tokens != self.patches or self.height % side or self.width % side:
            return None
        if self.grouped:
            return np.asarray(shown.reshape(tokens, -1).any(axis=1))
        cells = shown.reshape(self.tiles, self.height // side, side, self.width // side, side)
        return np.asarray(cells.any(axis=(2, 4)).reshape(-1))


def layout(model: Model, suite: Suite) -> Layout:
    """The layout of a suite's images, seen from its first one."""
    image = Image.new("RGB", suite.size, "white")
    inputs = model.encode([model.prompt("")], [image])
    pixels = inputs["pixel_values"]
    order = None if model.crosses else _order(model, inputs)
    if "image_grid_thw" in inputs:
        _, height, width = inputs["image_grid_thw"][0].tolist()
        return Layout(1, height, width, True, order)
    size = model.config.vision_config.patch_size
    sides = size if isinstance(size, (list, tuple)) else (size, size)
    height, width = pixels.shape[-2] // sides[0], pixels.shape[-1] // sides[1]
    return Layout(pixels[..., 0, 0, 0].numel(), height, width, False, order)


def units(model: Model, layout: Layout, suite: Suite, charts: Sequence[str]) -> dict[str, dict[str, Bools]]:
    """By chart and unit, which patches [patches] of its image show it."""
    black, white = _patches(model, layout, [np.full(suite.size[::-1], value) for value in (False, True)])
    least = WHITE * float(np.abs(white - black).max())
    found = {}
    for chart in charts:
        elements = suite.elements(chart)
        masks = [elements >= FIRST_MARK, np.isin(elements, AXES)]
        marks, axes = (np.abs(_patches(model, layout, masks) - black) > least).any(axis=2)
        found[chart] = {"marks": marks, "axes": axes & ~marks, "background": ~(marks | axes)}
    return found


def joined(one: Mapping[str, Bools], other: Mapping[str, Bools]) -> dict[str, Bools]:
    """Units of two charts: a patch has a mark where either has one, an axis where either has one and neither a mark."""
    marks = one["marks"] | other["marks"]
    axes = (one["axes"] | other["axes"]) & ~marks
    return {"marks": marks, "axes": axes, "background": ~(marks | axes)}


def _patches(model: Model, layout: Layout, masks: Sequence[Bools]) -> NDArray[np.float32]:
    """Pixels of white masks on black, as the processor makes them, [masks, patches, values]."""
    images = [Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB") for mask in masks]
    inputs = model.encode([model.prompt("")] * len(images), images)
    pixels: Tensor = inputs["pixel_values"].float().cpu()
    if layout.grouped:
        return pixels.reshape(len(images), layout.patches, -1).numpy()
    channels, height, width = pixels.shape[-3:]
    sides = (height // layout.height, width // layout.width)
    cut = pixels.reshape(-1, channels, height, width).unfold(2, sides[0], sides[0]).unfold(3, sides[1], sides[1])
    # [tiles, channels, rows, columns, ...] to [tiles, rows, columns, values].
    cut = cut.permute(0, 2, 3, 1, 4, 5)
    return cut.reshape(len(images), layout.patches, -1).numpy()


def _order(model: Model, inputs: dict[str, Tensor]) -> NDArray[np.int64]:
    """Follow numbered tokens from the connector into the decoder's input."""
    connector, entry = model.stage("connector"), model.stage("decoder input")
    found: list[Tensor] = []
    base, mark = 128, 8.0

    def number(states: Tensor) -> Tensor:
        numbers = torch.arange(states.shape[1], device=states.device)
        new = torch.full_like(states, mark)
        new[..., 0], new[..., 1] = (numbers // base).to(new), (numbers % base).to(new)
        return new

    with (
        torch.inference_mode(),
        editing(model.module, 1, {connector: number, entry: lambda states: found.append(states)}),
    ):
        model.module(**inputs, logits_to_keep=1, use_cache=False)
    states = found[0][model.places(inputs)].double().cpu()
    rest = states[:, 2:]
    scale = rest.mean(dim=1) / mark
    marked = ((rest - rest.mean(dim=1, keepdim=True)).abs().amax(dim=1) <= 1e-3 * rest.abs().amax(dim=1)) & (scale != 0)
    high, low = ((states[:, i] / scale).round() for i in (0, 1))
    return torch.where(marked, high * base + low, -1.0).long().numpy()
