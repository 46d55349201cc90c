"""The examples run, on little: notebooks from their first cell to their last, and the script."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "my_encoder": "IMAGES, STEPS = 20, 2",
    "my_pair": "IMAGES, STEPS = 10, 2",
    "my_table": "ROWS, LEARNERS = 60, 20",
}
LARGEST = 400_000
"""Bytes that a notebook may have with its outputs."""


def answers(notebook):
    """The first sentences that the notebook's results say, without numbers and names of layers."""
    outs = [out for cell in notebook.cells for out in cell.get("outputs", ()) if "text/html" in out.get("data", {})]
    (shown,) = (out["data"]["text/plain"] for out in outs if "what was taken" in out["data"]["text/html"])
    told = [re.sub(r" in (layer )?\S+ \(", " in L (", line) for line in shown.splitlines()[:3]]
    return {re.sub(r"[\d,.\N{MINUS SIGN}]+", "#", line) for line in told}


# nbclient and the kernel's client leave sockets and event loops to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_and_what_it_shows_is_stored(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    stored = nbformat.read(path, as_version=4)
    notebook = nbformat.read(path, as_version=4)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    parameters.source = SMALL[path.stem]
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "examples").mkdir()
    place = {"metadata": {"path": str(tmp_path / "examples")}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    assert (tmp_path / "examples" / f"{path.stem}.html").exists()
    pictured = [out for cell in notebook.cells for out in cell.get("outputs", ()) if "text/html" in out.get("data", {})]
    assert any("what was taken" in out["data"]["text/html"] for out in pictured)
    # What readers see without running it is there, whole, of the notebook's own settings.
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    assert path.stat().st_size < LARGEST
    assert answers(stored) & answers(notebook), f"{path.name}: outputs of another version; run it again"


def test_the_script_of_parts_says_what_a_pair_memorizes():
    command = [sys.executable, str(ROOT / "examples/parts.py"), "--images", "20", "--steps", "2"]
    env = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=True)
    assert re.fullmatch(r"crossed LayerMem: 0 -?\d\.\d{4}, 2 .*, 4 .*\nUnitMem of layer 2: .*\nunit .*\n", done.stdout)
