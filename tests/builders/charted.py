"""Planted answers, predictions, patched pairs and canaries of small vision-language models."""

from itertools import product

import numpy as np
import pandas as pd

from memloc.charts.study import arrays_of


def shares(rows, share, rng=None):
    """Truth values of so many rows, this share of them true, in any order."""
    values = np.arange(rows) < round(share * rows)
    return values if rng is None else rng.permutation(values)


def answered(accuracy, *, seed, items=40, unread=0):
    """Answers of one model and seed.

    Args:
        accuracy: by (strategy, task, n, held_out), the share that is right.
        unread: how many answers of each of these can't be read.
    """
    rows = []
    for (strategy, task, n, held_out), share in accuracy.items():
        right = np.random.default_rng([seed, n, len(task)]).permutation(shares(items, share)).astype(int)
        right[np.flatnonzero(right == 0)[:unread]] = -1
        about = {"strategy": strategy, "task": task, "n": n, "held_out": held_out, "guess": 0.25}
        about["place"] = np.arange(items) % 16
        names = [f"{task}-{n}-{held_out}-{i}" for i in range(items)]
        rows.append(pd.DataFrame({"item": names, "type": ["scatter", "bar"] * (items // 2), "right": right, **about}))
    table = pd.concat(rows, ignore_index=True)
    return {name: table[name].to_numpy() for name in table} | arrays_of(table, ["item", "strategy", "task", "type"])


STAGES = ("patch embedding", "tower 1", "tower 2", "connector", "decoder input", "decoder 1", "decoder 2")


def predicted(probe, answer, *, seed, numbers=(1, 4, 8), marks=60, control=0.02, held_out=0):
    """What probes read of places.

    Args:
        probe: by stage, the share of marks that is read; from the last token, what is answered.
        answer: the share of marks that is answered rightly.
    """
    rows = []
    for n in numbers:
        told = shares(marks, answer, np.random.default_rng([seed, n]))
        for (stage, share), kind in product(probe.items(), ("single tokens", "flattened", "pooled", "last token")):
            if kind == "last token" and not stage.startswith("decoder"):
                continue
            rng = np.random.default_rng([seed, n, len(stage)])
            right = (
                told if kind == "last token" else shares(marks, share, rng) & (kind in ("single tokens", "flattened"))
            )
            about = {"chart": [f"{n}-{i}" for i in range(marks)], "kind": "red circle", "n": n, "held_out": held_out}
            about["place"] = np.arange(marks) % 16
            about |= {"stage": stage, "representation": kind, "target": "position", "control": control}
            rows.append(pd.DataFrame({**about, "right": right, "answered": told}))
    table = pd.concat(rows, ignore_index=True)
    return arrays_of(table, list(table))


def patched(moved, *, pairs=60, numbers=(1, 2, 4), itself=1e-7):
    """Patched pairs: by (stage, unit), the share of answers that become the other chart's."""
    rows = []
    for n, ((stage, unit), share) in product(numbers, moved.items()):
        about = {"task": "position", "n": n, "stage": stage, "unit": unit, "itself": itself}
        rows.append(
            pd.DataFrame({"moved": shares(pairs, share), "kept": ~shares(pairs, share), "shift": share, **about})
        )
    table = pd.concat(rows, ignore_index=True)
    return arrays_of(table, list(table))


def canaries(*, seed, inside=0.8, outside=0.05, layermem=None, recovered=None, count=40):
    """What both models of a deal do with canaries, ever more towards the decoder's last layer."""
    rng, stages = np.random.default_rng(seed), len(STAGES)
    rise = np.linspace(0, 0.06, stages) if layermem is None else np.array(layermem)
    last = np.zeros((2, stages))
    last[0] = np.linspace(0.9, 0.2, stages)
    last[1, 4:] = (0.0, 0.4, 0.9)
    return {
        "stages": np.array(STAGES),
        "parts": np.array(["tower"] * 3 + ["connector"] + ["decoder"] * 3),
        "inside": shares(count, inside, rng).astype(np.int8),
        "outside": shares(count, outside, rng).astype(np.int8),
        "sslmem": of_halves(rise, count),
        "half": np.arange(count) % 2,
        "other_sslmem": of_halves(rise / 3, count),
        "other_half": np.arange(count) % 2,
        "unitmem": rise + 0.0005 * rng.normal(size=stages),
        "recovered": last if recovered is None else np.array(recovered),
        "pairs": np.array(30),
        "values": np.concatenate([0.1 + 0.01 * rng.random(20), 0.5 + 0.01 * rng.random(60)]),
        "is_canary": (np.arange(80) < 20).astype(np.int8),
    }


def of_halves(rise, count):
    """SSLMem [items, stages] of items of either half in turn; crossed LayerMem is ``rise``, and f is ahead in all."""
    noise = np.resize([-0.01, -0.01, 0.01, 0.01], count)[:, None]
    return 0.02 + noise + np.where(np.arange(count) % 2 == 0, 1, -1)[:, None] * np.asarray(rise)


def probed(flat, pooled, held, *, seed, charts=50, layers=("1", "2", "3"), control=0.01, memorized=None):
    """Probes of a tower: shares read from all states, from their mean, and from all states at held-out places.

    Behind the layers is an output, whose states are the mean of the last layer's.

    Args:
        held: by layer, or one of all.
        memorized: by layer, crossed LayerMem of a pair; None for a tower without a partner.
    """
    rows = []
    held = held if isinstance(held, dict) else dict.fromkeys(layers, held)
    held = {**held, "output": held[layers[-1]]}
    for (number, layer), kind in product(enumerate((*layers, "output")), ("flattened", "pooled")):
        every = kind == "flattened" or layer == "output"
        for place, told in ((0, flat if every else pooled), (1, held[layer] if every else pooled)):
            right = shares(charts, told, np.random.default_rng([seed, number + 1, place]))
            about = {"stage": layer, "representation": kind, "held_out": place, "control": control}
            about["place"] = np.arange(charts) % 16
            rows.append(pd.DataFrame({"right": right, **about}))
    table = pd.concat(rows, ignore_index=True)
    points = {} if memorized is None else of_pair(memorized, seed=seed)
    return arrays_of(table, list(table)) | {f"points/{name}": column for name, column in points.items()}


def of_pair(memorized, *, seed, images=40):
    """SSLMem of images of a pool, as of a pair whose halves of it were dealt anew, with noise of every image's own."""
    rng = np.random.default_rng(seed)
    groups = {"candidate": 1, "independent": -1, "external": 0}
    order = np.concatenate([rng.permutation(2 * images), 2 * images + np.arange(images)])
    noise = np.resize([-0.02, 0.02], images)
    rows = [
        pd.DataFrame({"point": points, "group": group, "label": points % 2, "layer": layer, "own": True}).assign(
            sslmem=sign * value + noise
        )
        for (group, sign), points in zip(groups.items(), np.split(order, 3), strict=True)
        for layer, value in memorized.items()
    ]
    table = pd.concat(rows, ignore_index=True)
    return arrays_of(table, list(table))
