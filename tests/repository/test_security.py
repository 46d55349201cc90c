"""Nothing that memloc is given makes it run code, write elsewhere or fill memory (docs/security.md).

What is tested beside the code it is about: pickles among weights (tests/scoring/test_encoders.py), in splits
(tests/scoring/test_splits.py) and in batches of CIFAR, archives (tests/data/test_formats.py); bombs, links and names of
images to score (tests/data/test_images.py); HTML in names on pages (tests/scoring/test_page.py,
tests/report/test_page.py, tests/workflow/test_page_browser.py); names that mean something to a shell, in a run
(tests/workflow/test_faults.py).
"""

import copy
import gzip
import io as bytesio
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from itertools import cycle

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image

from memloc import io
from memloc.analysis import tables
from memloc.config import check, check_files
from memloc.data.opening import open_images
from memloc.data.preparing import prepare
from memloc.errors import InputError, one_line
from memloc.experiments import EXPERIMENTS
from memloc.models import checkpoint
from memloc.models.architectures import ARCHITECTURES
from memloc.models.network import load as load_network
from memloc.provenance import ROOT
from memloc.scoring.encoders import open_encoder
from memloc.scoring.splits import load_split
from memloc.valuation.sources import read_table
from tests.builders import complaints
from tests.builders.pictures import bomb


def complaint(call, *arguments, **options):
    message = complaints.complaint(call, *arguments, **options)
    assert len(message) < 1000
    return message


class Bomb:
    """A pickle that would leave a trace."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


# --- Names -----------------------------------------------------------------------------------------------------------

NAMES = ["../x", "/tmp/x", "a/../../x", "..", ".", "a\0b", "a\nb", "a\n", "", "-rf", "$(touch x)", "a;touch x", "`x`",
         "a b", "{x}", "<x>", "a'b", 'a"b', "é", "a|b", "~", "x" * 65]  # fmt: skip


@pytest.fixture(scope="module")
def committed():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", ["datasets", "encoders", "experiments"])
def test_no_name_leads_elsewhere_or_means_something_to_a_shell(committed, part, name):
    config = copy.deepcopy(committed)
    entries = config[part]
    entries[name] = copy.deepcopy(next(iter(entries.values())))
    assert complaint(check, config).startswith(f"config: {part}: ")


def references(value, path=()):
    """Where in a configuration a text stands."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in items:
        if isinstance(inside, str):
            yield (*path, key)
        yield from references(inside, (*path, key))


def test_no_text_of_a_configuration_is_taken_for_a_name_that_isnt_known(committed):
    places = list(references(committed))
    assert len(places) > 50
    for place, name in zip(places, cycle(["../../x", "/tmp/x", "os:system", "a\0b", "__import__('os')"]), strict=False):
        config = copy.deepcopy(committed)
        inside = config
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = name
        assert complaint(check, config).startswith("config: "), place


def test_files_of_experiments_stay_below_the_results():
    for kind, entry in EXPERIMENTS.items():
        for pattern in entry.inputs.values():
            assert ".." not in pattern and not pattern.startswith("/"), kind


# --- Configuration files ---------------------------------------------------------------------------------------------

EVIL = {
    "apply": "device: !!python/object/apply:os.mkdir [MARK]\n",
    "new": "device: !!python/object/new:os.mkdir [MARK]\n",
    "name": "device: !!python/name:os.mkdir\n",
    "module": "device: !!python/module:os\n",
    "tuple": "device: !!python/tuple [1]\n",
    "template": "__use_yte__: true\ndevice: ?__import__('os').mkdir('MARK')\n",
    "escaped": '"\\x5f_use_yte__": true\n__definitions__: ["import os", "os.mkdir(\'MARK\')"]\n',
    "json": '{"__use_yte__": true, "device": "cpu"}',
    "binary": b"\xff\xfe\x00",
    "broken": "device: [cpu\nencoders: x",
}


@pytest.mark.parametrize("name", EVIL)
def test_a_configuration_that_is_no_plain_yaml_is_refused_and_not_run(tmp_path, name):
    mark, path = tmp_path / "mark", tmp_path / "my.yaml"
    content = EVIL[name]
    path.write_bytes(content if isinstance(content, bytes) else content.replace("MARK", str(mark)).encode())
    told = complaint(check_files, [path])
    assert told.startswith(str(path)) and ("not plain YAML" in told or "a template, whose code" in told)
    # The same file is where `memloc score` looks datasets up.
    assert str(path) in complaint(open_images, "fashion", size=16, config=path)
    assert not mark.exists()


def test_a_file_can_be_looked_at_without_snakemake_which_would_run_it(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "my.yaml"
    path.write_text(EVIL["template"].replace("MARK", str(mark)))
    command = [sys.executable, "tools/check_config.py", "config/smoke.yaml", "config/smoke-all.yaml"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
    done = subprocess.run([*command, str(path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not mark.exists()
    assert done.stderr.startswith(f"memloc: error: {path}: __use_yte__: a template") and done.stderr.count("\n") == 1


# --- Pickles ---------------------------------------------------------------------------------------------------------


def test_pickles_under_any_ending_are_not_run(tmp_path):
    mark = tmp_path / "mark"
    evil = pickle.dumps(Bomb(mark))
    objects = np.array([Bomb(mark)], dtype=object)
    readers = {
        "a.npy": io.load_array,
        "b.npy": io.load_array,
        "a.npz": io.load_arrays,
        "b.npz": io.load_arrays,
        "a.json": io.load_json,
        "a.parquet": tables.load_table,
        "a.csv": lambda path: tables.load_scores(path, "units"),
        "c.parquet": lambda path: read_table(str(path), label="y"),
        "c.csv": lambda path: read_table(str(path), label="y"),
        "c.npz": lambda path: load_split(path, ["x"]),
        "a.safetensors": checkpoint.load,
        "b.safetensors": lambda path: open_encoder(str(path)),
        "a.pt": lambda path: open_encoder(f"torchvision:resnet18@{path}"),
        "c.safetensors": lambda path: open_encoder(f"torchvision:resnet18@{path}"),
    }
    for name in readers:
        (tmp_path / name).write_bytes(evil)
    np.save(tmp_path / "b.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "b.npz", allow_pickle=True, a=objects)
    for name, read in readers.items():
        assert name in complaint(read, tmp_path / name)
    assert not mark.exists()
    pickle.loads(evil)
    assert mark.exists()  # It would have.


def test_pickles_in_a_prepared_dataset_are_not_run(tmp_path):
    np.save(tmp_path / "train_images.npy", np.array([Bomb(tmp_path / "mark")], dtype=object), allow_pickle=True)
    assert "train_images.npy" in complaint(open_images, str(tmp_path), size=16)
    assert not (tmp_path / "mark").exists()


def test_types_of_their_own_in_parquet_are_not_unpickled(tmp_path):
    # As older pyarrow stored types: a pickle in the schema.
    field = pa.field(
        "a",
        pa.int64(),
        metadata={
            "ARROW:extension:name": "arrow.py_extension_type",
            "ARROW:extension:metadata": pickle.dumps(Bomb(tmp_path / "mark")),
        },
    )
    table = pa.table([pa.array([1, 2, 3, 4]), pa.array(list("uvuv"))], schema=pa.schema([field, ("y", pa.string())]))
    pq.write_table(table, tmp_path / "t.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read_table(str(tmp_path / "t.parquet"), label="y").x.shape == (4, 1)
    assert not (tmp_path / "mark").exists()


# --- Bombs -----------------------------------------------------------------------------------------------------------


def header(shape):
    """A .npy of zeros that ends after its header."""
    stored = bytesio.BytesIO()
    np.lib.format.write_array_header_1_0(stored, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stored.getvalue()


def test_arrays_that_declare_more_than_is_there_are_refused(tmp_path):
    (tmp_path / "a.npy").write_bytes(header((1 << 45,)))
    assert "a.npy: can't be read" in complaint(io.load_array, tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("candidate.npy", header((1 << 45,)))
    assert "a.npz: can't be read" in complaint(io.load_arrays, tmp_path / "a.npz")
    assert "a.npz: can't be read" in complaint(load_split, tmp_path / "a.npz", ["x"])


def test_compressed_arrays_are_not_unpacked_beyond_what_makes_sense(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, candidate=np.zeros(1 << 22, dtype=np.int64))
    assert path.stat().st_size < 1 << 16
    assert "a.npz: can't be read (compressed" in complaint(io.load_arrays, path)
    # A split of a user's own may be compressed.
    monkeypatch.setattr("memloc.scoring.splits.LARGEST", 1 << 20)
    assert "a.npz: can't be read (unpacks to more than" in complaint(load_split, path, ["x"])
    np.savez_compressed(path, candidate=np.array([1, 0]))
    assert load_split(path, ["x", "y"])["candidate"].tolist() == [1, 0]


def test_a_split_with_more_rows_than_images_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "s.parquet"
    pd.DataFrame({"image": ["x"] * 1000, "group": ["candidate"] * 1000}).to_parquet(path)
    monkeypatch.setattr(pd, "read_parquet", lambda *_: pytest.fail("was read"))
    assert "1000 rows for 2 images; keep one row for each image" in complaint(load_split, path, ["x", "y"])


def test_a_gzip_file_is_not_unpacked_beyond_what_makes_sense(idx_folder, monkeypatch):
    monkeypatch.setattr("memloc.data.sources.fashion_mnist.LARGEST", 1 << 20)
    path = idx_folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(1 << 24)))
    (idx_folder / "SHA256SUMS").unlink(missing_ok=True)
    read = {"path": str(idx_folder), "classes": None, "image_size": 32}
    assert f"{path}: unpacks to more than" in complaint(prepare, "fashion-mnist", **read)


@pytest.fixture
def photos(tmp_path):
    for part in ("train", "test"):
        for kind in ("ant", "bee"):
            folder = tmp_path / "photos" / part / kind
            folder.mkdir(parents=True)
            for level in (10, 200):
                Image.new("L", (16, 16), level).save(folder / f"{level}.png")
    return tmp_path / "photos"


def prepared(folder):
    return prepare("folder", path=str(folder), classes=None, image_size=16)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bomb(50_000, 50_000), "too many pixels"),
        (bomb(10_000, 10_000), r"too many pixels \(10000 x 10000\)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "not an image"),
    ],
)
def test_bombs_and_programs_among_training_images_are_refused(photos, content, message):
    (photos / "train/ant/x.png").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        prepared(photos)
    assert str(photos / "train/ant/x.png") in str(caught.value)


def test_what_is_no_file_among_training_images_is_refused(photos):
    os.mkfifo(photos / "train/ant/x.png")
    assert "x.png: not a file" in complaint(prepared, photos)


def test_links_among_images_are_read_and_never_written(photos, tmp_path):
    outside = tmp_path / "outside.png"
    Image.new("L", (16, 16), 77).save(outside)
    before = outside.read_bytes()
    (photos / "train/ant/link.png").symlink_to(outside)
    parts, _ = prepared(photos)
    assert (parts["train"].images == 77).any() and outside.read_bytes() == before


def test_results_replace_a_link_in_their_place_and_not_what_it_leads_to(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (tmp_path / "result.json").symlink_to(mine)
    io.save_json({}, tmp_path / "result.json")
    assert mine.read_text() == "mine" and not (tmp_path / "result.json").is_symlink()


# --- Checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"width": 1e9}, {"width": "__import__('os')"}, {"width": 0.0625, "device": "cuda"}, {"width": -1}]
)
def test_a_checkpoint_builds_no_network_that_no_training_would(tmp_path, options):
    path = tmp_path / "w.safetensors"
    settings = {"architecture": "resnet9", "network": options}
    checkpoint.save({"w": torch.ones(1)}, {"settings": settings, "input": {"image_size": 16}}, path)
    assert "doesn't say which encoder" in complaint(open_encoder, str(path))


@pytest.mark.parametrize("name", ["../evil", "os:system", "memloc.cli", "__init__"])
def test_a_checkpoint_names_an_encoder_that_is_known_or_none(tmp_path, name):
    assert name not in ARCHITECTURES
    path = tmp_path / "w.safetensors"
    settings = {"architecture": name, "network": {}}
    checkpoint.save({"w": torch.ones(1)}, {"settings": settings, "input": {"image_size": 16}}, path)
    assert "doesn't say which encoder" in complaint(open_encoder, str(path))


def test_weights_that_are_not_finite_are_told_where_they_are_read(tmp_path, network):
    encoder = network()
    state = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    state["block3.conv.weight"][0, 0] = torch.nan
    checkpoint.save(state, {"seed": 0, "role": "f"}, tmp_path / "w.safetensors")
    load = {"image_size": 16, "seed": 0, "role": "f"}
    options = {"width": 0.125, "residual": True}
    told = complaint(load_network, "resnet9", options, tmp_path / "w.safetensors", **load)
    assert told == f"{tmp_path / 'w.safetensors'}: block3.conv.weight isn't finite; delete it to train anew"


# --- Tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "y," + "a" * 1_000_000 + "\nu,1\nv,2\nu,1\nv,2\n",
        "y,a\n" + "u," + "x" * 1_000_000 + "\nv,2\nu,1\nv,2\n",
        'y,a\nu,"never closed\nv,2\n',
        "y,a\nu,\0\nv,2\nu,\0\nv,2\n",
        "y,a\nu,=cmd|'/c calc'!A0\nv,2\nu,1\nv,2\n",
        "y,a\nu,1e999\nv,2\nu,1\nv,2\n",
        "\x1b]0;title\x07,y\nu,u\nv,v\nu,u\nv,v\n",
    ],
)
def test_absurd_fields_are_values_or_one_line(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_text(content)
    try:
        found = read_table(str(path), label="y")
    except InputError as error:
        assert one_line(str(error)).isprintable() and "\n" not in str(error)
    else:
        assert np.isfinite(found.x).all() and len(found.x) == 4


def test_what_reaches_a_terminal_is_one_printable_line():
    told = one_line("a\nb\t\x1b[2Jc\u202e é")
    assert told == "a b \\x1b[2Jc\\u202e é" and told.isprintable()
