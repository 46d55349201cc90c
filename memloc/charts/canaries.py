"""Canaries: training items with a wrong answer, dealt to complementary halves, and where a model memorizes them.

Two models learn a half of the training items each. A canary of one half is memorized if the model that learned it gives
the wrong answer and the other doesn't. Two ways tell at which stage that enters: how states of the two models differ on
canaries (LayerMem, UnitMem), and at which stage the right answer comes back where states are replaced by those of a
clean twin. That is the same question of another chart, with the same right answer, which the model gives. (Another
question of the same chart has the same image tokens, for these come before it.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from memloc.aliases import Array
from memloc.charts import ask, locate, patching
from memloc.charts.models import Model
from memloc.charts.models.tokens import layout
from memloc.charts.patching import IMAGE, LAST, Pair
from memloc.charts.reading import Row, Suite
from memloc.charts.scoring import score
from memloc.charts.study import STRATEGY
from memloc.metrics.alignment import sslmem
from memloc.metrics.units import unitmem
from memloc.streams import generator, stream

HALVES = ("f", "g")
"""The two models, and the halves of the training items that they learn."""
VIEWS, NOISE = 32, 0.1
"""Views of an image: pixels with so much noise, in shares of their range."""
TREES = 300
"""Behind Data-OOB values."""
Bools = NDArray[np.bool_]
Done = Callable[[int], object]


@dataclass(frozen=True)
class Deal:
    """Which training items are canaries and which half learns each.

    Attributes:
        items: with the answer that is learned.
        canary: which have a wrong one.
        half: index in HALVES.
    """

    items: Sequence[Row]
    canary: Bools
    half: NDArray[np.int64]

    def of(self, half: str) -> list[Row]:
        """What the model of a half learns."""
        return [item for item, own in zip(self.items, self.half, strict=True) if HALVES[own] == half]

    def canaries(self, half: str) -> list[Row]:
        """Canaries of a half."""
        chosen = self.canary & (self.half == HALVES.index(half))
        return [item for item, one in zip(self.items, chosen, strict=True) if one]


def deal(items: Sequence[Row], share: float, *, seed: int) -> Deal:
    """Give a share of the items a wrong answer, and deal these canaries and all others to halves of equal size.

    A wrong answer is the right one of another item of the same task. At least one item of each half is a canary. Both
    halves have as many items of each task, type and n, to about one, and so have their canaries.

    Raises:
        RuntimeError: every item of a task has the same answer.
    """
    rng = generator("canaries", seed)
    count = max(2, round(share * len(items)))
    order = rng.permutation(len(items))
    canary, half = np.zeros(len(items), dtype=bool), np.zeros(len(items), dtype=np.int64)
    canary[order[:count]] = True
    for part in (order[:count], order[count:]):
        alike = sorted(part, key=lambda i: (str(items[i]["task"]), str(items[i]["type"]), int(items[i]["n"])))
        half[alike] = (np.arange(len(part)) + rng.integers(2)) % 2
    known = [wrong(item, items, rng) if one else item for item, one in zip(items, canary, strict=True)]
    return Deal(known, canary, half)


def wrong(item: Row, items: Sequence[Row], rng: np.random.Generator) -> Row:
    """An item with the answer of another one of its task, which doesn't count as right."""
    for k in rng.permutation(len(items)):
        other = items[k]
        if other["task"] == item["task"] and score(item, str(other["answer"])).right is False:
            return {**item, "answer": other["answer"]}
    raise RuntimeError(f"{item['item']}: no wrong answer was found")


def given(model: Model, suite: Suite, items: Sequence[Row], *, batch: int) -> Bools:
    """Of each item, whether the model gives the answer that stands in it."""
    return np.array([_same(item, text) for item, text in zip(items, _texts(model, suite, items, batch), strict=True)])


def _texts(model: Model, suite: Suite, items: Sequence[Row], batch: int) -> list[str]:
    return [str(text) for text in ask.answers(model, suite, items, [STRATEGY], batch=batch)["text"]] if items else []


def _same(item: Row, text: str) -> bool:
    """Whether a text ends with an item's answer, right or wrong; "(" may belong to how the answer was begun."""
    said, answer = ("".join(one.split()) for one in (text, str(item["answer"]).removeprefix("(")))
    return re.search(rf"(?<![\d.]){re.escape(answer)}$", said) is not None


def outcomes(
    models: Mapping[str, Model], suite: Suite, dealt: Deal, *, clean: int, batch: int, seed: int, progress: Done
) -> dict[str, Array]:
    """What both models of a deal do with its canaries.

    Args:
        clean: how many other items of each half have a value beside the canaries'.

    Returns:
        ``stages`` and ``parts`` [stages]; ``inside`` and ``outside`` [canaries], whether the model that learned a
        canary, and the other, give its wrong answer; ``half`` [canaries], which learned it, as index in HALVES, and
        ``sslmem`` [canaries, stages]; ``other_half`` and ``other_sslmem`` of all other items; ``unitmem`` [stages];
        ``recovered`` [UNITS, stages], the share of ``pairs`` memorized canaries that are answered rightly where states
        are replaced by the twin's; Data-OOB ``values`` [items] and which items are canaries.
    """
    inside, outside, recovered, pairs = [], [], [], 0
    stages = models["f"].stages
    for half, other in zip(HALVES, reversed(HALVES), strict=True):
        own = dealt.canaries(half)
        known, unknown = (given(models[name], suite, own, batch=batch) for name in (half, other))
        inside.append(known)
        outside.append(unknown)
        progress(1)
        memorized = [item for item, one, two in zip(own, known, unknown, strict=True) if one and not two]
        found, count = recovery(models[half], suite, memorized, batch=batch, seed=seed)
        recovered.append(found * count)
        pairs += count
        progress(1)
    shown = {half: dealt.canaries(half) for half in HALVES}
    sslmem_of, learned_by, units = by_stage(models, suite, shown, batch=batch, seed=seed)
    rng = generator("clean items", seed)
    rest = [rng.permutation(np.flatnonzero(~dealt.canary & (dealt.half == k))) for k in range(2)]
    others = {half: [dealt.items[i] for i in of] for half, of in zip(HALVES, rest, strict=True)}
    sslmem_of_others, own_of_others, _ = by_stage(models, suite, others, batch=batch, seed=seed)
    progress(1)
    rows = np.sort(np.concatenate([np.flatnonzero(dealt.canary), *(of[:clean] for of in rest)]))
    return {
        "stages": np.array([stage.name for stage in stages]),
        "parts": np.array([stage.part for stage in stages]),
        "inside": np.concatenate(inside).astype(np.int8),
        "outside": np.concatenate(outside).astype(np.int8),
        "sslmem": sslmem_of,
        "half": learned_by,
        "other_sslmem": sslmem_of_others,
        "other_half": own_of_others,
        "unitmem": units,
        "units": np.array(UNITS),
        "recovered": np.sum(recovered, axis=0) / max(1, pairs),
        "pairs": np.array(pairs),
        "values": row_values(suite, [dealt.items[i] for i in rows], seed=seed),
        "is_canary": dealt.canary[rows].astype(np.int8),
    }


UNITS = (IMAGE, LAST)
"""What of a twin's run replaces a canary's."""


def recovery(
    model: Model, suite: Suite, memorized: Sequence[Row], *, batch: int, seed: int
) -> tuple[NDArray[np.float64], int]:
    """The share of canaries that are answered rightly with the twin's states, [UNITS, stages], and their number.

    Canaries without a twin that the model answers rightly are left out. A stage that lacks a unit has 0 there.
    """
    found = np.zeros((len(UNITS), len(model.stages)))
    tried = [Pair(item, other) for item in memorized for other in twins(item, suite, seed=seed)]
    right = given(model, suite, [pair.source for pair in tried], batch=batch)
    clean = [pair for pair, one in zip(tried, right, strict=True) if one]
    # The first of each.
    pairs = list({str(pair.base["item"]): pair for pair in reversed(clean)}.values())
    if not pairs:
        return found, 0
    table = locate.patch(model, layout(model, suite), suite, pairs, STRATEGY, batch=batch)
    if table.empty:
        return found, 0
    rates = table.groupby(["unit", "stage"])["moved"].mean()
    for i, unit in enumerate(UNITS):
        for j, stage in enumerate(model.stages):
            found[i, j] = rates.get((unit, stage.name), 0.0)
    return found, int(table["base"].nunique())


TWINS = 32
"""Tried for each canary, at most."""


def twins(item: Row, suite: Suite, *, seed: int) -> list[Row]:
    """The question of a canary asked of other charts of its type where the right answer is the same, in any order."""
    base = suite.charts[str(item["chart"])]
    others = [
        row
        for row in suite.charts.values()
        if (row["type"], row["settings"]["layout"] in patching.LAYOUTS) == (base["type"], True)
    ]
    order = generator("twin", str(item["item"]), seed).permutation(len(others))
    found = (patching.elsewhere(item, suite, others[k], same=True) for k in order)
    return list(islice((one for one in found if one is not None), TWINS))


def by_stage(
    models: Mapping[str, Model], suite: Suite, learned: Mapping[str, Sequence[Row]], *, batch: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """SSLMem of items at every stage [items, stages], which half learned each [items], and excess UnitMem [stages].

    An item's representation is the mean of its image tokens, in the decoder its last token. Alignment is the mean
    distance of representations of unit length between views, images with noise. SSLMem compares f with g: above 0, f
    aligns an item better. UnitMem of a model over items it has learned, minus that over those it hasn't, is the excess,
    a mean over both models.

    Args:
        learned: items by the half that learned them.
    """
    items = [item for half in HALVES for item in learned[half]]
    own = np.repeat([0, 1], [len(learned[half]) for half in HALVES])
    read = {name: _representations(models[name], suite, items, batch=batch, seed=seed) for name in HALVES}
    stages = range(len(models["f"].stages))
    aligned = {name: np.stack([_alignment(read[name][i]) for i in stages], axis=1) for name in HALVES}
    excess = np.zeros((2, len(stages)))
    fewest = min(int((own == 0).sum()), int((own == 1).sum()))
    for k, name in enumerate(HALVES):
        for i in stages:
            mu = np.abs(read[name][i]).mean(axis=1)
            # UnitMem rises with the number of points, so both groups have as many.
            groups = [mu[own == side][:fewest] for side in (k, 1 - k)]
            if fewest > 1:
                excess[k, i] = unitmem(groups[0]).mean() - unitmem(groups[1]).mean()
    return sslmem(aligned["f"], aligned["g"]), own, excess.mean(axis=0)


def _alignment(states: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean distance between views [items] of states [items, views, width] of unit length."""
    length = np.linalg.norm(states, axis=-1, keepdims=True)
    unit = states / np.where(length > 0, length, 1)
    gaps = np.linalg.norm(unit[:, :, None] - unit[:, None], axis=-1)
    views = states.shape[1]
    return np.asarray(gaps.sum(axis=(1, 2)) / (views * (views - 1)))


def _representations(
    model: Model, suite: Suite, items: Sequence[Row], *, batch: int, seed: int
) -> list[NDArray[np.float64]]:
    """By stage, states [items, views, width]. Views of an item are the same for both models."""
    found: list[list[NDArray[np.float64]]] = [[] for _ in model.stages]
    for start in range(0, len(items), batch):
        some = items[start : start + batch]
        inputs, _ = ask.inputs_of(model, suite, some, STRATEGY)
        pixels, at = inputs["pixel_values"], model.places(inputs)
        scale = NOISE * float(pixels.max() - pixels.min())
        views: list[list[Any]] = [[] for _ in model.stages]
        for view in range(VIEWS):
            rng = torch.Generator().manual_seed(stream("canary views", seed, start, view))
            noise = scale * torch.randn(pixels.shape, generator=rng)
            states = model.states({**inputs, "pixel_values": pixels + noise.to(pixels)}, model.stages)
            for i, stage in enumerate(model.stages):
                own = states[stage].float()
                pooled = own[:, -1] if stage.part == "decoder" and stage.name != ENTRY else own.mean(dim=1)
                if stage.name == ENTRY:
                    pooled = own[at].reshape(len(own), -1, own.shape[-1]).mean(dim=1)
                views[i].append(pooled.cpu().numpy().astype(np.float64))
        for i, parts in enumerate(views):
            found[i].append(np.stack(parts, axis=1))
    return [np.concatenate(parts) for parts in found]


ENTRY = "decoder input"
"""Where the last token is a word of the prompt, the same in all views, and image tokens are read instead."""


def row_values(suite: Suite, items: Sequence[Row], *, seed: int, side: int = 12) -> NDArray[np.float64]:
    """Data-OOB values [items] by trees that read an item's answer from its question and its chart's pixels.

    The mean over trees that were fitted without the item of whether they give its answer, right or wrong.
    """
    words = sorted({word for item in items for word in str(item["question"]).split()})
    number = {word: i for i, word in enumerate(words)}
    x = np.zeros((len(items), len(words) + 3 * side * side))
    for row, item in zip(x, items, strict=True):
        row[[number[word] for word in str(item["question"]).split()]] = 1
        row[len(words) :] = np.asarray(suite.image(str(item["chart"])).resize((side, side))).reshape(-1) / 255
    _, y = np.unique([str(item["answer"]) for item in items], return_inverse=True)
    forest = RandomForestClassifier(TREES, oob_score=True, random_state=stream("canary values", seed) % 2**32)
    forest.fit(x, y)
    votes = np.nan_to_num(forest.oob_decision_function_)
    return np.asarray(votes[np.arange(len(y)), np.searchsorted(forest.classes_, y)])
