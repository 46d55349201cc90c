import os
import stat

import numpy as np
import pandas as pd
import pytest

from memloc import io
from memloc.analysis import tables
from memloc.errors import InputError

ARRAYS = {"a": np.arange(6).reshape(2, 3), "views/1": np.array([0.1, np.nan], dtype=np.float32), "s": np.array(["x"])}
TABLE = pd.DataFrame({"name": ["a", "NA", "b,c"], "x": [1 / 3, np.nan, -1e-12], "n": [1, 2, 3]})


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_block_that_ends_well_replaces_the_file(tmp_path):
    path = tmp_path / "new" / "x.txt"
    for text in ("first", "second"):
        with io.atomic(path) as temporary:
            assert temporary.parent == path.parent and temporary.suffix == ".txt" and temporary != path
            temporary.write_text(text)
        assert path.read_text() == text and names(path.parent) == ["x.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_inside_leaves_the_old_file_and_no_temporary(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(error), io.atomic(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["x.txt"]


def test_an_exception_inside_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(ValueError), io.atomic(tmp_path / "x.txt") as temporary:
        temporary.write_text("half")
        raise ValueError
    assert names(tmp_path) == []


@pytest.mark.parametrize("write", [io.atomic, io.scratch])
def test_what_others_keep_beside_a_file_stays(tmp_path, write):
    others = {".x.20261130.csv", ".x.csv", "x.memloc-abcdefgh.csv", ".x.memloc-abcdefgh.txt"}
    for name in others:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".x.20261130.parts").mkdir()
    (tmp_path / ".x.memloc-abcdefgh.csv").write_text("left by a killed writer")
    (tmp_path / ".x.memloc-abcdefgh.parts").mkdir()
    with write(tmp_path / "x.csv"):
        pass
    left = {".x.memloc-abcdefgh.parts"} if write is io.atomic else {".x.memloc-abcdefgh.csv"}
    assert {*names(tmp_path)} - {"x.csv"} == others | {".x.20261130.parts"} | left


def test_the_old_file_is_there_until_the_end(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with io.atomic(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_files_have_the_permissions_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        io.save_text("x", tmp_path / "x.txt")
        assert os.umask(0o027) == 0o027  # left as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.txt").stat().st_mode) == 0o640


SAVES = {
    "x.json": lambda path: io.save_json({"b": [1, 2.5, None, "é"], "a": {}}, path),
    "x.npy": lambda path: io.save_array(np.arange(5.0), path),
    "x.npz": lambda path: io.save_arrays(ARRAYS, path),
    "x.csv": lambda path: tables.save_table(TABLE, path),
    "x.parquet": lambda path: tables.save_table(TABLE, path),
}
LOADS = {
    "x.json": io.load_json,
    "x.npy": io.load_array,
    "x.npz": io.load_arrays,
    "x.csv": tables.load_table,
    "x.parquet": tables.load_table,
}


@pytest.mark.parametrize("name", list(SAVES))
def test_the_same_values_give_the_same_bytes(tmp_path, name):
    SAVES[name](tmp_path / "1" / name)
    SAVES[name](tmp_path / "2" / name)
    assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert names(tmp_path / "1") == [name]


@pytest.mark.parametrize("name", list(SAVES))
def test_a_file_that_is_missing_empty_or_cut_off_is_named_in_one_line(tmp_path, name):
    path = tmp_path / name
    SAVES[name](path)
    data = path.read_bytes()
    for content in (None, b"", data[: len(data) // 2]):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        if name == "x.csv" and content:
            continue  # half a CSV file may well be a CSV file
        with pytest.raises(InputError) as caught:
            LOADS[name](path)
        message = str(caught.value)
        assert str(path) in message and "delete it" in message and "\n" not in message


@pytest.mark.parametrize("name", list(LOADS))
def test_a_pipe_is_not_waited_for_and_a_device_not_read_to_its_end(tmp_path, name):
    os.mkfifo(tmp_path / name)
    (tmp_path / "zero").mkdir()
    (tmp_path / "zero" / name).symlink_to("/dev/zero")
    for path in (tmp_path / name, tmp_path / "zero" / name):
        with pytest.raises(InputError, match="not a regular file"):
            LOADS[name](path)


def test_json_and_arrays_come_back_as_they_were(tmp_path):
    SAVES["x.json"](tmp_path / "x.json")
    assert list(io.load_json(tmp_path / "x.json").items()) == [("b", [1, 2.5, None, "é"]), ("a", {})]
    io.save_array(ARRAYS["a"], tmp_path / "x.npy")
    array = io.load_array(tmp_path / "x.npy")
    assert np.array_equal(array, ARRAYS["a"]) and isinstance(array, np.memmap) and not array.flags.writeable
    io.save_arrays(ARRAYS, tmp_path / "x.npz")
    loaded = io.load_arrays(tmp_path / "x.npz")
    assert set(loaded) == set(ARRAYS)
    for key, value in ARRAYS.items():
        assert loaded[key].dtype == value.dtype
        np.testing.assert_array_equal(loaded[key], value)


def test_arrays_that_need_pickle_are_neither_written_nor_read(tmp_path):
    bad = np.array([{"a": 1}], dtype=object)
    with pytest.raises(ValueError, match="allow_pickle"):
        io.save_array(bad, tmp_path / "x.npy")
    with pytest.raises(ValueError, match="allow_pickle"):
        io.save_arrays({"a": bad}, tmp_path / "x.npz")
    assert names(tmp_path) == []
    np.save(tmp_path / "x.npy", bad, allow_pickle=True)
    with pytest.raises(InputError):
        io.load_array(tmp_path / "x.npy")


def test_rows_are_written_with_their_header_even_where_there_are_none(tmp_path):
    io.save_rows([{"a": 1, "b": "x,y"}], ["a", "b"], tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == 'a,b\n1,"x,y"\n'
    io.save_rows([], ["a", "b"], tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == "a,b\n"


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_tables_come_back_with_their_texts_and_gaps(tmp_path, name):
    tables.save_table(TABLE, tmp_path / name)
    loaded = tables.load_table(tmp_path / name)
    assert loaded["name"].tolist() == ["a", "NA", "b,c"] and loaded["n"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(loaded["x"], TABLE["x"], rtol=1e-8)


def test_a_csv_is_plain_text_of_nine_digits(tmp_path):
    tables.save_table(TABLE, tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_bytes() == b'name,x,n\na,0.333333333,1\nNA,,2\n"b,c",-1e-12,3\n'


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "x.parquet"
    tables.save_table(TABLE, path)
    before = path.read_bytes()
    with pytest.raises(Exception, match=r"."):
        tables.save_table(pd.DataFrame({"a": [object()]}), path)
    assert path.read_bytes() == before and names(tmp_path) == ["x.parquet"]
