"""What a training runs on: devices and precision through Lightning Fabric, and normalisation over all of them."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from memloc.errors import InputError
from memloc.training.settings import Hardware


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Hide a package that hasn't been imported yet."""
    hidden = package not in sys.modules
    if hidden:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules[package]


# Fabric looks at the version of torchmetrics by loading it, and transformers with it: two seconds of every training.
with _without("torchmetrics"):
    from lightning_fabric import Fabric


def open_fabric(hardware: Hardware, device: str) -> Fabric:
    """Start the processes that train together, one a device; each of them continues from here.

    Args:
        device: cpu or cuda.

    Raises:
        InputError: there are fewer devices.
    """
    # The reductions that gradients flow through; their successor has no public name yet.
    warnings.filterwarnings("ignore", "torch.distributed.nn.functional", FutureWarning)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    devices, nodes = hardware.devices, hardware.nodes
    if device == "cuda" and devices > torch.cuda.device_count():
        raise InputError(f"hardware.devices: {devices}, but this machine has {torch.cuda.device_count()}; lower it")
    fabric = Fabric(
        accelerator=device,
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if devices * nodes > 1 else "auto",
        precision=hardware.precision,
    )
    fabric.launch()
    if fabric.world_size > 1 and device == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // devices))
    return fabric


def synchronised(module: nn.Module, *, device: str = "cpu") -> nn.Module:
    """The module with batch normalisation over all processes, on any device; parameters and their names stay."""
    if device == "cuda":
        whole: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return whole
    for child in module.children():
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
            child.__class__ = _Synchronised
        else:
            synchronised(child)
    return module


class _Synchronised(nn.BatchNorm2d):
    """Batch normalisation with the statistics of all processes' batches, for CPUs: PyTorch's own needs a GPU."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """[n, channels] or [n, channels, h, w] to the same, standardised over all processes."""
        if not self.training:
            return super().forward(input)
        kind = input.dtype
        if kind in (torch.bfloat16, torch.float16):
            input = input.float()  # Sums of many numbers need the digits.
        dims = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        count = input.new_tensor(input.numel() / input.shape[1])
        total = all_reduce(count)  # type: ignore[no-untyped-call]
        mean = all_reduce(input.sum(dims)) / total  # type: ignore[no-untyped-call]
        centred = input - mean.view(shape)
        variance = all_reduce(centred.square().sum(dims)) / total  # type: ignore[no-untyped-call]
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.detach(), share)
            self.running_var.lerp_(variance.detach() * total / (total - 1), share)
        out: Tensor = centred * torch.rsqrt(variance + self.eps).view(shape)
        return (out * self.weight.view(shape) + self.bias.view(shape) if self.affine else out).to(kind)
