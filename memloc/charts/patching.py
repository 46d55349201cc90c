"""Activation patching: an answer is changed by states of another chart's run, a stage and a part of the image each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memloc.charts.ask import inputs_of
from memloc.charts.marks import Chart
from memloc.charts.models import Inputs, Model
from memloc.charts.models.stages import Stage, editing
from memloc.charts.models.tokens import UNITS, Bools, Layout
from memloc.charts.reading import Row, Suite, kind_of
from memloc.charts.scoring import score
from memloc.charts.suite import Item
from memloc.charts.tasks import TASKS
from memloc.metrics.shares import wilson
from memloc.streams import generator

IMAGE, LAST = "image", "last token"
"""The two units that are no part of an image: all of it, and the token that the answer follows."""
ALIKE = 1e-5
"""By how much a logit may change when a run is patched into itself."""
FEW = 50
"""Pairs below which a cell says that it has few."""


LAYOUTS = ("2d", "same x", "same y")
"""Of charts of single marks."""


@dataclass(frozen=True)
class Pair:
    """Two items with one question and different answers: the source is patched into the base."""

    base: Row
    source: Row


def candidates(suite: Suite, items: Sequence[Row], right: Mapping[str, bool], *, most: int, seed: int) -> list[Pair]:
    """Pairs of items that were answered rightly with the same question of another chart, ``most`` of each task and n.

    The other chart is of the same type, part and, unless marks are counted, n, and its answer is another. Only tasks of
    single marks have pairs.

    Args:
        right: by item, whether it was answered rightly.
    """
    charts = [row for row in suite.charts.values() if row["settings"]["layout"] in LAYOUTS]
    found: dict[tuple[Any, ...], list[Pair]] = defaultdict(list)
    for item in items:
        if right.get(str(item["item"])) and TASKS[item["task"]].draw is None:
            alike = (item["type"], item["split"], item["n"])
            others = [
                row
                for row in charts
                if (row["type"], row["settings"]["split"], item["n"] if item["task"] == "count" else row["n"]) == alike
            ]
            order = generator("pairs", str(item["item"]), seed).permutation(len(others))
            sources = (source for k in order if (source := elsewhere(item, suite, others[k])) is not None)
            source = next(sources, None)
            if source is not None:
                found[item["task"], item["n"]].append(Pair(item, source))
    chosen = []
    for (task, n), group in found.items():
        order = generator("chosen pairs", str(task), str(n), seed).permutation(len(group))[:most]
        chosen += [group[i] for i in sorted(order)]
    return chosen


def elsewhere(item: Row, suite: Suite, other: Row, *, same: bool = False) -> Row | None:
    """The question of an item, asked of another chart; None where that can't be.

    Args:
        same: whether the right answer must be the same, or another one.
    """
    task, chart, asked = TASKS[item["task"]], Chart.read(other), dict(item["metadata"]["asked"])
    if "marks" in asked:
        points = suite.charts[str(item["chart"])]["points"]
        numbers = {kind_of(point): k for k, point in enumerate(other["points"])}
        marks = [numbers.get(kind_of(points[k])) for k in asked["marks"]]
        if None in marks:
            return None
        asked["marks"] = marks
    wording, answer = item["metadata"]["wording"], task.solve(chart, asked)
    found = Item(f"{item['item']} of {chart.name}", chart, task, asked, wording, answer).row()
    fits = chart.name != item["chart"] and (score(item, str(found["answer"])).right is True) == same
    return found if fits and found["question"] == item["question"] else None


@dataclass(frozen=True)
class Prepared:
    """Runs of pairs up to where their answers part: behind the question stands what both answers begin with.

    Attributes:
        base, source: inputs of both runs.
        common: the tokens [pairs, common] that both answers begin with.
        toward, away: the next token of the source's answer and of the base's, [pairs].
        tokens: most of an answer.
    """

    base: Inputs
    source: Inputs
    common: Tensor
    toward: Tensor
    away: Tensor
    tokens: int

    def contrast(self, logits: Tensor) -> Tensor:
        """Logit of the source's token minus the base's, [pairs], of logits [pairs, vocabulary]."""
        rows = torch.arange(len(logits), device=logits.device)
        return logits[rows, self.toward] - logits[rows, self.away]


def masks(
    model: Model, layout: Layout, stage: Stage, inputs: Inputs, tokens: int, shown: Sequence[Mapping[str, Bools]]
) -> dict[str, Tensor]:
    """By unit, which tokens of a stage it has, [pairs, tokens]; a unit that the stage doesn't have is left out.

    Args:
        tokens: of the stage.
        shown: by pair and unit, patches of the image.
    """
    found, where = {}, torch.ones(len(shown), tokens, dtype=torch.bool, device=model.device)
    if stage.part == "decoder":
        found[LAST] = torch.zeros_like(where)
        found[LAST][:, -1] = True
        if model.crosses:
            return found
        where = model.places(inputs)
    found[IMAGE] = where
    taken = torch.zeros_like(where)
    for unit in UNITS:
        rows = [layout.tokens(stage, one[unit], int(where[0].sum())) for one in shown]
        if all(row is not None for row in rows):
            chosen = torch.from_numpy(np.array(rows, dtype=np.bool_)).to(model.device)
            # A token that several patches were merged to is of the first unit that one of them is of.
            found[unit] = torch.zeros_like(where).masked_scatter(where, chosen) & ~taken
            taken = taken | found[unit]
    return found


def replaced(states: Tensor, mask: Tensor) -> Callable[[Tensor], Tensor]:
    """An edit that puts ``states`` [batch, tokens, width] where the mask [batch, tokens] is."""
    return lambda own: torch.where(mask[..., None], states, own)


def extended(inputs: Inputs, more: Tensor) -> Inputs:
    """Inputs with more tokens [batch, more] of text behind them."""
    if not more.shape[1]:
        return inputs
    new = dict(inputs)
    new["input_ids"] = torch.cat([inputs["input_ids"], more], dim=1)
    for key in ("attention_mask", "mm_token_type_ids", "token_type_ids", "cross_attention_mask"):
        if key in inputs:
            value = inputs[key]
            behind = (
                torch.zeros_like(more) if "type" in key else value[:, -1:].expand(-1, more.shape[1], *value.shape[2:])
            )
            new[key] = torch.cat([value, behind.to(value.dtype)], dim=1)
    return new


def prepare(
    model: Model, suite: Suite, some: Sequence[Pair], said: Mapping[str, Tensor], common: int, strategy: str
) -> Prepared:
    """Inputs of pairs whose answers part after ``common`` tokens.

    Args:
        said: by item, the tokens of its answer.
    """
    sides = [inputs_of(model, suite, [getattr(p, one) for p in some], strategy) for one in ("base", "source")]
    base, source = ([said[str(getattr(pair, one)["item"])] for pair in some] for one in ("base", "source"))
    begin = torch.stack([tokens[:common] for tokens in base])
    return Prepared(
        extended(sides[0][0], begin),
        extended(sides[1][0], begin),
        begin,
        toward=torch.stack([tokens[common] for tokens in source]),
        away=torch.stack([tokens[common] for tokens in base]),
        tokens=sides[0][1],
    )


def parting(one: Tensor, other: Tensor) -> int | None:
    """After how many tokens two answers part; None if one is the other's beginning or they are equal."""
    length = min(len(one), len(other))
    differ = (one[:length] != other[:length]).nonzero()
    return int(differ[0]) if len(differ) else None


def patched(
    model: Model,
    layout: Layout,
    some: Sequence[Pair],
    prepared: Prepared,
    shown: Sequence[Mapping[str, Bools]],
) -> pd.DataFrame:
    """Of every pair, stage and unit: whether the answer became the source's, and how far its logit came.

    Both runs are taken up to where their answers part, so the last token is the one that the first differing token
    follows. ``shift`` is (patched - base) / (source - base) of the logit of the source's token minus the base's: 0
    where the patch changed nothing, 1 where it gave the source's run. ``itself`` is the most by which a logit changes
    where the base is patched into itself.
    """
    size, rows = len(some), []
    own, states = (model.states(inputs, model.stages) for inputs in (prepared.base, prepared.source))
    plain = model.logits(prepared.base)
    before, after = prepared.contrast(plain), prepared.contrast(model.logits(prepared.source))
    for stage in model.stages:
        units = masks(model, layout, stage, prepared.base, own[stage].shape[1], shown)
        everything = torch.ones(own[stage].shape[:2], dtype=torch.bool, device=model.device)
        with editing(model.module, size, {stage: replaced(own[stage], everything)}):
            itself = float((model.logits(prepared.base) - plain).abs().max())
        for unit, mask in units.items():
            edit = {stage: replaced(states[stage], mask)}
            with editing(model.module, size, edit):
                shift = (prepared.contrast(model.logits(prepared.base)) - before) / (after - before)
            with editing(model.module, size, edit):
                out = torch.cat([prepared.common, model.generate(prepared.base, prepared.tokens)], dim=1)
            for i, pair in enumerate(some):
                text = model.text(out[i])
                rows.append(
                    {key: pair.base.get(key) for key in ("task", "n", "type")}
                    | {"base": str(pair.base["item"]), "source": str(pair.source["item"])}
                    | {"stage": stage.name, "unit": unit, "tokens": int(mask[i].sum()), "text": text}
                    | {"moved": score(pair.source, text).right is True, "kept": score(pair.base, text).right is True}
                    | {"shift": float(shift[i]), "itself": itself}
                )
    return pd.DataFrame(rows)


COLUMNS = [
    *("task", "n", "stage", "unit", "pairs", "few"),
    *("moved", "low", "high", "kept", "shift", "tokens", "itself"),
]
"""Of ``cells``."""


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """By task, n (missing: all), stage and unit: share of answers that became the source's, mean shift, pairs."""
    if table.empty:
        return pd.DataFrame(columns=COLUMNS).astype({"n": "Int64"})
    parts = []
    for by in (("task",), ("task", "n")):
        groups = table.groupby([*by, "stage", "unit"], sort=False)
        parts.append(
            groups.agg(
                pairs=("moved", "size"),
                moved=("moved", "mean"),
                kept=("kept", "mean"),
                shift=("shift", "mean"),
                tokens=("tokens", "mean"),
                itself=("itself", "max"),
            ).reset_index()
        )
    found = pd.concat(parts, ignore_index=True)
    found["low"], found["high"] = wilson(found["moved"] * found["pairs"], found["pairs"])
    found["few"] = found["pairs"] < FEW
    return found.reindex(columns=COLUMNS).astype({"n": "Int64"})
