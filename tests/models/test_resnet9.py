import pytest
import torch
from torch import nn

from memloc.errors import InputError
from memloc.models.architectures import build, choose_layers
from memloc.models.architectures.resnet9 import ResNet9


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


def test_without_residual_sums_blocks_follow_one_another(network):
    with_sums = network(seed=2)
    encoder = ResNet9(0.125, residual=False).eval()
    # The sums have no parameters: the same weights fit both.
    encoder.load_state_dict(with_sums.state_dict())
    x = torch.rand(3, 3, 32, 32)
    out = x
    for i in range(1, 9):
        out = encoder.get_submodule(f"block{i}")(out)
    with torch.no_grad():
        assert torch.equal(encoder(x), out.amax(dim=(2, 3)))
        assert not torch.allclose(encoder(x), with_sums(x), atol=1e-3)
    assert not {"res2", "res6"} & dict(encoder.named_modules()).keys()


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(("width", "first", "last"), [(0.01, 1, 3), (0.5, 16, 128), (2, 64, 512)])
def test_width_multiplies_every_number_of_channels(width, first, last, residual):
    encoder = build("resnet9", {"width": width, "residual": residual}, image_size=32)
    assert (encoder.block1.conv.out_channels, encoder.block8.conv.out_channels, encoder.dim) == (first, last, last)
    assert encoder.eval()(torch.rand(1, 3, 16, 16)).shape == (1, last)


def test_layers_are_chosen_by_pattern_in_order_of_depth():
    def names(*patterns, residual=True):
        return [layer.name for layer in choose_layers("resnet9", {"width": 1, "residual": residual}, list(patterns))]

    assert names("*") == ["1", "2", "3", "4", "res2", "5", "6", "7", "8", "res6", "output"]
    assert names("*", residual=False) == ["1", "2", "3", "4", "5", "6", "7", "8", "output"]
    assert names("res*", "1") == ["1", "res2", "res6"]
    assert names("?", "8") == ["1", "2", "3", "4", "5", "6", "7", "8"]


def test_a_pattern_that_matches_no_layer_is_named_with_what_there_is():
    with pytest.raises(InputError, match=r"measure\.layers: 'conv1' matches no layer of resnet9; it has 1, 2, .*res6"):
        choose_layers("resnet9", {"width": 1, "residual": True}, ["1", "conv1"])
    with pytest.raises(InputError, match=r"'res2' matches no layer of resnet9; it has 1, 2, 3, 4, 5, 6, 7, 8, output$"):
        choose_layers("resnet9", {"width": 1, "residual": False}, ["res2"])
