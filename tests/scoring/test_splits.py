import numpy as np
import pandas as pd
import pytest

from memloc.errors import InputError
from memloc.scoring.splits import load_split

NAMES = ["cat/a.png", "cat/b.png", "dog/c.png", "dog/d.png", "é.png", "with, comma.png"]
SPLIT = {"candidate": [0, 4], "independent": [3], "external": [1, 5]}


@pytest.fixture
def csv(tmp_path):
    def write(text, name="split.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def rows(split):
    assert all(members.dtype == np.int64 for members in split.values())
    return {group: members.tolist() for group, members in split.items()}


def complaint(path):
    with pytest.raises(InputError) as caught:
        load_split(path, NAMES)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"split: {path}")
    return message


TABLE = pd.DataFrame(
    [(NAMES[row], group) for group, members in SPLIT.items() for row in members], columns=["image", "group"]
)


def test_all_kinds_of_files_give_the_same_rows(tmp_path):
    TABLE.to_csv(tmp_path / "s.csv", index=False)
    TABLE.sample(frac=1, random_state=0).to_csv(tmp_path / "shuffled.csv", index=False)
    TABLE.to_parquet(tmp_path / "s.parquet")
    numbered = TABLE.assign(image=TABLE["image"].map(NAMES.index))
    numbered.to_parquet(tmp_path / "numbers.parquet")
    numbered.assign(more="columns")[["more", "group", "image"]].to_csv(tmp_path / "numbers.csv", index=False)
    np.savez(tmp_path / "s.npz", **{group: np.array(members) for group, members in SPLIT.items()})
    np.savez(tmp_path / "small.npz", **{group: np.array(members, dtype=np.uint8) for group, members in SPLIT.items()})
    files = sorted(tmp_path.iterdir())
    assert len(files) == 7
    for path in files:
        assert {group: sorted(each) for group, each in rows(load_split(path, NAMES)).items()} == SPLIT, path


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        # A name goes before a row.
        ("1,candidate\n0,external\n", ["1", "0"], {"candidate": [0], "external": [1]}),
        # Names that look like numbers stay texts.
        ("007,candidate\n1e3,external\n", ["1e3", "007"], {"candidate": [1], "external": [0]}),
        # Images may be in no group.
        ("cat/a.png,candidate\n", NAMES, {"candidate": [0]}),
    ],
)
def test_images_are_found_by_name_or_row(csv, text, names, expected):
    assert rows(load_split(csv(f"image,group\n{text}"), names)) == expected


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["cat/z.png,candidate"], "no image 'cat/z.png' among the images"),
        (["-1,candidate"], "no image '-1'"),
        (["1.0,candidate"], "no image '1.0'"),
        (["6,candidate"], "candidate has image 6, but there are 6 images"),
        (["cat/a.png,training"], "group 'training' is none of shared, candidate, independent, external"),
        (["cat/a.png,Candidate"], "group 'Candidate' is none of"),
        (["cat/a.png,candidate", "cat/a.png,candidate"], "image cat/a.png is twice in candidate"),
        (["cat/a.png,candidate", "0,candidate"], "image cat/a.png is twice in candidate"),
        (["cat/b.png,candidate", "cat/b.png,external"], "image cat/b.png is in candidate and in external"),
    ],
)
def test_tables_that_do_not_fit_the_images_are_refused(csv, lines, message):
    assert message in complaint(csv("\n".join(["image,group", *lines])))


@pytest.mark.parametrize("text", ["", "name,part\na,b\n", "image\ncat/a.png\n"])
def test_tables_without_the_columns_are_refused(csv, text):
    assert any(message in complaint(csv(text)) for message in ("no columns image and group", "can't be read"))


def test_files_that_cannot_be_read_are_refused(tmp_path):
    for name in ("absent.csv", "absent.npz", "absent.parquet"):
        assert "can't be read" in complaint(tmp_path / name)
    for name in ("damaged.npz", "damaged.parquet"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 and no more")
        message = complaint(tmp_path / name)
        assert "can't be read" in message and "snakemake" not in message  # It is the user's own file.
    (tmp_path / "latin.csv").write_bytes("image,group\né.png,candidate\n".encode("latin-1"))
    assert "can't be read" in complaint(tmp_path / "latin.csv")
    (tmp_path / "split.txt").write_text("image,group\n")
    assert "name a .csv, .parquet or .npz file" in complaint(tmp_path / "split.txt")
    (tmp_path / "folder.csv").mkdir()
    assert "can't be read" in complaint(tmp_path / "folder.csv")


class Bomb:
    """A pickle that would leave a trace."""

    def __reduce__(self):
        return (open, ("trace", "w"))


def test_pickles_in_arrays_are_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "s.npz", candidate=np.array([Bomb()], dtype=object))
    assert "can't be read" in complaint(tmp_path / "s.npz")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"candidate": [0.0, 1.0]}, "candidate is not a list of rows"),
        ({"candidate": [[0, 1]]}, "candidate is not a list of rows"),
        ({"candidate": ["a"]}, "candidate is not a list of rows"),
        ({"candidate": [True]}, "candidate is not a list of rows"),
        ({"candidate": [-1]}, "candidate has image -1"),
        ({"candidate": [0, 6]}, "candidate has image 6"),
        ({"candidate": [0], "external": [0]}, "image cat/a.png is in candidate and in external"),
        ({"anchor": [0]}, "group 'anchor' is none of"),
    ],
)
def test_arrays_that_do_not_fit_the_images_are_refused(tmp_path, groups, message):
    path = tmp_path / "s.npz"
    np.savez(path, **{group: np.array(members) for group, members in groups.items()})
    assert message in complaint(path)
