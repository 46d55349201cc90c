"""The commands ask and locate: what they write, finish and refuse."""

import json

import pandas as pd
import pytest

from memloc.charts import results
from memloc.cli import charts_ask, main
from memloc.cli.parser import build_parser
from tests.builders.complaints import complaint


def test_both_commands_write_their_results_once(trained, single, tmp_path, capsys, monkeypatch):
    both = ["--suite", str(single.folder), "--tasks", "position", "--quiet", "--batch", "24", "--device", "cpu"]
    ask = ["charts", "ask", trained.name, *both, "--out", str(tmp_path / "answers"), "--strategies", "free", "blank"]
    assert main(ask) == 0
    found = pd.read_parquet(tmp_path / "answers/accuracy.parquet")
    whole = found[found["task"].isna()].set_index("strategy")["accuracy"]
    assert whole["free"] >= 0.95 > whole["blank"]
    told = capsys.readouterr().out
    assert "position" in told
    assert main(ask) == 0
    again = capsys.readouterr()
    assert again.out == told and "nothing to do" in again.err
    # Other code is other work.
    before = json.loads((tmp_path / "answers/meta.json").read_text())
    monkeypatch.setattr(results.provenance, "digest", lambda script: "other")
    after = results.described(trained, single, before["settings"])
    monkeypatch.undo()
    assert after["identity"] != before["identity"] == results.described(trained, single, before["settings"])["identity"]

    locate = ["charts", "locate", trained.name, *both, "--out", str(tmp_path / "where"), "--pairs", "4"]
    assert main([*locate, "--strategy", "free"]) == 0
    told = capsys.readouterr().out
    assert main([*locate, "--strategy", "free"]) == 0 and capsys.readouterr().out == told
    meta = json.loads((tmp_path / "where/meta.json").read_text())
    assert meta["sanity"]["entry_moved"] >= 0.99 and meta["sanity"]["entry_pairs"] == 4
    assert {*meta["files"]} == {path.name for path in (tmp_path / "where").iterdir()} - {"meta.json"}


@pytest.mark.parametrize(("there", "wanted"), [("ask", "locate"), ("locate", "ask")])
def test_a_folder_with_a_result_of_the_other_command_is_one_line(tmp_path, there, wanted):
    before, after = (
        results.output(tmp_path, locating=command == "locate", replace=True) for command in (there, wanted)
    )
    with before.writing("0a") as work:
        before.staged(work)
        before.publish(work, {})
    says = f"out: {tmp_path} has a meta.json of memloc charts {there}; choose another folder"
    assert complaint(after.check) == says
    (tmp_path / "meta.json").write_text((tmp_path / "meta.json").read_text().replace("0a", "0b"))
    assert "has a meta.json that isn't memloc's" in complaint(after.check)


def test_what_cannot_be_is_one_line(trained, single, tmp_path, capsys):
    suite = ["--suite", str(single.folder)]
    for options, says in (
        ([trained.name, *suite, "--tasks", "mean", "--out", str(tmp_path / "a")], "tasks: mean; the suite has"),
        ([trained.name, *suite, "--strategies", "no", "--out", str(tmp_path / "a")], "strategies: no; give some of"),
        ([trained.name, *suite, "--out", str(single.folder / "a")], "lies inside the suite"),
        ([trained.name, "--suite", str(tmp_path / "no"), "--out", str(tmp_path / "a")], "no manifest.json in it"),
        ([str(tmp_path), *suite, "--out", str(tmp_path / "a")], "no config.json in it"),
        ([trained.name, *suite, "--batch", "0", "--out", str(tmp_path / "a")], "batch: 0; give 1 to 4096"),
    ):
        assert main(["charts", "ask", *options, "--quiet"]) == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("memloc: error: ") and says in error
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("tasks", "taken"), [(["position"], ["position"]), (["mean", "count", "position"], ["position", "count"])]
)
def test_locate_takes_of_its_tasks_those_that_the_suite_has(tmp_path, tasks, taken):
    options = _locating(tmp_path, tasks)
    items = charts_ask._suite(options, results.output(options.out, locating=True), part="all", locating=True)[1]
    assert options.tasks == taken and {item["task"] for item in items} == {*taken}


def test_a_suite_without_a_task_of_locate_is_one_line(tmp_path):
    options = _locating(tmp_path, ["mean"])
    out = results.output(options.out, locating=True)
    says = complaint(charts_ask._suite, options, out, part="all", locating=True)
    assert says == "tasks: the suite has no position or count, but mean; name --tasks"


def _locating(folder, tasks):
    """What the parser gives to locate beside a suite of these tasks."""
    made = [*("charts", "make", "--size", "72", "--charts", "40", "--quiet"), "--out", str(folder / "suite")]
    assert main([*made, "--tasks", *tasks]) == 0
    return build_parser().parse_args(
        ["charts", "locate", "m", "--suite", str(folder / "suite"), "--out", str(folder / "out")]
    )
