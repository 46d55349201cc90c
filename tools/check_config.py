"""Look at a stranger's configuration without Snakemake, which runs a template: `python tools/check_config.py my.yaml`.

Says whether they are plain YAML, without templates or objects of Python. What their keys mean is checked when a run is
planned.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from memloc.config import check_files
from memloc.errors import InputError, one_line


def main(paths: list[str]) -> str:
    """What is wrong with the files, on one line; nothing if they are plain."""
    try:
        for path in paths:
            check_files([ROOT / "config.yaml", Path(path)])
    except (InputError, OSError) as error:
        return f"memloc: error: {one_line(str(error))}"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) or 0)
