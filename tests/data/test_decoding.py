"""Geometry of decoded images."""

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms.v2.functional import center_crop, resize

from memloc.data.decoding import square, to_image
from tests.builders.pictures import flat, is_flat, noise


@pytest.mark.parametrize(
    "shape", [(50, 37), (37, 50), (20, 33), (100, 24), (24, 24), (31, 64), (7, 9), (100, 20), (64, 64)]
)
@pytest.mark.parametrize("size", [16, 24])
def test_the_shorter_side_is_resized_and_the_middle_cut_out_as_by_torchvision(shape, size):
    image = Image.fromarray(noise(*shape))
    expected = np.asarray(center_crop(resize(image, [size]), [size])).transpose(2, 0, 1).astype(int)
    assert np.abs(square(image, size) - expected).max() <= 1


@pytest.mark.parametrize("axis", [0, 1])
def test_the_ends_of_a_long_image_are_cut_off(axis):
    thirds = [np.full((8, 8, 3), value, dtype=np.uint8) for value in (0, 100, 200)]
    assert (square(Image.fromarray(np.concatenate(thirds, axis=axis)), 8) == 100).all()


@pytest.mark.parametrize("shape", [(1, 100_000), (100_000, 1), (1, 1)])
def test_a_very_long_image_does_not_become_a_very_large_one(shape):
    assert is_flat(square(Image.new("RGB", shape, (1, 2, 3)), 64), (1, 2, 3))


def test_arrays_and_images_are_the_same_pixels():
    for channels, mode in ((1, "L"), (3, "RGB")):
        pixels = noise(9, 9, 3)[..., :channels].transpose(2, 0, 1)
        assert to_image(pixels).mode == mode and np.array_equal(square(to_image(pixels), 9), pixels)
    assert square(flat(7, "L"), 5).shape == (1, 5, 5)
