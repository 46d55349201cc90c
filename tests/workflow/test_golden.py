"""The tiny run's CSVs are those of tests/golden/results.

`pytest tests/workflow/test_golden.py --renew-golden` renews them.

How far two CPUs differ was measured by one more tiny run, with SSE4 kernels in place of AVX-512
(ATEN_CPU_CAPABILITY=default, ONEDNN_MAX_CPU_ISA=SSE41, MKL_ENABLE_INSTRUCTIONS=SSE4_2, OPENBLAS_CORETYPE=Nehalem).
Values differed by 4e-5 at most, z by 2e-3 of its size. Accuracies of pruning and finetuning jump by a test image or
two: a mean by 1.2e-3, ends of its interval by 1.4e-2, p by .1. AUROCs of dose, over four images, jump by a rank: .0045,
ends of an interval by .06. Tolerances are five to eight times as large. Verdicts and chosen points and units didn't
change in this, so they must be equal.

The recipe of config/smoke.yaml keeps it that small: clipped steps of SGD. With Adam, values differ by a tenth and more,
and ranks change.
"""

from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.running import ROOT
from tests.workflow.test_run import KINDS

GOLDEN = ROOT / "tests/golden/results"
TOLERANCE = {"rtol": 1e-4, "atol": 2e-4}
OF_Z = {"rtol": 0.01, "atol": 2e-4}
OF_ACCURACIES = {
    **{"low": {"atol": 0.08}, "high": {"atol": 0.08}, "z": {"rtol": 0.5, "atol": 0.5}, "p": {"atol": 0.6}},
    "pairs_needed": {"rtol": 0.6},
}
OF_RANKS = {
    **{"low": {"atol": 0.4}, "high": {"atol": 0.4}, "z": {"rtol": 0.2, "atol": 4.0}, "p": {"atol": 0.25}},
    **{"pairs_needed": {"rtol": 2.0}},
}
# What claims say in words, and values of single patches, of which there are thousands.
WORDS = ["paper", "statement", "paper_effect", "paper_scale"]
LEFT_OUT = ["cell"]


def compared(path: Path) -> pd.DataFrame:
    """What is compared of a table."""
    table = pd.read_csv(path).drop(columns=WORDS, errors="ignore")
    if "series" in table:
        table = table[~table["series"].isin(LEFT_OUT)].dropna(axis="columns", how="all").reset_index(drop=True)
    return table


def tolerance(experiment: str, column: str) -> dict[str, float]:
    """How far a column of an experiment's numbers may be from the golden ones."""
    if experiment in ("pruning", "finetuning"):
        return {"rtol": 0.0, "atol": 0.01} | OF_ACCURACIES.get(column, {})
    if experiment == "dose":
        return {"rtol": 0.0, "atol": 0.03} | OF_RANKS.get(column, {})
    return OF_Z if column == "z" else TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("folder", ["claims", "figures"])
def test_numbers_are_the_golden_ones(finished: Path, request: pytest.FixtureRequest, folder: str, kind: str) -> None:
    name = f"{folder}/{kind}.csv"
    table = compared(finished / "results" / name)
    if request.config.getoption("renew_golden"):
        (GOLDEN / folder).mkdir(parents=True, exist_ok=True)
        table.to_csv(GOLDEN / name, index=False, float_format="%.7g", lineterminator="\n")
    golden = pd.read_csv(GOLDEN / name)
    assert list(table) == list(golden)
    for column in golden:
        pd.testing.assert_series_equal(
            table[column],
            golden[column],
            check_dtype=False,
            check_exact=False,
            **tolerance(kind, column),
            obj=f"{column} of {name}",
        )


def test_every_golden_table_is_compared() -> None:
    kept = {str(path.relative_to(GOLDEN).with_suffix("")) for path in GOLDEN.rglob("*.*")}
    assert kept == {f"{folder}/{kind}" for folder in ("claims", "figures") for kind in KINDS}
