"""Encoders with some layers of another one: what comes from where."""

import copy

import pytest
import torch
from torch import nn

from memloc.models.hybrids import normalisations, replaced

MODULES = {str(i): [f"block{i}.conv", f"block{i}.norm"] for i in range(1, 9)}


@pytest.mark.parametrize("norms", [True, False])
@pytest.mark.parametrize("layers", [[], ["3"], ["1", "8"]])
def test_named_layers_come_from_the_donor_and_all_else_from_the_base(network, layers, norms):
    base, donor = network(0), network(1)
    before = copy.deepcopy(base.state_dict())
    names = [name for layer in layers for name in MODULES[layer]]
    state = replaced(base, donor, names, norms=norms)
    assert list(state) == list(before)
    for key, tensor in state.items():
        block, part, _ = key.split(".", 2)
        taken = block.removeprefix("block") in layers and (norms or part == "conv")
        assert torch.equal(tensor, (donor if taken else base).state_dict()[key]), key
    assert all(torch.equal(tensor, before[key]) for key, tensor in base.state_dict().items())


def test_replacing_every_layer_of_a_resnet9_gives_the_donor(network):
    base, donor = network(0), network(1)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = donor(images)
    base.load_state_dict(replaced(base, donor, [name for names in MODULES.values() for name in names], norms=True))
    torch.testing.assert_close(base(images), expected, rtol=0, atol=0)


def test_a_name_that_begins_another_takes_nothing_of_that():
    def build():
        return nn.ModuleDict({"conv1": nn.Linear(2, 2), "conv10": nn.Linear(2, 2)})

    base, donor = build(), build()
    state = replaced(base, donor, ["conv1"], norms=False)
    assert torch.equal(state["conv10.weight"], base.state_dict()["conv10.weight"])
    assert torch.equal(state["conv1.weight"], donor.state_dict()["conv1.weight"])


def test_normalisations_are_found_wherever_they_stand_in_a_part():
    inner = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    encoder = nn.Sequential(inner, nn.BatchNorm1d(2), nn.GroupNorm(1, 2), nn.Linear(2, 2))
    assert normalisations(encoder, ["0", "2", "3"]) == ["0.1", "2"]
