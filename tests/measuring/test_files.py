"""Files of measures: the bytes of arrays joined in memory, from parts and from shards."""

import os
import signal
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from memloc import io, provenance
from memloc.errors import InputError
from memloc.measuring import files as measures
from memloc.provenance import ROOT
from tests.builders.measures import random_measures

RNG = np.random.default_rng(0)
ABOUT = {"layers": np.array(["1", "res2"]), "own": np.array([True, False]), "one": np.array(3)}
WHOLE = {
    "points": np.arange(103),
    "groups": np.repeat(["shared", "candidate"], [53, 50]),
    "alignment": RNG.normal(size=(103, 2, 2)).astype(np.float32),
    "views/1": RNG.normal(size=(103, 2, 5)),
}


def parts(size, arrays=WHOLE):
    n = len(arrays["points"])
    return [{name: array[start : start + size] for name, array in arrays.items()} for start in range(0, n, size)]


@pytest.fixture
def expected(tmp_path):
    io.save_arrays(ABOUT | WHOLE, tmp_path / "expected.npz")
    return (tmp_path / "expected.npz").read_bytes()


@pytest.mark.parametrize("buffer", [1, 1000, 1 << 22])
def test_a_file_written_part_by_part_has_the_bytes_of_whole_arrays(buffer, tmp_path, expected, monkeypatch):
    monkeypatch.setattr(measures, "BUFFER", buffer)
    measures.save(tmp_path / "new" / "made.npz", ABOUT, parts(25))
    assert (tmp_path / "new" / "made.npz").read_bytes() == expected
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["made.npz"]


@pytest.mark.parametrize("sizes", [[103], [50, 53], [25, 0, 25, 53, 0], [0, 103]])
def test_shards_are_joined_to_the_bytes_of_whole_arrays(sizes, tmp_path, expected, monkeypatch):
    monkeypatch.setattr(measures, "BUFFER", 100)
    ends = np.cumsum(sizes)
    for number, (start, end) in enumerate(zip(ends - sizes, ends, strict=True)):
        rows = {name: array[start:end] for name, array in WHOLE.items()}
        about = {name: rows[name] for name in ("points", "groups")}
        # A shard without points has no measures, not even empty ones.
        batches = parts(25, rows) if end > start else []
        batches = [{name: part[name] for name in ("alignment", "views/1")} for part in batches]
        measures.save(tmp_path / f"{number}.npz", {**ABOUT, **about}, batches)
    measures.join(
        tmp_path / "made.npz", [tmp_path / f"{i}.npz" for i in range(len(sizes))], common=ABOUT, rows="points"
    )
    assert (tmp_path / "made.npz").read_bytes() == expected


def test_arrays_are_read_one_at_a_time(tmp_path, expected):
    arrays = measures.Arrays(tmp_path / "expected.npz")
    assert list(arrays) == [*ABOUT, *WHOLE] and len(arrays) == 7
    assert all(np.array_equal(arrays[name], array) for name, array in (ABOUT | WHOLE).items())
    assert "views/1" in arrays and "views/2" not in arrays
    with pytest.raises(KeyError):
        arrays["views/2"]


def test_a_damaged_file_is_named(tmp_path, expected):
    path = tmp_path / "bad.npz"
    path.write_bytes(expected[:-100])
    with pytest.raises(InputError, match=r"bad\.npz: can't be read"):
        measures.Arrays(path)
    at = expected.index(WHOLE["views/1"].tobytes()) + 9
    path.write_bytes(expected[:at] + bytes([expected[at] ^ 1]) + expected[at + 1 :])
    arrays = measures.Arrays(path)
    assert np.array_equal(arrays["alignment"], WHOLE["alignment"])
    with pytest.raises(InputError, match=r"bad\.npz: can't be read"):
        arrays["views/1"]
    with pytest.raises(InputError, match=r"bad\.npz: can't be read"):
        measures.join(tmp_path / "made.npz", [path], common=ABOUT, rows="points")
    assert not (tmp_path / "made.npz").exists()


def test_parts_that_do_not_fit_leave_nothing(tmp_path):
    folder = tmp_path / "new"
    bad = [{"x": np.zeros((2, 3))}, {"x": np.zeros((2, 4))}]
    with pytest.raises(ValueError, match="can't be joined"):
        measures.save(folder / "made.npz", {}, bad)
    assert list(folder.iterdir()) == []


def test_the_next_write_removes_what_a_killed_writer_left_and_nothing_else(tmp_path):
    path = tmp_path / "seed[0].npz"

    def killed():
        yield from parts(25)[:2]
        os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if not pid:
        measures.save(path, ABOUT, killed())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    (leftover,) = tmp_path.iterdir()
    assert leftover.is_dir()
    stems = (".seed[1].memloc-", ".seed0.memloc-", ".seed[0]-1of2.memloc-", ".seed[0].")
    others = [tmp_path / f"{stem}abcdefgh{io.SCRATCH}" for stem in stems]
    for other in others:
        other.mkdir()

    def busy():
        for part in parts(25):
            measures.save(path, ABOUT, parts(25))  # Two writers at a time don't disturb one another.
            yield part

    measures.save(path, ABOUT, busy())
    assert {*tmp_path.iterdir()} == {path, *others}


def test_parts_are_joined_without_torch():
    """Importing torch would take more memory than the job requests, and longer than joining."""
    code = "import runpy, sys; runpy.run_path('scripts/gather_measures.py'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_link_in_the_place_of_a_temporary_folder_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").touch()
    (tmp_path / f".made.{io.OURS}abcdefgh{io.SCRATCH}").symlink_to(tmp_path / "elsewhere")
    measures.save(tmp_path / "made.npz", ABOUT, parts(25))
    assert (tmp_path / "elsewhere" / "file").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alignment": WHOLE["alignment"].astype(np.float64)}, "alignment: float64"),
        ({"alignment": WHOLE["alignment"][:, :1]}, "alignment: float32"),
        ({"alignment": np.float32(1)}, "alignment: float32"),
    ],
)
def test_shards_of_other_types_or_shapes_are_not_joined(tmp_path, change, message):
    io.save_arrays(ABOUT | WHOLE, tmp_path / "1.npz")
    io.save_arrays(ABOUT | WHOLE | change, tmp_path / "2.npz")
    with pytest.raises(InputError, match=rf"2\.npz: can't be read \({message}"):
        measures.join(tmp_path / "made.npz", [tmp_path / "1.npz", tmp_path / "2.npz"], common=ABOUT, rows="points")
    assert not (tmp_path / "made.npz").exists()


def test_compressed_arrays_and_arrays_of_another_size_than_declared_are_not_read(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez_compressed(path, points=np.zeros(1 << 20))
    with pytest.raises(InputError, match=r"bad\.npz: can't be read \(compressed"):
        measures.Arrays(path)
    with zipfile.ZipFile(path, "w") as archive, archive.open("points.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (2, 4)})
        file.write(bytes(8))
    with pytest.raises(InputError, match=r"bad\.npz: can't be read \(the size of points"):
        measures.join(tmp_path / "made.npz", [path], common=(), rows="points")
    assert not (tmp_path / "made.npz").exists()


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path, monkeypatch):
    """Four times as many rows, 13 MB more, are written and joined in the same memory."""
    monkeypatch.setattr(measures, "BUFFER", 1 << 20)

    def peak(count):
        tracemalloc.start()
        measures.save(
            tmp_path / f"{count}.npz",
            {"points": np.arange(count)},
            # Views of arrays ten times as large, as features are of an encoder's output.
            ({name: np.zeros((500, 2, 128), dtype=np.float32)[::10] for name in "abcd"} for _ in range(count // 50)),
        )
        measures.join(tmp_path / "made.npz", [tmp_path / f"{count}.npz"] * 2, common=(), rows="points")
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    few, many = peak(1000), peak(4000)
    assert few < 8e6 and many < few + 1e6
    assert (tmp_path / "made.npz").stat().st_size > 32e6


# Who made the measures


def made_measures(path, changes=None, **made):
    arrays = random_measures() | (changes or {})
    about = {name: arrays[name] for name in measures.ABOUT_LAYERS}
    rows = {name: array for name, array in arrays.items() if name not in about}
    views = {"weights": {"f": "a"}, "settings": {"distance": "l2"}}
    measures.save(path, about, [rows], provenance.record(path, **views | made))
    return path


def test_measures_come_back_without_their_record_and_with_it(tmp_path):
    path = made_measures(tmp_path / "seed0.npz")
    arrays = measures.of_encoder(path, settings={"distance": "l2"}, weights={"f": "a"})
    assert set(arrays) == set(random_measures()) and len(arrays) == len(random_measures())
    assert arrays.record["weights"] == {"f": "a"}
    assert set(io.load_made(path)[0]) == set(random_measures())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": np.zeros(43, dtype=np.int64)}, "a point is there twice"),
        ({"points": np.arange(-1, 42)}, "isn't one"),
        ({"groups": np.repeat("none", 43)}, "groups are none of shared"),
        ({"labels": np.zeros(42)}, r"labels is \[42\], not a row for each of 43 points"),
        ({"alignment": np.full((43, 3, 2), -0.1)}, "alignment isn't between 0 and 2"),
        ({"alignment": np.full((43, 3, 2), 2.1)}, "alignment isn't between 0 and 2"),
        ({"alignment": np.full((43, 3, 2), np.nan)}, "alignment isn't finite"),
    ],
)
def test_measures_that_cannot_be_are_told(tmp_path, changes, message):
    path = made_measures(tmp_path / "seed0.npz", changes)
    with pytest.raises(InputError, match=rf"seed0\.npz: .*{message}.*; delete it and run snakemake again$"):
        measures.of_encoder(path)


def test_measures_without_an_array_are_told(tmp_path):
    path = tmp_path / "seed0.npz"
    io.save_arrays({"points": np.arange(3)}, path, provenance.record(path))
    with pytest.raises(InputError, match=r"seed0\.npz: lacks layers, own, .*; delete it"):
        measures.of_encoder(path)


def test_joined_shards_have_the_record_of_one_file(tmp_path):
    paths = [made_measures(tmp_path / f"seed0-{number}of2.npz") for number in (1, 2)]
    record = measures.common_record(tmp_path / "seed0.npz", paths)
    assert record == provenance.record(tmp_path / "seed0.npz", weights={"f": "a"}, settings={"distance": "l2"})
    with pytest.raises(InputError, match=r"seed0-1of2\.npz: was made with another training of f than the config"):
        measures.common_record(tmp_path / "seed0.npz", paths, trainings={"f": "A"})
    made_measures(paths[1], weights={"f": "b"})
    with pytest.raises(InputError, match=r"seed0-2of2\.npz: was made with other weights than seed0-1of2\.npz; delete"):
        measures.common_record(tmp_path / "seed0.npz", paths)
    paths[0].rename(paths[1])
    with pytest.raises(InputError, match=r"seed0-2of2\.npz: is in the place of another file.*-1of2\.npz; delete it"):
        measures.common_record(tmp_path / "seed0.npz", paths[1:])
