"""Compute a configuration again, with other kernels and other seeds, and say which verdicts change.

    python tools/replicate.py [--configfile FILE ...] [--against CLAIMS] [--ways kernels seeds] [--offset N] [--cores N]

*kernels*: the same seeds, but PyTorch and oneDNN compute as on an old processor, which changes the last bits of every
training. *seeds*: every seed of encoders and trials is N higher. Each has a folder of its own in results/replicate/,
and goes on where it was stopped. A verdict differs where a claim is judged otherwise: that is *borderline* where each
run's interval holds the other's effect, and *contradicts* where one run supports what the other refutes or finds
negligible. Exits with 1 if any contradicts.
"""

from __future__ import annotations

import argparse
import copy
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pandas as pd
import yaml
from snakemake.utils import update_config

from memloc.analysis.tables import load_claims
from memloc.config import active, check, check_files
from memloc.errors import InputError, one_line, show
from memloc.experiments import EXPERIMENTS
from memloc.experiments.entry import OVER_TABLES
from memloc.io import atomic
from memloc.report.comparison import KEYS, SIZES, Comparison, Row, compare, difference, name_of, same
from memloc.wording import number

FOLDER = ROOT / "results" / "replicate"
NUMBERS = ("effect", "low", "high")
OTHER_KERNELS = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def shifted(config: Mapping[str, Any], offset: int) -> dict[str, Any]:
    """What to lay over a configuration so that every seed of encoders, splits and trials is ``offset`` higher.

    The pool that complementary halves share has no seed, and stays.

    Raises:
        InputError: seeds of an encoder or trial are among its shifted ones.
    """
    overlay: dict[str, Any] = {}
    charts = config.get("charts", {})
    places = {
        **{(part,): config[part] for part in ("encoders", "experiments")},
        **{("charts", part): charts.get(part, {}) for part in ("suites", "towers", "models")},
    }
    for place, entries in places.items():
        for name, entry in entries.items():
            moved, entry = {}, entry or {}
            # Over encoders, an option of this name is no list of seeds.
            if "seeds" in entry and (place != ("experiments",) or EXPERIMENTS[entry["kind"]].over == OVER_TABLES):
                moved["seeds"] = [seed + offset for seed in entry["seeds"]]
                if again := sorted({*entry["seeds"]} & {*moved["seeds"]}):
                    least = max(entry["seeds"]) - min(entry["seeds"]) + 1
                    both = f"{'.'.join(place)}.{name} has seed {again[0]} in both runs"
                    raise InputError(f"--offset: {offset} is too small, {both}; give {least} or more")
            if entry.get("split_seed") is not None:
                moved["split_seed"] = entry["split_seed"] + offset
            if place == ("charts", "suites"):
                moved["seed"] = entry.get("seed", 0) + offset
            if moved:
                inner = overlay
                for part in place:
                    inner = inner.setdefault(part, {})
                inner[name] = moved
    return overlay


def told(comparison: Comparison) -> Iterator[str]:
    """What a reader wants to know of a comparison, line by line."""
    total, differing = len(comparison.pairs), comparison.differing
    for pair in differing:
        name = name_of(pair[0])
        if pair[1]["subject"] != pair[0]["subject"]:
            name += f" (there {pair[1]['subject']})"
        yield f"{difference(*pair)}: {name}: {' -> '.join(_judged(row) for row in pair)}"
    yield from (f"only in the reference: {name}" for name in comparison.missing)
    yield from (f"only in the replicate: {name}" for name in comparison.added)
    if comparison.apart:
        yield f"not compared, for only one run has them: {', '.join(comparison.apart)}"
    if comparison.resized:
        yield f"{comparison.resized} of {total} claims are of other numbers of images or seeds, or at another level"
    moved = sum(any(not same(a[key], b[key]) for key in NUMBERS) for a, b in comparison.pairs)
    yield f"{moved} of {total} effects or intervals differ in any digit" + ("" if moved else "; nothing was replicated")
    kinds = [difference(*pair) for pair in differing]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("contradicts", "moved", "borderline"))
    yield f"{total - len(differing)} of {total} verdicts are equal ({(total - len(differing)) / total:.1%}); {counts}"
    yield _primary(comparison)


def _judged(row: Row) -> str:
    effect, low, high = (number(row[key]) for key in NUMBERS)
    return f"{row['verdict']} {effect} ({low} to {high})"


def _primary(comparison: Comparison) -> str:
    """Whether all primary claims are judged alike, where a run says which these are."""
    primary = [pair for pair in comparison.pairs if any(_yes(row.get("primary")) for row in pair)]
    if not any("primary" in row for pair in comparison.pairs for row in pair):
        return "primary claims: neither run says which these are"
    if not primary:
        return "primary claims: none was compared"
    other = [pair for pair in primary if pair[0]["verdict"] != pair[1]["verdict"]]
    return f"primary claims: {len(other) or 'none'} of {len(primary)} judged otherwise"


def _yes(value: object) -> bool:
    return str(value).lower() in ("true", "yes", "1", "1.0")


def read(path: Path) -> pd.DataFrame:
    """The claims of a run.

    Raises:
        InputError: they can't be read, lack what is compared, or have a text for a number.
    """
    table = load_claims(path)
    if lacking := [column for column in ("subject", *NUMBERS) if column not in table]:
        raise InputError(f"{path}: lacks {', '.join(lacking)}; name a claims.csv")
    if table.duplicated(list(KEYS)).any():
        raise InputError(f"{path}: has claims twice; name a claims.csv of one run")
    for column in (column for column in (*NUMBERS, *SIZES) if column in table):
        numbers = pd.to_numeric(table[column], errors="coerce")
        if (odd := table[column][numbers.isna() & table[column].notna()]).size:
            raise InputError(f"{path}: {column}: {show(str(odd.iloc[0]))} is no number; correct it")
        table[column] = numbers
    return table


def merged(files: Sequence[Path]) -> dict[str, Any]:
    """The configuration that a run with these files has."""
    config: dict[str, Any] = {}
    for content in check_files([ROOT / "config.yaml", *files]):
        update_config(config, copy.deepcopy(content))
    check(config)
    return config


def run(way: str, files: Sequence[Path], *, offset: int, cores: str) -> Path:
    """Compute the claims of a replicate; returns their file."""
    folder, environment = FOLDER / (way if way == "kernels" else f"seeds-{offset}"), dict(os.environ)
    folder.mkdir(parents=True, exist_ok=True)
    config = merged(files)
    if way == "kernels":
        environment |= OTHER_KERNELS
    else:
        overlay = shifted(config, offset)
        update_config(config, overlay)
        check(config)
        files = [*files, folder / "seeds.yaml"]
        with atomic(files[-1]) as temporary:
            temporary.write_text(yaml.safe_dump(overlay), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--cores", cores, "--directory", str(folder)]
    command += ["--configfile", *map(str, files)] if files else []
    print(f"memloc: {way}: {len(active(config))} experiments in {folder.relative_to(ROOT)}", flush=True)
    if subprocess.run([*command, "--", "results/claims.csv"], cwd=ROOT, env=environment).returncode:
        raise InputError(f"{way}: snakemake failed; run this again when what it says is put right, it goes on there")
    return folder / "results" / "claims.csv"


def main(words: Sequence[str] | None = None) -> int:
    """Run, compare, print; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], help="laid over config.yaml, in their order")
    parser.add_argument(
        "--against", type=Path, help="claims.csv of the reference run (results/'s, else docs/results/'s)"
    )
    parser.add_argument("--ways", choices=("kernels", "seeds"), nargs="+", default=["kernels", "seeds"])
    parser.add_argument("--offset", type=int, default=1000, help="what is added to every seed (default: 1000)")
    parser.add_argument("--cores", default="all", help="for snakemake (default: all)")
    options = parser.parse_args(words)
    own, published = ROOT / "results/claims.csv", ROOT / "docs/results/claims.csv"
    path = options.against or (own if own.exists() else published)
    contradictions = 0
    try:
        if options.offset < 1:
            raise InputError(f"--offset: {options.offset} shifts no seed; give a number above 0")
        reference, files = read(path), [file.absolute() for file in options.configfile]
        if "seeds" in options.ways:
            shifted(merged(files), options.offset)  # Before hours of other kernels.
        for way in dict.fromkeys(options.ways):
            comparison = compare(reference, read(run(way, files, offset=options.offset, cores=options.cores)))
            if not comparison.pairs:
                raise InputError(f"{path}: has no claim of this configuration; name another with --against")
            if 2 * comparison.resized > len(comparison.pairs):
                other = "the claims are of other numbers of images or seeds: another configuration"
                raise InputError(f"{path}: {other}; name its claims by --against")
            for line in told(comparison):
                print(f"memloc: {way}: {line}", flush=True)
            contradictions += comparison.contradictions
    except InputError as error:
        print(f"memloc: error: {one_line(str(error))}", file=sys.stderr)
        return 2
    return int(contradictions > 0)


if __name__ == "__main__":
    sys.exit(main())
