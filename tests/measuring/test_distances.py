"""Distances in single precision, against the equations in float64."""

import math

import numpy as np
import pytest
import torch

from memloc.data.augmentations import Augmentation
from memloc.measuring.distances import _in_blocks, alignments
from memloc.measuring.protocol import DISTANCES, PAIRS, Protocol
from tests.builders import literal


def near_views(apart, *, images=3, views=6, length=900, seed=0):
    """Representations whose views are about so far apart once scaled to unit length."""
    draws = torch.Generator().manual_seed(seed)
    base = torch.randn(images, 1, length, generator=draws)
    return base + apart / math.sqrt(2) * torch.randn(images, views, length, generator=draws)


def literally(representations, protocol, *, plain=False):
    rows = representations.flatten(2)
    return np.array([literal.alignment([*r[int(plain) :]], protocol, r[0] if plain else None) for r in rows])


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("apart", [1.0, 0.2, 0.1, 0.09, 0.03, 1e-2, 1e-3, 3e-4])
def test_distances_of_near_views_are_exact_in_single_precision(apart, distance):
    views, protocol = near_views(apart), Protocol(draws=6, distance=distance)
    got = alignments(views, protocol, plain=False)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), literally(views, protocol), rtol=1e-3)


def test_one_near_pair_among_distant_ones_is_as_exact():
    views, protocol = near_views(1.0, views=4), Protocol(draws=4)
    views[1, 3] = views[1, 2] + 1e-3 * torch.randn(900, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(alignments(views, protocol, plain=False).numpy(), literally(views, protocol), rtol=1e-3)
    views[1, 3] = views[1, 2]
    assert alignments(views, protocol, plain=False)[1, 1] == 0


def test_a_network_that_hardly_moves_is_measured_alike_in_single_and_double_precision(network, run):
    still = Augmentation(0.02, 0.02, 0, 0, jitter=1.0, flip=0.0, grey=0.0, scale=(0.999, 1.0), ratio=(1.0, 1.0))
    images = np.random.default_rng(1).integers(0, 256, size=(3, 1, 16, 16), dtype=np.uint8)
    single = run(network(seed=2), images, augmentation=still).alignment
    double = run(network(seed=2).double(), images, augmentation=still).alignment
    assert double.min() > 1e-5 and double.max() < 0.1
    np.testing.assert_allclose(single, double, rtol=1e-3)


@pytest.mark.parametrize("apart", [0.5, 1e-2])
@pytest.mark.parametrize("length", [33 * 1024 - 1, 33 * 1024, 34_000, 70_001])
@pytest.mark.parametrize("pairs", PAIRS)
def test_long_representations_are_compared_in_full(length, apart, pairs):
    plain = pairs == "image-aug"
    views, protocol = near_views(apart, images=2, views=4 + plain, length=length), Protocol(draws=4, pairs=pairs)
    # The end weighs most, so that leaving it out would show.
    views[:, :, -150:] *= torch.linspace(5, 50, 150)
    views[:, :, -1] += 300 * torch.arange(4 + plain) * apart
    got = alignments(views, protocol, plain=plain)
    np.testing.assert_allclose(got.numpy(), literally(views, protocol, plain=plain), rtol=1e-3)


SCALES = [1e-25, 1e-12, 1e-3, 1e12, 1e25, torch.tensor([1e-12, 1.0, 7.0, 1e12, 0.3, 1e3])[:, None]]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("apart", [0.7, 1e-2])
@pytest.mark.parametrize("scale", SCALES, ids=[*map(str, SCALES[:-1]), "each-view"])
def test_lengths_of_representations_do_not_matter(scale, apart, distance):
    views, protocol = near_views(apart), Protocol(draws=6, distance=distance)
    got = alignments(views * scale, protocol, plain=False).numpy()
    np.testing.assert_allclose(got, literally(views, protocol), rtol=1e-3)


@pytest.mark.parametrize("distance", DISTANCES)
def test_representations_of_zeros_are_aligned_and_never_nan(distance):
    protocol = Protocol(draws=6, distance=distance)
    views = near_views(0.7)
    views[0] = 0
    views[1, 0] = 0
    got = alignments(views, protocol, plain=False)
    assert torch.isfinite(got).all() and (got[0] == 0).all() and (got[1:] > 0).all()
    np.testing.assert_allclose(got[2], literally(views[2:], protocol)[0], rtol=1e-3)
    if distance == "l2":  # What has no direction is one unit length away from what has.
        assert got[1, 0] == pytest.approx((1 + 1 + literal.distance(views[1, 1], views[1, 2])) / 3, rel=1e-4)


@pytest.mark.parametrize("length", [5, 64, 100, 131])
def test_products_of_rows_are_the_same_in_blocks(length):
    """As few long matrices are multiplied on a GPU, and long ones on a CPU."""
    matrices = torch.randn(3, 4, length, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(_in_blocks(matrices, 32), matrices @ matrices.transpose(1, 2))
