import hashlib
import os
import platform
import shutil
import subprocess
import sys
from functools import partial

import pytest

from memloc import provenance
from memloc.models import architectures as encoders
from memloc.models import frameworks
from tests.builders.complaints import complaint

FILES = {
    "scripts/job.py": "from memloc import job\nfrom memloc.a import f\n\n\ndef main():\n    return f(1)\n",
    "memloc/__init__.py": "__version__ = '1'\n",
    "memloc/job.py": "from memloc import unrelated\n\n\ndef start():\n    pass\n",
    "memloc/unrelated.py": "X = 1\n",
    "memloc/lonely.py": "X = 1\n",
    "memloc/a.py": '"""A."""\n\n\ndef f(x):\n    """Double."""\n    from memloc.sub import b\n    return 2 * b.g(x)\n',
    "memloc/sub/__init__.py": "",
    "memloc/sub/b.py": "import numpy\nimport memloc.c as c\n\n\ndef g(x):\n    return x + c.ONE\n",
    "memloc/c.py": "ONE = 1  # one\n",
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A repository of a few modules; call it with replacements (path, old, new) to get the script's digest."""
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)

    def clear():
        provenance._imports.cache_clear()
        provenance._logic.cache_clear()

    def digest(path=None, old="", new=""):
        if path:
            assert old in FILES[path]
            (tmp_path / path).write_text(FILES[path].replace(old, new))
        clear()
        return provenance.digest("scripts/job.py")

    yield digest
    clear()


LOGIC = {
    "script": ("scripts/job.py", "f(1)", "f(2)"),
    "imported": ("memloc/a.py", "2 * b", "3 * b"),
    "imported within a function, from a package": ("memloc/sub/b.py", "x + c", "x - c"),
    "imported by an import": ("memloc/c.py", "ONE = 1", "ONE = 2"),
    "a new default": ("memloc/a.py", "f(x)", "f(x=0)"),
    "a package's own file": ("memloc/sub/__init__.py", "", "Y = 1\n"),
}
SILENT = {
    "comment": ("memloc/c.py", "# one", "# uno"),
    "docstring of a function": ("memloc/a.py", '"""Double."""', '"""Twice\n\n    as much."""'),
    "docstring of a module": ("memloc/a.py", '"""A."""\n', ""),
    "blank lines": ("memloc/sub/b.py", "\n\n\n", "\n\n\n\n\n"),
    "layout": ("memloc/a.py", "2 * b.g(x)", "(2\n        * b.g(x))"),
    "quotes": ("memloc/__init__.py", "'1'", '"2"'),
    "a module that is not imported": ("memloc/lonely.py", "X = 1", "X = 2"),
    "a module that changes no number": ("memloc/job.py", "pass", "return 3"),
}


@pytest.mark.parametrize("edit", LOGIC.values(), ids=LOGIC.keys())
def test_an_edit_of_logic_changes_the_digest(tree, edit):
    assert tree() != tree(*edit)


@pytest.mark.parametrize("edit", SILENT.values(), ids=SILENT.keys())
def test_an_edit_that_changes_no_logic_keeps_the_digest(tree, edit):
    assert tree() == tree(*edit)


def test_undoing_an_edit_restores_the_digest(tree):
    before = tree()
    assert tree("memloc/c.py", "1", "2") != before
    assert tree("memloc/c.py", "1", "1") == before
    assert len(before) == 16 and int(before, 16) >= 0


def test_modules_that_import_each_other_are_followed_once(tree):
    assert tree("memloc/c.py", "ONE = 1", "import memloc.a\nONE = 1") != tree("memloc/c.py", "ONE = 1", "ONE = 2")


def test_every_script_of_the_repository_has_a_digest():
    scripts = sorted((provenance.ROOT / "scripts").glob("*.py"))
    digests = {provenance.digest(f"scripts/{path.name}") for path in scripts}
    assert len(digests) == len(scripts) > 5


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert provenance.file_sha256(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_versions_leave_out_what_is_not_installed():
    found = provenance.versions("numpy", "no-such-package")
    assert found["python"] == platform.python_version() and "numpy" in found and "no-such-package" not in found


# What rules/common.smk takes for the code of a training: the script's, the encoder's and the framework's.


PARSED = {}


def parsed(function, path):
    """What a function makes of a file, kept as long as the file says the same."""
    key = function, path.read_text()
    if key not in PARSED:
        PARSED[key] = function(path)
    return PARSED[key]


@pytest.fixture
def trainings(tmp_path, monkeypatch):
    """A copy of the repository's code; call it, with lines for files, to get the hash of every (framework, encoder)."""
    for folder in ("memloc", "scripts"):
        shutil.copytree(provenance.ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    for name in ("_imports", "_logic"):
        monkeypatch.setattr(provenance, name, partial(parsed, getattr(provenance, name).__wrapped__))

    def hashes(path=None, line="ADDED = 1"):
        original = (tmp_path / path).read_text() if path else ""
        if path:
            (tmp_path / path).write_text(f"{original}\n\n{line}\n")
        script = provenance.digest("scripts/train_encoder.py")
        of_encoder = {name: provenance.digest(encoders.module_path(name)) for name in encoders.ARCHITECTURES}
        of_framework = {name: provenance.digest(frameworks.module_path(name)) for name in frameworks.FRAMEWORKS}
        if path:
            (tmp_path / path).write_text(original)
        return {(f, e): script + of_encoder[e] + of_framework[f] for f in of_framework for e in of_encoder}

    return hashes


def changed(before, after):
    return {pair for pair in before if before[pair] != after[pair]}


def test_an_edit_of_a_framework_concerns_the_encoders_it_trains_alone(trainings):
    before = trainings()
    for name in frameworks.FRAMEWORKS:
        assert changed(before, trainings(frameworks.module_path(name))) == {p for p in before if p[0] == name}, name


def test_an_edit_of_an_encoders_module_concerns_the_encoders_it_makes_alone(trainings):
    before = trainings()
    for path in {encoders.module_path(name) for name in encoders.ARCHITECTURES}:
        made = {pair for pair in before if encoders.module_path(pair[1]) == path}
        assert changed(before, trainings(path)) == made and made, path
    assert encoders.module_path("resnet18") == encoders.module_path("resnet50") != encoders.module_path("resnet9")


@pytest.mark.parametrize("registry", ["models/architectures", "models/frameworks", "data/sources"])
def test_an_entry_more_in_a_registry_trains_nothing_again(trainings, registry):
    before = trainings()
    name = {"models/architectures": "ARCHITECTURES", "models/frameworks": "FRAMEWORKS", "data/sources": "SOURCES"}[
        registry
    ]
    assert trainings(f"memloc/{registry}/__init__.py", f"{name}['new'] = {name}[next(iter({name}))]") == before


@pytest.mark.parametrize(
    "path",
    ["memloc/training/loop.py", "memloc/training/optim.py", "memloc/data/augment.py", "memloc/training/privacy.py"],
)
def test_an_edit_of_what_all_trainings_share_concerns_all(trainings, path):
    before = trainings()
    assert changed(before, trainings(path)) == set(before)


def test_an_edit_of_how_encoders_are_measured_trains_nothing_again(trainings):
    before = trainings()
    assert trainings("memloc/measuring/one_pass.py") == trainings("memloc/data/sources/folder.py") == before


# Records

MADE = {
    "weights": {"f": "a", "g": "b"},
    "trainings": {"f": "A", "g": "B"},
    "settings": {"draws": 4, "layers": ("1", "2")},
    "images": 7,
}


def test_a_record_is_accepted_where_it_belongs():
    found = provenance.record("x/seed0.npz", **MADE)
    assert found["settings"]["layers"] == ["1", "2"], "as JSON holds it"
    read = provenance.check("x/seed0.npz", provenance.text(found), **MADE)
    known = {"weights": {"f": "a", "donor": "c"}, "trainings": {"f": "A", "donor": "C"}}
    assert read == found == provenance.check("x/seed0.npz", found, **known)
    assert provenance.text(found) == provenance.text(dict(reversed(found.items())))


@pytest.mark.parametrize(
    ("path", "expected", "message"),
    [
        ("x/seed1.npz", {}, "is in the place of another file, it was made as x/seed0.npz"),
        ("x/seed0.npz", {"weights": {"g": "c"}}, "was made with other weights of g than are there now"),
        (
            "x/seed0.npz",
            {"trainings": {"f": "A", "g": "C"}},
            "was made with another training of g than the configuration's",
        ),
        ("x/seed0.npz", {"settings": {"draws": 4, "layers": ["1"]}}, "was made with other settings"),
        ("x/seed0.npz", {"images": 8}, "was made with other images"),
        ("x/seed0.npz", {"dataset": "d"}, "was made with other dataset"),
    ],
)
def test_a_file_that_is_not_the_expected_one_is_told(path, expected, message):
    found = complaint(provenance.check, path, provenance.record("x/seed0.npz", **MADE), **expected)
    assert found == f"{path}: {message}; delete it and run snakemake again"


@pytest.mark.parametrize("found", [None, "", "{", "[]", "{}", '{"file": "x"}', '{"file": "x", "weights": []}'])
def test_no_record_is_told(found):
    message = complaint(provenance.check, "x", found)
    assert message == "x: doesn't say what it was made with; delete it and run snakemake again"


@pytest.mark.parametrize("trainings", [None, [], "A", {}, {"f": "A"}])
def test_no_training_of_weights_that_are_named_is_told(trainings):
    found = provenance.record("x", weights={"g": "b"}) | {"trainings": trainings}
    message = complaint(provenance.check, "x", found, trainings={"f": "A", "g": "B"})
    assert message.startswith("x: was made with another training of g than the configuration's; ")
    assert provenance.check("x", found, trainings={"untrained": "U"})


def test_code_has_the_same_hash_in_every_locale():
    code = "from memloc import provenance; print(provenance.digest('scripts/measure.py'))"
    plain = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-X", "warn_default_encoding", "-W", "error::EncodingWarning", "-c", code]
    told = subprocess.run(command, cwd=provenance.ROOT, env=os.environ | plain, capture_output=True, text=True)
    assert told.stdout.strip() == provenance.digest("scripts/measure.py"), told.stderr
