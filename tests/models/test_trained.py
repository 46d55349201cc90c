"""What the checkpoints of a training say of themselves."""

from types import SimpleNamespace

import numpy as np
import pytest

from memloc.data.prepared import array_sha256
from memloc.models.trained import Trained

SPLIT = {"shared": [8, 1], "candidate": [5], "independent": [3], "external": [7]}
SEEN = {"f": [1, 5, 8], "g": [1, 3, 8]}


@pytest.mark.parametrize("role", SEEN)
def test_a_training_is_told_by_its_own_role_and_the_points_that_the_role_sees(role, description):
    it = Trained(None, {"encoder": {"framework": "simclr"}}, SimpleNamespace(seed="3", role="f"))
    it.description, it.split = description, {group: np.array(points) for group, points in SPLIT.items()}
    assert it.training(role) == {
        "settings": {"framework": "simclr"},
        "dataset": "0" * 64,
        "points": array_sha256(np.array(SEEN[role])),
        "seed": 3,
        "role": role,
    }
