"""Images, encoders and one way to measure them."""

import numpy as np
import pytest
import torch

from memloc.data.augmentations import AUGMENTATIONS
from memloc.measuring.one_pass import measure_batches, measure_images
from memloc.measuring.protocol import Protocol
from memloc.models.architectures import build
from tests.builders.literal import LAYERS, POINTS, VIT


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, size=(5, 1, 16, 16), dtype=np.uint8)


@pytest.fixture
def how(normalise):
    """A factory of the keyword arguments of ``measure_batches``."""

    def make(**changes):
        options = {"layers": LAYERS, "augmentation": AUGMENTATIONS["normal"], "protocol": Protocol(draws=6), "seed": 5}
        return {**options, "normalise": normalise, **changes}

    return make


@pytest.fixture
def run(how):
    """Measure the first of POINTS, as many as there are images."""

    def go(encoder, images, points=None, **changes):
        return measure_images(encoder, images, POINTS[: len(images)] if points is None else points, **how(**changes))

    return go


@pytest.fixture
def one_batch(how):
    """Measure all of POINTS in one batch."""

    def go(encoder, images, **changes):
        (measures,) = measure_batches(encoder, [(images, POINTS)], **how(**changes))
        return measures

    return go


@pytest.fixture
def vit():
    """A factory of transformers whose blocks do more than they do before training."""

    def make(seed=0):
        torch.manual_seed(seed)
        encoder = build("vit-tiny", VIT, image_size=16)
        with torch.no_grad():
            for parameter in encoder.blocks.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return encoder.double().eval()

    return make
