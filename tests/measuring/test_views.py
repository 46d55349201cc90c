"""The views of an encoder's input, with and without hidden patches."""

import numpy as np
import torch

from memloc.data.augment import UNIFORMS, augment
from memloc.data.augmentations import AUGMENTATIONS
from memloc.measuring.views import with_views
from memloc.streams import uniforms
from tests.builders.literal import POINTS


def test_hidden_patches_are_grey_or_nan_in_views_and_the_image_itself_has_none(images, normalise):
    u = torch.from_numpy(uniforms(5, POINTS, (4, UNIFORMS)))
    masking = AUGMENTATIONS["masking"]
    grey = with_views(images, u, masking, normalise, plain=True).clone()
    gaps = with_views(images, u, masking, normalise, plain=True, nan=True)
    covered = gaps.isnan().unflatten(0, (5, 5))
    assert not covered[:, 0].any() and (covered[:, 1:].flatten(2).sum(dim=2) == 3 * 12 * 4 * 4).all()
    assert torch.equal(gaps.nan_to_num(0.0), grey)
    whole = normalise(torch.from_numpy(images).float() / 255)
    for k in range(5):
        visible = ~covered[:, k]
        assert torch.equal(grey.unflatten(0, (5, 5))[:, k][visible], whole[visible])


def test_two_encoders_get_the_same_views_and_a_point_keeps_them(network, images, run, monkeypatch):
    views = []

    def spy(*args):
        views.append(augment(*args))
        return views[-1]

    monkeypatch.setattr("memloc.measuring.views.augment", spy)
    run(network(seed=0), images)
    run(network(seed=1), images)
    run(network(seed=1), images[2:3], points=POINTS[2:3])
    run(network(seed=1), images, seed=6)
    assert torch.equal(views[0], views[1])
    assert torch.equal(views[2], views[0][12:18])
    assert not torch.equal(views[3], views[0])


def test_an_image_whose_views_are_all_alike_is_perfectly_aligned(network, run):
    assert (run(network(), np.zeros((2, 1, 16, 16), dtype=np.uint8)).alignment == 0).all()
