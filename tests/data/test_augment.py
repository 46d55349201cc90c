import colorsys
import itertools
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from scipy.stats import chi2, chisquare, ks_2samp, kstest
from torchvision.transforms import functional, v2

from memloc.data.augment import (
    CROP_TRIES,
    UNIFORMS,
    augment,
    blurred,
    colour_jitter_,
    crop_boxes,
    hidden,
    hide,
    luminance,
)
from memloc.data.augment import resized_crop as crop
from memloc.data.augmentations import AUGMENTATIONS, TRAINED_WITH, Augmentation
from memloc.streams import uniforms

WHOLE = {"scale": (1, 1), "ratio": (1, 1)}
"""A crop of the whole image."""
FLIP, APPLY, ORDER, GREY, TURN, BLUR, SIGMA, INVERT, HIDDEN = 2 * CROP_TRIES + np.array(
    [2, 3, 4, 9, 10, 11, 12, 13, 14]
)
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


def boxes_of(u, height, width, augmentation):
    return crop_boxes(u[:, : 2 * CROP_TRIES], u[:, 2 * CROP_TRIES : FLIP], height, width, augmentation)


def torchvision_view(image, u, augmentation, size=None):
    """One view by torchvision's functional operations, with the parameters that u stands for."""
    view = image
    if u[BLUR] < augmentation.blur:
        sigma = augmentation.sigma[0] + (augmentation.sigma[1] - augmentation.sigma[0]) * float(u[SIGMA])
        view = functional.gaussian_blur(view, [5, 5], [sigma, sigma])
    if u[INVERT] < augmentation.invert:
        view = functional.invert(view)
    box = (0, 0, *image.shape[-2:])
    if augmentation.crop:
        box = boxes_of(u[None], *image.shape[-2:], augmentation)[0]
    shape = list(image.shape[-2:]) if size is None else [size, size]
    view = functional.resized_crop(view, *(int(v) for v in box), shape, antialias=False)
    if u[FLIP] < augmentation.flip:
        view = functional.hflip(view)
    if u[TURN] < augmentation.turn:
        view = functional.vflip(view)
    if u[APPLY] < augmentation.jitter:
        strengths = (augmentation.brightness, augmentation.contrast, augmentation.saturation, augmentation.hue)
        for operation in sorted(itertools.permutations(range(4)))[int(u[ORDER] * 24)]:
            x, strength = float(u[ORDER + 1 + operation]), strengths[operation]
            low, high = (-strength, strength) if operation == 3 else (max(0, 1 - strength), 1 + strength)
            view = OPERATIONS[operation](view, low + (high - low) * x)
    if u[GREY] < augmentation.grey and len(image) == 3:
        view = functional.rgb_to_grayscale(view, num_output_channels=3)
    return view


ALL = Augmentation(0.8, 0.8, 0.8, 0.2, 0.8, flip=0.5, grey=0.2, turn=0.3, blur=0.6, invert=0.4)
"""Every operation, each with its own chance."""
EVERY = AUGMENTATIONS | {"all": ALL, "uncropped": replace(ALL, blur=0.0, invert=0.0, crop=False)}


@pytest.mark.parametrize("size", [None, 16, 7, 24])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", EVERY)
def test_every_view_is_torchvisions_with_the_same_parameters_and_its_image_is_left_as_it_is(name, channels, size):
    images, u = pictures(60, channels), numbers(60)
    before = images.clone(), u.clone()
    views = augment(images, u, EVERY[name], size=size)
    assert views.shape == (60, channels, size or 16, size or 16)
    for image, row, view in zip(*before, views, strict=True):
        close(view, torchvision_view(image, row, EVERY[name], size), 1e-4)
    assert torch.equal(images, before[0]) and torch.equal(u, before[1])


def test_blur_is_torchvisions_with_its_own_width_for_each_image():
    images, u = pictures(30), numbers(30)[:, BLUR : SIGMA + 1]
    views = blurred(images, u, Augmentation(blur=0.6))
    chosen = u[:, 0] < 0.6
    assert 10 < chosen.sum() < 25 and torch.equal(views[~chosen], images[~chosen])
    for image, view, x in zip(images[chosen], views[chosen], u[chosen, 1], strict=True):
        close(view, functional.gaussian_blur(image, [5, 5], [0.1 + 4.9 * float(x)] * 2), 1e-6)


def test_a_blurred_dot_is_a_gaussian_and_an_even_image_stays():
    dot = torch.zeros(1, 1, 9, 9)
    dot[0, 0, 4, 4] = 1
    view = blurred(dot, torch.tensor([[0.0, 0.5]]), Augmentation(blur=1.0, sigma=(1.0, 3.0)))[0, 0]
    weights = np.exp(-0.5 * (np.arange(-2, 3) / 2.0) ** 2)
    weights /= weights.sum()
    np.testing.assert_allclose(view[2:7, 2:7].numpy(), np.outer(weights, weights), atol=1e-7)
    assert view.sum().item() == pytest.approx(1, abs=1e-6)
    even = torch.full((4, 3, 8, 8), 0.7)
    close(blurred(even, torch.rand(4, 2), Augmentation(blur=1.0)), even, 1e-6)


def test_negatives_and_turns_are_torchvisions():
    images, u = pictures(3), numbers(3)
    u[:, INVERT], u[:, TURN] = torch.tensor([0.19, 0.21, 0.0]), torch.tensor([0.0, 0.29, 0.31])
    views = augment(images, u, Augmentation(invert=0.2, turn=0.3, crop=False))
    close(views[0], functional.vflip(functional.invert(images[0])), 1e-6)
    close(views[1], functional.vflip(images[1]), 0)
    close(views[2], functional.invert(images[2]), 1e-6)


@pytest.mark.parametrize("shift", [-0.5, -0.3, -1 / 6, -0.01, 0.0, 0.1, 1 / 3, 0.47, 0.5])
def test_hue_is_torchvisions_on_every_kind_of_colour(shift):
    corners = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))
    ties = torch.tensor(list(itertools.product([0.2, 0.6], repeat=3)))
    grey = torch.linspace(0, 1, 12)[:, None].expand(-1, 3)
    draws = torch.Generator().manual_seed(0)
    nearly_grey = grey.clamp(0.1, 0.9) + 1e-4 * torch.rand(12, 3, generator=draws)
    colours = torch.cat([corners, ties, grey, nearly_grey, torch.rand(160, 3, generator=draws)])
    images = colours.T.reshape(1, 3, 10, 20)
    u = torch.full((1, 6), 0.5)
    u[:, 0], u[:, 5] = 0.0, shift + 0.5
    expected = functional.adjust_hue(images, shift)
    close(colour_jitter_(images.clone(), u, Augmentation(hue=0.5, jitter=1)), expected, 1e-5)


@pytest.mark.parametrize("box", [(0, 0, 16, 16), (3, 5, 7, 11), (15, 0, 1, 16), (2, 2, 1, 1), (6, 9, 10, 7)])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [None, 4, 9, 16, 40])
def test_crop_resize_and_flip_are_torchvisions(box, flip, size):
    image = pictures(1)
    view = crop(image, torch.tensor([box], dtype=torch.float32), flip=torch.tensor([flip]), size=size)
    # Images are never made smaller with antialiasing; where they are made larger, it changes nothing.
    expected = functional.resized_crop(image, *box, [size or 16] * 2, antialias=size is None)
    close(view, functional.hflip(expected) if flip else expected)


@pytest.mark.parametrize("operation", range(4), ids=["brightness", "contrast", "saturation", "hue"])
@pytest.mark.parametrize("x", [0.0, 0.2, 0.5, 0.99])
def test_each_jitter_is_torchvisions(operation, x):
    strengths = [0.4 if other == operation else 0.0 for other in range(4)]
    images = pictures(4)
    images[1] = images[1].round()  # saturated and black pixels
    images[2] = images[2, :1]  # grey
    u = torch.full((4, 6), 0.5)
    u[:, 0], u[:, 2 + operation] = 0.0, x
    factor = (2 * x - 1) * 0.4 if operation == 3 else 0.6 + 0.8 * x
    expected = OPERATIONS[operation](images, factor)
    close(colour_jitter_(images.clone(), u, Augmentation(*strengths, jitter=1)), expected, 1e-5)


def test_a_strength_near_one_starts_at_zero():
    u = torch.full((1, 6), 0.5)
    u[:, 0], u[:, 2] = 0.0, 0.0
    assert (colour_jitter_(pictures(1), u, Augmentation(1.5, jitter=1)) == 0).all()


def test_every_order_of_the_four_jitters_is_drawn_and_is_the_one_applied():
    augmentation = Augmentation(0.8, 0.8, 0.8, 0.2, jitter=1, **WHOLE)
    image, u = pictures(1, seed=3), numbers(1, seed=4)
    seen = []
    for k in range(24):
        u[:, ORDER], u[:, APPLY] = (k + 0.5) / 24, 0.0
        view = augment(image, u, augmentation)
        close(view[0], torchvision_view(image[0], u[0], augmentation), 1e-4)
        seen.append(view)
    gaps = torch.pdist(torch.stack(seen).flatten(1))
    assert (gaps > 1e-3).float().mean() > 0.9  # orders differ in what they do


def test_colour_jitter_works_in_place():
    images, u = pictures(6), numbers(6)[:, APPLY : ORDER + 5]
    before = images.clone()
    assert colour_jitter_(images, u, AUGMENTATIONS["normal"]) is images
    chosen = u[:, 0] < 0.8
    assert 0 < chosen.sum() < 6
    assert torch.equal((images != before).flatten(1).any(dim=1), chosen)


def test_grey_is_torchvisions():
    images, u = pictures(2), numbers(2)
    u[:, GREY] = torch.tensor([0.29, 0.31])
    views = augment(images, u, Augmentation(grey=0.3, **WHOLE))
    close(views[0], functional.rgb_to_grayscale(images[0], num_output_channels=3))
    assert not torch.equal(views[1, 0], views[1, 1])
    close(luminance(images), functional.rgb_to_grayscale(images))


def test_an_augmentation_without_operations_changes_nothing():
    images = pictures(5)
    close(augment(images, numbers(5), Augmentation(**WHOLE)), images, 1e-6)


@pytest.mark.parametrize(
    ("field", "share"), [("flip", 0.3), ("jitter", 0.4), ("grey", 0.2), ("turn", 0.6), ("blur", 0.7), ("invert", 0.1)]
)
def test_probabilities_are_those_of_the_augmentation(field, share):
    n = 4000
    images, u = pictures(1, size=4).expand(n, -1, -1, -1), numbers(n)
    views = augment(images, u, Augmentation(brightness=0.8, **{field: share}, **WHOLE))
    changed = ((views - images).abs().amax(dim=(1, 2, 3)) > 1e-4).float().mean()
    assert changed == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / n))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40)])
def test_boxes_are_distributed_as_torchvisions(height, width):
    n = 3000
    torch.manual_seed(0)
    reference = v2.RandomResizedCrop((height, width))
    drawn = [reference.make_params([torch.empty(3, height, width)]) for _ in range(n)]
    boxes = boxes_of(numbers(n, seed=1), height, width, AUGMENTATIONS["normal"]).numpy()
    for column, name in enumerate(("top", "left", "height", "width")):
        theirs = np.array([p[name] for p in drawn])
        assert ks_2samp(boxes[:, column], theirs, method="asymp").pvalue > 1e-3, name
        assert boxes[:, column].mean() == pytest.approx(theirs.mean(), abs=6 * theirs.std() / math.sqrt(n))
    theirs = np.array([(p["height"], p["width"]) for p in drawn]).T
    for ours, other in (
        (boxes[:, 2] * boxes[:, 3], theirs[0] * theirs[1]),
        (boxes[:, 3] / boxes[:, 2], theirs[1] / theirs[0]),
    ):
        assert ks_2samp(ours, other, method="asymp").pvalue > 1e-3


def test_boxes_lie_inside_the_image_and_reach_its_borders():
    top, left, height, width = boxes_of(numbers(3000, seed=2), 20, 20, AUGMENTATIONS["weak"]).T
    assert (top >= 0).all() and (left >= 0).all() and (height >= 1).all() and (width >= 1).all()
    assert (top + height).max() == 20 and (left + width).max() == 20 and top.min() == 0 and left.min() == 0


@pytest.mark.parametrize(
    ("height", "width", "ratio"), [(10, 40, (3 / 4, 4 / 3)), (40, 10, (3 / 4, 4 / 3)), (8, 8, (3, 3))]
)
def test_a_box_where_no_try_fits_is_torchvisions_fallback(height, width, ratio):
    box = boxes_of(numbers(1), height, width, Augmentation(scale=(1, 1), ratio=ratio))[0]
    reference = v2.RandomResizedCrop((height, width), scale=(1, 1), ratio=ratio)
    params = reference.make_params([torch.empty(3, height, width)])
    assert [int(v) for v in box] == [params[name] for name in ("top", "left", "height", "width")]


# For each jitter an image, and the factor that its view was made with.
GREYS = torch.tensor([[0.45, 0.45], [0.55, 0.55]]).expand(3, 2, 2)
COLOUR = torch.tensor([0.5, 0.4, 0.35])[:, None, None].expand(3, 2, 2)
LIGHT = float(luminance(COLOUR[None])[0, 0, 0, 0])


def hue_shift(view):
    """Shift of a colour's hue, as a share of the circle in [-1/2, 1/2)."""
    hues = [colorsys.rgb_to_hsv(*(float(c) for c in image[:, 0, 0]))[0] for image in (view, COLOUR)]
    return (hues[0] - hues[1] + 0.5) % 1 - 0.5


FACTORS = {
    "brightness": (COLOUR, lambda view: float(view[0, 0, 0]) / 0.5),
    "contrast": (GREYS, lambda view: float(view[0, 1, 0] - view[0, 0, 0]) / 0.1),
    "saturation": (COLOUR, lambda view: (float(view[0, 0, 0]) - LIGHT) / (0.5 - LIGHT)),
    "hue": (COLOUR, hue_shift),
}


@pytest.mark.parametrize("name", ["mild", "weak", "normal"])
@pytest.mark.parametrize("operation", list(FACTORS))
def test_factors_are_distributed_as_torchvisions(operation, name):
    n = 3000
    strength = getattr(AUGMENTATIONS[name], operation)
    image, factor = FACTORS[operation]
    views = augment(
        image.expand(n, -1, -1, -1), numbers(n, seed=5), Augmentation(**{operation: strength}, jitter=1, crop=False)
    )
    ours = np.array([factor(view) for view in views])
    torch.manual_seed(0)
    reference = v2.ColorJitter(**{operation: strength})
    theirs = np.array([reference.make_params([image])[f"{operation}_factor"] for _ in range(n)])
    assert ks_2samp(ours, theirs, method="asymp").pvalue > 1e-3
    low, high = (-strength, strength) if operation == "hue" else (1 - strength, 1 + strength)
    assert kstest(ours, "uniform", args=(low, high - low)).pvalue > 1e-3
    assert ours.mean() == pytest.approx(theirs.mean(), abs=5 * theirs.std() * math.sqrt(2 / n))
    # Quantiles of n uniform numbers have a standard error of at most 1/2 / sqrt(n).
    shares = [0.05, 0.25, 0.5, 0.75, 0.95]
    tolerance = 4 * math.sqrt(2) * 0.5 / math.sqrt(n) * (high - low)
    np.testing.assert_allclose(np.quantile(ours, shares), np.quantile(theirs, shares), atol=tolerance)


def scenes():
    """Three images in which place, colour and detail differ: slopes, a disc and stripes."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 16), torch.linspace(0, 1, 16), indexing="ij")
    disc = ((x - 0.3).square() + (y - 0.4).square() < 0.06).float()
    stripes = (torch.arange(16) % 4 < 2).float().expand(16, 16)
    return torch.stack(
        [
            torch.stack([0.9 * x, 0.2 + 0.5 * y, 0.6 - 0.4 * x * y]),
            torch.stack([0.1 + 0.8 * disc, 0.5 - 0.3 * disc, 0.3 + 0.2 * y]),
            torch.stack([0.7 * stripes, 0.3 + 0.3 * stripes, 0.8 - 0.6 * x]),
        ]
    )


PIPELINES = {
    "normal": v2.Compose(
        [
            v2.RandomResizedCrop(16),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8),
            v2.RandomGrayscale(0.2),
        ]
    ),
    "independent": v2.Compose(
        [
            v2.RandomApply([v2.GaussianBlur(5, (0.1, 5.0))], 0.8),
            v2.RandomInvert(0.2),
            v2.RandomResizedCrop(16),
            v2.RandomVerticalFlip(1.0),
        ]
    ),
}


@pytest.mark.parametrize("name", list(PIPELINES))
def test_pixels_are_distributed_as_those_of_torchvisions_pipeline(name):
    n = 2500
    torch.manual_seed(0)
    for k, image in enumerate(scenes()):
        ours = augment(image.expand(n, -1, -1, -1), numbers(n, seed=k), AUGMENTATIONS[name])
        theirs = torch.stack([PIPELINES[name](image) for _ in range(n)])

        def statistics(views):
            red, green, blue = views.unbind(1)
            slope = views[..., 8:].mean(dim=(1, 2, 3)) - views[..., :8].mean(dim=(1, 2, 3))
            drop = views[:, :, 8:].mean(dim=(1, 2, 3)) - views[:, :, :8].mean(dim=(1, 2, 3))
            colour = [(red - green).abs().mean(dim=(1, 2)), (green - blue).abs().mean(dim=(1, 2))]
            return [*views.mean(dim=(2, 3)).T, *views.std(dim=(2, 3)).T, slope, drop, *colour]

        for a, b in zip(statistics(ours), statistics(theirs), strict=True):
            a, b = a.double().numpy(), b.double().numpy()
            # Of 30 differences an augmentation, one in 500 tests would have one beyond 4 standard errors.
            assert abs(a.mean() - b.mean()) < 4 * math.sqrt((a.var() + b.var()) / n)
            assert ks_2samp(a, b, method="asymp").pvalue > 1e-4
        # Every pixel of the mean view, 768 of them: one in 2,000 images would have one beyond 5 standard errors.
        error = ((ours.var(dim=0) + theirs.var(dim=0)) / n).sqrt()
        assert ((ours.mean(dim=0) - theirs.mean(dim=0)).abs() < 5 * error).all()


# Hidden patches

MASKING = AUGMENTATIONS["masking"]


@pytest.mark.parametrize(
    ("size", "patch", "mask", "expected"),
    [(32, 4, 0.75, 48), (16, 4, 0.75, 12), (30, 4, 0.3, 15), (32, 2, 0.6, 154), (8, 4, 0.0, 0), (8, 4, 1.0, 4)],
)
def test_every_view_hides_the_same_number_of_patches(size, patch, mask, expected):
    chosen = hidden(numbers(300), Augmentation(mask=mask, patch=patch), size)
    assert chosen.shape == (300, (size // patch) ** 2) and chosen.dtype == torch.bool
    assert (chosen.sum(dim=1) == expected).all()


def test_hidden_patches_are_uniform_and_pairs_of_them_uncorrelated():
    n, k, p = 6000, 64, 0.75
    chosen = hidden(numbers(n, seed=3), MASKING, 32).double().numpy()
    # Sets of one size: variance p (1 - p), covariance of two patches -p (1 - p) / (k - 1).
    excess = chosen.sum(axis=0) - n * p
    statistic = (excess**2).sum() * (k - 1) / k / (n * p * (1 - p))
    assert 1e-3 < chi2.sf(statistic, k - 1) < 1 - 1e-3
    z = (np.corrcoef(chosen.T)[np.triu_indices(k, 1)] + 1 / (k - 1)) * math.sqrt(n)
    assert np.abs(z).max() < 5  # of 2016
    assert (z**2).mean() == pytest.approx(1, abs=5 * math.sqrt(2 / len(z)))


def test_all_sets_of_patches_are_equally_likely():
    chosen = hidden(numbers(6000, seed=4), Augmentation(mask=0.5, patch=2), 4)
    sets, counts = chosen.unique(dim=0, return_counts=True)
    assert len(sets) == 6 and chisquare(counts).pvalue > 1e-3


def test_hidden_patches_of_successive_views_are_independent():
    chosen = hidden(numbers(6001, seed=6), MASKING, 16).double()
    both = (chosen[1:] * chosen[:-1]).sum(dim=1)
    # Hypergeometric: 12 of 16 drawn twice.
    mean, variance = 9.0, 12 * 0.75 * 0.25 * 4 / 15
    assert both.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(variance / 6000))
    assert both.var().item() == pytest.approx(variance, rel=0.1)


def test_hidden_patches_depend_on_their_own_two_numbers_only():
    u = numbers(50)
    whole = hidden(u, MASKING, 32)
    other = numbers(50, seed=1)
    other[:, HIDDEN:] = u[:, HIDDEN:]
    assert torch.equal(hidden(other, MASKING, 32), whole)
    for rows in (slice(0, 1), slice(7, 9), slice(None, None, 3)):
        assert torch.equal(hidden(u[rows], MASKING, 32), whole[rows])
    for column in (HIDDEN, HIDDEN + 1):
        moved = u.clone()
        moved[:, column] = (moved[:, column] + 2**-24) % 1
        assert (hidden(moved, MASKING, 32) != whole).any(dim=1).all()
    # Nor does anything else depend on them.
    images = pictures(50)
    moved = u.clone()
    moved[:, HIDDEN:] = other[:, :2]
    assert torch.equal(augment(images, moved, ALL), augment(images, u, ALL))


@pytest.mark.parametrize("with_nan", [False, True])
@pytest.mark.parametrize("size", [8, 11])
def test_hidden_patches_are_grey_or_nan_and_a_border_stays(size, with_nan):
    images = pictures(2, size=size) + 1
    chosen = torch.tensor([[True, False, False, False], [False, False, True, True]])
    side = size // 2
    expected = images.clone()
    expected[0, :, :side, :side] = math.nan if with_nan else 0
    expected[1, :, side : 2 * side, : 2 * side] = math.nan if with_nan else 0
    before = images.clone()
    torch.testing.assert_close(hide(images, chosen, with_nan=with_nan), expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
@pytest.mark.parametrize("make", [torch.zeros, torch.ones, torch.rand], ids=["black", "white", "noise"])
def test_views_stay_between_zero_and_one(name, make):
    torch.manual_seed(0)
    for channels in (1, 3):
        images = make(500, channels, 8, 8)
        for batch in (images, images.round()):
            views = augment(batch, numbers(500), AUGMENTATIONS[name])
            assert torch.isfinite(views).all()
            assert views.min() >= 0 and views.max() <= 1


@pytest.mark.parametrize("augmentation", [AUGMENTATIONS["normal"], ALL], ids=["normal", "all"])
def test_a_view_depends_on_its_own_row_and_not_on_its_batch(augmentation):
    images, u = pictures(20), numbers(20)
    whole = augment(images, u, augmentation)
    for rows in (slice(0, 1), slice(7, 9), slice(None, None, 3)):
        close(augment(images[rows], u[rows], augmentation), whole[rows], 1e-6)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    close(augment(images[order], u[order], augmentation), whole[order], 1e-6)
    other = u.clone()
    other[3] = numbers(1, seed=99)[0]
    changed = (augment(images, other, augmentation) != whole).flatten(1).any(dim=1)
    assert changed.nonzero().ravel().tolist() == [3]


def test_the_augmentations_are_the_papers():
    jitters = ("brightness", "contrast", "saturation", "hue", "jitter")
    chances = ("flip", "turn", "grey", "blur", "invert", "mask")
    table = {
        #               b    c    s    h    p     flip turn  grey blur inv. hidden
        "weak": ((0.9, 0.9, 0.9, 0.5, 0.4), (0.5, 0.0, 0.1, 0.0, 0.0, 0.0)),
        "normal": ((0.8, 0.8, 0.8, 0.2, 0.8), (0.5, 0.0, 0.2, 0.0, 0.0, 0.0)),
        "strong": ((0.8, 0.8, 0.8, 0.2, 0.9), (0.5, 1.0, 0.5, 0.0, 0.0, 0.0)),
        "independent": ((0.0, 0.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.8, 0.2, 0.0)),
        "masking": ((0.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0, 0.0, 0.75)),
        # The jitter of the SSLMem paper's SimCLR; crops of at least a fifth are ours.
        "mild": ((0.4, 0.4, 0.4, 0.1, 0.8), (0.5, 0.0, 0.2, 0.0, 0.0, 0.0)),
    }
    assert set(table) == set(TRAINED_WITH)
    for name, (jitter, chance) in table.items():
        fields = asdict(AUGMENTATIONS[name])
        assert tuple(fields[key] for key in jitters) == jitter, name
        assert tuple(fields[key] for key in chances) == chance, name
        assert fields["crop"] == (name != "masking")
        # RandomResizedCrop's own, as the paper names no others.
        assert fields["scale"] == ((0.2, 1.0) if name == "mild" else (0.08, 1.0)) and fields["ratio"] == (3 / 4, 4 / 3)
        assert fields["sigma"] == (0.1, 5.0)
