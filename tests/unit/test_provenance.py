import hashlib
import platform

import pytest

from memloc import provenance

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
