"""Look at a stranger's configuration without Snakemake, which runs a template: `python tools/check_config.py my.yaml`.

Says whether a run with these files (`--configfile`, in their order) would be planned: whether they are plain YAML,
without templates or objects of Python, and whether their keys and values can be used.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from snakemake.utils import update_config

from memloc.config import check, check_files
from memloc.errors import InputError, one_line


def main(paths: list[str]) -> str:
    """What is wrong with the files, on one line; nothing if they can be used, which is printed."""
    if not paths or paths[0].startswith("-"):
        return "usage: python tools/check_config.py FILE [FILE ...]"
    config: dict[str, Any] = {}
    try:
        for content in check_files([ROOT / "config.yaml", *map(Path, paths)]):
            update_config(config, content)
        check(config)
    except InputError as error:
        return f"memloc: error: {one_line(str(error))}"
    print(f"memloc: {one_line(' with '.join(paths))}: can be used on top of config.yaml")
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) or 0)
