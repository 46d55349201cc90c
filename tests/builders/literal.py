"""Measures written out: one image, one view, one pair at a time, in float64 and without hooks."""

import itertools
import math

import numpy as np
import torch

from memloc.data.augment import UNIFORMS, augment, hidden
from memloc.data.augmentations import AUGMENTATIONS
from memloc.models.architectures import Layer
from memloc.streams import uniforms

POINTS = np.array([12, 3, 40, 7, 25])
# Units before a ReLU too, where abs and relu are not the identity.
LAYERS = (
    Layer("1", "block1.conv", "block1.conv", 1.0),
    Layer("3", "block3.conv", "block3.norm", 2.0),
    Layer("res6", "res6", None, 3.0),
    Layer("8", "block8.conv", "block8", 4.0),
)
VIT = {"patch": 4, "depth": 2, "width": 1}

ACTIVATION = {"as-is": lambda v: v, "abs": abs, "relu": lambda v: max(v, 0.0)}


def distance(x, y, kind="l2"):
    """Between two representations scaled to unit length."""
    x, y = x.double().flatten(), y.double().flatten()
    x, y = x / math.sqrt(float((x * x).sum())), y / math.sqrt(float((y * y).sum()))
    if kind == "l2":
        return math.sqrt(float(((x - y) ** 2).sum()))
    if kind == "l1":
        return float((x - y).abs().sum())
    if kind == "cosine":
        return float(((x - y) ** 2).sum()) / 2  # 1 - x.y without cancellation.
    # The angle from its tangent; the cosine of a small angle would cancel.
    return math.atan2(math.sqrt(float(((x - (x @ y) * y) ** 2).sum())), float(x @ y)) / math.pi


def alignment(views, protocol, image=None):
    """[2] mean distance within each half of the views."""
    out = []
    for half in (views[: len(views) // 2], views[len(views) // 2 :]):
        pairs = [(image, v) for v in half] if protocol.pairs == "image-aug" else itertools.combinations(half, 2)
        out.append(np.mean([distance(x, y, protocol.distance) for x, y in pairs]))
    return out


def resnet9(encoder):
    """Outputs [positions, units] of a ResNet9 on one image by module, block by block."""

    def forward(x, visible):
        out = {}
        for i in range(1, 9):
            block = encoder.get_submodule(f"block{i}")
            if i in (3, 7):
                entry = x
            out[f"block{i}.conv"] = block.conv(x)
            out[f"block{i}.norm"] = block.norm(out[f"block{i}.conv"])
            x = out[f"block{i}"] = block.pool(torch.relu(out[f"block{i}.norm"]))
            if i in (4, 8):
                x = out["res2" if i == 4 else "res6"] = x + entry
        return {name: maps[0].flatten(1).T for name, maps in out.items()} | {"": x.amax(dim=(2, 3))}

    return forward


def transformer(encoder):
    """Outputs [tokens, units] of a transformer on the visible patches of one image by module, block by block."""

    def forward(x, visible):
        out = {}
        x = encoder._pos_embed(encoder.patch_embed(x))
        if visible is not None:
            x = x[:, [0, *(int(k) + 1 for k in visible)]]
        for i, block in enumerate(encoder.blocks):
            at = f"blocks.{i}"
            out[f"{at}.attn.proj"] = block.attn(block.norm1(x))
            x = out[f"{at}.norm2@input"] = x + out[f"{at}.attn.proj"]
            out[f"{at}.mlp.act"] = block.mlp.act(block.mlp.fc1(block.norm2(x)))
            out[f"{at}.mlp.fc2"] = block.mlp.fc2(out[f"{at}.mlp.act"])
            x = out[at] = x + out[f"{at}.mlp.fc2"]
        return {name: values[0] for name, values in out.items()} | {"": encoder.norm(x)[:, 0]}

    return forward


def view(picture, row, augmentation, normalise):
    """One view of one image as an encoder sees it, its hidden patches grey, and which patches are visible."""
    pixels = normalise(augment(picture[None], row[None], augmentation)).double()
    if not augmentation.mask:
        return pixels, None
    covered, side = hidden(row[None], augmentation, pixels.shape[-1])[0], augmentation.patch
    across = pixels.shape[-1] // side
    for number in covered.nonzero()[:, 0].tolist():
        top, left = number // across * side, number % across * side
        pixels[..., top : top + side, left : left + side] = 0
    return pixels, (~covered).nonzero()[:, 0]


@torch.no_grad()
def measures(forward, layers, images, points, normalise, protocol, *, seed=5, augmentation=AUGMENTATIONS["normal"]):
    """Eqs. 1 and 5: alignment, views, plain and features.

    Args:
        forward: one image and its visible patches to outputs [positions, units] by module, "" for the encoder's.
    """
    act = np.vectorize(ACTIVATION[protocol.activation])
    aligned, features = np.zeros((len(images), len(layers), 2)), []
    views, plain = ({layer.name: [] for layer in layers if layer.units} for _ in range(2))
    for n, picture in enumerate(torch.from_numpy(images).float() / 255):
        u = torch.from_numpy(uniforms(seed, points[n : n + 1], (protocol.draws, UNIFORMS)))[0]
        whole = forward(normalise(picture[None]).double(), None)
        passes = [forward(*view(picture, row, augmentation, normalise)) for row in u]
        features.append(whole[""][0].numpy())
        for k, layer in enumerate(layers):
            maps = [p[layer.representation] for p in (whole, *passes)]
            if protocol.representation == "pooled":
                maps = [m.mean(dim=0) for m in maps]
            aligned[n, k] = alignment(maps[1:], protocol, maps[0])
            if layer.units:
                means = [act(p[layer.units].numpy()).mean(axis=0) for p in (whole, *passes)]
                plain[layer.name].append(means[0])
                views[layer.name].append([np.mean(half, axis=0) for half in np.array_split(means[1:], 2)])
    return aligned, views, plain, np.array(features)


def same(got, expected, rows=slice(None), *, rtol=1e-10, atol=1e-14):
    """Two measures of the same images are equal but for rounding."""
    np.testing.assert_allclose(got.alignment, expected.alignment[rows], rtol=rtol)
    np.testing.assert_allclose(got.features, expected.features[rows], rtol=rtol, atol=atol)
    assert got.views.keys() == expected.views.keys()
    for name in expected.views:
        np.testing.assert_allclose(got.views[name], expected.views[name][rows], rtol=rtol, atol=atol)
        np.testing.assert_allclose(got.plain[name], expected.plain[name][rows], rtol=rtol, atol=atol)


def as_written_out(got, expected, *, rtol=1e-9, atol=1e-14):
    """Measures are those of ``tests.builders.literal.measures``."""
    alignment, views, plain, features = expected
    np.testing.assert_allclose(got.alignment, alignment, rtol=rtol)
    np.testing.assert_allclose(got.features, features, rtol=rtol, atol=atol)
    assert got.views.keys() == got.plain.keys() == views.keys()
    for name in views:
        np.testing.assert_allclose(got.views[name], views[name], rtol=rtol, atol=atol)
        np.testing.assert_allclose(got.plain[name], plain[name], rtol=rtol, atol=atol)
