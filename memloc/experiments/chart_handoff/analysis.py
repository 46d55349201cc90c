"""What a wider connector, positions, or a tower that learns on change in the answers."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.charted import ASKED, answers, by_place, counted, effect, equal, groups, size
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet
from memloc.metrics.stats import Estimate

CLAIMS = {
    "wider": Claim(
        "A new connector that reads two layers tells places of four marks more often than one that reads one: gain of "
        "accuracy"
    ),
    "positions": Claim(
        "A new connector that is given positions tells places of four marks more often than one that isn't: gain of "
        "accuracy"
    ),
    "unfrozen": Claim(
        "A model whose tower learns on tells places of four marks more often than one whose tower stays: gain of "
        "accuracy"
    ),
}
MARKS = 4
PLACES = {0: "places of training charts", 1: "held-out places"}


def analyse(sheet: Sheet) -> None:
    """Accuracy of each model by task and n, and gains over the first on the same items."""
    first, *others = sheet.encoders
    known = {model: answers(sheet, model) for model in sheet.encoders}
    for model, seeds in known.items():
        asked = [table[table["strategy"] == ASKED] for table in seeds]
        sheet.add(counted(asked, ["task", "held_out", "n"]), model=model, series="accuracy")
    for model in others:
        gains = [gained(*pair) for pair in zip(known[model], known[first], strict=True)]
        sheet.add(_interval(sheet, gains), model=model, series=f"minus {first}'s")
        name = next((claim for claim in CLAIMS if model.endswith(claim)), None)
        for held_out, place in PLACES.items():
            found = _gain(sheet, gains, task="position", n=MARKS, held_out=held_out)
            if name and found:
                sheet.find(name, f"{model}, {place}", *found)


def gained(table: pd.DataFrame, first: pd.DataFrame) -> pd.DataFrame:
    """By item that both models were asked, how much more often the answer is right: -1, 0 or 1."""
    columns = ["item", "task", "n", "held_out", "place", "right"]
    one, other = (it[it["strategy"] == ASKED][columns] for it in (table, first))
    both = one.merge(other[["item", "right"]], on="item", suffixes=("", "_first"))
    return both.assign(gain=both["right"].astype(int) - both["right_first"].astype(int))


def _gain(sheet: Sheet, gains: list[pd.DataFrame], **of: str | int) -> tuple[Estimate, int] | None:
    """Mean gain of some items and how many these are; None where a seed has none."""
    chosen = {"gain": equal(**of)}
    rows = groups(gains, chosen, column="gain")
    if rows is None:
        return None
    return effect(sheet, rows, lambda m: m["gain"], together=by_place(gains, chosen)), size(rows)


def _interval(sheet: Sheet, gains: list[pd.DataFrame]) -> pd.DataFrame:
    rows = []
    keys = ["task", "held_out", "n"]
    for key in sorted(set(gains[0][keys].itertuples(index=False, name=None))):
        about = dict(zip(keys, key, strict=True))
        if found := _gain(sheet, gains, **about):
            low, high = found[0].interval()
            numbers = {"value": float(found[0].value), "low": float(low), "high": float(high), "items": found[1]}
            rows.append(about | numbers)
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame) -> Figure:
    """A panel a task and place: gains over the first model by number of marks."""
    rows = table[table["series"] != "accuracy"]
    models = list(dict.fromkeys(rows["model"]))
    panels = sorted(set(rows[["task", "held_out"]].itertuples(index=False, name=None)))
    height = 0.9 + 0.3 * max(1, len(rows[rows["held_out"] == 0]) + len(models))
    figure, axes = plotting.panels(rows=1, columns=max(1, len(panels)), height=height)
    for axis, (task, held_out) in zip(axes[0], panels, strict=False):
        mine = rows[rows["task"].eq(task) & rows["held_out"].eq(held_out)]
        own = pd.concat([mine[mine["model"].eq(model)] for model in models])
        names = ["1 mark" if n == 1 else f"{n:g} marks" for n in own["n"]]
        plotting.forest(axis, own, names, groups=list(own["model"]))
        axis.set(title=f"{task}, {PLACES[held_out]}", xlabel="gain of accuracy")
    plotting.one_scale(axes[0])
    return figure
