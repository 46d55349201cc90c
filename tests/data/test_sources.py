"""The registry of datasets: its entries are complete, and torchvision and the documentation agree with it."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from torchvision import datasets as published

from memloc.data.sources import SOURCES, _bundled, module_path
from memloc.provenance import ROOT


def test_planning_imports_no_packages_for_it():
    code = (
        "import sys, memloc.data.raw_files; print({m.partition('.')[0] for m in sys.modules} - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert eval(done.stdout) <= {"memloc", "__main__"}


def test_a_package_that_is_not_installed_has_no_folder():
    assert _bundled("no_such_package", "data") is None
    assert _bundled("sklearn", "datasets/data") == SOURCES["digits"].folder


@pytest.mark.parametrize("source", SOURCES)
def test_an_entry_is_complete(source):
    entry = SOURCES[source]
    assert callable(importlib.import_module(f"memloc.data.sources.{entry.module}").read)
    assert (ROOT / module_path(source)).is_file()
    assert entry.title and entry.terms and entry.size and entry.hint and entry.files
    if source != "digits":  # It lies where scikit-learn does.
        assert entry.folder is None or entry.folder.parent == ROOT / "data"
    assert not entry.inner or len(entry.files) == 1
    for file in entry.files:
        assert bool(file.addresses) == bool(file.md5) and Path(file.name).name == file.name


def test_classes_are_as_many_as_torchvision_has():
    assert {name: entry.classes for name, entry in SOURCES.items() if entry.classes != 10} == {
        "cifar100": 100, "stl10-unlabeled": 0, "imagenet": None, "charts": None, "folder": None, "folder-unlabeled": 0,
    }  # fmt: skip
    assert len(published.FashionMNIST.classes) == 10


def test_what_tells_apart_entries_of_one_module_reaches_the_job():
    for module in {entry.module for entry in SOURCES.values()}:
        entries = [entry for entry in SOURCES.values() if entry.module == module]
        # Fashion-MNIST's two differ in their files alone.
        assert module == "fashion_mnist" or len({str(entry.reading) for entry in entries}) == len(entries)
    assert SOURCES["cifar10"].reading == {"module": "cifar", "fixed": {"classes": 10}, "unlabeled": False}


def test_addresses_and_sums_are_torchvisions():
    ours = {(file.name, file.md5): file.addresses for entry in SOURCES.values() for file in entry.files if file.md5}
    kinds = {"cifar10": published.CIFAR10, "cifar100": published.CIFAR100, "stl10": published.STL10}
    expected = {(kind.filename, kind.tgz_md5): kind.url for kind in kinds.values()}
    expected |= {(name, md5): url for url, name, md5 in list(published.SVHN.split_list.values())[:2]}
    mirror = published.FashionMNIST.mirrors[0]
    expected |= {(name, md5): mirror + name for name, md5 in published.FashionMNIST.resources}
    assert {key: addresses[0] for key, addresses in ours.items()} == expected
    assert {source: SOURCES[source].inner for source in kinds} == {
        source: kind.base_folder for source, kind in kinds.items()
    }


def test_the_documentation_names_every_source_file_sum_and_address():
    page = (ROOT / "docs" / "data.md").read_text()
    for source, entry in SOURCES.items():
        assert f"| `{source}` |" in page
        for file in entry.files:
            assert file.name in page and file.md5 in page
            assert all(address.removesuffix(file.name) in page for address in file.addresses)
