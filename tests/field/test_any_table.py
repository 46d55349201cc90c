"""Any table with odd cells planted in it: right types and every odd cell named, or one line."""

import string
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memloc.errors import InputError, one_line
from memloc.valuation.columns import GAPS
from memloc.valuation.sources import read_table

SETTINGS = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ODD = sorted({"NA", "?", "N/A", "nan", "null", "high", "1,5", "5 kg", "12:30", "-", "#REF!", "1.2.3", "yes", "$3"})


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@st.composite
def planted(draw):
    """Columns of decimals, truth values and texts with odd cells: name -> texts; name -> row -> odd text."""
    n = draw(st.integers(8, 40))
    columns, odd = {}, {}
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["numbers", "true or false", "text"]))
        name = f"{'ntx'[['numbers', 'true or false', 'text'].index(kind)]}{number}"
        if kind == "numbers":
            # With decimals, so that a decimal comma is odd.
            cells = [
                f"{value / 1000:.3f}" for value in draw(st.lists(st.integers(-(10**9), 10**9), min_size=n, max_size=n))
            ]
        else:
            among = ["true", "False"] if kind == "true or false" else ["red", "green", "blue"]
            cells = draw(st.lists(st.sampled_from(among), min_size=n, max_size=n))
        planted = {}
        if kind != "text":
            # Different texts, so that none is as common as a category.
            texts = draw(st.lists(st.sampled_from(ODD), max_size=(n - 1) // 2, unique=True))
            at = draw(st.permutations(range(n)))[: len(texts)]
            planted = dict(zip(at, texts, strict=True))
            for row in draw(st.permutations([row for row in range(n) if row not in planted]))[
                : draw(st.integers(0, 2))
            ]:
                cells[row] = ""
            for row, text in planted.items():
                cells[row] = text
        columns[name], odd[name] = cells, planted
    return columns, odd


def stored(columns, path):
    n = len(next(iter(columns.values())))
    table = {"label": ["u", "v"] * (n // 2) + ["u"] * (n % 2), **columns}
    if path.endswith(".csv"):
        quote = lambda cell: '"' + cell.replace('"', '""') + '"' if cell else ""  # noqa: E731
        lines = [",".join(map(quote, table)), *(",".join(map(quote, row)) for row in zip(*table.values(), strict=True))]
        Path(path).write_text("\n".join(lines), encoding="utf-8", newline="")
    else:
        pq.write_table(pa.table({name: [cell or None for cell in cells] for name, cells in table.items()}), path)
    return path


@SETTINGS
@given(planted(), st.sampled_from(["t.csv", "t.parquet"]))
def test_every_odd_cell_is_named_and_numbers_stay_numbers(made, path):
    columns, odd = made
    try:
        source = read_table(stored(columns, path), label="label")
    except InputError as error:
        assert one_line(str(error)) == str(error)
        assert any(not any(cells) for cells in columns.values())  # Else all that is here can be read.
        return
    kinds = {"n": "numbers", "t": "true or false", "x": "text"}
    for cell, (name, cells) in enumerate(columns.items()):
        x = source.x[:, source.groups == cell]
        assert source.about["columns"][name] == kinds[name[0]]
        named = {row: text for text, rows in source.about["odd"].get(name, {}).items() for row in rows}
        assert named == odd[name]
        for row, text in odd[name].items():
            assert source.holds(row, cell) == text
        if name[0] != "x":
            gaps = [row in odd[name] or not text for row, text in enumerate(cells)]
            assert source.about["missing"].get(name, 0) == sum(gaps)
            right = [
                text.casefold() == "true" if name[0] == "t" else float(text)
                for text in np.array(cells)[~np.array(gaps)]
            ]
            expected = (np.array(right) - np.mean(right)) / (np.std(right) or 1)
            np.testing.assert_allclose(x[~np.array(gaps), 0], expected, rtol=1e-6, atol=1e-9)
            assert not any(gaps) or x[:, 1].tolist() == gaps


CELLS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.text("0123456789.,-+eE%$€' infa", max_size=10),
    st.sampled_from(
        [*ODD, *sorted(GAPS), "True", "false", "007", "1e999", "9" * 400, "inf", "", "  ", "\n", '"', "\x00"]
    ),
    st.integers().map(str),
    st.floats().map(str),
)


@SETTINGS
@given(st.data())
def test_any_cells_are_a_table_or_one_line(data):
    rows = data.draw(st.integers(2, 12))
    names = data.draw(st.lists(st.text(st.characters(codec="utf-8"), max_size=4), min_size=1, max_size=4))
    columns = {name: data.draw(st.lists(CELLS, min_size=rows, max_size=rows)) for name in names if name != "label"}
    path = data.draw(st.sampled_from(["t.csv", "t.parquet"]))
    if columns:
        outcome(stored(columns, path), rows)


@SETTINGS
@given(st.one_of(st.binary(max_size=200), st.text(string.printable + "é\ufeff;\t", max_size=200).map(str.encode)))
def test_any_bytes_are_a_table_or_one_line(content):
    for path, begin in (("t.csv", b""), ("t.csv", b"label,a\nu,1\nv,2\n"), ("t.parquet", b""), ("t.parquet", b"PAR1")):
        Path(path).write_bytes(begin + content)
        outcome(path)


def outcome(path, rows=None):
    try:
        source = read_table(path, label="label")
    except InputError as error:
        assert "\n" not in one_line(str(error)) and str(error)
    else:
        assert np.isfinite(source.x).all() and (rows is None or len(source.x) == rows)
        assert source.x.shape == (len(source.y), len(source.groups)) and len(source.rows) == len(source.y)
        assert all(remark.isprintable() for remark in source.remarks)
