import pytest
import torch
from torch import nn

from memloc.encoders import ENCODERS, choose_layers
from memloc.encoders.resnet9 import ResNet9
from memloc.errors import InputError


def test_convolutions_have_the_channels_and_parameters_of_table_8():
    convs = [getattr(ResNet9(), f"block{i}").conv for i in range(1, 9)]
    pairs = [(c.in_channels, c.out_channels) for c in convs]
    assert pairs == [(3, 32), (32, 64), (64, 64), (64, 64), (64, 128), (128, 256), (256, 256), (256, 256)]
    parameters = [sum(p.numel() for p in c.parameters()) for c in convs]
    assert parameters == [896, 18496, 36928, 36928, 73856, 295168, 590080, 590080]
    assert sum(c.out_channels for c in convs) == 1120


def test_blocks_put_out_the_sizes_of_table_8():
    encoder = ResNet9(0.125).eval()
    sizes, raw = {}, {}
    for i in range(1, 9):
        block = getattr(encoder, f"block{i}")
        block.register_forward_hook(lambda m, x, y, i=i: sizes.update({i: tuple(y.shape[1:])}))
        block.conv.register_forward_hook(lambda m, x, y, i=i: raw.update({i: y.shape[-1]}))
    out = encoder(torch.zeros(2, 3, 32, 32))
    assert [sizes[i] for i in range(1, 9)] == [
        *[(4, 16, 16), (8, 8, 8), (8, 8, 8), (8, 8, 8)],
        *[(16, 4, 4), (32, 2, 2), (32, 2, 2), (32, 2, 2)],
    ]
    assert list(raw.values()) == [32, 16, 8, 8, 8, 4, 2, 2]
    assert out.shape == (2, 32) and encoder.dim == 32


def test_the_forward_pass_is_the_papers_with_both_residual_sums(network):
    encoder = network(seed=1)
    x = torch.rand(3, 3, 32, 32)

    def block(i, x, pool=False):
        conv, norm = getattr(encoder, f"block{i}").conv, getattr(encoder, f"block{i}").norm
        x = nn.functional.conv2d(x, conv.weight, conv.bias, padding=1)
        shape = (1, -1, 1, 1)
        x = (x - norm.running_mean.view(shape)) / torch.sqrt(norm.running_var.view(shape) + norm.eps)
        x = (x * norm.weight.view(shape) + norm.bias.view(shape)).clamp(min=0)
        return nn.functional.max_pool2d(x, 2) if pool else x

    two = block(2, block(1, x, pool=True), pool=True)
    four = block(4, block(3, two)) + two
    six = block(6, block(5, four, pool=True), pool=True)
    eight = block(8, block(7, six)) + six
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), eight.amax(dim=(2, 3)), rtol=1e-4, atol=1e-5)


def test_residual_modules_put_out_the_sums(network):
    encoder = network()
    seen = {}
    for name in ("block2", "block4", "res2", "block6", "block8", "res6"):
        encoder.get_submodule(name).register_forward_hook(lambda m, x, y, name=name: seen.update({name: y}))
    encoder(torch.rand(2, 3, 32, 32))
    assert torch.equal(seen["res2"], seen["block4"] + seen["block2"])
    assert torch.equal(seen["res6"], seen["block8"] + seen["block6"])
    assert seen["block2"].abs().max() > 0 and seen["block6"].abs().max() > 0


@pytest.mark.parametrize(("width", "first", "last"), [(0.01, 1, 3), (0.5, 16, 128), (2, 64, 512)])
def test_width_multiplies_every_number_of_channels(width, first, last):
    encoder = ResNet9(width)
    assert (encoder.block1.conv.out_channels, encoder.block8.conv.out_channels, encoder.dim) == (first, last, last)


def test_the_registry_names_modules_that_exist_and_orders_layers_by_depth():
    entry = ENCODERS["resnet9"]
    modules = dict(entry.build(0.125).named_modules())
    assert [layer.name for layer in entry.layers] == ["1", "2", "3", "4", "res2", "5", "6", "7", "8", "res6"]
    for layer in entry.layers:
        assert layer.representation in modules and (layer.units is None or layer.units in modules)
        if layer.units:
            assert isinstance(modules[layer.representation], nn.Conv2d)
    assert [f"block{name}" in modules for name in entry.blocks] == [True] * 8


def test_layers_are_chosen_by_pattern_in_order_of_depth():
    def names(*patterns):
        return [layer.name for layer in choose_layers("resnet9", list(patterns))]

    assert names("*") == ["1", "2", "3", "4", "res2", "5", "6", "7", "8", "res6"]
    assert names("res*", "1") == ["1", "res2", "res6"]
    assert names("?", "8") == ["1", "2", "3", "4", "5", "6", "7", "8"]


def test_a_pattern_that_matches_no_layer_is_named_with_what_there_is():
    with pytest.raises(InputError, match=r"measure\.layers: 'conv1' matches no layer of resnet9; it has 1, 2, .*res6"):
        choose_layers("resnet9", ["1", "conv1"])
