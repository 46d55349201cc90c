"""Two runs' verdicts side by side, on tables made by hand; seeds that are shifted in any configuration."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from memloc import config
from memloc.errors import InputError
from tools import replicate
from tools.replicate import compare, difference, shifted, told

ROOT = Path(__file__).resolve().parents[2]


def row(claim, verdict, effect=0.1, half=0.05, subject="simclr", experiment="layermem", **more):
    interval = {"effect": effect, "low": effect - half, "high": effect + half}
    return {"claim": claim, "experiment": experiment, "subject": subject, **interval, "verdict": verdict, **more}


def test_verdicts_that_differ_are_told_with_both_effects():
    reference = [
        row("a", "supported", 0.10),
        row("b", "supported", 0.06),
        row("c", "inconclusive", 0.02),
        row("d", "supported", 0.3),
        row("gone", "refuted", -0.2),
        row("z", "supported", experiment="unitmem"),
    ]
    again = [
        row("a", "supported", 0.11),
        row("b", "inconclusive", 0.04),
        row("c", "supported", 0.3),
        row("d", "negligible", 0.0),
        row("new", "refuted", -0.2),
    ]
    comparison = compare(pd.DataFrame(reference), pd.DataFrame(again))
    lines = list(told(comparison))
    assert lines[:3] == [
        "borderline: layermem: b, simclr: supported 0.06 (0.01 to 0.11) -> inconclusive 0.04 (−0.01 to 0.09)",
        "moved: layermem: c, simclr: inconclusive 0.02 (−0.03 to 0.07) -> supported 0.3 (0.25 to 0.35)",
        "contradicts: layermem: d, simclr: supported 0.3 (0.25 to 0.35) -> negligible 0 (−0.05 to 0.05)",
    ]
    assert lines[3:6] == [
        "only in the reference: layermem: gone, simclr",
        "only in the replicate: layermem: new, simclr",
        "not compared, for only one run has them: unitmem",
    ]
    assert lines[6] == "4 of 4 effects or intervals differ in any digit"
    assert lines[7] == "1 of 4 verdicts are equal (25.0%); 1 contradicts, 1 moved, 1 borderline"
    assert comparison.contradictions == 1


def test_the_place_that_decided_may_be_another_one():
    reference = pd.DataFrame(
        [row("every", "supported", subject="simclr, layer 2"), row("x", "supported", subject="a, b")]
    )
    again = pd.DataFrame(
        [
            row("every", "refuted", -0.2, subject="simclr, layer 5"),
            *(row("x", "supported", subject=s) for s in ("a, c", "a, d")),
        ]
    )
    comparison = compare(reference, again)
    assert [difference(*pair) for pair in comparison.pairs] == ["contradicts"]
    assert "simclr, layer 2 (there simclr, layer 5)" in next(told(comparison))
    # Two that might be meant are none.
    assert comparison.missing == ["layermem: x, a, b"] and len(comparison.added) == 2


@pytest.mark.parametrize(
    ("verdicts", "kind"),
    [
        (("supported", "refuted"), "contradicts"),
        (("negligible", "supported"), "contradicts"),
        (("refuted", "negligible"), "borderline"),
        (("refuted", "inconclusive"), "borderline"),
    ],
)
def test_support_alone_is_contradicted(verdicts, kind):
    assert difference(*(row("a", verdict) for verdict in verdicts)) == kind


def test_primary_claims_are_told_apart_where_a_run_names_them():
    def last(reference, again):
        return list(told(compare(pd.DataFrame(reference), pd.DataFrame(again))))[-1]

    assert last([row("a", "supported")], [row("a", "refuted")]) == "primary claims: neither run says which these are"
    named = [row("a", "supported", primary=True), row("b", "supported", primary=False)]
    assert last(named, [row("a", "supported"), row("b", "refuted")]) == "primary claims: none of 1 judged otherwise"
    assert last([row("a", "refuted")], named) == "primary claims: 1 of 1 judged otherwise"


def test_the_same_bits_are_no_replicate():
    same = pd.DataFrame([row("a", "supported")])
    assert "0 of 1 effects or intervals differ in any digit; nothing was replicated" in list(told(compare(same, same)))


def test_a_number_that_is_missing_in_both_is_equal():
    same = pd.DataFrame([row("a", "supported", float("nan"))])
    assert "0 of 1 effects or intervals differ in any digit; nothing was replicated" in list(told(compare(same, same)))


def test_claims_of_other_sizes_are_counted():
    reference = [row("a", "supported", n=100, seeds=10, level=0.95), row("b", "supported", n=100, seeds=10, level=None)]
    again = [row("a", "supported", n=100, seeds=9, level=0.95), row("b", "supported", n=100, seeds=10, level=None)]
    comparison = compare(pd.DataFrame(reference), pd.DataFrame(again))
    assert comparison.resized == 1
    assert "1 of 2 claims are of other numbers of images or seeds, or at another level" in list(told(comparison))
    assert compare(pd.DataFrame(reference), pd.DataFrame(reference)).resized == 0


def test_a_text_for_a_number_is_one_line(tmp_path):
    table = pd.DataFrame([row("a", "supported"), row("b", "supported")]).astype({"effect": object})
    table.loc[1, "effect"] = "abc"
    table.to_csv(tmp_path / "claims.csv", index=False)
    with pytest.raises(InputError) as error:
        replicate.read(tmp_path / "claims.csv")
    assert str(error.value) == f"{tmp_path}/claims.csv: effect: abc is no number; correct it"


@pytest.mark.parametrize("files", [[], ["layers", "units"], ["groups"], ["valuation"], ["charts"]])
def test_every_seed_of_a_configuration_is_shifted(files):
    whole = replicate.merged([ROOT / f"config/{name}.yaml" for name in files])
    before = yaml.safe_dump(whole)
    overlay = shifted(whole, 1000)
    assert yaml.safe_dump(whole) == before
    old = yaml.safe_load(before)
    update_config(whole, overlay)
    config.check(whole)
    for each in (old, whole):
        config.complete(each)
    for name, encoder in old["encoders"].items():
        assert whole["encoders"][name]["seeds"] == [seed + 1000 for seed in encoder["seeds"]]
        split = encoder["split_seed"]
        assert whole["encoders"][name]["split_seed"] == (None if split is None else split + 1000)
        rest = {key: value for key, value in encoder.items() if key not in ("seeds", "split_seed")}
        assert whole["encoders"][name] == whole["encoders"][name] | rest
    trials = {name: entry["seeds"] for name, entry in old["experiments"].items() if entry and "tables" in entry}
    assert all(whole["experiments"][name]["seeds"] == [seed + 1000 for seed in seeds] for name, seeds in trials.items())
    for part in ("towers", "models"):
        for name, entry in old.get("charts", {}).get(part, {}).items():
            moved = {"seeds": [seed + 1000 for seed in entry["seeds"]]}
            assert whole["charts"][part][name] == entry | moved
    suites = old.get("charts", {}).get("suites", {})
    assert all(whole["charts"]["suites"][name]["seed"] == suite["seed"] + 1000 for name, suite in suites.items())
    # Numbers of seeds are no seeds.
    assert whole["experiments"].get("power") == old["experiments"].get("power")


def test_seeds_that_both_runs_have_are_told():
    whole = {"encoders": {"a": {"seeds": [0, 2]}}, "experiments": {"t": {"kind": "backdoor", "seeds": [0, 1, 2]}}}
    with pytest.raises(InputError) as error:
        shifted(whole, 1)
    assert str(error.value) == "--offset: 1 is too small, experiments.t has seed 1 in both runs; give 3 or more"
    with pytest.raises(InputError, match="a has seed 2 in both runs"):
        shifted(whole, 2)
    assert shifted(whole, 3)["encoders"] == {"a": {"seeds": [3, 5]}}


def test_replicates_run_in_folders_of_their_own_and_contradictions_are_the_exit_status(tmp_path, monkeypatch, capsys):
    ran = []

    def snakemake(command, *, cwd, env):
        folder = Path(command[command.index("--directory") + 1])
        ran.append((folder.name, env.get("ATEN_CPU_CAPABILITY"), "--configfile" in command))
        (folder / "results").mkdir(exist_ok=True)
        verdict = "refuted" if folder.name.startswith("seeds") else "supported"
        pd.DataFrame([row("a", verdict)]).to_csv(folder / "results/claims.csv", index=False)
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(replicate, "FOLDER", tmp_path / "replicate")
    monkeypatch.setattr(replicate, "ROOT", tmp_path)
    monkeypatch.setattr(replicate, "merged", lambda files: config.check_files([ROOT / "config.yaml"])[0])
    monkeypatch.setattr(replicate.subprocess, "run", snakemake)
    pd.DataFrame([row("a", "supported")]).to_csv(tmp_path / "claims.csv", index=False)
    against = ["--against", str(tmp_path / "claims.csv")]
    assert replicate.main([*against, "--offset", "70"]) == 1
    assert ran == [("kernels", "default", False), ("seeds-70", None, True)]
    assert replicate.main([*against, "--ways", "kernels"]) == 0
    assert "contradicts" in capsys.readouterr().out
    other = tmp_path / "other.csv"
    pd.DataFrame([row("a", "supported", n=1000)]).to_csv(other, index=False)
    monkeypatch.setattr(replicate, "run", lambda *_, **__: tmp_path / "sized.csv")
    pd.DataFrame([row("a", "supported", n=100)]).to_csv(tmp_path / "sized.csv", index=False)
    assert replicate.main(["--against", str(other)]) == 2
    assert "another configuration; name its claims by --against" in capsys.readouterr().err
    assert replicate.main(["--against", str(tmp_path / "none.csv")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("memloc: error: ") and error.count("\n") == 1
