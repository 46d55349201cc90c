"""Batch-norm statistics of an encoder that was never trained."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from memloc.models.frameworks.learner import Views, represent


def calibrate(encoder: nn.Module, batches: Iterable[Views]) -> None:
    """Give an encoder in eval mode the batch-norm statistics of its views, and leave it in eval mode.

    With the statistics that it starts from (mean 0, variance 1) normalisation would do nothing in eval mode, and its
    deep layers would follow their biases: no null for an encoder whose statistics are those of its data.

    Args:
        batches: views, read only if there is batch normalisation.
    """
    norms = [module for module in encoder.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not norms:
        return
    for norm in norms:
        norm.train()  # Nothing else, so that dropout stays off.
        norm.momentum = None  # The plain average over all batches.
        norm.reset_running_stats()
    with torch.no_grad():
        for views in batches:
            represent(encoder, views)
    encoder.eval()
