"""Where a vision-language model loses what its tower has seen: probes and patches at every stage."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from memloc.charts import ask, patching
from memloc.charts.ask import inputs_of
from memloc.charts.batches import Halving, kept
from memloc.charts.marks import CELLS
from memloc.charts.models import Model
from memloc.charts.models.tokens import Layout, joined, layout, units
from memloc.charts.patching import Pair
from memloc.charts.probes import LEAST, Probed, kernel, pointed, probed
from memloc.charts.reading import Row, Suite, asked_point, kind_of, places
from memloc.charts.states import FLATTENED, LAST, POOLED, SINGLE, States
from memloc.charts.tasks import TASKS
from memloc.job import log
from memloc.metrics.shares import clustered, wilson

HEADS = {
    SINGLE: "single image tokens",
    FLATTENED: "all image tokens",
    POOLED: "mean of image tokens",
    LAST: "last token",
}
"""Representations as users read them."""
ANSWER = "answer"
"""The stage and representation of the model's own answers, beside those of probes."""
PROBED = ("position", "count")
"""Tasks whose answers are probed for."""
STRATEGIES = ("free", "templated")
"""Strategies that show the chart and say nothing of it."""
PARTS = r"(?:answers|sources|pairs)-\d{6}\.parquet|states-\d{6}\.npz"
"""Files of unfinished work."""

Done = Callable[[int], object]
Stop = Callable[[], bool]


def probe(
    model: Model, suite: Suite, items: Sequence[Row], read: States, *, seed: int, progress: Done = lambda done: None
) -> pd.DataFrame:
    """What probes at every stage predict of test rows, and whether they are right.

    A probe learns from charts of the training part and is tested on those of the other. From image tokens a mark's
    column and row are read by a probe of its own for each kind of mark, as a chart may have several; from the last
    token, those of the mark that was asked for. From single tokens, a probe points at the one that shows the mark,
    where tokens are of places and few enough to be kept. ``a`` and ``b`` are the column and row that were read, or
    ``a`` the number of marks. ``held_out`` says whether no training chart has a mark there.
    """
    split = {str(item["chart"]): str(item["split"]) for item in items}
    known = _known(suite)
    placed = None if model.crosses else layout(model, suite)
    rows: list[pd.DataFrame] = []
    for stage in model.stages:
        for representation in (FLATTENED, POOLED, LAST):
            features = read.of(stage, representation)
            if features is not None:
                for target, kind, frame in _targets(suite, items, read, representation):
                    frame = frame.assign(train=frame["chart"].map(split).eq("train"))
                    table = _fit(features, frame, target, kind, seed, known[target])
                    if table is not None:
                        rows.append(table.assign(stage=stage.name, representation=representation, target=target))
        tokens = read.tokens(stage)
        cells = None if placed is None or tokens is None else placed.cells(stage, tokens.shape[1], CELLS)
        if tokens is not None and cells is not None:
            for target, kind, frame in _targets(suite, items, read, SINGLE):
                frame = frame.assign(train=frame["chart"].map(split).eq("train"))
                table = _point(tokens, cells, frame, kind, seed, known[target]) if target == "position" else None
                if table is not None:
                    rows.append(table.assign(stage=stage.name, representation=SINGLE, target=target))
        progress(1)
    if not rows:
        return pd.DataFrame(
            columns=[
                *("stage", "representation", "target", "chart", "kind", "n", "held_out"),
                *("a", "b", "right", "control"),
            ]
        )
    return pd.concat(rows, ignore_index=True)


def _known(suite: Suite) -> dict[str, set[tuple[int, ...]]]:
    """By target, places that some training chart of single marks has one at, and numbers of marks that some has."""
    single = {name for name, task in TASKS.items() if task.draw is None}
    names = {str(item["chart"]) for item in suite.items if item["split"] == "train" and item["task"] in single}
    charts = [suite.charts[name] for name in names]
    return {
        "position": {places(chart, point) for chart in charts for point in chart["points"]},
        "count": {(len(chart["points"]),) for chart in charts},
    }


def _targets(
    suite: Suite, items: Sequence[Row], read: States, representation: str
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Targets of probes: name, kind of mark, and rows with their row of states, chart, n, and labels."""
    if representation == LAST:
        number = {item: i for i, item in enumerate(read.items)}
        counted = [i for i in items if i["task"] == "count"]
        found = [(i, asked_point(i, suite.charts[str(i["chart"])])) for i in items if i["task"] == "position"]
        told = [(str(i["item"]), suite.charts[str(i["chart"])], point) for i, point in found if point is not None]
        several = [("", [(number[item], chart, point) for item, chart, point in told])]
        whole = [(number[str(i["item"])], suite.charts[str(i["chart"])]) for i in counted]
    else:
        kinds = defaultdict(list)
        for row, name in enumerate(read.charts):
            for point in suite.charts[name]["points"]:
                kinds[kind_of(point)].append((row, suite.charts[name], point))
        several = sorted(kinds.items())
        whole = [(row, suite.charts[name]) for row, name in enumerate(read.charts)]
    for kind, marks in several:
        if marks:
            yield (
                "position",
                kind,
                pd.DataFrame(
                    [
                        {"row": row, "chart": chart["chart"], "n": len(chart["points"]), "kind": kind_of(point)}
                        | dict(zip(("a", "b"), places(chart, point), strict=True))
                        for row, chart, point in marks
                    ]
                ),
            )
    if whole:
        yield (
            "count",
            "",
            pd.DataFrame(
                [
                    {
                        "row": row,
                        "chart": chart["chart"],
                        "n": len(chart["points"]),
                        "kind": "",
                        "a": len(chart["points"]),
                    }
                    for row, chart in whole
                ]
            ),
        )


def _fit(
    features: NDArray[np.float32],
    frame: pd.DataFrame,
    target: str,
    kind: str,
    seed: int,
    known: Collection[tuple[int, ...]],
) -> pd.DataFrame | None:
    """Predictions of the test rows of one probe; None where it has too few rows to learn from, or none to predict.

    Args:
        known: places, or numbers, of all training charts.
    """
    train, test = frame[frame["train"]], frame[~frame["train"]]
    labels = [name for name in ("a", "b") if name in frame]
    if len(train) < LEAST or not len(test) or any(train[name].nunique() < 2 for name in labels):
        return None
    k = kernel(features[train["row"]], features[test["row"]])
    given = [train[name].to_numpy(dtype=np.int64) for name in labels]
    true = [test[name].to_numpy(dtype=np.int64) for name in labels]
    return _rows(test, probed(k, given, true, seed=seed, names=(target, kind)), true, known)


def _point(
    tokens: NDArray[np.float32],
    cells: NDArray[np.int64],
    frame: pd.DataFrame,
    kind: str,
    seed: int,
    known: Collection[tuple[int, ...]],
) -> pd.DataFrame | None:
    """As ``_fit``, of the probe that points at one token."""
    train, test = frame[frame["train"]], frame[~frame["train"]]
    if len(train) < LEAST or not len(test):
        return None
    given, true = ([part[name].to_numpy(dtype=np.int64) for name in "ab"] for part in (train, test))
    # Rows of cells are counted from the top, those of values from the bottom.
    at, there = ((CELLS - 1 - b) * CELLS + a for a, b in (given, true))
    found = pointed(tokens[train["row"]], at, tokens[test["row"]], there, cells, seed=seed, kind=kind)
    where = found.read[0]
    found = Probed([where % CELLS, CELLS - 1 - where // CELLS], found.right, found.control)
    return _rows(test, found, true, known)


def _rows(
    test: pd.DataFrame, found: Probed, true: Sequence[NDArray[np.int64]], known: Collection[tuple[int, ...]]
) -> pd.DataFrame:
    return test[["chart", "kind", "n"]].assign(
        held_out=[place not in known for place in zip(*(values.tolist() for values in true), strict=True)],
        a=found.read[0],
        b=pd.array(found.read[1] if len(true) > 1 else [None] * len(test), dtype="Int64"),
        right=found.right,
        control=found.control,
    )


def own_answers(suite: Suite, items: Sequence[Row], answers: pd.DataFrame) -> pd.DataFrame:
    """By chart, kind of mark and target, whether the model's own answer was right."""
    right = answers.set_index("item")["right"].fillna(False).astype(bool)
    rows = []
    for item in items:
        if item["task"] in PROBED and str(item["item"]) in right:
            point = asked_point(item, suite.charts[str(item["chart"])]) if item["task"] == "position" else {}
            if point is not None:
                kind = kind_of(point) if point else ""
                rows.append((str(item["chart"]), kind, str(item["task"]), bool(right[str(item["item"])])))
    return pd.DataFrame(rows, columns=["chart", "kind", "target", "answered"]).drop_duplicates(
        ["chart", "kind", "target"]
    )


def accuracies(predictions: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of probes by stage, representation, target, n, place and answer, with Wilson's intervals.

    A row is a mark of a chart, or a chart. Missing in ``n`` means all, in ``held_out`` both kinds of places, in
    ``answered`` all marks, also those that no item asked for; else the model answered rightly or wrongly. Rows of
    representation ``answer`` are the model's own answers.
    """
    joined = predictions.merge(told, how="left", on=["chart", "kind", "target"])
    own = joined.dropna(subset=["answered"]).drop_duplicates(["chart", "kind", "target"])
    own = own.assign(
        stage=ANSWER, representation=ANSWER, right=own["answered"].astype(bool), control=np.nan, answered=np.nan
    )
    whole = pd.concat([joined, own], ignore_index=True).astype(
        {"answered": "boolean", "n": "Int64", "held_out": "boolean"}
    )
    parts = []
    for by in ((), ("n",), ("held_out",), ("answered",), ("n", "answered")):
        groups = whole.dropna(subset=list(by)).groupby(["stage", "representation", "target", *by], sort=False)
        parts.append(
            groups.agg(rows=("right", "size"), correct=("right", "sum"), chance=("control", "sum")).reset_index()
        )
    found = pd.concat(parts, ignore_index=True)
    for name, column in (("accuracy", "correct"), ("control", "chance")):
        found[name] = found[column] / found["rows"]
        ends = wilson(found[column], found["rows"])
        prefix = "" if name == "accuracy" else "control_"
        found[f"{prefix}low"], found[f"{prefix}high"] = ends
    found.loc[found["representation"].eq(ANSWER), ["control", "control_low", "control_high"]] = np.nan
    found["selectivity"] = found["accuracy"] - found["control"]
    columns = ["stage", "representation", "target", "n", "held_out", "answered", "rows", "accuracy", "low", "high"]
    return found.reindex(columns=[*columns, "control", "control_low", "control_high", "selectivity"])


def read_on(stages: Iterable[str], representation: str) -> list[str]:
    """Of stages in order, those whose states are read by what follows: nothing reads the last layer's image tokens."""
    found = list(stages)
    outputs = found[-1:] if representation != LAST else []
    return found[:-1] if any(re.fullmatch(r"decoder \d+", stage) for stage in outputs) else found


def drops(predictions: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    """By how much a probe's accuracy changes from a stage to the next, on the same rows, and at last to the answer.

    Of image tokens the answer follows the last stage that is read (see ``read_on``). ``accuracy_before`` and
    ``accuracy_after`` are of these rows. Intervals are over charts. ``answered`` is missing where all rows count; else
    the model answered them wrongly.
    """
    joined = predictions.merge(told, how="left", on=["chart", "kind", "target"])
    rows = []
    for (representation, target), table in joined.groupby(["representation", "target"], sort=False):
        wide = table.pivot_table(index=["chart", "kind"], columns="stage", values="right", aggfunc="first", sort=False)
        own = table.drop_duplicates(["chart", "kind"]).set_index(["chart", "kind"])["answered"]
        own = own.reindex(wide.index)
        stages = read_on(wide.columns, str(representation))
        steps = [*pairwise(stages)]
        for only, where in ((pd.NA, np.ones(len(wide), dtype=bool)), (False, own.eq(False).to_numpy())):
            for before, after in steps:
                rows.append((representation, target, before, after, only, *_change(wide[before], wide[after], where)))
        answered = own.notna().to_numpy()
        if answered.any() and stages:
            change = _change(wide[stages[-1]], own, answered)
            rows.append((representation, target, stages[-1], ANSWER, pd.NA, *change))
    columns = ["representation", "target", "before", "after", "answered", "rows", "accuracy_before", "accuracy_after"]
    return pd.DataFrame(rows, columns=[*columns, "change", "low", "high"]).astype({"answered": "boolean"})


def _change(
    before: pd.Series[Any], after: pd.Series[Any], where: NDArray[np.bool_]
) -> tuple[int, float, float, float, float, float]:
    one, other = before[where].astype(float), after[where].astype(float)
    ends = clustered((other - one).to_numpy(), one.index.get_level_values("chart").to_numpy())
    return len(one), float(one.mean()), float(other.mean()), *ends


def patch(
    model: Model,
    layout: Layout,
    suite: Suite,
    chosen: Sequence[Pair],
    strategy: str,
    *,
    batch: int,
    work: Path | None = None,
    progress: Done = lambda done: None,
    stop: Stop = lambda: False,
) -> pd.DataFrame:
    """Patch every pair at every stage with every unit (see ``patching.patched``).

    Raises:
        StoppedError: a stop was requested.
    """
    halving, said = Halving(batch), dict[str, torch.Tensor]()
    items = {str(item["item"]): item for pair in chosen for item in (pair.base, pair.source)}
    for some in halving.over(list(items.values()), lambda part: _answers(model, suite, part, strategy)):
        said |= some
    groups = defaultdict(list)
    for pair in chosen:
        common = patching.parting(said[str(pair.base["item"])], said[str(pair.source["item"])])
        if common is not None:
            groups[common].append(pair)
    charts = list(dict.fromkeys(str(item["chart"]) for item in items.values()))
    shown = units(model, layout, suite, charts)
    todo = [(common, pair) for common, group in sorted(groups.items()) for pair in group]

    def run(some: Sequence[tuple[int, Pair]]) -> pd.DataFrame:
        tables: list[pd.DataFrame] = []
        for common in sorted({number for number, _ in some}):
            alike = [pair for number, pair in some if number == common]
            tables += halving.over(alike, partial(one, common))
        return pd.concat(tables, ignore_index=True)

    def one(common: int, some: Sequence[Pair]) -> pd.DataFrame:
        both = [joined(*(shown[str(item["chart"])] for item in (pair.base, pair.source))) for pair in some]
        prepared = patching.prepare(model, suite, some, said, common, strategy)
        return patching.patched(model, layout, some, prepared, both)

    return kept(work, "pairs", todo, run, size=batch, progress=progress, stop=stop)


def _answers(model: Model, suite: Suite, items: Sequence[Row], strategy: str) -> dict[str, torch.Tensor]:
    """Tokens of the answers to items, without what pads them behind their end."""
    out = model.generate(*inputs_of(model, suite, items, strategy))
    return {str(item["item"]): tokens for item, tokens in zip(items, out, strict=True)}


def sanity(cells: pd.DataFrame, *, crosses: bool) -> dict[str, float | int | str | None]:
    """The two checks of patching, and a warning in the log where one fails.

    The base patched into itself changes no logit by more than ALIKE; all image tokens of the source, where they enter
    the decoder, give the source's answer.
    """
    entry = "connector" if crosses else "decoder input"
    rows = cells[cells["n"].isna() & cells["stage"].eq(entry) & cells["unit"].eq(patching.IMAGE)]
    pairs = int(rows["pairs"].sum())
    moved = float((rows["moved"] * rows["pairs"]).sum() / pairs) if pairs else None
    itself = float(cells["itself"].max()) if len(cells) else None
    if itself is not None and itself > patching.ALIKE:
        log.warning(
            "a run patched into itself changes a logit by %.2g: this model's runs aren't the same twice", itself
        )
    if moved is not None and moved < 0.99:
        log.warning("all of the image at the %s gives the source's answer in %.3f of pairs only", entry, moved)
    return {"itself": itself, "entry": entry, "entry_moved": moved, "entry_pairs": pairs}


def chosen_pairs(
    model: Model,
    suite: Suite,
    items: Sequence[Row],
    answers: pd.DataFrame,
    strategy: str,
    *,
    most: int,
    seed: int,
    batch: int,
    work: Path | None = None,
    stop: Stop = lambda: False,
) -> list[Pair]:
    """Pairs both of which are answered rightly, at most ``most`` of each task and n.

    Raises:
        StoppedError: a stop was requested.
    """
    right = answers.set_index("item")["right"].fillna(False).astype(bool).to_dict()
    known = {str(item): value for item, value in right.items()}
    tried = patching.candidates(suite, items, known, most=2 * most, seed=seed)
    sources = [pair.source for pair in tried]
    said = ask.answers(model, suite, sources, [strategy], batch=batch, work=work, name="sources", stop=stop)
    found: dict[tuple[str, int], list[Pair]] = defaultdict(list)
    for pair, is_right in zip(tried, said["right"] if len(said) else (), strict=True):
        if not pd.isna(is_right) and is_right:
            found[str(pair.base["task"]), int(pair.base["n"])].append(pair)
    return [pair for pairs in found.values() for pair in pairs[:most]]


def described(model: Model, layout: Layout) -> list[str]:
    """Lines on what of a model can't be told apart."""
    lines = [f"stages: {', '.join(stage.name for stage in model.stages)}"]
    if model.crosses:
        lines.append(
            "images reach the decoder by cross-attention and are no tokens of it: its stages have the last token alone,"
            " and the whole image is patched at the connector"
        )
    elif not layout.placed:
        lines.append("the connector's tokens are of no places: from there on an image is patched as a whole")
    return lines


def shown(found: pd.DataFrame, cells: pd.DataFrame) -> str:
    """Accuracy of probes and shares of answers that became the source's, as a table for a terminal."""
    rows = found[found["n"].isna() & found["held_out"].isna() & found["answered"].isna()]
    lines = [f"{'stage':<18}{'probe':<32}{'rows':>6}{'accuracy':>10}{'shuffled':>10}"]
    for row in rows.to_dict("records"):
        shuffled = "" if pd.isna(row["control"]) else f"{row['control']:.3f}"
        name = HEADS.get(row["representation"], "the model's answer")
        probe = f"{row['target']}, {name}"
        lines.append(f"{row['stage']:<18}{probe:<32}{row['rows']:>6}{row['accuracy']:>10.3f}{shuffled:>10}")
    lines.append(f"{'stage':<18}{'patch':<32}{'pairs':>6}{'moved':>10}{'shift':>10}")
    for row in cells[cells["n"].isna()].to_dict("records"):
        patch = f"{row['task']}, {row['unit']}"
        lines.append(f"{row['stage']:<18}{patch:<32}{row['pairs']:>6}{row['moved']:>10.3f}{row['shift']:>10.3f}")
    return "\n".join(lines)
