"""Batches, memory, and the parts of what is measured."""

import numpy as np
import pytest
import torch

from memloc.data.augmentations import AUGMENTATIONS
from memloc.errors import InputError
from memloc.measuring.files import ABOUT_LAYERS
from memloc.measuring.one_pass import about_layers, by_point, measure_batches, measure_points
from memloc.measuring.protocol import Protocol
from memloc.models.architectures import choose_layers
from tests.builders.literal import POINTS, VIT, same

VIT_LAYERS = choose_layers("vit-tiny", VIT, ["*"])
MASKED = {
    "layers": VIT_LAYERS,
    "augmentation": AUGMENTATIONS["masking"],
    "protocol": Protocol(draws=4, representation="pooled"),
}


# Which parts are measured


def test_each_part_can_be_measured_alone(network, images, run, one_batch):
    encoder, protocol = network(), Protocol(draws=4, pairs="image-aug")
    whole = run(encoder, images, protocol=protocol)
    # Alignment is with the plain image, whether or not that is measured too.
    bare = one_batch(encoder, images, protocol=protocol, plain=False)
    assert bare.features is None and bare.plain == {}
    assert np.array_equal(bare.alignment, whole.alignment) and np.array_equal(bare.views["3"], whole.views["3"])
    activations = one_batch(encoder, images, protocol=protocol, plain=False, alignment=False)
    assert activations.alignment is None and activations.views["3"].shape == whole.views["3"].shape
    np.testing.assert_allclose(activations.views["3"], whole.views["3"], rtol=1e-5, atol=1e-6)
    alignment = one_batch(encoder, images, protocol=protocol, activations=False)
    assert alignment.views == alignment.plain == {} and np.array_equal(alignment.alignment, whole.alignment)


def test_each_part_can_be_measured_alone_where_patches_are_left_out(vit, images, one_batch):
    encoder = vit()
    rows = tight(encoder, 100)
    whole = one_batch(encoder, images, **MASKED)
    assert rows == [20, 5]  # views, then images
    bare = one_batch(encoder, images, **MASKED, plain=False)
    assert rows[2:] == [20] and bare.features is None and bare.plain == {}
    alignment = one_batch(encoder, images, **MASKED, activations=False)
    assert alignment.views == alignment.plain == {} and np.array_equal(alignment.features, whole.features)
    assert np.array_equal(bare.alignment, whole.alignment) and np.array_equal(alignment.alignment, whole.alignment)
    assert all(np.array_equal(bare.views[name], whole.views[name]) for name in whole.views)


@pytest.mark.parametrize("changes", [{"representation": "flattened"}, {"pairs": "image-aug"}], ids=["flat", "image"])
def test_views_of_different_patches_are_not_compared_position_by_position(vit, images, run, one_batch, changes):
    masked = {**MASKED, "protocol": Protocol(**{"draws": 4, "representation": "pooled", **changes})}
    with pytest.raises(InputError, match=r"^representation: .*only pooled representations and pairs aug-aug compare$"):
        run(vit(), images, **masked)
    # Activations alone are not compared.
    activations = one_batch(vit(), images, **masked, alignment=False)
    assert activations.alignment is None and activations.features is not None
    assert set(activations.views) == {"1.fc", "2.fc"}


PARTS = [({}, True, True, True), ({"activations": False, "plain": False}, True, False, False),
         ({"alignment": False, "plain": False}, False, True, False), ({"plain": False}, True, True, False)]  # fmt: skip


@pytest.mark.parametrize(("what", "alignment", "activations", "plain"), PARTS)
def test_points_of_a_dataset_are_measured_in_batches(network, run, how, what, alignment, activations, plain):
    """As a measures file holds them: the same bytes as image by image at hand, 25 at a time."""
    dataset = np.random.default_rng(3).integers(0, 256, size=(80, 1, 16, 16), dtype=np.uint8)
    points = np.random.default_rng(4).permutation(80)[:60]
    encoder, batches = network(), []
    encoder.register_forward_pre_hook(lambda module, inputs: batches.append(len(inputs[0])))
    got = measure_points(encoder, dataset, points, **how(protocol=Protocol(draws=4), **what))
    assert batches == [(4 + plain) * n for n in (25, 25, 10)]
    expected = by_point(run(encoder, dataset[points], points=points, protocol=Protocol(draws=4), **what))
    names = ["alignment"] * alignment + ["features"] * plain
    for layer in ("1", "3", "8"):
        names += [f"views/{layer}"] * activations + [f"plain/{layer}"] * (activations and plain)
    assert list(got) == list(expected) == names
    assert all(len(got[name]) == 60 and np.array_equal(got[name], expected[name]) for name in names)


def test_a_measures_file_says_of_layers_what_scores_read(network):
    about = about_layers(choose_layers("resnet9", {"width": 0.125, "residual": True}, ["1", "res2"]), network())
    assert tuple(about) == ABOUT_LAYERS
    assert about["layers"].tolist() == ["1", "res2"] and about["own"].tolist() == [True, False]
    assert about["kinds"].tolist() == ["convolution", "sum"]
    # Four filters of 3 x 3 pixels of three channels, their biases, and scale and shift of their normalisation.
    assert about["parameters"].tolist() == [4 * (3 * 9 + 1) + 2 * 4, 0]


# What must not matter


def test_the_order_of_images_and_the_batch_do_not_matter(network, images, run):
    encoder, order = network(seed=3).double(), np.array([3, 0, 4, 1, 2])
    whole = run(encoder, images)
    for batch in (1, 2, 5):
        same(run(encoder, images[order], points=POINTS[order], batch=batch), whole, order)


def test_the_number_of_threads_does_not_matter(network, images, run):
    one = run(network(), images)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = run(network(), images)
    finally:
        torch.set_num_threads(threads)
    same(two, one, rtol=3e-5, atol=1e-6)


def test_measuring_leaves_the_encoder_as_it_was(network, images, run):
    encoder = network().train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    run(encoder, images)
    assert encoder.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


# Memory


def tight(encoder, limit, error=None):
    """The encoder fails on more than so many rows; returns the list of the numbers of rows that it gets."""
    rows = []

    def check(module, inputs):
        rows.append(len(inputs[0]))
        if rows[-1] > limit:
            raise error or RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")

    encoder.register_forward_pre_hook(check)
    return rows


@pytest.mark.parametrize(
    "error",
    [
        None,
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
    ],
    ids=["linux", "windows", "cuda", "numpy"],
)
def test_a_batch_that_does_not_fit_in_memory_is_halved_and_those_after_it(network, images, how, run, error):
    expected = run(network().double(), images)
    encoder = network().double()
    rows = tight(encoder, 2 * 7, error)
    parts = list(measure_batches(encoder, [(images[:4], POINTS[:4]), (images[4:], POINTS[4:])] * 2, **how()))
    assert rows == [4 * 7, 2 * 7, 2 * 7, 1 * 7, 2 * 7, 2 * 7, 1 * 7]
    assert np.concatenate([part.points for part in parts]).tolist() == [*POINTS, *POINTS]
    alignment = np.concatenate([part.alignment for part in parts])
    np.testing.assert_allclose(alignment, np.concatenate([expected.alignment] * 2), rtol=1e-10)
    views = np.concatenate([part.views["3"] for part in parts])
    np.testing.assert_allclose(views, np.concatenate([expected.views["3"]] * 2), rtol=1e-10, atol=1e-14)


def test_batches_are_halved_down_to_one_image(network, images, run):
    encoder = network().double()
    rows = tight(encoder, 7)
    got = run(encoder, images)
    assert rows == [5 * 7, 2 * 7, *[7] * 5]
    same(got, run(network().double(), images))


def test_memory_that_runs_out_in_a_layer_counts_too(network, images, run):
    encoder = network().double()
    calls = []

    def check(module, inputs, output):
        calls.append(len(output))
        if len(output) > 3 * 7:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    encoder.block4.register_forward_hook(check)
    got = run(encoder, images)
    assert calls == [5 * 7, 2 * 7, 2 * 7, 7]
    same(got, run(network().double(), images))


def test_memory_that_runs_out_on_whole_images_counts_too(vit, images, run):
    """The views of all images fit, as most of each is hidden; the images themselves don't."""
    expected, encoder, calls = run(vit(), images, **MASKED), vit(), []

    def check(module, inputs):
        calls.append(tuple(inputs[0].shape[:2]))
        if calls[-1][1] == 17 and calls[-1][0] > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    encoder.blocks[0].register_forward_pre_hook(check)
    got = run(encoder, images, **MASKED)
    assert calls == [(20, 5), (5, 17), (8, 5), (2, 17), (8, 5), (2, 17), (4, 5), (1, 17)]
    same(got, expected, rtol=1e-9, atol=1e-12)


def test_one_image_that_does_not_fit_in_memory_is_an_input_error(network, images, run):
    encoder = network()
    tight(encoder, 6)
    with pytest.raises(InputError, match=r"^draws: memory can't hold 6 views of one image; [^\n]*$"):
        run(encoder, images)
    assert not encoder.block3.conv._forward_hooks


def test_other_errors_are_not_taken_for_a_lack_of_memory(network, images, run):
    encoder = network()
    rows = tight(encoder, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run(encoder, images)
    assert rows == [5 * 7]
