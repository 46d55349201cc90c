"""Images of charts and their masks: two renderers that agree."""

import time

import numpy as np
import pytest

from memloc.charts.draw import draw
from memloc.charts.drawing import AXES, BACKGROUND, FIRST_MARK, JOINING, LABELS, TICKS, crowded
from memloc.charts.marks import CELLS, COLOURS
from memloc.charts.settings import LARGE, SMALL, SMALLEST, Settings
from memloc.charts.suite import plan

SIZES = (63, 64)


@pytest.fixture(scope="module")
def charts():
    """A dozen of each type, single marks and crowds."""
    made = plan(Settings(charts=200, scales=("8",), types=("scatter", "bar", "line"))).charts
    return [one for type in ("scatter", "bar", "line") for one in [c for c in made if c.type == type][::6]]


@pytest.fixture(scope="module")
def large(charts):
    return [draw(one) for one in charts]


def box(mask):
    """Left, right, upper and lower end of a mask, as shares of the image."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], columns[-1] + 1, rows[0], rows[-1] + 1]) / mask.shape[0]


@pytest.mark.parametrize("size", SIZES)
def test_both_renderers_place_every_mark_alike(charts, large, size):
    for one, big in zip(charts, large, strict=True):
        small = draw(one, size)
        for k in range(len(one.marks)):
            masks = [drawing.elements == FIRST_MARK + k for drawing in (big, small)]
            if crowded(one) and one.type != "bar":  # Others may lie above it.
                continue
            # Soft edges reach one small pixel further, and matplotlib puts bars on whole ones of its own.
            assert np.abs(box(masks[0]) - box(masks[1])).max() <= 1 / size + 1 / LARGE, (one.name, k)
            if one.type != "bar":
                centres = [np.argwhere(mask).mean(axis=0) / mask.shape[0] + 0.5 / mask.shape[0] for mask in masks]
                assert np.abs(centres[0] - centres[1]).max() < 0.5 / size, (one.name, k)


def test_every_mark_is_where_its_coordinates_say(charts, large):
    for one, drawing in zip(charts, large, strict=True):
        for k, mark in enumerate(one.marks if not crowded(one) else ()):
            left, right, top, bottom = box(drawing.elements == FIRST_MARK + k) * CELLS - 0.5
            assert (left + right) / 2 == pytest.approx(mark.x, abs=0.02)
            height = top if one.type == "bar" else (top + bottom) / 2
            if mark.marker != "star":  # Its box isn't around its centre.
                assert CELLS - 1 - height == pytest.approx(mark.y, abs=0.03)


@pytest.mark.parametrize("size", [LARGE, SMALLEST, *SIZES, SMALL])
def test_elements_cover_the_ink_and_nothing_else(charts, size):
    for one in charts[::3]:
        image, elements = draw(one, size)
        assert image.shape == (size, size, 3) and elements.shape == (size, size)
        assert np.array_equal((image != 255).any(axis=2), elements != BACKGROUND)
        for k, mark in enumerate(one.marks if not crowded(one) else ()):
            inside = elements == FIRST_MARK + k
            off = np.abs(image[inside].astype(int) - COLOURS[mark.colour]).sum(axis=1)
            # Of a small star hardly a pixel is all ink.
            assert (off == 0).mean() > 0.7 if size == LARGE else off.min() < 60
        found = {*np.unique(elements)} - {FIRST_MARK + k for k in range(len(one.marks))}
        lines = {JOINING} if one.type == "line" and len(one.marks) > 1 else set()
        assert found == {BACKGROUND, AXES, TICKS, LABELS} | lines, one.name


def test_axes_have_a_row_and_a_column_of_cells_to_themselves(charts):
    for size in (63, 72):
        cell = size // CELLS
        for one in charts:
            elements = draw(one, size).elements
            around = np.isin(elements, (AXES, TICKS, LABELS))
            assert not around[: size - cell, cell:].any()
            if one.type == "scatter" and not crowded(one):
                grid = elements.reshape(CELLS, cell, CELLS, cell).transpose(0, 2, 1, 3).reshape(CELLS, CELLS, -1)
                for k, mark in enumerate(one.marks):
                    # A star's points may touch the next cells.
                    most = (grid == FIRST_MARK + k).sum(axis=2)
                    assert np.unravel_index(most.argmax(), most.shape) == (CELLS - 1 - mark.y, mark.x)


def test_small_charts_are_drawn_fast():
    made = plan(Settings(charts=400, size=64)).charts
    [draw(one, 64) for one in made]
    start = time.process_time()
    [draw(one, 64) for one in made]
    assert len(made) / (time.process_time() - start) >= 500
