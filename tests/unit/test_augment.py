import math

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import functional
from torchvision.transforms.v2 import RandomResizedCrop

from memloc.augment import CROP_TRIES, RECIPES, UNIFORMS, Recipe, augment, colour_jitter_, crop_boxes, luminance
from memloc.augment import resized_crop as crop
from memloc.streams import uniforms

STILL = Recipe(0, 0, 0, 0, jitter=0, flip=0, grey=0, scale=(1, 1), ratio=(1, 1))
FLIP, APPLY, ORDER, GREY = 2 * CROP_TRIES + 2, 2 * CROP_TRIES + 3, 2 * CROP_TRIES + 4, UNIFORMS - 1
OPERATIONS = (
    functional.adjust_brightness,
    functional.adjust_contrast,
    functional.adjust_saturation,
    functional.adjust_hue,
)


def numbers(n, seed=0):
    return torch.from_numpy(uniforms(seed, np.arange(n), (UNIFORMS,)))


def pictures(n, channels=3, size=16, seed=0):
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed))


def close(a, b, tolerance=2e-5):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def orders():
    """Orders of the four operations, in the order in which one number picks them."""
    out = []
    for a in range(4):
        for b in range(4):
            for c in range(4):
                for d in range(4):
                    if len({a, b, c, d}) == 4:
                        out.append((a, b, c, d))
    return out


def torchvision_view(image, u, recipe):
    """One view by torchvision's functional operations, with the parameters that u stands for."""
    box = crop_boxes(u[None, : 2 * CROP_TRIES], u[None, 2 * CROP_TRIES : FLIP], *image.shape[-2:], recipe)
    top, left, height, width = (int(v) for v in box[0])
    view = functional.resized_crop(image, top, left, height, width, list(image.shape[-2:]), antialias=False)
    if u[FLIP] < recipe.flip:
        view = functional.hflip(view)
    if u[APPLY] < recipe.jitter:
        strengths = (recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue)
        for operation in orders()[int(u[ORDER] * 24)]:
            x, strength = float(u[ORDER + 1 + operation]), strengths[operation]
            low, high = (-strength, strength) if operation == 3 else (max(0, 1 - strength), 1 + strength)
            view = OPERATIONS[operation](view, low + (high - low) * x)
    if u[GREY] < recipe.grey and len(image) == 3:
        view = functional.rgb_to_grayscale(view, num_output_channels=3)
    return view


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", list(RECIPES))
def test_every_view_is_torchvisions_with_the_same_parameters(name, channels):
    images, u = pictures(60, channels), numbers(60)
    for image, row, view in zip(images, u, augment(images, u, RECIPES[name]), strict=True):
        close(view, torchvision_view(image, row, RECIPES[name]), 1e-4)


@pytest.mark.parametrize("box", [(0, 0, 16, 16), (3, 5, 7, 11), (15, 0, 1, 16), (2, 2, 1, 1), (6, 9, 10, 7)])
@pytest.mark.parametrize("flip", [False, True])
def test_crop_resize_and_flip_are_torchvisions(box, flip):
    image = pictures(1)
    view = crop(image, torch.tensor([box], dtype=torch.float32), flip=torch.tensor([flip]))
    expected = functional.resized_crop(image, *box, [16, 16], antialias=True)
    close(view, functional.hflip(expected) if flip else expected)


@pytest.mark.parametrize("operation", range(4), ids=["brightness", "contrast", "saturation", "hue"])
@pytest.mark.parametrize("x", [0.0, 0.2, 0.5, 0.99])
def test_each_jitter_is_torchvisions(operation, x):
    strengths = [0.0] * 4
    strengths[operation] = 0.4
    images = pictures(4)
    images[1] = images[1].round()  # saturated and black pixels
    images[2] = images[2, :1]  # grey
    u = torch.full((4, 6), 0.5)
    u[:, 0], u[:, 2 + operation] = 0.0, x
    factor = (2 * x - 1) * 0.4 if operation == 3 else 0.6 + 0.8 * x
    expected = OPERATIONS[operation](images, factor)
    close(colour_jitter_(images.clone(), u, Recipe(*strengths, jitter=1, flip=0, grey=0)), expected, 1e-5)


def test_a_strength_near_one_starts_at_zero():
    u = torch.full((1, 6), 0.5)
    u[:, 0], u[:, 2] = 0.0, 0.0
    assert (colour_jitter_(pictures(1), u, Recipe(1.5, 0, 0, 0, jitter=1, flip=0, grey=0)) == 0).all()


def test_every_order_of_the_four_jitters_is_drawn_and_is_the_one_applied():
    recipe = Recipe(0.8, 0.8, 0.8, 0.2, jitter=1, flip=0, grey=0, scale=(1, 1), ratio=(1, 1))
    image, u = pictures(1, seed=3), numbers(1, seed=4)
    seen = []
    for k in range(24):
        u[:, ORDER], u[:, APPLY] = (k + 0.5) / 24, 0.0
        view = augment(image, u, recipe)
        close(view[0], torchvision_view(image[0], u[0], recipe), 1e-4)
        seen.append(view)
    gaps = torch.pdist(torch.stack(seen).flatten(1))
    assert (gaps > 1e-3).float().mean() > 0.9  # orders differ in what they do


def test_grey_is_torchvisions():
    recipe = Recipe(0, 0, 0, 0, jitter=0, flip=0, grey=0.3, scale=(1, 1), ratio=(1, 1))
    images, u = pictures(2), numbers(2)
    u[:, GREY] = torch.tensor([0.29, 0.31])
    views = augment(images, u, recipe)
    close(views[0], functional.rgb_to_grayscale(images[0], num_output_channels=3))
    assert not torch.equal(views[1, 0], views[1, 1])
    close(luminance(images), functional.rgb_to_grayscale(images))


def test_a_recipe_of_no_change_changes_nothing():
    images = pictures(5)
    close(augment(images, numbers(5), STILL), images, 1e-6)


def test_probabilities_are_those_of_the_recipe():
    n = 4000
    images, u = pictures(1, size=4).expand(n, -1, -1, -1), numbers(n)
    for field, share in (("flip", 0.3), ("jitter", 0.4), ("grey", 0.2)):
        strengths = {"brightness": 0.8, "contrast": 0, "saturation": 0, "hue": 0, "jitter": 0, "flip": 0, "grey": 0}
        recipe = Recipe(**{**strengths, field: share}, scale=(1, 1), ratio=(1, 1))
        changed = ((augment(images, u, recipe) - images).abs().amax(dim=(1, 2, 3)) > 1e-4).float().mean()
        assert changed == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / n))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40)])
def test_boxes_are_distributed_as_torchvisions(height, width):
    n = 3000
    torch.manual_seed(0)
    reference = RandomResizedCrop((height, width))
    drawn = [reference.make_params([torch.empty(3, height, width)]) for _ in range(n)]
    u = numbers(n, seed=1)
    boxes = crop_boxes(u[:, : 2 * CROP_TRIES], u[:, 2 * CROP_TRIES : FLIP], height, width, RECIPES["normal"]).numpy()
    for column, name in enumerate(("top", "left", "height", "width")):
        theirs = np.array([p[name] for p in drawn])
        assert ks_2samp(boxes[:, column], theirs, method="asymp").pvalue > 1e-3, name
        assert boxes[:, column].mean() == pytest.approx(theirs.mean(), abs=6 * theirs.std() / math.sqrt(n))
    area = boxes[:, 2] * boxes[:, 3] / height / width
    theirs = np.array([p["height"] * p["width"] for p in drawn]) / height / width
    assert ks_2samp(area, theirs, method="asymp").pvalue > 1e-3


def test_boxes_lie_inside_the_image_and_reach_its_borders():
    u = numbers(3000, seed=2)
    top, left, height, width = crop_boxes(
        u[:, : 2 * CROP_TRIES], u[:, 2 * CROP_TRIES : FLIP], 20, 20, RECIPES["weak"]
    ).T
    assert (top >= 0).all() and (left >= 0).all() and (height >= 1).all() and (width >= 1).all()
    assert (top + height).max() == 20 and (left + width).max() == 20 and top.min() == 0 and left.min() == 0


@pytest.mark.parametrize(
    ("height", "width", "ratio", "expected"),
    [
        (10, 40, (3 / 4, 4 / 3), (0, 13, 10, 13)),
        (40, 10, (3 / 4, 4 / 3), (13, 0, 13, 10)),
        (8, 8, (3, 3), (0, 0, 3, 8)),
    ],
)
def test_where_no_try_fits_the_box_is_torchvisions_way_out(height, width, ratio, expected):
    recipe = Recipe(0, 0, 0, 0, jitter=0, flip=0, grey=0, scale=(1, 1), ratio=ratio)
    u = numbers(1)
    box = crop_boxes(u[:, : 2 * CROP_TRIES], u[:, 2 * CROP_TRIES : FLIP], height, width, recipe)[0]
    reference = RandomResizedCrop((height, width), scale=(1, 1), ratio=ratio)
    params = reference.make_params([torch.empty(3, height, width)])
    theirs = tuple(params[name] for name in ("top", "left", "height", "width"))
    if ratio == (3 / 4, 4 / 3):
        assert theirs == expected
        assert tuple(int(v) for v in box) == expected
    else:
        assert tuple(int(v) for v in box) == theirs


@pytest.mark.parametrize("name", list(RECIPES))
@pytest.mark.parametrize("make", [torch.zeros, torch.ones, torch.rand], ids=["black", "white", "noise"])
def test_views_stay_between_zero_and_one(name, make):
    torch.manual_seed(0)
    for channels in (1, 3):
        images = make(500, channels, 8, 8)
        for batch in (images, images.round()):
            views = augment(batch, numbers(500), RECIPES[name])
            assert torch.isfinite(views).all()
            assert views.min() >= 0 and views.max() <= 1


def test_a_view_depends_on_its_own_row_and_not_on_its_batch():
    images, u = pictures(20), numbers(20)
    whole = augment(images, u, RECIPES["normal"])
    for rows in (slice(0, 1), slice(7, 9), slice(None, None, 3)):
        close(augment(images[rows], u[rows], RECIPES["normal"]), whole[rows], 1e-6)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    close(augment(images[order], u[order], RECIPES["normal"]), whole[order], 1e-6)
    other = u.clone()
    other[3] = numbers(1, seed=99)[0]
    changed = (augment(images, other, RECIPES["normal"]) != whole).flatten(1).any(dim=1)
    assert changed.nonzero().ravel().tolist() == [3]


def test_images_and_numbers_are_left_as_they_are():
    images, u = pictures(8), numbers(8)
    before = images.clone(), u.clone()
    augment(images, u, RECIPES["strong"])
    assert torch.equal(images, before[0]) and torch.equal(u, before[1])


def test_the_recipes_are_the_papers():
    table = {name: (r.brightness, r.contrast, r.saturation, r.hue, r.jitter, r.grey) for name, r in RECIPES.items()}
    papers = {
        "weak": (0.9, 0.9, 0.9, 0.5, 0.4, 0.1),
        "normal": (0.8, 0.8, 0.8, 0.2, 0.8, 0.2),
        "strong": (0.8, 0.8, 0.8, 0.2, 0.9, 0.5),
    }
    assert {name: table[name] for name in papers} == papers
