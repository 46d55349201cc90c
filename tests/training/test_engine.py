import copy
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from memloc.errors import InputError
from memloc.provenance import ROOT
from memloc.training.engine import open_fabric, synchronised
from memloc.training.settings import Hardware

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed.nn.functional:FutureWarning")
HARDWARE = Hardware(devices=1, nodes=1, precision="32-true", compile=False)


@pytest.fixture(scope="module", autouse=True)
def _alone(tmp_path_factory):
    """A group of one process, which synchronised modules need."""
    store = tmp_path_factory.mktemp("group") / "store"
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def net(seed=0, momentum=0.1, affine=True):
    torch.manual_seed(seed)
    norms = nn.BatchNorm2d(4, momentum=momentum, affine=affine), nn.BatchNorm1d(5, momentum=momentum, affine=affine)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(norms[0], nn.ReLU()), nn.Flatten(), nn.Linear(64, 5))
    module.append(norms[1])
    for norm in norms if affine else ():
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias)
    return module


def step(module, x):
    x = x.clone().requires_grad_()
    out = module(x)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return out.detach(), x.grad, [p.grad for p in module.parameters()]


def batches(n):
    return torch.randn(n, 7, 3, 6, 6, generator=torch.Generator().manual_seed(1)) * 3 + 1


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_one_process_normalises_as_plain_batch_normalisation_does(momentum, affine):
    plain = net(momentum=momentum, affine=affine).double()
    shared = synchronised(copy.deepcopy(plain))
    for x in batches(3).double():
        for a, b in zip(step(plain, x), step(shared, x), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    before, after = plain.state_dict(), shared.state_dict()
    assert list(before) == list(after)
    for name, tensor in before.items():
        torch.testing.assert_close(tensor, after[name], rtol=1e-9, atol=1e-9)
    assert int(after["1.0.num_batches_tracked"]) == 3


def test_in_eval_mode_the_statistics_gathered_so_far_are_used():
    plain, shared = net().eval(), synchronised(net()).eval()
    (x,) = batches(1)
    assert torch.equal(plain(x), shared(x))
    assert torch.equal(shared[1][0].running_mean, torch.zeros(4))


def test_changing_the_class_keeps_state_and_parameters():
    module = net()
    before, parameters = module.state_dict(), list(module.parameters())
    assert synchronised(module) is module
    after = module.state_dict()
    assert list(before) == list(after) and all(torch.equal(before[name], after[name]) for name in before)
    assert all(a is b for a, b in zip(parameters, module.parameters(), strict=True))
    assert type(module[1][0]) is type(module[4]) and type(module[1][0]) is not nn.BatchNorm2d
    assert isinstance(module[1][0], nn.BatchNorm2d)
    net().load_state_dict(after)


TWO = """
import json, sys, torch
sys.path.insert(0, {root!r})
from tests.training.test_engine import batches, net, step
from memloc.training.engine import synchronised
torch.set_num_threads(1)
rank = int(sys.argv[1])
torch.distributed.init_process_group("gloo", init_method="tcp://127.0.0.1:{port}", rank=rank, world_size=2)
module = synchronised(net().double())
rows = slice(0, 3) if rank == 0 else slice(3, 6)
module(batches(1)[0, rows].double())
print(json.dumps([module[1][0].running_mean.tolist(), module[1][0].running_var.tolist()]))
"""


def test_two_processes_have_the_statistics_of_their_batches_together():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code, environment = TWO.format(root=str(ROOT), port=port), os.environ | {"OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(rank)], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )
        for rank in range(2)
    ]
    statistics = [json.loads(process.communicate(timeout=120)[0]) for process in both]
    assert statistics[0] == statistics[1]
    plain = net().double()
    plain(batches(1)[0, :6].double())
    expected = plain[1][0]
    assert statistics[0][0] == pytest.approx(expected.running_mean.tolist(), rel=1e-9)
    assert statistics[0][1] == pytest.approx(expected.running_var.tolist(), rel=1e-9)


def test_more_devices_than_the_machine_has_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError) as caught:
        open_fabric(replace(HARDWARE, devices=3), "cuda")
    assert str(caught.value) == "hardware.devices: 3, but this machine has 2; lower it"


def test_one_process_needs_no_group_and_keeps_its_precision():
    fabric = open_fabric(HARDWARE, "cpu")
    assert (fabric.world_size, fabric.global_rank, fabric.device.type) == (1, 0, "cpu")
    model = fabric.setup(nn.Linear(3, 2))
    assert model(torch.ones(1, 3)).dtype == torch.float32


def test_half_precision_multiplies_in_bfloat16_and_returns_floats():
    seen = []
    linear = nn.Linear(3, 2)
    linear.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    model = open_fabric(replace(HARDWARE, precision="bf16-mixed"), "cpu").setup(linear)
    assert model(torch.ones(1, 3)).dtype == torch.float32
    assert seen == [torch.bfloat16] and linear.weight.dtype == torch.float32
