"""Split files as people write them: every image lands in the group that the file states, or one line says why not."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memloc.data.groups import GROUPS
from memloc.errors import InputError
from memloc.scoring.splits import describe, load_split

ONE_TO_30 = sorted(f"{i}.png" for i in range(1, 31))
ZERO_TO_29 = sorted(f"{i}.png" for i in range(30))
PADDED = [f"{i:03}.png" for i in range(30)]
CLASSES = ["cat/a.png", "cat/b.png", "dog/c.png", "dog/d.png"]
IMG = sorted(f"img_{i}.png" for i in range(30))


def table(path: Path, entries: Iterable[object], groups: Iterable[str], column: str = "image") -> Path:
    frame = pd.DataFrame({column: list(entries), "group": list(groups)})
    frame.to_parquet(path, index=False) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


def named(split: Mapping[str, np.ndarray], names: list[str]) -> dict[str, str]:
    """The group of each image by its name."""
    return {names[row]: group for group, rows in split.items() for row in rows.tolist()}


def halves(n: int) -> list[str]:
    return ["candidate"] * (n // 2) + ["external"] * (n - n // 2)


def outcome(path: Path, names: list[str]) -> dict[str, str] | str:
    """Groups by name, or the line."""
    try:
        return named(load_split(path, names), names)
    except InputError as error:
        assert "\n" not in str(error) and str(error).isprintable()
        return str(error)


# --- Numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_numbers_that_can_only_be_names_are_names(tmp_path: Path, ending: str) -> None:
    path = table(tmp_path / f"s{ending}", range(1, 31), halves(30))
    expected = {f"{i}.png": "candidate" if i <= 15 else "external" for i in range(1, 31)}
    assert outcome(path, ONE_TO_30) == expected


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (ZERO_TO_29, range(30)),  # 10.png is row 2
        (ZERO_TO_29, range(1, 20)),
        (ONE_TO_30, range(1, 20)),  # one-based names, or rows
        (ONE_TO_30, range(30)),  # zero-based rows in natural order, or in that of code points
        (IMG, range(30)),
        ([f"{i:03}.png" for i in range(1, 31)], range(1, 20)),  # off by one
        ([f"cat/{name}" for name in ZERO_TO_29], range(30)),
        ([*(f"cat-big/{i}.png" for i in range(3)), *(f"cat/{i}.png" for i in range(3))], range(6)),  # - before /
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_numbers_that_may_be_names_or_rows_are_refused(
    tmp_path: Path, names: list[str], numbers: range, ending: str
) -> None:
    path = table(tmp_path / f"s{ending}", numbers, halves(len(numbers)))
    line = outcome(path, names)
    assert isinstance(line, str) and "column" in line and "row" in line and "name" in line
    # Either is said by what the column is called.
    rows = table(tmp_path / f"r{ending}", numbers, halves(len(numbers)), "row")
    assert outcome(rows, names) == {names[n]: g for n, g in zip(numbers, halves(len(numbers)), strict=True)}


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize("names", [PADDED, CLASSES * 8, [f"train/{i}" for i in range(30)]])
def test_rows_that_can_only_be_rows_or_agree_with_the_names_are_rows(
    tmp_path: Path, ending: str, names: list[str]
) -> None:
    names = list(dict.fromkeys(names))
    path = table(tmp_path / f"s{ending}", range(len(names)), halves(len(names)))
    assert outcome(path, names) == dict(zip(names, halves(len(names)), strict=True))


def test_a_column_called_name_holds_names_alone(tmp_path: Path) -> None:
    path = table(tmp_path / "s.csv", range(1, 20), halves(19), "name")
    assert outcome(path, ONE_TO_30) == {f"{i + 1}.png": g for i, g in enumerate(halves(19))}
    assert "no image" in str(outcome(table(tmp_path / "t.csv", [0], ["candidate"], "name"), ONE_TO_30))


def test_a_column_called_row_holds_rows_alone(tmp_path: Path) -> None:
    assert "row" in str(outcome(table(tmp_path / "s.csv", ["cat/a.png"], ["candidate"], "row"), CLASSES))


@pytest.mark.parametrize("entry", ["-1", "1.0", "1e0", "True", "٣", " 1", "0x1", "4", "1,5", "nan", "", "1_0"])
@pytest.mark.parametrize("column", ["image", "row"])
def test_other_numbers_are_one_line(tmp_path: Path, entry: str, column: str) -> None:
    assert isinstance(outcome(table(tmp_path / "s.csv", ["0", entry], ["candidate"] * 2, column), CLASSES), str)


@pytest.mark.parametrize("entries", [[0.0, 1.0], [True, False], [None, 1], [-1, 1], [[0], [1]], [b"0", b"1"]])
def test_columns_of_other_kinds_are_one_line(tmp_path: Path, entries: list[object]) -> None:
    assert isinstance(outcome(table(tmp_path / "s.parquet", entries, ["candidate"] * 2), CLASSES), str)


# --- Names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "image"),
    [("cat/a.png", "cat/a.png"), ("cat/a", "cat/a.png"), ("a.png", "cat/a.png"), ("a", "cat/a.png"),
     ("e\u0301", "é.png"), ("./cat/a.png", "cat/a.png")],
)  # fmt: skip
def test_shorter_names_are_found_where_one_image_has_them(tmp_path: Path, entry: str, image: str) -> None:
    names = ["cat/a.png", "dog/b.png", "é.png"]
    assert outcome(table(tmp_path / "s.csv", [entry], ["candidate"]), names) == {image: "candidate"}


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ("1", ["1.jpg", "1.png", "2.png"]),
        ("a.png", ["cat/a.png", "dog/a.png"]),
        ("cat/a", ["cat/a.jpg", "cat/a.png"]),
        ("x.png", ["x.png", "x.png"]),
        ("A.png", ["a.png"]),
        (r"cat\a.png", ["cat/a.png"]),
    ],
)
def test_names_of_several_images_or_of_none_are_one_line(tmp_path: Path, entry: str, names: list[str]) -> None:
    line = outcome(table(tmp_path / "s.csv", [entry], ["candidate"]), names)
    assert isinstance(line, str) and repr(entry) in line


def test_an_image_under_two_of_its_names_is_listed_twice(tmp_path: Path) -> None:
    path = table(tmp_path / "s.csv", ["cat/a.png", "a"], ["candidate", "external"])
    assert "cat/a.png is in candidate and in external" in str(outcome(path, CLASSES))


# --- Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "image;group\ncat/a.png;candidate\n",
        "Image,Group\ncat/a.png,candidate\n",
        "image,set\ncat/a.png,candidate\n",
        "image,group\ncat/a.png,Candidate\n",
        "image,group\ncat/a.png, candidate\n",
        "image,group\ncat/a.png,\n",
        "image,group\ncat/a.png\n",
        "image,group\n0,cat/a.png,candidate\n",  # an index: pandas would shift the columns
        "image,group\n3,0,candidate\n",
        "image,group,group\ncat/a.png,candidate,external\n",
        "image,image,group\ncat/a.png,cat/b.png,external\n",
        "image,group\n",
        "cat/a.png,candidate\ncat/b.png,candidate\n",
        "image,group\ncat/a.png,train\n",
        '{"candidate": [0]}',
        "image,group\ncat/a.png,candidate\ncat/a.png,candidate\n",
    ],
)
def test_files_that_say_something_else_are_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    assert isinstance(outcome(tmp_path / "s.csv", CLASSES), str)


def test_files_that_say_it_in_other_bytes_are_read(tmp_path: Path) -> None:
    for name, content in {
        "bom.csv": b"\xef\xbb\xbfimage,group\ncat/a.png,candidate\n",
        "lines.CSV": b"image,group\r\ncat/a.png,candidate\r\n\r\n",
        "quotes.csv": b'"group","image"\n"candidate","cat/a.png"\n',
    }.items():
        (tmp_path / name).write_bytes(content)
        assert outcome(tmp_path / name, CLASSES) == {"cat/a.png": "candidate"}, name
    (tmp_path / "null.csv").write_text("image,group\nNA,candidate\nnull,external\n")
    assert outcome(tmp_path / "null.csv", ["NA.png", "null.png"]) == {"NA.png": "candidate", "null.png": "external"}


def test_arrays_of_other_things_than_rows_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    for bad in ([0.0], [True, False], [-1], [9], [[0]], [0, 0], ["cat/a.png"], [b"cat/a.png"], np.zeros(4, dtype=bool)):
        np.savez(path, candidate=np.array(bad))
        assert isinstance(outcome(path, CLASSES), str), bad
    np.savez(path, Candidate=np.array([0]))
    assert isinstance(outcome(path, CLASSES), str)


def test_unused_categories_are_no_groups(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": ["a", "b"], "group": pd.Categorical(["candidate"] * 2, ["candidate", "train"])})
    frame.to_parquet(tmp_path / "s.parquet")
    assert outcome(tmp_path / "s.parquet", CLASSES) == {"cat/a.png": "candidate", "cat/b.png": "candidate"}


def test_what_was_taken_of_a_split_is_one_line(tmp_path: Path) -> None:
    path = table(tmp_path / "s.csv", CLASSES[:3], ["candidate", "external", "external"])
    assert (
        describe(path, load_split(path, CLASSES), CLASSES) == f"{path}: 1 candidate, 2 external; 1 image is in no group"
    )
    path = table(tmp_path / "n.csv", range(1, 31), halves(30))
    assert describe(path, load_split(path, ONE_TO_30), ONE_TO_30).endswith("its numbers are names of images, not rows")
    np.savez(tmp_path / "s.npz", candidate=np.array([0, 1]))
    line = describe(tmp_path / "s.npz", load_split(tmp_path / "s.npz", ONE_TO_30), ONE_TO_30)
    assert line.endswith(
        "28 images are in no group; its numbers are rows, from 0 in the order of names: 0 is 1.png, 1 is 10.png"
    )


# --- Any split -------------------------------------------------------------------------------------------------------

STEMS = st.one_of(
    st.integers(0, 40).map(str),
    st.integers(0, 40).map(lambda i: f"{i:03}"),
    st.integers(0, 40).map(lambda i: f"img_{i}"),
    st.text("ab1,é \"'", min_size=1, max_size=3),
)
IMAGES = st.lists(
    st.builds(lambda folder, stem, end: folder + stem + end, st.sampled_from(["", "cat/", "cat-a/"]), STEMS,
              st.sampled_from([".png", ".jpg"])),
    min_size=1, max_size=30, unique=True,
)  # fmt: skip


def natural(name: str) -> list[object]:
    """As people order: numbers by their value."""
    digits = "".join(c if c.isdigit() else f" {c} " for c in name).split()
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in digits]


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[str], dict[str, str], str, str]:
    """Names in their order, the group that is stated for each, the form of the file, and what it calls images by."""
    names = sorted(draw(IMAGES))
    stated = {name: draw(st.sampled_from([*GROUPS, ""])) for name in names}
    form = draw(st.sampled_from([".csv", ".parquet", ".npz"]))
    by = draw(st.sampled_from(["name", "stem", "file", "number", "row", "natural row", "one-based row"]))
    return names, {name: group for name, group in stated.items() if group}, form, by


def entry(name: str, names: list[str], by: str) -> str | int:
    last = name.rpartition("/")[2]
    in_order = sorted(names, key=natural)
    return {
        "name": name,
        "stem": name.rpartition(".")[0],
        "file": last,
        "number": last.rpartition(".")[0],
        "row": names.index(name),
        "natural row": in_order.index(name),
        "one-based row": names.index(name) + 1,
    }[by]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(cases())
def test_any_split_gives_each_image_its_stated_group_or_one_line(
    case: tuple[list[str], dict[str, str], str, str],
) -> None:
    names, stated, form, by = case
    entries = {name: entry(name, names, by) for name in stated}
    if any(call in names and call != name for name, call in entries.items()):
        return  # It is the name of another image.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"split{form}")
        if form == ".npz":  # Its rows are in the order of names: nothing could tell another.
            if "row" in by and by != "row":
                return
            groups = {group: [entries[n] for n in stated if stated[n] == group] for group in {*stated.values()}}
            np.savez(path, **{group: np.array(members) for group, members in groups.items()})
        else:
            table(path, entries.values(), stated.values())
        found = outcome(path, names)
    # Rows from 1 may pass for rows from 0 where names hold no numbers: ``describe`` says where they count from.
    told = by != "one-based row" or not names or names[-1] in stated
    assert found == stated or isinstance(found, str) or not told, (found, stated)
    if by == "name" and form != ".npz":
        assert found == stated or not stated


# --- Files that aren't splits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".npz"])
def test_what_never_ends_is_refused_before_it_is_read(tmp_path: Path, ending: str) -> None:
    pipe, link, folder = (tmp_path / f"{name}{ending}" for name in ("pipe", "link", "folder"))
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    folder.mkdir()
    for path in (pipe, link, folder):
        assert outcome(path, CLASSES) == f"split: {path}: can't be read (a folder, a device or a pipe); name a file"
    large = tmp_path / f"large{ending}"
    with open(large, "wb") as file:
        file.truncate((1 << 30) + 1)
    assert str(outcome(large, CLASSES)).startswith(f"split: {large}: 1073741825 bytes, more than")


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize("column", ["image", "name"])
def test_names_and_rows_that_disagree_are_refused(tmp_path: Path, ending: str, column: str) -> None:
    path = tmp_path / f"split{ending}"

    def stored(rows: list[object]) -> Path:
        frame = pd.DataFrame({"row": rows, column: CLASSES, "group": halves(4)})
        frame.to_parquet(path, index=False) if ending == ".parquet" else frame.to_csv(path, index=False)
        return path

    assert outcome(stored([0, 1, 2, 3]), CLASSES) == dict(zip(CLASSES, halves(4), strict=True))
    told = f"split: {path}: image cat/b.png has row 2, but is row 1 of the images; correct it or"
    assert str(outcome(stored([0, 2, 1, 3]), CLASSES)).startswith(told)
    assert isinstance(outcome(stored(["A", "B", "C", "D"]), CLASSES), dict)  # It tells something else.
