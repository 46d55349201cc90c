"""What is published: the wheel alone runs both commands with no packages but those that it asks for.

The environment is empty but for the wheel and links to the packages, installed here, that its metadata asks for.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement
from PIL import Image

import memloc
from tests.workflow.running import LEFT_OUT, ROOT

BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
ENCODER = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


def called(folder, *command):
    """What a command gives, without anything of this environment."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run([*map(str, command)], cwd=folder, env=env, capture_output=True, text=True, timeout=600)


def asked(folder, python, command):
    return called(folder, python, "-m", "memloc", *command.split())


def built(folder, what, out):
    done = called(folder, sys.executable, "-c", BUILD, what, out)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The source distribution, and the wheel that is built of it."""
    folder = tmp_path_factory.mktemp("published")
    shutil.copytree(ROOT, folder / "repository", ignore=LEFT_OUT, symlinks=True)
    source = built(folder / "repository", "build_sdist", folder)
    with tarfile.open(source) as archive:
        # The first versions of Python 3.11 have no filters; the archive was made here.
        filters = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder / "unpacked", **filters)
        names = {name.partition("/")[2] for name in archive.getnames()}
    (unpacked,) = (folder / "unpacked").iterdir()
    return names, built(unpacked, "build_wheel", folder)


def requirements(text, extras=()):
    """Names of the packages that a requirement asks for, and those ask for, as they are installed here."""
    found, todo = set(), [(requirement, ("", *extras)) for requirement in text]
    while todo:
        requirement, wanted = todo.pop()
        one = Requirement(requirement)
        if one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in wanted):
            continue
        installed = metadata.distribution(one.name)
        assert installed.version in one.specifier, requirement
        key = (one.name.lower(), frozenset(one.extras))
        if key not in found:
            found.add(key)
            todo += [(inner, ("", *one.extras)) for inner in installed.requires or ()]
    return {name for name, _ in found}


def installed(wheel, folder, extras=()):
    """A Python that has the wheel and what it asks for with extras, and nothing else."""
    venv.create(folder, with_pip=False, symlinks=True)
    (place,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
        (about,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = metadata.PathDistribution(place / Path(about).parent).requires
    for name in requirements(text, extras):
        for file in metadata.files(name) or ():
            top = Path(file).parts[0]
            if top not in ("..", "__pycache__") and not (place / top).exists():
                (place / top).symlink_to(Path(metadata.distribution(name).locate_file(top)).resolve())
    return folder / "bin" / "python"


def test_the_source_distribution_has_the_workflow_its_data_tests_and_examples(published):
    names, wheel = published
    assert {"Snakefile", "config.yaml", "rules/train.smk", "tests/conftest.py", "tools/bootstrap.py"} <= names
    assert {"data/fashion-mnist-12k/train-images-idx3-ubyte.gz", "requirements.lock", "examples/parts.py"} <= names
    assert not any(re.search(r"__pycache__|\.pyc$|^\.venv|\.egg-info/\.", name) for name in names)
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.namelist()
    assert {"memloc/py.typed", "memloc/__init__.pyi", "memloc/scoring/page.html", "memloc/page/style.css"} <= {*packed}
    assert not any(name.startswith(("tests/", "tools/", "docs/")) for name in packed)
    assert wheel.name == f"memloc-{memloc.__version__}-py3-none-any.whl"


def test_the_wheel_alone_values_a_table_and_names_the_extra_that_scoring_needs(published, tmp_path):
    python = installed(published[1], tmp_path / "env")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"height": rng.normal(size=40), "label": ["a", "b"] * 20})
    table.to_csv(tmp_path / "t.csv", index=False)
    done = asked(tmp_path, python, "value t.csv --label label --learners 30 --out values --quiet")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "values/index.html").exists() and "rows of lowest value" in done.stdout
    refused = asked(tmp_path, python, "score e:build --images photos --out scores")
    needs = "needs torch, which isn't installed: pip install '.[score]' in the clone of memloc"
    assert (refused.returncode, refused.stderr) == (1, f"memloc: error: memloc score {needs}\n")
    refused = called(tmp_path, python, "-c", "import memloc; memloc.score")
    assert refused.stderr.splitlines()[-1] == f"ModuleNotFoundError: memloc.score {needs}"
    completion = asked(tmp_path, python, "--print-completion bash")
    assert completion.returncode == 0 and "--external" in completion.stdout and "_memloc" in completion.stdout


def test_the_wheel_with_its_extra_scores_an_encoder(published, tmp_path):
    python = installed(published[1], tmp_path / "env", extras=["score"])
    (tmp_path / "e.py").write_text(ENCODER)
    rng = np.random.default_rng(0)
    for i in range(6):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / f"photos/{i}.png")
    command = "score e:build --images photos --size 16 --draws 4 --replicates 2 --out scores --quiet"
    done = asked(tmp_path, python, command)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "scores/index.html").exists() and "can't show memorization" in done.stdout
    absent = called(tmp_path, python, "-c", "import lightly")
    assert "No module named 'lightly'" in absent.stderr
