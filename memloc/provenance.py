"""Where a result comes from: records of who made it, hashes of files, of code, and versions. Standard library only.

A file that one rule hands to another says in its record where it belongs and what made it. ``check`` holds the record
against what the reader expects, so that no file is taken for another one of the same shapes.

Snakemake does not see that a script's imports changed. ``digest`` closes that gap: it hashes the syntax
trees of a script and of every memloc module it imports, without comments and docstrings, and each rule
lists it among its parameters.
"""

from __future__ import annotations

import ast
import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from memloc.errors import AGAIN, InputError

ROOT = Path(__file__).resolve().parent.parent

NEUTRAL = frozenset(
    {"memloc", "memloc.aliases", "memloc.job", "memloc.provenance", "memloc.errors"}
    | {"memloc.training_log"}
    | {"memloc.data.sources", "memloc.models.architectures", "memloc.models.frameworks"}
)
"""Modules that can't change a number: names of types, logging, hashing, messages, and registries, whose entries reach a
job as its parameters and the hashes of the modules they name. Editing them re-runs nothing."""


Record = dict[str, Any]

RECORD = "memloc"
"""What a file's record is called in it."""


def record(
    path: str | Path,
    *,
    weights: Mapping[str, str] | None = None,
    trainings: Mapping[str, str] | None = None,
    **made: Any,
) -> Record:
    """Who makes a file: its place, the encoders behind it, and whatever else makes it what it is.

    Args:
        path: of the file, as its reader will name it.
        weights: by role, hashes of the weights of the encoders that it was made with.
        trainings: by role, hashes of what the configuration said of their trainings.
        made: settings and names, as JSON can hold them.
    """
    return {"file": str(path), "weights": dict(weights or {}), "trainings": dict(trainings or {}), **plain(made)}


def plain(value: Any) -> Any:
    """A value as it comes back from JSON."""
    return json.loads(json.dumps(value))


def text(found: Mapping[str, Any]) -> str:
    """A record as a file holds it."""
    return json.dumps(found, sort_keys=True)


def check(
    path: str | Path,
    found: str | Mapping[str, Any] | None,
    *,
    weights: Mapping[str, str] | None = None,
    trainings: Mapping[str, str] | None = None,
    **made: Any,
) -> Record:
    """The record of a file, if that file is the one that is expected at ``path``.

    Args:
        found: the record, or its text as the file holds it; None where there is none.
        weights: hashes that are known; the file may name encoders besides these.
        trainings: hashes that those of the encoders that the file names must have, as far as they are known.
        made: what the record must say.

    Raises:
        InputError: the file has no record, belongs elsewhere, or was made with something else.
    """
    try:
        stated = json.loads(found) if isinstance(found, str) else found
    except ValueError:
        stated = None
    if not isinstance(stated, dict) or not isinstance(stated.get("weights"), dict):
        raise InputError(f"{path}: doesn't say what it was made with; {AGAIN}")
    if stated.get("file") != str(path):
        raise InputError(f"{path}: is in the place of another file, it was made as {stated.get('file')}; {AGAIN}")
    for role, sha256 in (weights or {}).items():
        if stated["weights"].get(role, sha256) != sha256:
            raise InputError(f"{path}: was made with other weights of {role} than are there now; {AGAIN}")
    named = stated.get("trainings")
    for role, sha256 in (trainings or {}).items():
        if role in stated["weights"] and (not isinstance(named, dict) or named.get(role) != sha256):
            raise InputError(f"{path}: was made with another training of {role} than the configuration's; {AGAIN}")
    for key, value in plain(made).items():
        if stated.get(key) != value:
            raise InputError(f"{path}: was made with other {key}; {AGAIN}")
    return stated


def digest(script: str) -> str:
    """Hash of the code behind a script (path from the repository's root): its own and its imports', transitively."""
    sha = hashlib.sha256(_logic(ROOT / script).encode())
    for name in sorted(_closure(ROOT / script)):
        sha.update(f"\0{name}\0{_logic(_path(name))}".encode())
    return sha.hexdigest()[:16]


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of the named packages, as far as they are installed."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _closure(script: Path) -> set[str]:
    seen: set[str] = set()
    todo = list(_imports(script))
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(_imports(_path(name)))
    return seen - NEUTRAL


@cache
def _imports(path: Path) -> frozenset[str]:
    """Names of memloc modules that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(name for name in names if name.split(".")[0] == "memloc" and _path(name).exists())


@cache
def _logic(path: Path) -> str:
    """A file's syntax tree without comments, docstrings and positions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [item for item in body if not _is_text(item)]
            node.body = kept  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _path(module: str) -> Path:
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
