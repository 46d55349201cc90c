"""The conda environments: right channels, the lock's pins, and everything that their rules' scripts import."""

import ast
import re
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml

from memloc.experiments import EXPERIMENTS
from memloc.experiments.entry import OVER_TABLES
from tests.workflow.running import rule_texts

ROOT = Path(__file__).resolve().parents[2]
ENVS = {"TRAINING_ENV": ROOT / "envs/training.yaml", "ANALYSIS_ENV": ROOT / "envs/analysis.yaml"}

# Where conda-forge's name, or the name one imports, isn't PyPI's.
FROM_CONDA = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
FROM_IMPORT = {"PIL": "pillow", "lightning_fabric": "pytorch-lightning", "sklearn": "scikit-learn", "yaml": "pyyaml"}


def pins(env):
    """Name (PyPI's) to version of an environment; None where it names no version."""
    found = {}
    for entry in yaml.safe_load(ENVS[env].read_text())["dependencies"]:
        for spec in entry["pip"] if isinstance(entry, dict) else [entry]:
            name, version = re.fullmatch(r"([A-Za-z0-9_.-]+?)(?: ?==?([0-9.]+))?", spec).groups()
            found[FROM_CONDA.get(name, name)] = version
    return found


def locked():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(re.match(r"([\w.-]+)==([\w.!+-]+)", line).groups() for line in lines if not line.startswith("#"))


def rules():
    """(rule, environment, script) of every rule that has a script."""
    found = []
    for file in sorted((ROOT / "rules").glob("*.smk")):
        for name, block in rule_texts(file).items():
            script = re.search(r'script:\s+"\.\./(scripts/\w+\.py)"', block)
            if script:
                env = re.search(r"conda:\s+(\w+)", block)
                found.append((name, env and env[1], script[1]))
    return found


def path_of(module):
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def nodes(tree):
    """All nodes that run, so not those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from nodes(node)


def reached(script, env, file):
    """Whether a script imports a file that a name with something to fill in may stand for."""
    room = file.relative_to(ROOT / "memloc").parts
    if room[0] == "models":  # Planning reads the registries; networks are built on the training side.
        return env == "TRAINING_ENV"
    if room[0] != "experiments" or room[-1] == "entry.py":
        return True
    if room[-1] == "analysis.py":
        return script in ("scripts/analyse_experiment.py", "scripts/draw_figure.py")
    over_tables = EXPERIMENTS[room[1]].over == OVER_TABLES
    return script == ("scripts/run_trial.py" if over_tables else "scripts/run_experiment.py")


def imports(path, script, env):
    """Full names that a file imports, anywhere; a name with something to fill in is all modules that it may name."""
    names = set()
    for node in nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
            parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
            name = "".join(part.value if isinstance(part, ast.Constant) else "*" for part in parts)
            found = [file for file in ROOT.glob(name.replace(".", "/") + ".py") if reached(script, env, file)]
            names.update(".".join(file.relative_to(ROOT).with_suffix("").parts) for file in found)
        elif isinstance(node, ast.Attribute) and node.attr in ("read_parquet", "to_parquet"):
            names.add("pyarrow")
    return names


def third_party(script, env):
    """PyPI names of the packages that a script and the memloc modules behind it import."""
    found, seen, todo = set(), set(), [ROOT / script]
    while todo:
        path = todo.pop()
        packages = set()
        for name in imports(path, script, env):
            top = name.split(".")[0]
            if top == "memloc":
                parts = name.split(".")
                for end in range(1, len(parts) + 1):
                    part = ".".join(parts[:end])
                    if path_of(part).exists() and part not in seen:
                        seen.add(part)
                        todo.append(path_of(part))
            elif top not in sys.stdlib_module_names:
                packages.add(FROM_IMPORT.get(top, top))
        found |= packages
    return found


def test_every_rule_with_a_script_has_one_of_the_environments():
    assert len(rules()) == len(list((ROOT / "scripts").glob("*.py")))
    assert {env for _, env, _ in rules()} == set(ENVS)


def test_rules_name_the_environments_by_their_files():
    common = (ROOT / "rules/common.smk").read_text()
    for variable, file in ENVS.items():
        assert f'{variable} = "../{file.relative_to(ROOT).as_posix()}"' in common
        assert file.exists()


@pytest.mark.parametrize("env", ENVS)
def test_channels(env):
    assert yaml.safe_load(ENVS[env].read_text())["channels"] == ["conda-forge", "nodefaults"]


@pytest.mark.parametrize("env", ENVS)
def test_pins_are_the_locks(env):
    ours = pins(env)
    assert ours.pop("python") == "3.11"
    ours.pop("pip", None)
    assert ours == {name: locked().get(name) for name in ours}


@pytest.mark.parametrize(("rule", "env", "script"), rules(), ids=lambda value: str(value))
def test_environment_holds_what_the_script_imports(rule, env, script):
    needed = third_party(script, env)
    assert needed
    assert needed <= set(pins(env)), f"{ENVS[env].name} lacks what {rule} imports"


def test_the_walk_sees_imports_in_functions_and_of_experiments():
    assert {"lightly", "torch", "safetensors"} <= third_party("scripts/train_encoder.py", "TRAINING_ENV")
    assert "scikit-learn" in third_party("scripts/run_experiment.py", "TRAINING_ENV")
    assert {"matplotlib", "seaborn", "scipy", "pyarrow"} <= third_party("scripts/draw_figure.py", "ANALYSIS_ENV")


def test_lock_is_exact_and_free_of_addresses():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9][\w.-]*==[\w.!+]+( ; .+)?", line) for line in pinned)
    assert not re.search(r"://|sha256|/tmp|-index", "\n".join(lines))


def test_lock_holds_every_declared_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.match(r"[A-Za-z0-9_.-]+", spec)[0].lower() for spec in declared}
    assert names - {"memloc"} <= set(locked())  # An extra may name others.
