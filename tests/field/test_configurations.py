"""Configurations as people and strangers write them: what each must be told, and that it is one line."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from memloc.config import check, check_files
from memloc.errors import InputError, one_line
from memloc.plain_yaml import load_plain

ROOT = Path(__file__).resolve().parents[2]
SMOKE = yaml.safe_load((ROOT / "config/smoke.yaml").read_text(encoding="utf-8"))

BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

FILES = {
    "an octal": ("encoders: {simclr: {seeds: [010]}}", "line 1: 010: YAML may read another number"),
    "base sixty": ("score: {resamples: 1:30}", "line 1: 1:30: YAML may read another number"),
    "5,000 digits": (f"shards: {'9' * 5000}", "YAML may read another number"),
    "3,000 lists": (f"device: {'[' * 3000}{']' * 3000}", "more than 50 levels deep"),
    "3,000 lists of JSON": (f'{{"device": {"[" * 3000}{"]" * 3000}}}', "more than 50 levels deep"),
    "an alias in itself": ("encoders: &a {x: *a}", "50 levels, aliases put in"),
    "a list in itself": ("experiments: &a [*a]", "50 levels, aliases put in"),
    "aliases that unpack": (BOMB, "more than 100,000 values"),
    "a set": ("experiments: !!set {a, b}", "not plain YAML"),
    "bytes": ("device: !!binary aGFsbG8=", "not plain YAML"),
    "pairs": ("encoders: !!omap [a: 1]", "not plain YAML"),
    "two documents": ("device: cpu\n---\ndevice: cuda\n", "another document"),
    "nothing": ("", "no keys at the top"),
    "a remark": ("# nothing\n", "no keys at the top"),
    "a list": ("- a\n- b\n", "no keys at the top"),
    "a word": ("cpu\n", "no keys at the top"),
    "a list for a key": ("encoders: {[a, b]: 1}", "not plain YAML"),
    "a key twice": ("device: cpu\ndevice: cuda\n", "device: stands twice"),
    "a key of JSON twice": ('{"device": "cpu", "device": "cuda"}', "device: stands twice"),
    "Latin-1": ("device: caf\u00e9".encode("latin-1"), "save it as UTF-8"),
    "a megabyte": ("#" * 1_000_001, "larger than 1,000,000 bytes"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_plain_configuration(tmp_path, name):
    content, told = FILES[name]
    path = tmp_path / "my.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as raised:
        load_plain(path)
    assert str(path) in str(raised.value) and told in str(raised.value)
    assert len(one_line(str(raised.value))) < 500


def test_what_has_no_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "folder.yaml").mkdir()
    for name in ("pipe", "zero", "loop", "folder", "missing"):
        with pytest.raises(InputError, match=rf"{name}.yaml: (not a regular file|can't be read)"):
            check_files([tmp_path / f"{name}.yaml"])


MERGED = {
    "a date": ("encoders: {2026-01-01: {weights: simclr}}", "quote it: '2026-01-01'"),
    "a forged line": ('"\\e[31mred\\nforged": 1', r"config: \x1b[31mred forged: unknown key"),
    "another direction": ('"\\u202eabc": 1', r"config: \u202eabc: unknown key"),
    "a value of a key": ("encoders: {simclr: {recipe: {epochs: -1}}}", "encoders.simclr.recipe.epochs"),
}


@pytest.mark.parametrize("name", MERGED)
def test_the_tool_says_what_a_run_would_say(tmp_path, name):
    content, told = MERGED[name]
    (tmp_path / "my.yaml").write_text(content, encoding="utf-8")
    command = [sys.executable, "tools/check_config.py", str(tmp_path / "my.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("memloc: error: config: ") and told in done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.strip().isprintable()


PLACES = [
    (part, *rest)
    for part in ("datasets", "encoders", "experiments", "score", "measure", "device", "shards")
    for rest in ([()] if not isinstance(SMOKE.get(part), dict) else [(key,) for key in SMOKE[part]] + [()])
]
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(place=st.sampled_from(PLACES), value=ODD)
def test_any_value_at_any_key_is_right_or_told(place, value):
    config = copy.deepcopy(BASE)
    inside = config
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    try:
        check(config)
    except InputError as error:
        assert str(error).startswith("config: ") and one_line(str(error))


def _base():
    from snakemake.utils import update_config

    config = load_plain(ROOT / "config.yaml")
    update_config(config, SMOKE)
    return config


BASE = _base()
