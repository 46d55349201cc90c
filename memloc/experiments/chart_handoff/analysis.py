"""What a wider connector, positions, or a tower that learns on change in the answers."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.charted import ASKED, answers, counted, effect, equal, groups, size
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet

CLAIMS = {
    "wider": Claim("A connector that reads two layers tells places of four marks more often: gain of accuracy"),
    "positions": Claim("A connector that is given positions tells places of four marks more often: gain of accuracy"),
    "unfrozen": Claim("A tower that learns on tells places of four marks more often: gain of accuracy"),
}
MARKS = 4


def analyse(sheet: Sheet) -> None:
    """Accuracy of each model by task and n, and gains over the first on the same items."""
    first, *others = sheet.encoders
    known = {model: answers(sheet, model) for model in sheet.encoders}
    for model, seeds in known.items():
        asked = [table[table["strategy"] == ASKED] for table in seeds]
        sheet.add(counted(asked, ["task", "n"]), model=model, series="accuracy")
    for model in others:
        gains = [gained(*pair) for pair in zip(known[model], known[first], strict=True)]
        sheet.add(_interval(sheet, gains), model=model, series=f"minus {first}'s")
        name = next((claim for claim in CLAIMS if model.endswith(claim)), None)
        rows = groups(gains, {"gain": equal(task="position", n=MARKS)}, column="gain")
        if name and rows:
            sheet.find(name, model, effect(sheet, rows, lambda m: m["gain"]), size(rows))


def gained(table: pd.DataFrame, first: pd.DataFrame) -> pd.DataFrame:
    """By item that both models were asked, how much more often the answer is right: -1, 0 or 1."""
    one, other = (it[it["strategy"] == ASKED][["item", "task", "n", "right"]] for it in (table, first))
    both = one.merge(other[["item", "right"]], on="item", suffixes=("", "_first"))
    return both.assign(gain=both["right"].astype(int) - both["right_first"].astype(int))


def _interval(sheet: Sheet, gains: list[pd.DataFrame]) -> pd.DataFrame:
    rows = []
    for task, n in sorted(set(zip(gains[0]["task"], gains[0]["n"], strict=True))):
        found = groups(gains, {"gain": equal(task=task, n=n)}, column="gain")
        if found:
            estimate = effect(sheet, found, lambda m: m["gain"])
            low, high = estimate.interval()
            numbers = {"value": float(estimate.value), "low": float(low), "high": float(high)}
            rows.append({"task": task, "n": n, **numbers, "items": size(found)})
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame) -> Figure:
    """A panel a task: gains over the first model by number of marks."""
    rows = table[table["series"] != "accuracy"]
    tasks, models = (list(dict.fromkeys(rows[name])) for name in ("task", "model"))
    height = 0.9 + 0.3 * max(1, rows.groupby("task").size().max() if len(rows) else 1)
    figure, axes = plotting.panels(rows=1, columns=max(1, len(tasks)), height=height)
    for axis, task in zip(axes[0], tasks, strict=False):
        own = pd.concat([rows[rows["task"].eq(task) & rows["model"].eq(model)] for model in models])
        names = ["1 mark" if n == 1 else f"{n:g} marks" for n in own["n"]]
        plotting.forest(axis, own, names, groups=list(own["model"]))
        axis.set(title=task, xlabel="gain of accuracy")
    plotting.one_scale(axes[0])
    return figure
