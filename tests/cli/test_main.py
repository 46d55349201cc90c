"""What all commands have in common: their --help, exit statuses, and one line for every end but a good one."""

import argparse
import subprocess
import sys

import pytest

from memloc import cli
from memloc.cli.parser import build_parser
from memloc.errors import InputError

COMMANDS = {
    "score": ["e:f", "--images", "x", "--out", "y"],
    "value": ["t.csv", "--out", "y"],
    "charts make": ["--out", "y"],
    "charts ask": ["m", "--suite", "x", "--out", "y"],
    "charts locate": ["m", "--suite", "x", "--out", "y"],
}


def ended(monkeypatch, capsys, name, error):
    """Status and stderr of a command whose work ends with an error."""

    def work(options):
        raise error

    monkeypatch.setattr(cli.importlib, "import_module", lambda name: argparse.Namespace(run=work))
    status = cli.main([*name.split(), *COMMANDS[name]])
    out, err = capsys.readouterr()
    assert not out
    return status, err


def test_these_are_all_commands():
    def leaves(parser, name=""):
        (inner,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)] or [None]
        return (
            [name] if inner is None else [x for k, p in inner.choices.items() for x in leaves(p, f"{name} {k}".strip())]
        )

    assert leaves(build_parser()) == [*COMMANDS]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_end_has_its_status_and_one_line(name, monkeypatch, capsys):
    for error, status, line in (
        (InputError("key: value;\nwhat to do"), 1, "memloc: error: key: value; what to do"),
        (FileNotFoundError(2, "No such file", "a.csv"), 1, "memloc: error: a.csv: No such file"),
        (OSError(28, "No space left on device"), 1, "memloc: error: the disk is full; free some space and "),
        (MemoryError(), 1, "memloc: error: not enough memory; "),
        (ModuleNotFoundError("No module", name="torch.nn"), 1, "memloc: error: memloc "),
        (RuntimeError("odd"), 1, "memloc: error: RuntimeError: odd (a fault in "),
        (KeyboardInterrupt(), 130, "memloc: interrupted; the same command "),
    ):
        found, err = ended(monkeypatch, capsys, name, error)
        assert found == status and err.startswith(line) and err.count("\n") == 1, err
    extra = {"score": "'.[score]'", "value": ".", "charts make": "'.[charts]'"}
    _, err = ended(monkeypatch, capsys, name, ModuleNotFoundError("No module", name="torch.nn"))
    wanted = extra.get(name, "'.[huggingface]'")
    needs = f"needs torch, which isn't installed: pip install {wanted} in the clone of memloc"
    assert err.endswith(f"{name.split()[0]} {needs}\n")


@pytest.mark.parametrize("name", ["", "charts", *COMMANDS])
def test_help_ends_with_the_statuses_and_wrong_usage_is_2(name, capsys):
    with pytest.raises(SystemExit) as asked:
        cli.main([*name.split(), "--help"])
    assert asked.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert told.endswith("0 done, 1 bad input or a failure (one line says what to do), 2 wrong usage, 130 interrupted")
    with pytest.raises(SystemExit) as wrong:
        cli.main([*name.split(), "--nothing"])
    assert wrong.value.code == 2 and "error: " in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_options_of_inner_commands_and_which_take_files(shell, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--print-completion", shell])
    script = capsys.readouterr().out
    assert ended.value.code == 0 and "--external" in script and "locate" in script and "image-aug" in script


def test_bash_completes():
    script = """
    eval "$("$0" -m memloc --print-completion bash)"
    COMP_WORDS=(memloc score x --exter); COMP_CWORD=3; _shtab_memloc; echo "${COMPREPLY[@]}"
    COMP_WORDS=(memloc score x --hook b); COMP_CWORD=4; _shtab_memloc; echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script, sys.executable], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.split() == ["--external", "before"]
