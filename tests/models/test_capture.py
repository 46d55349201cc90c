import pytest
import torch
from torch import nn

from memloc.errors import InputError
from memloc.models.capture import capture


def hooks(encoder):
    return sum(len(module._forward_hooks) for module in encoder.modules())


def test_outputs_are_those_of_the_modules_and_new_in_every_pass(network):
    encoder = network()
    first, second = torch.rand(2, 3, 16, 16), torch.rand(3, 3, 16, 16)
    with capture(encoder, ["block1", "block1.conv"]) as outputs:
        encoder(first)
        torch.testing.assert_close(outputs["block1.conv"], encoder.block1.conv(first))
        torch.testing.assert_close(outputs["block1"], encoder.block1(first))
        encoder(second)
        assert set(outputs) == {"block1", "block1.conv"} and len(outputs["block1"]) == 3


def test_batch_statistics_neither_move_nor_enter(network):
    encoder = network().train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    x = torch.rand(4, 3, 16, 16)
    with capture(encoder, ["block8"]) as outputs:
        assert not any(module.training for module in encoder.modules())
        encoder(x)
        together = outputs["block8"]
        encoder(x[:1])
        torch.testing.assert_close(outputs["block8"], together[:1], rtol=1e-4, atol=1e-5)
        assert not together.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored_and_hooks_are_gone(network, training):
    encoder = network().train(training)
    with capture(encoder, ["block1", "res6"]):
        assert hooks(encoder) == 2
    assert all(module.training is training for module in encoder.modules())
    assert hooks(encoder) == 0


def test_an_error_inside_restores_mode_and_hooks_too(network):
    encoder = network().train()
    with pytest.raises(RuntimeError, match="boom"), capture(encoder, ["block1"]):
        raise RuntimeError("boom")
    assert encoder.training and hooks(encoder) == 0 and torch.is_grad_enabled()


def test_a_frozen_block_stays_in_its_own_mode(network):
    encoder = network().train()
    encoder.block3.eval()
    with capture(encoder, ["block1"]):
        pass
    assert encoder.block2.norm.training and not encoder.block3.norm.training


def test_the_empty_name_is_the_encoder_itself(network):
    encoder = network()
    with capture(encoder, ["", "block8"]) as outputs:
        out = encoder(torch.rand(2, 3, 16, 16))
        assert torch.equal(outputs[""], out) and outputs[""].shape == (2, encoder.dim)
    assert hooks(encoder) == 0


def test_what_a_module_is_given_is_read_beside_what_it_puts_out(network):
    encoder = network()
    with capture(encoder, ["block1", "block2.conv@input", "block2.conv", "block2.norm@input", "@input"]) as seen:
        x = torch.rand(2, 3, 16, 16)
        encoder(x)
    assert torch.equal(seen["@input"], x) and torch.equal(seen["block2.conv@input"], seen["block1"])
    assert torch.equal(seen["block2.norm@input"], seen["block2.conv"])
    assert not torch.equal(seen["block2.conv@input"].mean(), seen["block2.conv"].mean())
    assert hooks(encoder) == 0


def test_what_a_module_is_given_in_its_second_call_is_counted_apart_from_what_it_puts_out():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.step = nn.Linear(2, 2)

        def forward(self, x):
            return self.step(self.step(x) + 1)

    encoder, x = Twice(), torch.rand(3, 2)
    with capture(encoder, ["step@input", "step@input#2", "step", "step#2"]) as seen:
        for _ in range(2):  # Calls are counted anew in every pass.
            out = encoder(x)
    assert torch.equal(seen["step@input"], x) and torch.equal(seen["step@input#2"], seen["step"] + 1)
    assert torch.equal(seen["step#2"], out)


def test_an_unknown_module_whose_input_is_asked_for_is_named_without_the_mark(network):
    with pytest.raises(InputError, match=r"layer 'block9': the encoder has no such module"):
        capture(network(), ["block9@input"]).__enter__()


def test_an_unknown_module_is_named_with_what_there_is_and_leaves_no_hook_behind(network):
    encoder = network().train()
    with pytest.raises(InputError, match=r"'block9'.*block1, block1\.conv"), capture(encoder, ["block1", "block9"]):
        pass
    assert encoder.training
    assert hooks(encoder) == 0
