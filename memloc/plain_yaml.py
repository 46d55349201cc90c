"""The one reader of configuration files: plain YAML or JSON, of a size that a person could have written."""

from __future__ import annotations

import io
import json
import re
import stat
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from memloc.errors import InputError

MERGE = "tag:yaml.org,2002:merge"
TEMPLATE = "__use_yte__"


LONGEST = 1_000_000
"""Bytes of a configuration; a study of every experiment takes some 20,000."""
NODES, DEPTH = 100_000, 50
"""Values that a configuration may have, aliases counted wherever they stand, and mappings or lists in one another."""
DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)")


class _Plain(yaml.SafeLoader):
    """Mappings, lists, texts, numbers, true, false and null. YAML takes the last of two equal keys and drops the first
    without a word, and reads 010 as 8 and 1:30 as 90; this refuses them.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """One mapping, its keys all different."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != MERGE]
        for key, count in Counter(keys).items():
            if count > 1:
                raise InputError(f"{node.start_mark.name}: {key}: stands twice in one mapping; keep one")
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """One whole number, written in decimal digits."""
        if not DECIMAL.fullmatch(node.value) or len(node.value) > 20:
            raise InputError(
                f"{node.start_mark.name}: line {node.start_mark.line + 1}: {node.value[:20]}: YAML may read another"
                " number than you mean; write plain decimal digits, or quote it where it is a text"
            )
        return int(node.value)

    def refuse(self, node: yaml.Node) -> None:
        """No other tag has a meaning in a configuration."""
        raise yaml.YAMLError(f"line {node.start_mark.line + 1}: a value with the tag {node.tag}")


_Plain.add_constructor("tag:yaml.org,2002:int", _Plain.construct_yaml_int)
for _tag in ("binary", "omap", "pairs", "set"):
    _Plain.add_constructor(f"tag:yaml.org,2002:{_tag}", _Plain.refuse)


def load_plain(path: Path) -> dict[Any, Any]:
    """The mapping in a configuration file, JSON or plain YAML.

    Raises:
        InputError: it is no regular file or a very large one, a key stands twice, or it has more than mappings, lists,
            texts, numbers, true, false and null: objects of Python, templates, aliases that contain themselves.
    """
    text = _read(path)
    try:
        content = json.loads(text, object_pairs_hook=partial(_distinct, path))
    except (ValueError, RecursionError):
        content = _yaml(text, path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: no keys at the top; write one, as in device: cpu, or leave the file out")
    if TEMPLATE in content:
        raise InputError(f"{path}: {TEMPLATE}: a template, whose code Snakemake runs; write plain YAML")
    _check_size(content, path)
    return content


def _read(path: Path) -> str:
    """The text of a regular file: a pipe would be waited for, and a device has no end."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path}: not a regular file; name a YAML file")
        if path.stat().st_size > LONGEST:
            raise InputError(f"{path}: larger than {LONGEST:,} bytes, so no configuration; name a YAML file")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}); name a YAML file") from error
    except UnicodeError as error:
        raise InputError(f"{path}: not plain YAML ({error}); save it as UTF-8") from error


def _distinct(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON, its keys all different."""
    for key, count in Counter(key for key, _ in pairs).items():
        if count > 1:
            raise InputError(f"{path}: {key}: stands twice in one mapping; keep one")
    return dict(pairs)


def _yaml(text: str, path: Path) -> Any:
    """What plain YAML says, with aliases put in their places."""

    def stream() -> io.StringIO:
        file = io.StringIO(text)
        file.name = str(path)  # For messages.
        return file

    try:
        depth = 0
        for event in yaml.parse(stream()):  # Before it is built, which takes a stack as deep.
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH:
                raise InputError(f"{path}: more than {DEPTH} levels deep; no key needs so many")
        return yaml.load(stream(), Loader=_Plain)
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not plain YAML ({' '.join(str(error).split())}); change it") from error


def _check_size(content: object, path: Path) -> None:
    """Refuse aliases that contain themselves or unpack to millions of values, and what is no value of JSON."""
    waiting, seen = [(content, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if seen > NODES or depth > DEPTH:
            raise InputError(f"{path}: more than {NODES:,} values or {DEPTH} levels, aliases put in; make it smaller")
        if isinstance(value, dict):
            waiting.extend((part, depth + 1) for part in value.values())
        elif isinstance(value, list):
            waiting.extend((part, depth + 1) for part in value)
