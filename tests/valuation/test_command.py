"""`memloc value` as users call it: tables, images, bad input."""

import errno
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import memloc
from memloc import cli, io
from memloc.cli.parser import build_parser
from memloc.errors import InputError
from memloc.valuation import oob
from memloc.valuation.columns import NUMBERS, read_column, remark_on
from memloc.valuation.sources import _classes, read_images, read_table

MEMLOC = [sys.executable, "-m", "memloc.cli"]
FILES = {"rows.parquet", "cells.npz", "issues.csv", "index.html", "value.json"}


def people(n=80, seed=0):
    """Adults and children by height, with columns that say nothing of it; the last row is out of place."""
    rng = np.random.default_rng(seed)
    grown = np.arange(n) % 2 == 0
    table = pd.DataFrame(
        {
            "name": [f"p{i:02}" for i in range(n)],
            "height": np.where(grown, 175.0, 120.0) + rng.normal(scale=5, size=n),
            "weight": np.where(grown, 75.0, 25.0) + rng.normal(scale=4, size=n),
            "school": np.where(grown, "none", rng.choice(["a", "b"], size=n)),
            "left": rng.random(n) < 0.2,
            "who": np.where(grown, "grown-up", "child"),
        }
    )
    table.loc[n - 1, "height"] = 260.0
    return table


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    people().to_csv("people.csv", index=False)
    people().to_parquet("people.parquet", index=False)
    for i in range(24):
        kind = ("cat", "dog")[i % 2]
        Path("photos", kind).mkdir(parents=True, exist_ok=True)
        grey = np.full((8, 8), (40, 200)[i % 2], dtype=np.uint8)
        grey[:4, 4:] += np.uint8(i)
        Image.fromarray(grey).save(f"photos/{kind}/{i:02}.png")
    # One cat whose upper right quarter is a dog's.
    odd = np.full((8, 8), 40, dtype=np.uint8)
    odd[:4, 4:] = 215
    Image.fromarray(odd).save("photos/cat/04.png")
    return tmp_path


@pytest.fixture
def run(place, capsys):
    log = logging.getLogger("memloc")
    handlers, level = log.handlers, log.level

    def call(*arguments):
        capsys.readouterr()
        status = cli.main(["value", *map(str, arguments), "--quiet"])
        out, err = capsys.readouterr()
        return status, out, err.splitlines()

    yield call
    log.handlers = handlers
    log.setLevel(level)


TABLE = ("people.csv", "--label", "who", "--id", "name", "--learners", "100")
IMAGES = ("photos", "--size", "8", "--patch", "4", "--learners", "100")


# --- What comes out --------------------------------------------------------------------------------------------------


def test_a_table_has_values_of_rows_and_cells_and_the_lowest_are_printed(run, place):
    status, out, lines = run(*TABLE, "--out", "values")
    assert status == 0, lines
    assert {path.name for path in (place / "values").iterdir()} == FILES
    rows = pd.read_parquet("values/rows.parquet")
    assert list(rows) == [
        "row",
        "label",
        *(f"value_w{w}{end}" for w in (0, 1) for end in ("", "_low", "_high")),
        "learners",
    ]
    assert len(rows) == 80 and (rows["value_w1_low"] < rows["value_w1"]).all()
    assert rows["row"][7] == "p07" and rows["label"][7] == "child"
    arrays = io.load_arrays("values/cells.npz")
    assert arrays["values"].shape == (2, 80, 4) and arrays["names"].tolist() == ["height", "weight", "school", "left"]
    # The same values as the library's.
    source = read_table("people.csv", label="who", id="name")
    values = oob.value(source.x, source.y, groups=source.groups, learners=100)
    np.testing.assert_array_equal(arrays["values"], values.cells)
    np.testing.assert_array_equal(arrays["counts"], values.counts)
    np.testing.assert_array_equal(rows["value_w1"], values.rows[1])
    # The giant child comes first, because of its height.
    found, legend, labels, odd, numbers, cells = out.split("\n\n")
    assert "The oddest cell: height of row p79 (child) holds '260', where its class usually has 1" in found
    assert numbers.splitlines()[2].split()[:4] == ["p79", "child", "height", "260"]
    assert all(column in legend for column in ("value_w0", "value_w1", "below_row", "learners"))
    assert odd.splitlines()[0].startswith("rows of lowest value, w = 1") and odd.splitlines()[2].split()[1] == "child"
    assert odd.splitlines()[2].split()[0] == "p79"
    assert [line.split()[0] for line in labels.splitlines()[2:]] == rows.sort_values(["value_w0", "value_w1"])["row"][
        :10
    ].tolist()
    assert cells.splitlines()[2].split()[:4] == ["p79", "child", "height", "260"]
    printed = [line.split() for line in cells.splitlines()[2:]]
    below = (values.cells[1] - values.rows[1][:, None]).min(axis=1)
    assert [line[0] for line in printed] == rows["row"][np.argsort(below)[:10]].tolist()
    at = cells.splitlines()[1].index("below_row") + len("below_row")
    assert [float(line[:at].split()[-1]) for line in cells.splitlines()[2:]] == pytest.approx(
        -np.sort(below)[:10], abs=6e-4
    )
    assert {len(part.splitlines()) for part in (labels, odd, numbers, cells)} == {12}
    meta = json.loads(Path("values/value.json").read_text())
    assert meta["classes"] == ["child", "grown-up"] and meta["settings"]["ratio"] == 0.5 and meta["missing"] == {}


def test_the_page_shows_labels_cells_and_copies_escapes_all_and_loads_nothing(run, place):
    made = people()
    evil = "<img src=//x onerror=alert(1)>"
    made.loc[10, "who"] = "child"  # A grown-up.
    made.loc[20] = made.loc[22]
    made.loc[20, "name"], made.loc[11, "school"] = evil, evil
    made = made.rename(columns={"weight": evil})
    made.to_csv("people.csv", index=False)
    status, out, lines = run(*TABLE, "--out", "values")
    assert status == 0, lines
    page = Path("values/index.html").read_text()
    assert "<img" not in page and "onerror" in page and "//x" not in re.sub("&lt;.*?&gt;", "", page)
    assert not re.search(r"(src|href)=\"(?!#|data:)", page) and "url(" not in page
    found, table = out.split("\n\n")[0].splitlines(), pd.read_csv("values/issues.csv")
    assert page.count(f"<h1>{found[0]}</h1>") == 1 and found[0].startswith("About ")
    row = table[table["row"] == "p10"].iloc[0]
    assert row["is_label_issue"] and row["predicted_label"] == "grown-up" and row["given_label"] == "child"
    assert "1 exact copy of other rows, none of them with another label" in found
    assert table["duplicate_of"].notna().sum() == 1 and table.loc[22, "duplicate_of"] == evil
    cards = page.split('<li class="card">')[1:]
    assert ">260</p>" in cards[0] and "beyond the scale" in cards[0] and cards[0].count('class="mine"') > 5
    # What was read: a column a line, with what it holds.
    assert len(re.findall('<tr><th scope="row">', page.split('id="read"')[1].split('id="meaning"')[0])) == 4


def test_csv_parquet_and_any_number_of_workers_give_the_same_bytes(run):
    for number, (table, workers) in enumerate([("people.csv", 1), ("people.parquet", 1), ("people.csv", 2)]):
        if workers <= (os.cpu_count() or 1):
            assert run(table, *TABLE[1:], "--workers", workers, "--out", f"out{number}")[0] == 0
    for other in ("out1", "out2"):
        for name in ("rows.parquet", "cells.npz", "issues.csv"):
            assert not Path(other).exists() or Path(other, name).read_bytes() == Path("out0", name).read_bytes()
    assert Path("out0/value.json").read_bytes() != Path("out1/value.json").read_bytes()  # Another source.


def test_images_have_patches_for_cells(run, place):
    Path("photos/cat/bad.png").write_bytes(b"no image")
    status, out, lines = run(*IMAGES, "--out", "values")
    assert status == 0 and lines[0] == (
        "memloc: photos: 24 images of 2 classes (cat 12, dog 12), read at 8 x 8 pixels (files: 8 x 8); 1 can't be read "
        "(1 not an image, or not of a known type)"
    )
    assert lines[2] == "memloc: skipped cat/bad.png: not an image, or not of a known type"
    rows = pd.read_parquet("values/rows.parquet")
    assert rows["row"][0] == "cat/00.png" and len(rows) == 24
    arrays = io.load_arrays("values/cells.npz")
    assert arrays["names"].tolist() == ["0,0", "0,1", "1,0", "1,1"] and arrays["values"].shape == (2, 24, 4)
    assert out.split("\n\n")[4].splitlines()[2].split()[:4] == ["cat/04.png", "cat", "0,1", "215"]
    assert json.loads(Path("values/value.json").read_text())["skipped"] == {
        "cat/bad.png": "not an image, or not of a known type"
    }
    assert run(*IMAGES, "--out", "values", "--strict")[0] == 1


def test_a_second_call_has_nothing_to_do_unless_something_changed(run):
    status, out, _ = run(*TABLE, "--out", "values")
    assert status == 0
    before = {name: Path("values", name).stat().st_mtime_ns for name in FILES}
    status, again, lines = run(*TABLE, "--out", "values")
    assert status == 0 and again == out and len(out.splitlines()) > 30
    assert lines[-1] == "memloc: values: already finished, nothing to do; remove the folder to value again"
    assert {name: Path("values", name).stat().st_mtime_ns for name in FILES} == before
    Path("values/cells.npz").unlink()
    assert "nothing to do" not in "".join(run(*TABLE, "--out", "values")[2]) and Path("values/cells.npz").exists()
    table = people()
    table.loc[0, "weight"] = 20
    table.to_csv("people.csv", index=False)
    status, _, lines = run(*TABLE, "--out", "values")
    assert status == 1 and "add --replace" in lines[-1]
    assert "nothing to do" not in "".join(run(*TABLE, "--out", "values", "--replace")[2])
    shutil.rmtree("values")
    status, _, lines = run(*TABLE, "--out", "values")
    assert status == 0 and "nothing to do" not in "".join(lines)


def test_options_of_patterns_may_be_repeated(run):
    status, _, lines = run(*TABLE, "--ignore", "height", "--ignore", "left", "wei*", "--out", "values")
    assert status == 0 and "left out: name (names the rows), height (--ignore), weight (--ignore), left" in lines[0]
    for option in ("--text", "--layers"):
        command = ["value", "t.csv"] if option == "--text" else ["score", "f", "--images", "i"]
        given = build_parser().parse_args([*command, "--out", "o", option, "a", option, "b", "c"])
        assert getattr(given, option[2:]) == ["a", "b", "c"]


def test_a_run_that_failed_while_writing_is_repeated(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(io, "save_arrays", lambda *a: 1 / 0)
        status, _, lines = run(*TABLE, "--out", "values")
    assert status == 1 and "--traceback" in lines[-1] and not any(Path("values").iterdir())
    assert run(*TABLE, "--out", "values")[0] == 0
    assert "unfinished" not in Path("values/value.json").read_text()


@pytest.mark.parametrize("name", sorted(FILES))
def test_foreign_files_are_left_alone(run, name):
    Path("values").mkdir()
    Path("values", name).write_text('{"mine": 1}')
    status, _, lines = run(*TABLE, "--out", "values")
    assert status == 1 and lines == [
        f"memloc: error: out: values has a {name} that isn't memloc's; choose another folder"
    ]
    assert Path("values", name).read_text() == '{"mine": 1}' and len(list(Path("values").iterdir())) == 1


def test_too_few_learners_are_reported(run):
    status, _, lines = run(*TABLE[:-1], "6", "--out", "values")
    assert status == 0 and any("have fewer than 10 learners behind them; raise --learners" in line for line in lines)


def test_help_imports_no_heavy_library_and_a_closed_pipe_is_not_a_failure(place):
    code = "import sys\nfrom memloc import cli\ntry:\n    cli.main(['value', '--help'])\nexcept SystemExit:\n    pass\n"
    code += "assert not {'torch', 'numpy', 'pandas', 'PIL', 'sklearn'} & {*sys.modules}"
    root = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).resolve().parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=root)
    assert "memloc value patients.csv" in done.stdout and "--patch" in done.stdout
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [*MEMLOC, "value", *TABLE, "--out", "values", "--quiet"],
        stdout=write,
        stderr=subprocess.PIPE,
        env=root,
        text=True,
    )
    os.close(write)
    assert process.returncode == 0 and "Error" not in process.stderr, process.stderr
    assert {path.name for path in Path("values").iterdir()} == FILES


# --- How columns are read --------------------------------------------------------------------------------------------


def table(**columns):
    path = Path("table.parquet")
    pd.DataFrame({"y": ["a", "b"] * 4, **columns}).to_parquet(path, index=False)
    return read_table(str(path), label="y")


def test_every_column_is_a_cell_of_variance_one(place):
    found = table(
        number=[1, 2, 3, 4, 5, 6, 7, 8],
        truth=[True, False] * 4,
        text=["x", "x", "y", "z"] * 2,
        constant=[5.0] * 8,
        one=["only"] * 8,
        kind=pd.Categorical(["u", "v"] * 4, categories=["v", "u", "unused"]),
    )
    assert found.cells == ["number", "truth", "text", "constant", "one", "kind"]
    assert found.groups.tolist() == [0, 1, 2, 2, 2, 3, 4, 5, 5]
    variance = np.bincount(found.groups, found.x.var(axis=0))
    np.testing.assert_allclose(variance, [1, 1, 1, 0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(found.x[:, 0], (np.arange(8) - 3.5) / np.arange(8).std())
    # x, y, z make up .5, .25, .25: variances .25, .1875, .1875.
    np.testing.assert_allclose(found.x[:4, 2:5], np.eye(3)[[0, 0, 1, 2]] / np.sqrt(0.625))


def test_what_is_missing_is_marked_in_its_own_cell(place):
    found = table(
        number=[1.0, np.nan, 3, 1, 3, 1, 3, 2], whole=pd.array([1, None] + [2] * 6, dtype="Int64"), text=["x", None] * 4
    )
    assert found.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert (
        found.x[1, 0] == 0 and found.x[:, 1].tolist() == [0, 1] + [0] * 6 and found.x[:, 3].tolist() == [0, 1] + [0] * 6
    )
    np.testing.assert_allclose(found.x[:2, 4:], [[0, np.sqrt(2)], [np.sqrt(2), 0]])
    assert found.about["missing"] == {"number": 1, "whole": 1, "text": 4}
    assert found.remarks[-2:] == [
        "missing values in 2 columns (number 1, whole 1): they count as the column's mean and are marked",
        "missing values in 1 text column (text 4): they count as a text of their own",
    ]
    assert np.isfinite(oob.value(found.x, found.y, groups=found.groups, learners=20).cells).all()


def test_labels_may_be_texts_truth_values_or_whole_numbers(place):
    for labels, classes, y in (
        ([True, False], ["False", "True"], [1, 0]),
        ([10, 2], ["2", "10"], [1, 0]),
        ([2.0, 10.0], ["2", "10"], [0, 1]),
        (pd.Categorical(["u", "v"]), ["u", "v"], [0, 1]),
    ):
        found = table(y=list(labels) * 4, x=np.arange(8.0))
        assert found.classes == classes and found.y.tolist() == y * 4
    assert found.rows == list("01234567")


def test_ids_stay_as_they_are_written(place):
    long = "123456789012345678"
    written("t.csv", f"i,y,a\n000,u,1\n001,v,2\nNA,u,3\n{long},v,4\n")
    assert read_table("t.csv", label="y", id="i").rows == ["000", "001", "NA", long]
    whole = [int(long), int(long) + 1, 3, 4]
    pd.DataFrame({"i": whole, "y": list("uvuv"), "a": whole}).to_parquet("t.parquet")
    assert read_table("t.parquet", label="y", id="i").rows == [str(i) for i in whole]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["1", None, None, "2"], "id: 2 rows have no i, the first is row 1 (from 0); fill it in or run without --id"),
        (["1", None, "2", "3"], "id: 1 row has no i, the first is row 1 (from 0)"),
        (["1", "2", "2", "3"], "id: 1 row repeats the i of an earlier row, the first is 2; name"),
        (
            ["1", "2", "2", "1"],
            "id: 2 rows repeat the i of an earlier row, the first is 2; name a column that differs in every row",
        ),
    ],
)
def test_ids_must_be_there_and_differ(place, ids, message):
    made = pd.DataFrame({"i": ids, "y": list("uvuv"), "a": [1, 2, 3, 4]})
    made.to_csv("t.csv", index=False)
    made.to_parquet("t.parquet")
    for name in ("t.csv", "t.parquet"):
        with pytest.raises(InputError) as error:
            read_table(name, label="y", id="i")
        assert str(error.value).startswith(message)


def from_both(made):
    """A table from CSV and, the same, from Parquet."""
    made.to_csv("t.csv", index=False)
    made.to_parquet("t.parquet")
    one, other = (read_table(name, label="y") for name in ("t.csv", "t.parquet"))
    np.testing.assert_array_equal(one.x, other.x)
    assert one.classes == other.classes and one.about["missing"] == other.about["missing"]
    return one


def test_words_for_nothing_are_texts_of_csv_as_of_parquet(place):
    words = ["None", "NA", "null", "nan", "", "x"]
    made = pd.DataFrame({"y": ["None", "some"] * 3, "a": [w or None for w in words], "n": [1.0, None, 3, 4, 5, 6]})
    source = from_both(made)
    assert source.classes == ["None", "some"] and source.about["missing"] == {"a": 1, "n": 1}
    assert source.x.shape == (6, 8)


def test_truth_values_with_gaps_are_truth_values_in_csv_as_in_parquet(place):
    truth = pd.array([True, False, None, True], dtype="boolean")
    source = from_both(pd.DataFrame({"y": list("uvuv"), "b": truth}))
    assert source.x.shape == (4, 2) and source.x[2].tolist() == [0, 1] and source.about["missing"] == {"b": 1}
    assert source.x[0, 0] == source.x[3, 0] > 0 > source.x[1, 0]


def test_columns_are_left_out_by_pattern(place):
    found = read_table("people.csv", label="who", id="name", ignore=["*eight", "left"])
    assert found.cells == ["school"] and found.rows[3] == "p03"


def test_grey_images_keep_one_channel_and_colours_three(place):
    options = {"part": "train", "strict": False, "config": Path("config.yaml")}
    grey = read_images("photos", size=8, patch=3, **options)
    assert grey.x.shape == (24, 64) and grey.groups.max() == 8 and grey.cells[-1] == "2,2"
    assert grey.groups.reshape(8, 8)[[0, 2, 3, 7], [0, 3, 3, 7]].tolist() == [0, 1, 4, 8]
    assert grey.x.min() >= 0 and grey.x.max() <= 1 and grey.x[0, 0] == 40 / 255
    Image.new("RGB", (8, 8), (200, 10, 10)).save("photos/dog/red.png")
    colour = read_images("photos", size=8, patch=4, **options)
    assert colour.x.shape == (25, 192) and colour.groups[:64].tolist() == colour.groups[128:].tolist()


def test_whole_numbers_beyond_64_bits_are_numbers(place):
    big = [10**20 * value for value in (1, 2, 3, 2)]
    written("t.csv", "y,a\n" + "".join(f"{label},{value}\n" for label, value in zip("uvuv", big, strict=True)))
    np.testing.assert_allclose(read_table("t.csv", label="y").x[:, 0], table(y=list("uvuv"), x=[1, 2, 3, 2.0]).x[:, 0])
    written("l.csv", "y,a\n" + f"{big[0]},1\n{big[1]},2\n" * 2)
    assert read_table("l.csv", label="y").classes == [str(value) for value in big[:2]]


# --- Bad input -------------------------------------------------------------------------------------------------------


def test_a_folder_named_like_a_table_is_a_folder(run, place):
    Path("photos").rename("photos.csv")
    assert run("photos.csv", *IMAGES[1:], "--out", "values")[0] == 0


def test_images_need_two_a_class_and_every_class_some_that_can_be_read(run, place):
    for kind in ("cat", "dog", "eel"):
        Path("few", kind).mkdir(parents=True)
        Image.new("L", (8, 8)).save(f"few/{kind}/0.png")
    message = "images: few has 3 classes in 3 rows; give two or more classes, with two or more rows on average"
    assert run("few", "--out", "values")[::2] == (1, [f"memloc: error: {message}"])
    for path in Path("photos/dog").iterdir():
        path.write_bytes(b"no image")
    message = "images: photos: none of class dog can be read; repair or remove them"
    assert run(*IMAGES, "--out", "values")[::2] == (1, [f"memloc: error: {message}"])


def written(path, text):
    Path(path).write_text(text)
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["people.csv", "--label", "age"], "label: people.csv has no column age; it has name, height, weight"),
        (["people.csv", "--label", "who", "--id", "x"], "id: people.csv has no column x"),
        (["people.csv", "--label", "who", "--id", "who"], "id: who is the label"),
        (["people.csv", "--label", "who", "--ignore", "nam"], "ignore: no column of people.csv fits nam"),
        (["people.csv", "--label", "who", "--ignore", "*"], "people.csv: no columns besides the label"),
        (["people.csv", "--label", "height"], "label: height holds fractions, not classes; divide it"),
        (["people.csv", "--label", "name"], "label: name has 80 classes in 80 rows"),
        ([*TABLE[:3], "--learners", "0"], "learners: 0; give 1 to 1000000"),
        ([*TABLE[:3], "--ratio", "0"], "ratio: 0.0; give a share"),
        ([*TABLE[:3], "--ratio", "nan"], "ratio: nan; give a share"),
        ([*TABLE[:3], "--seed", "-1"], "seed: -1"),
        ([*TABLE[:3], "--workers", "0"], "workers: 0; give 1 to"),
        (["nothing.csv", "--label", "y"], "nothing.csv: no such file"),
        (
            ["photos/cat/00.png", "--label", "y"],
            "photos/cat/00.png: not a .csv, .csv.gz, .tsv, .tsv.gz, .xlsx or .parquet file",
        ),
        (["photos", "--label", "y"], "source: photos is not a table; --label, --id, --ignore and --text need one"),
        (["photos", "--patch", "9", "--size", "8"], "patch: 9; give 1 to 8"),
        (["photos/cat"], "images: photos/cat: no classes; put images into subfolders named by class"),
        (["absent"], "images: 'absent': no such folder"),
    ],
)
def test_what_cannot_be_valued_is_reported_in_one_line(run, arguments, message):
    status, out, lines = run(*arguments, "--out", "values")
    # Where columns or the label are at fault, a look at the columns comes first.
    assert status == 1 and out == ""
    assert len(lines) == 1 or lines[0].startswith(("memloc: height: ", "memloc: name: "))
    assert lines[-1].startswith(f"memloc: error: {message}")
    assert not Path("values").exists()


def test_without_a_label_it_is_a_look_that_says_how_to_go_on(run, place):
    made = people().rename(columns={"name": "patient"})
    made["patient"] = np.arange(1, 81)
    made.to_csv("people.csv", index=False)
    status, out, lines = run("people.csv", "--out", "values")
    assert status == 0 and "nothing is valued" in out and not Path("values").exists()
    assert out.endswith("to go on: memloc value people.csv --label who --id patient --out values\n")
    assert any(line.startswith("memloc: patient: numbers; ") and "mere numbers of the rows" in line for line in lines)


def test_classes_that_differ_by_case_alone_are_no_wrong_labels(run, place):
    made = people()
    made.loc[[3, 4], "who"] = ["Child", "GROWN-UP"]
    made.to_csv("people.csv", index=False)
    status, out, _ = run(*TABLE, "--out", "values")
    lines = out.splitlines()
    assert status == 0 and lines[0].startswith("No label of 80 is contradicted")
    assert lines[1].startswith("2 rows have labels that differ from a commoner one by case")
    assert "('Child' 1, 'GROWN-UP' 1): not counted as wrong" in lines[1]
    assert not pd.read_csv("values/issues.csv").loc[[3, 4], "is_label_issue"].any()
    assert f'<p class="lead">{lines[1].split(" (")[0]}' in Path("values/index.html").read_text()


@pytest.mark.parametrize(
    ("out", "fault"),
    [
        ("people.csv", " is a file; name a folder"),
        *((out, ": can't be written to (") for out in ("people.csv/values", "v" * 300, "/proc/values")),
    ],
)
def test_out_is_tried_before_anything_is_computed(run, monkeypatch, out, fault):
    monkeypatch.setattr("memloc.cli.value.value", lambda *a, **k: pytest.fail("computed"))
    status, _, lines = run(*TABLE, "--out", out)
    assert status == 1 and len(lines) == 1 and lines[0].startswith(f"memloc: error: out: {out}{fault}")


def test_a_full_disk_is_reported_with_the_way_out(run, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(io, "save_arrays", full)
    status, _, lines = run(*TABLE, "--out", "values")
    assert status == 1 and lines[-1] == (
        "memloc: error: the disk is full; free some space and run the same command again, it starts from the beginning"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "can't be read"),
        ("y,a\n", "no rows"),
        ("y,a\n0,1,2\n1,2,3\n0,1,2\n1,2,3\n", "rows have more fields than the first line has names"),
        ("y,a\n0,1\n1,2\n0,3\n,4\n", "label: 1 row has no y, the first is row 3 "),
        ("y,a\n0,1\n0,2\n0,3\n0,4\n", "label: y has 1 classes in 4 rows"),
        ("y,a\n0,inf\n1,2\n0,3\n1,4\n", "a: holds infinity"),
        ("y,a\n0,1e300\n1,-1e300\n0,3\n1,4\n", "a: holds infinity or numbers too large"),
        ("y,a,b\n0,,1\n1,,2\n0,,3\n1,,4\n", "a: no value in any row"),
        ("y,a\n" + "".join(f"{i % 2},t{i}\n" for i in range(202)), "a: 202 different texts"),
    ],
)
def test_damaged_tables_are_named(place, text, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")) as error:
        read_table(written("t.csv", text), label="y")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("patient_id", [*range(1, 8), None], "mere numbers of the rows"),
        ("patient_id", [5.0, 3, 9, 27, 1, 80, 7, None], "names of the rows, it seems, another number in each"),
        ("born", [20200101, 20200102, 20210303, None] * 2, "dates as whole numbers"),
        ("weight", [5.5, 3, 9, 27, 1, 80, 7, None], ""),
    ],
)
def test_gaps_hide_no_names_of_rows(name, values, said):
    y = np.arange(8) % 2
    assert said in remark_on(pd.Series(values, name=name, dtype=float), NUMBERS, y) or not said
    assert bool(remark_on(pd.Series(values, name=name, dtype=float), NUMBERS, y)) == bool(said)


def test_names_of_columns_are_those_that_are_told(place):
    text = ",Unnamed: 0,x*,xy,y\n" + "".join(f"{i},{i},{i * i},{i % 3},{i % 2}\n" for i in range(8))
    found = read_table(written("twice.csv", "\ufeff\ufeff" + text), label="y", ignore=["x*"])
    assert found.cells == ["Unnamed: 1", "Unnamed: 0", "xy"]


def test_clear_columns_say_what_a_comma_or_a_point_is(place):
    def read(clear):
        rows = "".join(
            f"{a};{clear};{c};{'uv'[i % 2]}\n" for i, (a, c) in enumerate([("1,500", "5.903"), ("900", 0)] * 4)
        )
        return read_table(written("t.csv", f"a;b;c;y\n{rows}"), label="y")

    assert read("50.94").columns[0][:2].tolist() == [1500, 900]
    found = read("50,94")
    assert found.columns[0][:2].tolist() == [1.5, 900]
    assert any(line.startswith("c: '.' is taken for the decimal mark, as in '5.903'") for line in found.remarks)


def test_a_workbook_says_which_formulas_were_never_computed_and_which_sheet_has_no_rows(place):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [("y", "a", "b"), *(("uv"[i % 2], i, "=B2*2" if i == 3 else i) for i in range(8))]:
        book.active.append(row)
    book.save("t.xlsx")
    assert any(
        "1 formula was never computed" in line and "C5" in line for line in read_table("t.xlsx", label="y").remarks
    )
    book.create_sheet("Notes", 0).append(["y", "a"])
    book.save("t.xlsx")
    with pytest.raises(InputError, match=r"t.xlsx: sheet 'Notes' has no rows; put the sheet of the table first"):
        read_table("t.xlsx", label="y")


def test_what_is_not_looked_for_is_said(place, monkeypatch):
    monkeypatch.setattr("memloc.valuation.issues.DEVIATING", 10)
    valued = memloc.value(pd.DataFrame({"y": list("uv") * 8, "a": range(16)}), label="y", learners=5, quiet=True)
    assert "weren't held against the rest of their row" in valued.verdict
    assert "weren’t held against the rest of their row" in valued.page("page.html").read_text()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[1], [2]], "y holds mixed; make it text, true and false or whole numbers, or name another column"),
        ([b"a", b"b"], "y holds bytes; "),
        (pd.to_datetime(["2020-01-01", "2020-01-02"]), "y holds datetime64; "),
        (pd.Categorical(pd.to_datetime(["2020-01-01", "2020-01-02"])), "y holds datetime64; "),
        (["a", 1], "y holds mixed-integer; "),
        ([1j, 2j], "y holds complex; "),
        ([1.0, np.inf], "y holds infinity or numbers from 2^63 on; make it text or name another column"),
        ([2.0**63, 2.0**64], "y holds infinity or numbers from 2^63 on; "),
        ([1.0, -1e300], "y holds infinity or numbers from 2^63 on; "),
        ([1.0, 1.5], "y holds fractions, not classes; "),
    ],
)
def test_labels_that_are_not_classes_are_refused(labels, message):
    with pytest.raises(InputError) as error:
        _classes(pd.Series([*labels] * 4 if not isinstance(labels, pd.Categorical) else labels, name="y"))
    assert str(error.value).startswith(f"label: {message}")


def test_other_damage(place):
    Path("t.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match="can't be read"):
        read_table("t.parquet", label="y")
    dates = pd.date_range("2020-01-01", periods=8)
    for column, kind in (
        ([[1], [2]] * 4, "mixed"),
        (dates, "datetime64"),
        ([None] * 8, "empty"),
        ([1j] * 8, "complex"),
    ):
        with pytest.raises(InputError, match=f"x: holds {kind}; make it numbers or text, or leave it out"):
            read_column(pd.Series(column, name="x"))


def test_columns_of_one_name_are_refused(place):
    columns = [pa.array(list("uvuv")), pa.array([1.0, 2, 3, 4]), pa.array([1.0, 2, 3, 4])]
    pq.write_table(pa.table(columns, names=["y", "a", "a"]), "t.parquet")
    with pytest.raises(InputError, match=r"t.parquet: two columns are called a; rename one"):
        read_table("t.parquet", label="y")


def test_a_table_that_declares_more_than_memory_holds_is_not_read(place):
    # A run of equal values takes no room, however long.
    rows = pa.table({"y": pa.array(["u"] * 1_000_000).dictionary_encode(), "a": pa.array(np.zeros(1_000_000))})
    with pq.ParquetWriter("t.parquet", rows.schema) as writer:
        for _ in range(30):
            writer.write_table(rows, row_group_size=1_000_000)
    assert Path("t.parquet").stat().st_size < 1_000_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 100_000}[name])
        with pytest.raises(InputError, match=r"t.parquet: 30000000 rows of 2 columns, more than memory holds"):
            read_table("t.parquet", label="y")


def test_cells_without_learners_are_not_among_the_lowest(place, capfd):
    pd.DataFrame({"y": list("uvuvuv"), "a": [1, 2, 3, 4, 5, 7], "b": [3, 1, 4, 1, 5, 9]}).to_csv("few.csv", index=False)
    for learners in ("1", "4"):
        assert cli.main(["value", "few.csv", "--label", "y", "--learners", learners, "--out", learners]) == 0
        out = capfd.readouterr().out
        assert "inf" not in out and "Empty" not in out
        last = out.split("cells furthest below")[1].strip().splitlines()[1:]
        assert last == ["none"] if learners == "1" else all(int(line.split()[-1]) > 0 for line in last[1:])
        table = pd.read_csv(f"{learners}/issues.csv")
        assert (
            table["odd_cell_below_row"].isna() == (pd.read_parquet(f"{learners}/rows.parquet")["learners"] == 0)
        ).all()
