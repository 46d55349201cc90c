"""A teacher: a copy that no gradient moves, only the moving average of what it follows."""

from __future__ import annotations

import math

from lightly.models.utils import update_momentum
from torch import nn


def ema_at(start: float, progress: float) -> float:
    """Share of old weights in the moving average: 1 - (1 - start) (cos(pi progress) + 1) / 2 (BYOL, Section 3.3)."""
    return 1 - (1 - start) * (math.cos(math.pi * progress) + 1) / 2


def follow(teacher: nn.Module, student: nn.Module, share: float) -> None:
    """Move each parameter of a teacher: share * teacher + (1 - share) * student.

    Batch-norm statistics are left alone: a teacher has its own, of the views it sees.
    """
    update_momentum(student, teacher, m=share)
