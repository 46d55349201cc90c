"""The workflow as a part of somebody else's."""

from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

from tests.workflow.running import ROOT, job_counts, snakemake
from tests.workflow.test_plan import STAGES

IMPORTING = """
module memloc:
    snakefile: {snakefile!r}
    config: config["memorization"]

use rule * from memloc as memloc_*

onstart:
    memloc.onstart()

rule count:
    default_target: True
    input: rules.memloc_collect_claims.output.claims
    output: "count.txt"
    shell: "wc -l < {{input}} > {{output}}"
"""


def test_another_workflow_imports_it_with_a_configuration_over_the_default(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(IMPORTING.format(snakefile=str(ROOT / "Snakefile")))
    chosen = {"memorization": {"encoders": {"dosed": {"seeds": [0, 1, 2]}}, "experiments": {"pruning": None}}}
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump(chosen))
    planned = snakemake(tmp_path, "--dry-run", "--configfile", "theirs.yaml")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    counts = job_counts(planned.stdout + planned.stderr)
    # Their own rule, and three pairs of dosed instead of six.
    assert counts["count"] == 1 and counts["memloc_make_splits"] == STAGES["make_splits"] - 3
    assert counts["memloc_collect_claims"] == 1 and "memloc_build_report" not in counts


def test_a_mistake_in_an_imported_configuration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(IMPORTING.format(snakefile=str(ROOT / "Snakefile")))
    (tmp_path / "theirs.yaml").write_text("memorization: {encoders: {simclr: {seed: [0]}}}\n")
    planned = snakemake(tmp_path, "--dry-run", "--configfile", "theirs.yaml")
    assert planned.returncode == 1 and "encoders.simclr.seed: unknown key; did you mean seeds?" in planned.stderr
    assert "Traceback" not in planned.stderr


def test_the_merged_configuration_lies_beside_the_results(finished: Path) -> None:
    merged: dict[str, Any] = {}
    for name in ("config.yaml", "config/smoke.yaml"):
        update_config(merged, yaml.safe_load((ROOT / name).read_text()))
    assert yaml.safe_load((finished / "results/run_config.yaml").read_text()) == merged
