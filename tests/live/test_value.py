"""``memloc.value``: the command's numbers, of a table in memory."""

import numpy as np
import pandas as pd
import pytest

import memloc
from memloc import cli
from memloc.errors import InputError


def people(n=60):
    """Adults and children by height; two labels are exchanged."""
    rng = np.random.default_rng(0)
    grown = np.arange(n) % 2 == 0
    table = pd.DataFrame(
        {
            "height": np.where(grown, 175.0, 120.0) + rng.normal(scale=5, size=n),
            "school": np.where(grown, None, rng.choice(["a", "b"], size=n)),
            "left": rng.random(n) < 0.2,
            "who": np.where(grown, "grown-up", "child"),
        },
        index=[f"p{i}" for i in range(n)],
    )
    table.loc[["p4", "p5"], "who"] = ["child", "grown-up"]
    return table.rename_axis("name")


def test_the_values_are_the_commands(tmp_path, capsys):
    people().reset_index().to_parquet(tmp_path / "people.parquet", index=False)
    how = ["--label", "who", "--id", "name", "--ignore", "left", "--learners", "50", "--quiet"]
    assert cli.main(["value", str(tmp_path / "people.parquet"), *how, "--out", str(tmp_path / "values")]) == 0
    capsys.readouterr()
    valued = memloc.value(people(), label="who", id="name", ignore="left", learners=50, quiet=True)
    rows = pd.read_parquet(tmp_path / "values/rows.parquet")
    pd.testing.assert_frame_equal(valued.rows.reset_index(drop=True), rows)
    with np.load(tmp_path / "values/cells.npz") as stored:
        np.testing.assert_array_equal(valued.cells.to_numpy(), stored["values"][1])
    assert list(valued.cells) == ["height", "school"] and valued.rows.index.tolist() == people().index.tolist()
    assert capsys.readouterr() == ("", "")


def test_the_verdict_names_the_exchanged_labels(tmp_path, capsys):
    valued = memloc.value(people(), label="who", learners=100)
    told = capsys.readouterr().err
    assert "memloc: frame: 60 rows, 3 columns: 1 of numbers, 1 of true or false, 1 of text (school)" in told
    assert {*valued.rows.nsmallest(2, "value_w0").index} == {"p4", "p5"}
    assert "About 2 of 60 labels seem wrong (3.3%); 2 rows have another label suggested" in valued.verdict
    suggested = valued.issues["predicted_label"]
    assert (suggested["p4"], suggested["p5"]) == ("grown-up", "child")
    assert "seem wrong" in valued._repr_html_() and valued.lowest == repr(valued)
    page = valued.page(tmp_path / "page.html").read_text()
    assert "seem wrong" in page and "1 of text (school)" in page and "/tmp" not in page


def test_names_that_are_no_texts_and_an_index_that_repeats_itself():
    frame = people(20).rename(columns={"who": 3, "school": 0}).set_axis([7] * 20)
    valued = memloc.value(frame, label=3, ignore=0, learners=1, quiet=True)  # type: ignore[arg-type]
    assert list(valued.cells) == ["height", "left"]
    shown = valued._repr_html_()
    # Rows that the only tree saw have no value.
    assert (valued.rows["learners"] == 0).sum() > 10 and shown.count("<tr>") <= 1 + (valued.rows["learners"] > 0).sum()
    assert "nan" not in shown
    assert "nan" not in valued.verdict


@pytest.mark.parametrize(
    ("frame", "how", "message"),
    [
        (people(), {}, r"^label: not given; name the column of frame that holds the classes \(label=\)$"),
        (people(), {"label": "age"}, "^label: frame has no column age; it has height, school, left, who$"),
        (people(), {"label": "height"}, "^label: height holds fractions, not classes"),
        (people().assign(odd=[[1], "x"] * 30), {"label": "who"}, "^frame: can't be stored as a table|^odd: holds"),
        (people().assign(when=pd.Timestamp("2020-01-01")), {"label": "who"}, r"^when: holds datetime64.*\(ignore=\)$"),
        (people().to_numpy(), {"label": "who"}, "^frame: ndarray isn't a DataFrame; make one of it, or name a file$"),
        ("absent.csv", {"label": "who"}, "^absent.csv: no such file"),
        ("photos", {"label": "who"}, "^frame: photos is not a table; label, id, ignore and text need one$"),
        (people(), {"label": "who", "learners": 0}, "^learners: 0; give 1 to 1000000$"),
        (people().assign(name=1), {"label": "who", "id": "name"}, "^id: name is a level of the index and a column; re"),
        (people(), {"label": "who", "ratio": 2}, "^ratio: 2; give a share"),
    ],
)
def test_odd_input_is_one_line(frame, how, message):
    with pytest.raises(InputError, match=message) as error:
        memloc.value(frame, quiet=True, **how)
    assert "\n" not in str(error.value) and "/tmp" not in str(error.value)
