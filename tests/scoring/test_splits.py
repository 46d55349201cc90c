import numpy as np
import pandas as pd
import pytest

from memloc.errors import InputError
from memloc.scoring.splits import load_split

NAMES = ["cat/a.png", "cat/b.png", "dog/c.png", "dog/d.png", "é.png", "with, comma.png"]
GROUPS = {"candidate": [0, 4], "independent": [3], "external": [1, 5]}


@pytest.fixture
def csv(tmp_path):
    def write(text, name="split.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def rows(split):
    assert all(found.dtype == np.int64 for found in split.values())
    return {group: found.tolist() for group, found in split.items()}


def complaint(path):
    with pytest.raises(InputError) as caught:
        load_split(path, NAMES)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"split: {path}")
    return message


TABLE = pd.DataFrame(
    [(NAMES[row], group) for group, found in GROUPS.items() for row in found], columns=["image", "group"]
)


def test_all_kinds_of_files_give_the_same_rows(tmp_path):
    TABLE.to_csv(tmp_path / "s.csv", index=False)
    TABLE.sample(frac=1, random_state=0).to_csv(tmp_path / "shuffled.csv", index=False)
    TABLE.to_parquet(tmp_path / "s.parquet")
    numbered = TABLE.assign(image=TABLE["image"].map(NAMES.index))
    numbered.to_parquet(tmp_path / "numbers.parquet")
    numbered.assign(more="columns")[["more", "group", "image"]].to_csv(tmp_path / "numbers.csv", index=False)
    np.savez(tmp_path / "s.npz", **{group: np.array(found) for group, found in GROUPS.items()})
    np.savez(tmp_path / "small.npz", **{group: np.array(found, dtype=np.uint8) for group, found in GROUPS.items()})
    files = sorted(tmp_path.iterdir())
    assert len(files) == 7
    for path in files:
        found = {group: sorted(each) for group, each in rows(load_split(path, NAMES)).items()}
        assert found == GROUPS, path


def test_a_name_goes_before_a_row(csv):
    assert rows(load_split(csv("image,group\n1,candidate\n0,external\n"), ["1", "0"])) == {
        "candidate": [0],
        "external": [1],
    }


def test_names_that_look_like_numbers_or_nothing_stay_texts(csv):
    assert rows(load_split(csv("image,group\n007,candidate\n1e3,external\n"), ["1e3", "007"])) == {
        "candidate": [1],
        "external": [0],
    }


def test_images_in_no_group_may_be_left_out(csv):
    assert rows(load_split(csv("image,group\ncat/a.png,candidate\n"), NAMES)) == {"candidate": [0]}


@pytest.mark.parametrize(
    ("lines", "told"),
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
def test_tables_that_do_not_fit_the_images_are_refused(csv, lines, told):
    assert told in complaint(csv("\n".join(["image,group", *lines])))


@pytest.mark.parametrize("text", ["", "name,part\na,b\n", "image\ncat/a.png\n"])
def test_tables_without_the_columns_are_refused(csv, text):
    assert any(told in complaint(csv(text)) for told in ("no columns image and group", "can't be read"))


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
    ("groups", "told"),
    [
        ({"candidate": [0.0, 1.0]}, "candidate is no list of rows"),
        ({"candidate": [[0, 1]]}, "candidate is no list of rows"),
        ({"candidate": ["a"]}, "candidate is no list of rows"),
        ({"candidate": [True]}, "candidate is no list of rows"),
        ({"candidate": [-1]}, "candidate has image -1"),
        ({"candidate": [0, 6]}, "candidate has image 6"),
        ({"candidate": [0], "external": [0]}, "image cat/a.png is in candidate and in external"),
        ({"anchor": [0]}, "group 'anchor' is none of"),
    ],
)
def test_arrays_that_do_not_fit_the_images_are_refused(tmp_path, groups, told):
    path = tmp_path / "s.npz"
    np.savez(path, **{group: np.array(found) for group, found in groups.items()})
    assert told in complaint(path)
