"""What must be looked at in the files themselves, and where results go."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable
from pathlib import Path

import yaml

from memloc.errors import InputError
from memloc.wording import meant

MERGE = "tag:yaml.org,2002:merge"
TEMPLATE = "__use_yte__"


class _NoDuplicates(yaml.SafeLoader):
    """YAML takes the last of two equal keys and drops the first without a word; this refuses them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """One mapping, its keys all different."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != MERGE]
        for key in keys:
            if keys.count(key) > 1:
                raise InputError(f"{node.start_mark.name}: {key}: stands twice in one mapping; keep one")
        return super().construct_mapping(node, deep)


def check_files(paths: Iterable[Path]) -> None:
    """Raise an InputError for a key that stands twice in one mapping of a YAML file, a null that leaves out nothing, or
    what is no plain YAML: tags that make objects of Python, templates.

    Once Snakemake has merged the files, none of it can be seen any more.
    """
    known: dict[str, set[str]] = {part: set() for part in ("datasets", "encoders", "experiments")}
    nulls = []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                content = yaml.load(file, Loader=_NoDuplicates)
        except (yaml.YAMLError, UnicodeError) as error:
            raise InputError(f"{path}: not plain YAML ({' '.join(str(error).split())}); change it") from error
        if isinstance(content, dict) and TEMPLATE in content:
            raise InputError(f"{path}: {TEMPLATE}: a template, whose code Snakemake runs; write plain YAML")
        for part, names in known.items():
            entries = content.get(part) if isinstance(content, dict) else None
            for name, value in entries.items() if isinstance(entries, dict) else ():
                if value is None:
                    nulls.append((path, part, str(name)))
                else:
                    names.add(str(name))
    for path, part, name in nulls:
        if name not in known[part]:
            raise InputError(f"{path}: {part}.{name}: null leaves out nothing{meant(name, known[part])}")


def check_folder(results: Path) -> None:
    """Raise an InputError unless results can be written there."""
    place = results if results.exists() else results.absolute().parent
    if not place.is_dir():
        raise InputError(f"{place.absolute()}: not a folder, so results can't be written; move it away")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{place.absolute()}: can't be written; free it, or run with --directory elsewhere")
