"""Losses of tiny trainings are those of tests/golden/losses.csv; `pytest tests/training --renew-golden` renews it.

How far two CPUs differ was measured by training with the kernels of four: this one (AVX-512), AVX2 and SSE4.2 in
place of it (ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA, MKL_ENABLE_INSTRUCTIONS, OPENBLAS_CORETYPE), and two threads.
Largest differences of a loss: 2e-5 of 9 (barlow-twins), 7e-6 of 3 (simclr), below 3e-6 for all others. The tolerance
is over ten times as large.

The recipe keeps it that small: SGD on clipped gradients. Adam on networks with batch norms makes a full step of
gradients that are nothing but rounding, and losses of CPUs differ by a thousandth after twelve steps; here it trains
networks without batch norms, or with labels.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memloc.models.frameworks import FRAMEWORKS

FILE = Path(__file__).resolve().parents[1] / "golden/losses.csv"
TOLERANCE = {"rel": 3e-5, "abs": 1e-5}

SGD = {"optimizer": "sgd", "learning_rate": 0.01, "weight_decay": 1e-4, "clip": 1.0}
CASES = {
    **{framework: (framework, SGD) for framework in FRAMEWORKS},
    "mae, adam": ("mae", {}),
    "mae, adamw": ("mae", {"optimizer": "adamw", "weight_decay": 0.1, "weight_decay_end": 0.2}),
    "mae, lars": ("mae", {"optimizer": "lars", "learning_rate": 0.1, "weight_decay": 1e-4}),
    "mae, private": ("mae", {"privacy": {"epsilon": 4.0, "delta": 1e-3, "clip": 0.5}}),
    "supervised, adam": ("supervised", {"augmentation": "strong"}),
    "supervised, independent": ("supervised", {**SGD, "augmentation": "independent"}),
}


@pytest.fixture
def colours(toy):
    """Images [24, 3, 16, 16] whose channels differ, and labels: jitter of grey images changes less."""
    images, labels = toy(24)
    return np.concatenate([images, images[:, :, ::-1], images.transpose(0, 1, 3, 2)], axis=1), labels


@pytest.mark.parametrize("case", CASES)
def test_losses_are_the_golden_ones(run, colours, request, case):
    framework, recipe = CASES[case]
    losses = run(framework, recipe=recipe, data=colours).losses
    rows = pd.read_csv(FILE) if FILE.exists() else pd.DataFrame(columns=["case", "epoch", "loss"])
    if request.config.getoption("renew_golden"):
        new = pd.DataFrame({"case": case, "epoch": range(1, len(losses) + 1), "loss": losses})
        rows = pd.concat([rows[rows["case"] != case], new] if len(rows) else [new])
        rows.to_csv(FILE, index=False, float_format="%.7g")
    golden = rows.loc[rows["case"] == case, "loss"]
    assert losses == pytest.approx(golden.tolist(), **TOLERANCE)


def test_every_golden_loss_is_compared():
    assert list(dict.fromkeys(pd.read_csv(FILE)["case"])) == list(CASES)
