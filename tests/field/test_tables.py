"""Tables as users have them: what comes out of each, and what is said of it."""

import datetime
import decimal
import gzip
import json
import logging
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memloc import cli
from memloc.errors import InputError
from memloc.valuation import oob
from memloc.valuation.sources import UnfitError, read_table

NUMBERS = [str(value) for value in (3.5, 1.25, 4, 8, 16, 0.5, 7, 2.75, 11, 6)]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def csv(cells, name="a", **columns):
    """A CSV with the column ``a`` of these texts, labels u, v, u, v, ... and another column."""
    columns = {"y": ["u", "v"] * len(cells), name: cells, **columns}
    lines = [",".join(columns), *(",".join(map(quoted, line)) for line in zip(*columns.values(), strict=False))]
    Path("t.csv").write_text("\n".join(lines) + "\n")
    return "t.csv"


def quoted(text):
    return f'"{text}"' if "," in text else text


def parquet(cells, **columns):
    pq.write_table(pa.table({"y": ["u", "v"] * (len(cells) // 2), "a": cells, **columns}), "t.parquet")
    return "t.parquet"


def written(content, name="t.csv"):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def read(path, **options):
    return read_table(path, **{"label": "y", **options})


def said(source):
    return "\n".join(source.remarks)


def complaint(path, **options):
    with pytest.raises(InputError) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def standardised(numbers):
    """[n, 1], or [n, 2] with a mark of what is missing."""
    numbers = np.array(numbers, dtype=float)
    gaps = np.isnan(numbers)
    x = np.where(gaps, 0, (numbers - np.nanmean(numbers)) / (np.nanstd(numbers) or 1))
    return np.stack([x, gaps], axis=1) if gaps.any() else x[:, None]


def both(cells):
    """A column of texts, from CSV and from Parquet: the same."""
    one, other = read(csv(cells)), read(parquet([cell or None for cell in cells]))
    np.testing.assert_array_equal(one.x, other.x)
    assert {key: one.about[key] for key in ("odd", "missing", "columns")} == {
        key: other.about[key] for key in ("odd", "missing", "columns")
    }
    return one


# --- What was taken --------------------------------------------------------------------------------------------------


def test_what_was_taken_is_one_line_before_the_work_and_in_value_json(capsys):
    table = pd.DataFrame(
        {
            "who": ["child", "adult", "child", "child"] * 5,
            "name": [f"p{i}" for i in range(20)],
            "height": [1.5, None, 3.25, 2] * 5,
            "left": [True, False, False, True] * 5,
            "school": ["x", "y", "y", "y"] * 5,
            "note": ["free"] * 20,
        }
    )
    table.to_csv("t.csv", index=False)
    log = logging.getLogger("memloc")
    handlers, level = log.handlers, log.level
    command = ["value", "t.csv", "--label", "who", "--id", "name", "--ignore", "note", "--learners", "20", "--quiet"]
    try:
        assert cli.main([*command, "--out", "out"]) == 0
    finally:
        log.handlers = handlers
        log.setLevel(level)
    told = (
        "t.csv: 20 rows, 3 columns: 1 of numbers, 1 of true or false, 1 of text (school), 5 missing values;"
        " label who: child 15, adult 5; left out: name (names the rows), note (--ignore)"
    )
    assert capsys.readouterr().err.splitlines()[0] == f"memloc: {told}"
    meta = json.loads(Path("out/value.json").read_text())
    assert meta["remarks"][0] == told and meta["labels"] == {"adult": 5, "child": 15}
    assert meta["columns"] == {"height": "numbers", "left": "true or false", "school": "text"}
    assert meta["missing"] == {"height": 5} and meta["odd"] == {}
    assert meta["left_out"] == ["name (names the rows)", "note (--ignore)"]


# --- Numbers that aren't ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["NA", "?", "high", "n/a", "nan", "null", "-", "1;5", "5 kg", "=A1", "1.2.3", "0x1F"])
def test_a_text_among_numbers_is_missing_and_named(text):
    source = both([*NUMBERS[:4], text, *NUMBERS[5:]])
    np.testing.assert_allclose(source.x, standardised([*map(float, NUMBERS[:4]), np.nan, *map(float, NUMBERS[5:])]))
    assert source.about["odd"] == {"a": {text: [4]}} and source.about["missing"] == {"a": 1}
    assert f"a: 1 of 10 entries is no number, counted as missing: '{text}' in row 4" in said(source)
    assert source.holds(4, 0) == text


def test_cells_are_named_by_the_names_of_their_rows():
    source = read(csv([*NUMBERS, "high", "NA", "high"], i=[f"p{i}" for i in range(13)]), id="i")
    assert "a: 3 of 13 entries are no numbers, counted as missing: 'high' in rows p10, p12, 'NA' in row p11" in said(
        source
    )


def test_an_empty_cell_beside_a_text_is_missing_but_not_odd():
    source = both([*NUMBERS[:8], "", "high"])
    assert source.about["missing"] == {"a": 2} and source.about["odd"] == {"a": {"high": [9]}}


def test_a_typing_error_stays_the_lowest_row_when_another_cell_is_a_text():
    rng = np.random.default_rng(0)
    numbers = [f"{value:.3f}" for value in rng.normal(size=200) + 4 * (np.arange(200) % 2)]
    numbers[7] = "400"
    other = [f"{value:.3f}" for value in rng.normal(size=200)]
    ranks = []
    for odd in ("0.5", "NA"):
        numbers[50] = odd
        source = read(csv(numbers, b=other))
        values = oob.value(source.x, source.y, groups=source.groups, learners=300)
        ranks.append(int((values.rows[1] < values.rows[1][7]).sum()))
    assert ranks == [0, 0]


@pytest.mark.parametrize(
    ("cells", "numbers", "told"),
    [
        (["1,5", "2,25", "3", "1,5", "7"], [1.5, 2.25, 3, 1.5, 7], "',' is taken for the decimal mark: '1,5' in row 0"),
        (
            ["1", "1,5", "3", "2,5", "7"],
            [1, 1.5, 3, 2.5, 7],
            "',' is taken for the decimal mark: '1,5' in row 1 is 1.5",
        ),
        (["0,125", "1,500", "2,250"], [0.125, 1.5, 2.25], "',' is taken for the decimal mark"),
        (["1,500", "900", "2,250"], [1500, 900, 2250], "',' is taken for a mark between thousands: '1,500' in row 0"),
        (["1,234,567.5", "9", "2,250"], [1234567.5, 9, 2250], "',' is taken for a mark between thousands"),
        (["1.234.567,5", "9", "2.250"], [1234567.5, 9, 2250], "'.' is taken for a mark between thousands"),
        (["1 500", "2\u00a0000", "7"], [1500, 2000, 7], "' ' is taken for a mark between thousands"),
        (["1'500", "2’000", "7"], [1500, 2000, 7], "''' is taken for a mark between thousands"),
        (["50%", "12.5 %", "7%"], [50, 12.5, 7], "the unit % is left out: '50%' in row 0 is 50"),
        (["$50", "-$12.5", "$ 7"], [50, -12.5, 7], "the unit $ is left out: '$50' in row 0 is 50"),
        (["1.500,5 €", "9 €", "7 €"], [1500.5, 9, 7], "the unit € is left out, '.' is taken for a mark between"),
        (["−5", "2.5", "7"], [-5, 2.5, 7], ""),
        (["1", " 2.5 ", "-7e2", "x"], [1, 2.5, -700, np.nan], "'x' in row 3"),
        (["9223372036854775808", "-5", "7"], [2.0**63, -5, 7], ""),
        (["100000000000000000000", "3e19", "7", "high"], [1e20, 3e19, 7, np.nan], "'high' in row 3"),
    ],
)
def test_numbers_in_other_notations_are_numbers_and_that_is_said(cells, numbers, told):
    rare = "x" in cells or "high" in cells
    cells, numbers = (cells, numbers) if rare else (cells * 2, numbers * 2)
    for path in (csv(cells), parquet(cells)):
        if path == "t.parquet" and not told:
            continue  # There, texts that are all common are categories.
        source = read(path)
        np.testing.assert_allclose(source.x, standardised(numbers), err_msg=path)
        assert source.about["columns"] == {"a": "numbers"} and told in said(source)


@pytest.mark.parametrize(
    "odd",
    [
        "1,5",  # Beside decimal points.
        "1,500",  # Beside 1200 it may be either.
        "$5",
        "50%",
    ],
)
def test_one_cell_in_another_notation_is_missing_and_named(odd):
    source = both(["1.5", "1200", "2.5", "7000", "3", "4", "5", odd])
    np.testing.assert_allclose(source.x, standardised([1.5, 1200, 2.5, 7000, 3, 4, 5, np.nan]))
    assert f"'{odd}' in row 7" in said(source)


def test_one_decimal_comma_among_whole_numbers_is_missing_and_named():
    source = both(["1", "2", "3", "1,5", "7", "9"])
    np.testing.assert_allclose(source.x, standardised([1, 2, 3, np.nan, 7, 9]))
    assert "'1,5' in row 3" in said(source)


def test_many_odd_cells_are_all_in_value_json_and_some_in_the_line():
    cells = [str(i) for i in range(200)] + [f"bad{i}" for i in range(30)] + ["NA"] * 50
    source = read(csv(cells))
    assert source.about["odd"]["a"]["NA"] == list(range(230, 280)) and len(source.about["odd"]["a"]) == 31
    line = next(remark for remark in source.remarks if "are no numbers" in remark)
    assert line.startswith("a: 80 of 280 entries") and "and 21 more" in line and len(line) < 700


@pytest.mark.parametrize(
    "cells",
    [
        ["0", "1", "2", "3+"] * 5,  # Every text is common.
        ["36", "38", "S", "M"] * 5,
        ["x", "y", "z", "1"] * 5,
        ["12a", "12b", "7", "12a"] * 5,
    ],
)
def test_texts_with_numbers_among_them_stay_texts_and_that_is_said(cells):
    source = both(cells)
    assert source.x.shape == (20, len(set(cells))) and source.about["odd"] == {}
    assert source.about["columns"] == {"a": "text"} and "numbers among texts count as texts" in said(source)


def test_infinity_is_refused():
    for cell in ("inf", "-Infinity", "1e400", "9" * 400):
        assert complaint(csv([*NUMBERS, cell])).startswith("a: holds infinity or numbers too large")
        assert complaint(csv([*NUMBERS, cell, "high"])).startswith("a: holds infinity or numbers too large")
    assert complaint(parquet([1.0, np.inf, 2.0, 3.0])).startswith("a: holds infinity or numbers too large")


def test_a_third_common_text_beside_truth_values_makes_categories():
    assert both(["true", "false", "perhaps", "true"] * 2).about["columns"] == {"a": "text"}


@pytest.mark.parametrize("odd", ["NA", "?", "maybe"])
def test_truth_values_with_gaps_stay_truth_values(odd):
    source = both(["True", "false", " TRUE", "False", "true", odd, "", "False"])
    np.testing.assert_allclose(source.x, standardised([1, 0, 1, 0, 1, np.nan, np.nan, 0]))
    assert source.about["columns"] == {"a": "true or false"} and source.about["missing"] == {"a": 2}
    assert f"1 of 8 entries is no truth value, counted as missing: '{odd}' in row 5" in said(source)


def test_leading_zeros_are_said_and_codes_can_be_texts():
    cells = ["01234", "12345", "12345", "01234"]
    source = read(csv(cells))
    assert source.x.shape == (4, 1)
    assert "numbers such as 007 or 1E3 count as 7 or 1000; if they are codes, use --text: a" in said(source)
    source = read(csv(cells), text=["a"])
    assert source.x.shape == (4, 2) and source.about["columns"] == {"a": "text"} and source.holds(0, 0) == "01234"
    assert read(csv(["1", "2", "2", "1"], y=["01", "1", "1", "01"]), text=["y"]).classes == ["01", "1"]
    source = read(parquet(cells))
    assert source.x.shape == (4, 2) and source.about["columns"] == {"a": "text"}
    assert "a: numbers with leading zeros count as codes, each a category" in said(source)
    assert complaint(csv(cells), text=["b"]) == "text: no column of t.csv fits b; check its spelling"


def test_dates_are_texts_and_that_is_said():
    for cells in (["2020-01-31", "2020-02-01"], ["31.1.2020", "1.2.2020"], ["1/31/2020", "2/1/2020"]):
        source = both(cells * 2)
        assert source.about["columns"] == {"a": "text"} and "a: dates count as texts" in said(source)


def test_texts_that_differ_in_case_or_blanks_are_named():
    assert (
        "a: texts that differ in case, blanks or invisible characters alone count as different: 'Yes', 'yes '"
        in said(both(["Yes", "no", "yes ", "no"]))
    )


def test_few_remarks_on_columns_are_shown_and_all_are_in_value_json():
    source = read(csv([*NUMBERS, "x"], **{f"c{i:02}": [*NUMBERS, "x"] for i in range(30)}))
    assert sum("is no number" in line for line in source.remarks) == 10
    assert "21 more such remarks on columns, all in value.json" in source.remarks
    assert sum("is no number" in line for line in source.about["remarks"]) == 31


# --- Columns that may not belong there -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cells", "told"),
    [
        ("", ["0", "1", "2", "3"], "Unnamed: 1: mere numbers of the rows"),
        ("Unnamed: 0", ["2", "0", "3", "1"], "Unnamed: 0: mere numbers of the rows"),
        ("index", ["8", "1", "5", "2"], "index: mere numbers of the rows"),
        ("a", ["101", "102", "105", "109"], "a: mere numbers of the rows"),
        ("a", ["4", "3", "2", "1"], "a: mere numbers of the rows"),
        ("a", ["7", "5", "8", "6"], "a: mere numbers of the rows"),
        ("a", ["5", "5", "5", "5"], "a: the same in all rows, which says nothing"),
        ("a", ["x", "x", "x", "x"], "a: the same in all rows, which says nothing"),
        ("a", ["m", "n", "m", "n"], "a: one value for each class, which gives the label away"),
        ("a", ["1", "0", "1", "0"], "a: one value for each class, which gives the label away"),
        ("a", ["u", "v", "u", "v"], "a: one value for each class, which gives the label away"),
        ("a", ["p4", "p1", "p8", "p2"], "a: another text in every row"),
        ("a", [str(2**53 + 1), "5", "5", "7"], "a: whole numbers beyond 2^53, which are rounded"),
        ("patient_id", ["9041", "1733", "5210", "3108"], "patient_id: names of the rows, it seems, another number"),
        ("patientId", ["9041", "1733", "5210", "3108"], "patientId: names of the rows, it seems"),
        ("admission_date", ["43831", "44012", "43831", "45010"], "admission_date: times as whole numbers"),
        ("idle", ["9041", "1733", "5210", "3108"], ""),
        ("a", ["3", "5", "5", "4"], ""),
        ("a", ["1.5", "2.5", "3.5", "4.5"], ""),
        ("a", ["3", "9", "1", "4"], ""),
    ],
)
def test_columns_that_may_not_belong_there_are_remarked(name, cells, told):
    source = read(csv(cells, name=name, b=["4", "4", "9", "7"]))
    assert told in said(source) if told else len(source.remarks) == 1


def test_many_columns_of_one_fault_are_one_line():
    source = read(csv(["1", "2"] * 4, **{f"c{i:02}": ["5"] * 8 for i in range(30)}))
    lines = [line for line in source.remarks if "the same in all rows" in line]
    assert len(lines) == 1 and lines[0].startswith("c00, c01, ") and "c09 and 20 more: the same" in lines[0]


# --- Labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "classes", "told"),
    [
        (
            ["Yes", "yes ", "no", "no", "no", "Yes"],
            ["Yes", "no", "yes "],
            "y: classes that differ in case, blanks or invisible characters alone count as",
        ),
        (["u", "v", "NA", "u", "v", "NA"], ["NA", "u", "v"], "y: classes that may stand for a missing label: 'NA'"),
        (["u", "u", "v", "v", "w", "u"], ["u", "v", "w"], "y: classes of one row, whose value is 0 whatever it holds"),
        (["1.0", "2.0", "1.0", "2.0"], ["1", "2"], ""),
        (["0", "1", "1", "0", "x", "0"], ["0", "1", "x"], "y: classes of one row, whose value is 0 whatever it holds"),
        (["01", "1", "2", "2"], ["1", "2"], "numbers such as 007 or 1E3 count as 7 or 1000; if they are codes, use"),
        ([str(i // 2) for i in range(200)], None, "y: 100 classes in 200 rows; if it is a quantity, divide it"),
    ],
)
def test_labels_are_counted_and_remarked(labels, classes, told):
    source = read(csv([str((7 * i) % 5) for i in range(len(labels))], y=labels))
    assert classes is None or source.classes == classes
    counts = pd.Series([source.classes[c] for c in source.y]).value_counts().to_dict()
    assert source.about["labels"] == counts and told in said(source)


def test_naming_the_rows_is_advised_where_nothing_names_them():
    odd = {"b": ["p4", "p1", "p8", "p2"], "c": ["1", "2", "3", "4"], "d": [str(2**53 + 1), "5", "5", "7"]}
    for id, advised in ((None, True), ("i", False)):
        path = csv(["1", "2", "4", "3"], i=["w", "x", "y", "z"], **odd)
        remarks = [remark for remark in read(path, id=id).remarks if "leave them out (--ignore)" in remark]
        assert len(remarks) == 3 and all(("(--id)" in remark) == advised for remark in remarks)
        many = csv(["1"] * 101, i=[f"i{n}" for n in range(101)], b=[f"b{n}" for n in range(101)])
        line = complaint(many, id=id, ignore=[] if id else ["i"])
        assert "101 different texts" in line and line.startswith("b") and ("(--id)" in line) == advised


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["u", "", "v", "u"], "label: 1 row has no y, the first is row 1 (from 0); fill it in or remove the row"),
        (["1.5", "2.5", "1.5", "2.5"], "label: y holds fractions, not classes; divide it into classes"),
        (["1", "2", "3", "4"], "label: y has 4 classes in 4 rows"),
        (["1e300", "2", "1e300", "2"], "label: y holds infinity or numbers from 2^63 on"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, told):
    assert complaint(csv(["1", "2", "4", "3"], y=labels)).startswith(told)


# --- Files -----------------------------------------------------------------------------------------------------------

ROWS = "u,1\nv,2\nu,4\nv,7\n"


@pytest.mark.parametrize(
    "content",
    [
        "y,a\n" + ROWS,
        b"\xef\xbb\xbfy,a\n" + ROWS.encode(),
        b'\xef\xbb\xbf"y","a"\n' + ROWS.encode(),
        "y,a\r\nu,1\nv,2\r\nu,4\nv,7\r\n",
        "y,a\r" + ROWS.replace("\n", "\r"),
        '"y","a"\n' + ROWS,
        "y,a\n" + ROWS.rstrip("\n"),
    ],
)
def test_bytes_that_tell_nothing_change_nothing(content):
    source = read(written(content))
    np.testing.assert_array_equal(source.x, standardised([1, 2, 4, 7]))
    assert source.classes == ["u", "v"] and "left out: nothing" in source.remarks[0]


FOREIGN = "y;größe;n\nja;1,5;1,500\nnein;2,25;900\nja;3;2,250\nnein;4,5;7\n"
PACKED = gzip.compress(FOREIGN.encode())


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", FOREIGN.encode("utf-8-sig"), "UTF-8 with a byte order mark"),
        ("t.csv", FOREIGN.encode("utf-16"), "UTF-16, as its first bytes say"),
        ("t.csv", FOREIGN.encode("utf-16-le"), "UTF-16 (LE), as every other byte is NUL"),
        ("t.csv", FOREIGN.encode("utf-16-be"), "UTF-16 (BE), as every other byte is NUL"),
        ("t.csv", FOREIGN.encode("latin-1"), "not UTF-8, read as Windows-1252 (Latin-1): line 1 has 'y;größe;n'"),
        ("t.csv", b"sep=;\r\n" + FOREIGN.encode(), "fields are separated by ';'"),
        ("t.CSV.gz", PACKED, "fields are separated by ';'"),
        ("t.tsv", FOREIGN.replace(";", "\t").encode(), "fields are separated by tabs"),
        ("t.csv", FOREIGN.replace(";", "|").encode(), "fields are separated by '|'"),
        ("t.csv", FOREIGN.replace(";", "\t").encode("utf-16"), "fields are separated by tabs"),
    ],
)
def test_separators_and_encodings_are_found_and_said(name, content, told):
    source = read(written(content, name))
    assert source.classes == ["ja", "nein"] and source.cells == ["größe", "n"] and told in said(source)
    np.testing.assert_array_equal(source.columns[0], [1.5, 2.25, 3, 4.5])
    # Beside semicolons a comma is rather the decimal mark; elsewhere 1,500 is.
    np.testing.assert_array_equal(
        source.columns[1],
        [1.5, 900, 2.25, 7] if b";" in content.replace(b"\0", b"") or "gz" in name else [1500, 900, 2250, 7],
    )


@pytest.mark.parametrize("encoding", ["cp1251", "shift_jis"])
def test_other_alphabets_are_found(encoding):
    rows = {
        "cp1251": "врач принимает больных,{}\nпациент ждёт приёма в больнице,{}\n",
        "shift_jis": "医者,{}\n患者,{}\n",
    }[encoding] * 20
    source = read(written(("y,a\n" + rows.format(*range(40))).encode(encoding)))
    assert source.classes == sorted(line.split(",")[0] for line in rows.splitlines()[:2])
    assert "not UTF-8, read as cp" in said(source)


def test_a_workbook_is_read_as_a_csv_of_it_would_be():
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "empty"
    sheet = book.create_sheet("data")
    book.create_sheet("notes").append(["more"])
    day = datetime.datetime(2020, 1, 31)
    for line in (["y", "a", "b", "code", "when"], ["NA", 1, True, "007", day], ["x", 2.5, False, "012", day], [],
                 ["NA", "high", True, "007", day], ["x", 4, None, "012", day], ["NA", 8, True, "007"]):  # fmt: skip
        sheet.append(line)
    book.save("t.xlsx")
    source = read("t.xlsx")
    assert source.classes == ["NA", "x"] and "'data' is read; left out: 'empty', 'notes'" in said(source)
    np.testing.assert_array_equal(source.columns[0], [1, 2.5, np.nan, 4, 8])
    assert source.columns[1].tolist() == ["true", "false", "true", "", "true"]
    assert "1 of 5 entries is no number, counted as missing: 'high' in row 2" in said(source)
    assert "use --text: code" in said(source) and "left out: 1 blank line" in said(source)
    assert read("t.xlsx", text=["code"]).columns[2].tolist() == ["007", "012", "007", "012", "007"]
    assert "when: dates count as texts" in said(source)
    written(b"PK no workbook", "u.xlsx")
    assert complaint("u.xlsx").startswith("u.xlsx: can't be read (")


def test_all_problems_are_told_at_once_and_the_way_on(capsys):
    n = 240
    written(
        "case,when,glucose,diagnosis\n"
        + "".join(
            f"c{i * 7 % n},{2000 + i}-01-01,{'high' if i == 17 else 80 + i % 30},{'ab'[i % 2]}\n" for i in range(n)
        )
    )
    with pytest.raises(UnfitError) as caught:
        read("t.csv", label=None)
    error = caught.value
    assert str(error).startswith("t.csv: 3 problems: label: not given; name the column") and "\n" not in str(error)
    assert "case: 240 different texts" in str(error) and "when: 240 different texts" in str(error)
    assert error.options == {"label": ["diagnosis"], "id": ["case"], "ignore": ["when"]}
    look = {one["column"]: one for one in error.look}
    assert look["glucose"] == {
        "column": "glucose", "kind": "numbers", "missing": 1, "holds": "80 to 109, median 94",
        "odd": "1 of 240 entries is no number, counted as missing: 'high' in row 17",
    }  # fmt: skip
    assert look["case"]["kind"] == "can't be used" and look["diagnosis"]["holds"] == "a 120, b 120"
    log = logging.getLogger("memloc")
    handlers, level = log.handlers, log.level
    try:
        assert cli.main(["value", "t.csv", "--ignore", "w*", "--out", "o"]) == 0
        said, lines = (text.splitlines() for text in capsys.readouterr())
        assert len(lines) == 3 and lines[0].startswith("memloc: case: can't be used; 240 different texts")
        command = "to go on: memloc value t.csv --label diagnosis --id case --ignore 'w*' --out o"
        assert said[0].startswith("a look alone, nothing is valued: t.csv: 2 problems: ") and said[0].endswith(command)
        assert cli.main(["value", "t.csv", "--label", "diagnosis", "--out", "o"]) == 1
        assert capsys.readouterr().err.splitlines()[-1].startswith("memloc: error: t.csv: 2 problems: case: ")
        assert cli.main([*shlex.split(command.split("memloc ", 1)[1]), "--learners", "5", "--quiet"]) == 0
    finally:
        log.handlers = handlers
        log.setLevel(level)
    written("y,a\n,x\nu,1\nu,2\n")
    with pytest.raises(UnfitError) as caught:
        read("t.csv")
    assert caught.value.options is None  # No option fills in a label.


def test_blank_lines_are_left_out_and_said():
    source = read(written("\ny,a\nu,1\n\nv,2\n   \nu,4\nv,7\n"))
    np.testing.assert_array_equal(source.x, standardised([1, 2, 4, 7]))
    assert source.remarks[0].endswith("left out: 3 blank lines")


def test_lines_that_are_too_short_are_named():
    source = read(written("y,a,b\nu,1,3\nv,2\nu,4,5\nv,7,4\n"))
    assert "lines with fewer fields than the first, whose last ones count as missing: 3" in said(source)
    assert source.about["missing"] == {"b": 1}


def test_names_that_are_numbers_are_remarked():
    source = read(written("1,0.5,7\n0,1,3\n1,2,4\n0,4,5\n1,7,4\n"), label="1")
    assert "all names are numbers (1, 0.5, 7); if the first line is a row, put names before it" in said(source)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "t.csv: can't be read (it is empty); add a line of names, and rows"),
        ("\n\n", "t.csv: can't be read (it is empty)"),
        ("y,a\n", "t.csv: no rows; add some"),
        ("y,a,y\nu,1,u\nv,2,v\n", "t.csv: two columns are called y; rename one"),
        ("y,a,a\nu,1,1\nv,2,2\n", "t.csv: two columns are called a; rename one"),
        ("5.1,3.5,1.4,1.4,u\n5,3,1,1,v\n", "t.csv: two columns are called 1.4; rename one; if the first line is a row"),
        (" Y,a\nu,1\n", "label: t.csv has no column y; it has  Y, a; do you mean ' Y'?"),
        ("5.1,3.5,u\n5,3,v\n", "label: t.csv has no column y; it has 5.1, 3.5, u"),
        ("y,a\nu,1,2\nv,2,3\n", "t.csv: rows have more fields than the first line has names: 3 of 2 in line 2"),
        ("y,a\nu,1\nv,2,3\n", "t.csv: rows have more fields than the first line has names: 3 of 2 in line 3"),
        ("# made by hand\ny,a\n" + ROWS, "t.csv: begins with a comment ('# made by hand'); remove it"),
        (b"y,a\nu,1\0\nv,2\n", "t.csv: can't be read (it holds NUL, as binary files do); repair it"),
        ('y,a\nu,"1\nv,2\n', "t.csv: the field '1\\nv,2\\n' runs over lines 2 to 3 and seems to hold rows; close"),
        ("y,a\nu,1\n# a comment\nv,2\nu,3\nv,4\n", "label: y has 3 classes in 5 rows"),
    ],
)
def test_files_that_are_no_tables_are_one_line(content, told):
    assert complaint(written(content)).startswith(told)


def test_what_is_no_file_is_one_line():
    os.mkfifo("pipe.csv")
    os.mkfifo("pipe")
    Path("zero.csv").symlink_to("/dev/zero")
    Path("folder.parquet").mkdir()
    told = {
        "pipe.csv": "pipe.csv: a device or a pipe, not a file; save the table as .csv, .xlsx or .parquet",
        "pipe": "pipe: a device or a pipe, not a file; ",
        "zero.csv": "zero.csv: a device or a pipe, not a file; ",
        "/dev/zero": "/dev/zero: a device or a pipe, not a file; ",
        "folder.parquet": "source: folder.parquet is not a table; ",
    }
    # In a process of its own, as who reads a pipe waits for ever.
    code = "import sys; from memloc import cli; "
    code += "print([cli.main(['value', path, '--label', 'y', '--out', 'out']) for path in sys.argv[1:]])"
    root = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).resolve().parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code, *told], capture_output=True, text=True, env=root, timeout=60, check=False
    )
    assert done.stdout.strip() == str([1] * len(told)) and not Path("out").exists()
    for line, start in zip(done.stderr.splitlines(), told.values(), strict=True):
        assert line.startswith(f"memloc: error: {start}")
    assert complaint("folder.parquet") == "folder.parquet: a folder; name one file"


# --- Parquet ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ([[1], [2], [3], [4]], "a: holds list<element: int64>; make it numbers or text, or leave it out (--ignore)"),
        ([{"b": 1}] * 4, "a: holds struct<b: int64>; make it"),
        ([b"x", b"y"] * 2, "a: holds binary; make it"),
        ([datetime.datetime(2020, 1, 2)] * 4, "a: holds datetime64; make it"),
        ([datetime.date(2020, 1, 2)] * 4, "a: holds date; make it"),
        ([None] * 4, "a: holds empty; make it"),
    ],
)
def test_columns_of_other_types_are_refused_unless_they_are_left_out(cells, told):
    assert complaint(parquet(cells, b=[1, 2, 4, 3])).startswith(told)
    assert read("t.parquet", ignore=["a"]).cells == ["b"]


def test_decimals_and_categories_are_read():
    source = read(parquet([decimal.Decimal("1.50"), decimal.Decimal("2.25"), None, decimal.Decimal("7")]))
    np.testing.assert_allclose(source.x, standardised([1.5, 2.25, np.nan, 7]))
    source = read(parquet(pa.array(["7", "8", "7", "8"]).dictionary_encode()))
    assert source.about["columns"] == {"a": "text"} and source.x.shape == (4, 2)


def test_an_index_of_pandas_is_left_out_and_said_and_may_name_the_rows():
    table = pd.DataFrame({"y": list("uvuv"), "a": [1.0, 2, 4, 3], "p": list("klmn")}).set_index("p")
    table.to_parquet("t.parquet")
    source = read("t.parquet")
    assert source.cells == ["a"] and "left out: p (names of rows that pandas stored)" in source.remarks[0]
    source = read("t.parquet", id="p")
    assert source.rows == list("klmn") and source.remarks[0].endswith("left out: p (names the rows)")


def test_a_small_file_of_much_text_is_refused_before_it_is_unpacked():
    text = pa.array(["x" * 1_000_000] * 2048).dictionary_encode()
    y = pa.array(["u", "v"] * 1024)
    tables = {"a": {"y": y, "a": text, "b": np.arange(2048.0)}, "y": {"y": text, "b": np.arange(2048.0)}}
    for column, columns in tables.items():
        pq.write_table(pa.table(columns), f"{column}.parquet", compression="zstd")
        assert Path(f"{column}.parquet").stat().st_size < 20_000
    code = """
import resource
from memloc.errors import InputError
from memloc.valuation.sources import UnfitError, read_table
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in "ay":
    try:
        read_table(f"{name}.parquet", label="y")
    except InputError as error:
        print(error)
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
"""
    root = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).resolve().parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=root, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{name}.parquet: the texts of {name} unpack to more than 1 GiB; shorten them or leave it out (--ignore)"
        for name in "ay"
    ]
    assert read("a.parquet", ignore=["a"]).cells == ["b"]


def test_plain_texts_are_known_by_what_the_file_says_of_them(monkeypatch):
    monkeypatch.setattr("memloc.valuation.reading.TEXT", 10_000)
    cells = pa.array([f"{i}" + "x" * 5000 for i in range(4)])
    pq.write_table(pa.table({"y": list("uvuv"), "a": cells}), "t.parquet", use_dictionary=False, compression="zstd")
    monkeypatch.setattr("memloc.valuation.reading._unpacked", lambda *_: pytest.fail("unpacked"))
    assert complaint("t.parquet").startswith("t.parquet: the texts of a unpack to more than")


# --- Rows and values that a reader would change in silence -----------------------------------------------------------

PLAIN_ROWS = [f"{i},{'uv'[i % 2]},t{i % 3}" for i in range(12)]


def lines_of(rows, header="a,y,t"):
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('3,v,"5 in', '8,u,"6 in'),  # The second one closes the first, and text follows.
        ('3,v,"5 in', '8,u,6 in"'),
        ('3,v,"5 in', '4,u,6 in"'),
        ('"3,v,5 in', '"8,u,6 in'),
        ('3,v,"5 in', "8,u,6 in"),  # Nothing closes it.
    ],
)
def test_a_lone_quotation_mark_that_swallows_rows_is_refused(first, second):
    rows = PLAIN_ROWS.copy()
    rows[3], rows[int(second.strip('"').partition(",")[0])] = first, second
    told = complaint(written(lines_of(rows)))
    assert "lines 5 to " in told and "quotation mark" in told


def test_a_lone_quotation_mark_among_the_names_is_refused():
    told = complaint(written(lines_of([*PLAIN_ROWS[:5], '5,v,"x', *PLAIN_ROWS[6:]], header='a,y,"t')))
    assert "lines 1 to 7" in told


def test_texts_of_several_lines_are_counted_and_the_first_is_named():
    rows = PLAIN_ROWS.copy()
    for row in (4, 6, 7):
        rows[row] = f'{row},{"uv"[row % 2]},"one\r\ntwo, three\nfour"'
    rows[7] = '7,v,"one,\ntwo,"'  # As many commas as a row has, but the others speak for texts.
    source = read(written(lines_of(rows)))
    assert len(source.rows) == 12
    assert "3 fields hold line breaks, the first in row 4 (lines 6 to 8): 'one" in said(source)


GERMAN = ["2.305", "45.841", "788", "6.021", "12", "301.999", "5.500", "7.100", "0", "1.001"]
MAY_DIVIDE = (
    "'.' is taken for the decimal mark, as in '2.305', but all decimals have three digits; if it is a mark between"
    " thousands, write 2305"
)


@pytest.mark.parametrize("stored", [csv, parquet])
def test_points_that_may_divide_thousands_are_remarked(stored):
    source = read(stored(GERMAN))
    np.testing.assert_allclose(source.x, standardised(list(map(float, GERMAN))))
    assert said(source).count(MAY_DIVIDE) == 1 and f"a: {MAY_DIVIDE}" in said(source)
    assert "between thousands: '1.234.567' in row 9 is 1234567" in said(read(stored([*GERMAN[:-1], "1.234.567"])))


@pytest.mark.parametrize("stored", [csv, parquet])
@pytest.mark.parametrize(
    "cells",
    [
        [*GERMAN[:-1], "0.305"],
        [*GERMAN[:-1], "3.5"],
        [*GERMAN[:-1], "1200"],
        [f"{number}.250" for number in range(1, 11)],  # All as decimals are all by 1000.
        ["1", "2", "3", "4", "5"] * 2,
    ],
)
def test_points_that_are_decimal_marks_are_not(stored, cells):
    assert "between thousands" not in said(read(stored(cells)))


def test_points_that_may_divide_thousands_are_found_in_a_column_without_a_name_and_with_gaps():
    cells = ["", *GERMAN[:-1]]
    source = read(written("\ufeff" + lines_of([f"{cell},{'uv'[i % 2]}" for i, cell in enumerate(cells)], ",y")))
    assert f"Unnamed: 0: {MAY_DIVIDE}" in said(source)


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("caf\u00e9", "cafe\u0301", r"'cafe\u0301', 'caf\xe9'"),
        ("tea", "te\u200ba", r"'tea', 'te\u200ba'"),
        ("m2", "m\u00b2", "'m2', 'm\u00b2'"),
    ],
)
def test_texts_and_classes_that_look_the_same_are_named(one, other, told):
    cells = [one, other, "cup", "cup"] * 3
    source = read(parquet(cells))
    assert f"a: texts that differ in case, blanks or invisible characters alone count as different: {told}" in said(
        source
    )
    source = read(parquet([1, 2, 3, 4] * 3, z=cells), label="z")
    assert "z: classes that differ in case, blanks or invisible characters alone count as different: " in said(source)


def test_rows_that_hold_the_same_are_counted_with_those_of_another_label():
    assert "hold the same" not in said(read(csv(NUMBERS)))
    cells = NUMBERS.copy()
    cells[4] = cells[5] = cells[2]  # Rows 2 and 4 are of class u, row 5 is of v.
    assert (
        "2 rows hold the same as an earlier one, the first is 4 (as 2), 1 of them with another label, the first is 5"
        " (as 2); if these are copies" in said(read(csv(cells)))
    )


def test_codes_that_look_like_powers_of_ten_are_said():
    path = csv(["1E3", "1000", "2e5", "7", "8", "9"] * 2)
    assert "or 1E3 count as 7 or 1000; if they are codes, use --text: a" in said(read(path))
    assert read(path, text=["a"]).about["columns"] == {"a": "text"}
    path = csv(list(map(str, range(9))), y=["1E3", "1000", "5"] * 3)
    assert "use --text: y" in said(read(path)) and read(path).classes == ["5", "1000"]
    assert read(path, text=["y"]).classes == ["1000", "1E3", "5"]
    assert "1E3" not in said(read(csv(["1e-5", "1.5E3", "2e+20", "3.0"])))


def test_dates_that_are_whole_numbers_are_said():
    days = ["20260131", "20251201", "20260228", "19991231"]
    assert "a: dates as whole numbers, it seems" in said(read(csv(days)))
    assert "a: dates as whole numbers, it seems" in said(read(parquet(list(map(int, days)))))
    assert "dates" not in said(read(csv([*days[:-1], "20261301"])))


def test_truth_values_beside_numbers_are_said_of_a_label():
    source = read(csv(NUMBERS, y=["0", "1", "TRUE", "1", "0"] * 2))
    assert "y: truth values beside numbers are classes of their own: 'TRUE'" in said(source)


def test_texts_that_are_one_number_are_said_where_the_file_has_types():
    source = read(parquet(["1.1", "1.10", "1.2", "2.0", "3.5", "4.25"]))
    assert "a: different texts count as one number: '1.1', '1.10'; for names, use --text" in said(source)
    assert "one number" not in said(read(parquet(["1.1", "1.3", "1.2", "2.0", "3.5", "4.25"])))
