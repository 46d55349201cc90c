"""The pages of ``memloc charts ask`` and ``memloc charts locate``. They open offline; every number is from a table."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup, escape
from PIL import Image
from scipy.stats import norm

from memloc import page
from memloc.charts.locate import ANSWER, HEADS, PROBED, read_on
from memloc.charts.marks import number, pair
from memloc.charts.models.tokens import UNITS
from memloc.charts.patching import ALIKE, FEW, IMAGE
from memloc.charts.patching import LAST as LAST_TOKEN
from memloc.charts.probes import LEAST
from memloc.charts.reading import Row, Suite, asked_point, kind_of
from memloc.charts.states import FLATTENED, LAST, POOLED, SINGLE
from memloc.charts.strategies import STRATEGIES
from memloc.io import load_json
from memloc.metrics.stats import LEVEL
from memloc.page import present

WRONG, RIGHT = 4, 2
"""Items of a task that are shown: those answered wrongly, or so that the answer can't be read, and the others."""
CARDS = 60
"""Items that are shown at most."""
SIDE, COLOURS = 480, 64
"""Pixels of an embedded chart's longer side, and its colours where it is larger."""
COARSE = 100
"""Pixels of the longer side of charts that are shown with sharp pixels."""
LONGEST = 1200
"""Most characters of the sentences at a page's head."""
BUDGET = 3_000_000
"""Characters of HTML that all embedded charts together may take."""
RUNS = 8
"""Most runs of equal readings that are listed of an item."""
VERDICTS = {True: "right", False: "wrong", None: "can't be read"}
SEEING = ("blank", "text")
"""Strategies without the chart."""
READ = {"position": ("a mark's position", "marks"), "count": ("the number of marks", "charts")}
"""What a probe reads, and of what, in words."""

Gallery = dict[str, Any]
Table = pd.DataFrame


def asked(answers: Table, found: Table, suite: Suite, *, meta: Mapping[str, Any], figure: Path) -> str:
    """The page of answers as HTML.

    Args:
        found: their accuracy (see ``ask.accuracy``).
        meta: what meta.json says.
        figure: of accuracy.
    """
    strategies = [str(name) for name in meta["settings"]["strategies"]]
    items = {str(item["item"]): item for item in suite.items}
    first = items[str(answers["item"].iloc[0])]
    return page.render(
        __package__ or "",
        "asked.html",
        **_common(meta, suite, answers),
        headline=_sentence(_headline(found, strategies[0], str(meta["name"]))),
        more=[
            *map(_sentence, _more(found, strategies)),
            *map(_sentence, _held_out(answers[answers["strategy"].eq(strategies[0])])),
        ],
        strategies=strategies,
        whole=[_counted(row) for row in _rows(found[found["n"].isna() & found["type"].isna()], strategies)],
        by_n=_matrix(found[found["n"].notna() & found["type"].isna()], "n", strategies),
        by_type=_matrix(found[found["n"].isna() & found["type"].notna()], "type", strategies),
        gallery=_gallery(answers, suite, strategies),
        prompts={name: STRATEGIES[name](first, suite.charts[str(first["chart"])]) for name in strategies},
        figure=_encoded(figure.read_bytes()),
    )


def located(tables: Mapping[str, Table], suite: Suite, *, meta: Mapping[str, Any], figures: Sequence[Path]) -> str:
    """The page of probes and patches as HTML.

    Args:
        tables: by the names of their files.
        meta: what meta.json says.
        figures: of probes and of patches.
    """
    probes, drops, cells = tables["probes"], tables["drops"], tables["patches"]
    answers = tables["answers"]
    # What was asked is told of first.
    targets = [target for target in PROBED if target in set(probes["target"])]
    targets.sort(key=lambda target: target not in set(answers["task"]))
    lines = [
        line
        for target in targets
        for line in (*_lost(probes, drops, target), *_held_out(answers[answers["task"].eq(target)], f" of {target}"))
    ] or [_nothing(answers)]
    readings = _readings(tables["predictions"])
    return page.render(
        __package__ or "",
        "located.html",
        **_common(meta, suite, answers, ", whose charts probes learn from"),
        headline=_sentence(lines[0]),
        more=[
            *map(_sentence, lines[1:]),
            *map(_sentence, _moving(cells, none_asked=meta["settings"].get("pairs") == 0)),
        ],
        checks=_checks(meta["sanity"]),
        probes={target: _stages(probes, drops, target) for target in targets},
        heads=HEADS,
        points=points,
        unprobed=_unprobed(suite, tables),
        patched={str(task): int(own["base"].nunique()) for task, own in tables["pairs"].groupby("task", sort=False)}
        if len(tables["pairs"])
        else {},
        maps={str(task): _map(own) for task, own in cells[cells["n"].isna()].groupby("task", sort=False)},
        few=FEW,
        gallery=_gallery(
            answers,
            suite,
            [str(meta["settings"]["strategy"])],
            lambda item, rows: _course(item, suite.charts[str(item["chart"])], rows[0], readings),
        ),
        figures=[_encoded(figure.read_bytes()) for figure in figures],
    )


def _common(meta: Mapping[str, Any], suite: Suite, answers: Table, training: str = "") -> dict[str, Any]:
    """What both pages say of what was taken, and of what was left out."""
    asked_items = set(answers["item"].astype(str))
    rest = [item for item in suite.items if str(item["item"]) not in asked_items]
    tasks = list(dict.fromkeys(str(task) for task in answers["task"]))
    return {
        "meta": meta,
        "seed": load_json(suite.folder / "manifest.json").get("seed"),
        "title": Path(str(meta["name"])).name or str(meta["name"]),
        "items": len(asked_items),
        "charts_asked": answers["chart"].nunique(),
        "tasks": {task: int(answers.loc[answers["task"].eq(task), "item"].nunique()) for task in tasks},
        "rest": {
            "other tasks": sum(str(item["task"]) not in tasks for item in rest),
            f"the training part{training}": sum(
                str(item["task"]) in tasks and item["split"] == "train" for item in rest
            ),
            "the test part": sum(str(item["task"]) in tasks and item["split"] != "train" for item in rest),
        },
        "all": len(suite.items),
        "limits": {"wrong": WRONG, "right": RIGHT, "cards": CARDS},
    }


# --- Answers ----------------------------------------------------------------------------------------------------------


def share(value: float) -> str:
    """A share in per cent."""
    return f"{100 * value:.1f} %"


def _sentence(text: str) -> Markup:
    """A sentence of which no line ends before a sign of per cent."""
    return escape(page.printable(page.short(text, LONGEST))).replace(" %", Markup("&nbsp;%"))


def _within(row: Mapping[Any, Any]) -> str:
    return f"{share(row['accuracy'])} (95 %: {share(row['low'])} to {share(row['high'])})"


def _whole(found: Table, strategy: str) -> Mapping[Any, Any]:
    own = found["strategy"].eq(strategy) & found["task"].isna() & found["n"].isna() & found["type"].isna()
    return found[own].to_dict("records")[0]


def _headline(found: Table, strategy: str, name: str) -> str:
    row = _whole(found, strategy)
    unread = f", and {row['unparsed']:,} so that the answer can't be read" if row["unparsed"] else ""
    return (
        f"{page.short(Path(name).name or name, 60)} answers {row['right']:,} of {row['items']:,} questions rightly,"
        f" {_within(row)}{unread}, asked by the strategy {strategy}; whether it fails to see the rest or to say what it"
        " sees, this can't tell."
    )


def _more(found: Table, strategies: Sequence[str]) -> Iterator[str]:
    first = strategies[0]
    own = found["strategy"].eq(first) & found["task"].notna() & found["n"].isna() & found["type"].isna()
    tasks = sorted(found[own].to_dict("records"), key=lambda row: -row["accuracy"])
    best, worst = tasks[0], tasks[-1]
    if best["accuracy"] > worst["accuracy"]:
        yield f"Most often right {_first_of(tasks, best)}; least often {_first_of(tasks, worst)}."
    if _whole(found, first)["unparsed"]:
        yield "Answers that can't be read count as not right here, and are counted apart below."
    for name in strategies[1:]:
        row = _whole(found, name)
        sees = "; without the chart, so as much may be guessed" if name in SEEING else ""
        unread = f", and {row['unparsed']:,} answers can't be read" if row["unparsed"] else ""
        yield f"Asked by the strategy {name}, it is right in {_within(row)}{unread}{sees}."


def _first_of(tasks: Sequence[Mapping[Any, Any]], row: Mapping[Any, Any]) -> str:
    """A task with its accuracy, or how many have the same."""
    equal = [str(one["task"]) for one in tasks if one["accuracy"] == row["accuracy"]]
    if len(equal) == 1:
        return f"is {page.short(equal[0], 40)}, {_within(row)}"
    return f"are {len(equal)} tasks, {page.short(equal[0], 40)} among them, {share(row['accuracy'])} each"


def _held_out(answers: Table, what: str = "") -> Iterator[str]:
    """How often answers about held-out places are right, and others, where there are both."""
    known = answers.dropna(subset=["held_out"])
    right, held = (known[name].fillna(False).astype(bool) for name in ("right", "held_out"))
    if held.any() and not held.all():
        yield (
            f"Of the answers{what} about marks at places that the suite holds out of training,"
            f" {share(right[held].mean())} of {held.sum():,} are right; of the others, {share(right[~held].mean())} of"
            f" {(~held).sum():,}. This matters for a model that was trained on such suites: it has seen no mark at the"
            " former."
        )


def _rows(found: Table, strategies: Sequence[str]) -> list[Mapping[Any, Any]]:
    """Rows by task and strategy, all tasks together first."""
    tasks = [None, *dict.fromkeys(found["task"].dropna())]
    rows = found.astype({"task": object}).to_dict("records")
    order = {(task, name): i for i, (task, name) in enumerate((t, s) for t in tasks for s in strategies)}
    return sorted(rows, key=lambda row: order[row["task"] if present(row["task"]) else None, row["strategy"]])


def _counted(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in row.items()} | {"task": row["task"] if present(row["task"]) else ""}


def _matrix(found: Table, column: str, strategies: Sequence[str]) -> dict[str, Any]:
    """Rows of task and strategy with a cell for each value of a column."""
    heads = sorted(found[column].unique()) if column == "n" else list(dict.fromkeys(found[column]))
    rows = []
    for (task, strategy), own in groupby(_rows(found, strategies), key=lambda row: (row["task"], row["strategy"])):
        by = {row[column]: row for row in own}
        rows.append({"task": task, "strategy": strategy, "cells": [by.get(head) for head in heads]})
    return {"heads": heads, "rows": rows}


# --- Charts -----------------------------------------------------------------------------------------------------------


def chosen(answers: Table) -> dict[str, list[str]]:
    """By task, the items that are shown: up to WRONG that aren't answered rightly, then up to RIGHT that are.

    Both are evenly out of all in the order of the table; of many tasks each has fewer, and all have at most CARDS.

    Args:
        answers: of one strategy.
    """
    tasks = list(dict.fromkeys(answers["task"]))[:CARDS]
    wrong, right = (max(least, most * CARDS // (6 * max(len(tasks), 1))) for least, most in ((1, WRONG), (0, RIGHT)))
    found = {}
    for task in tasks:
        own = answers[answers["task"].eq(task)]
        is_right = own["right"].fillna(False).astype(bool)
        groups = ((own[~is_right], min(wrong, WRONG)), (own[is_right], min(right, RIGHT)))
        found[str(task)] = [str(item) for rows, most in groups for item in _even(list(rows["item"]), most)]
    return found


def _even(things: Sequence[Any], most: int) -> list[Any]:
    """At most so many, evenly out of all."""
    return [things[i * len(things) // most] for i in range(most)] if len(things) > most else list(things)


def _gallery(
    answers: Table,
    suite: Suite,
    strategies: Sequence[str],
    course: Callable[[Row, Sequence[Mapping[Any, Any]]], object] = lambda item, rows: None,
) -> Gallery:
    """Cards by task of the items that the first strategy's answers choose, with how many of how many they are."""
    first = answers[answers["strategy"].eq(strategies[0])]
    items = {str(item["item"]): item for item in suite.items}
    picked, left, size = chosen(first), 0, 0
    names = {name for group in picked.values() for name in group}
    said: dict[str, list[Mapping[Any, Any]]] = defaultdict(list)
    for row in answers[answers["item"].isin(names)].to_dict("records"):
        said[str(row["item"])].append(row)
    tasks = []
    for task, group in picked.items():
        own = first[first["task"].eq(task)]
        cards = []
        for name in group:
            item, rows = items[name], sorted(said[name], key=lambda row: strategies.index(str(row["strategy"])))
            uri = _picture(suite.image(str(item["chart"])))
            fits = size + len(uri) <= BUDGET
            size, left = size + len(uri) * fits, left + (not fits)
            cards.append(
                {
                    "item": item,
                    "picture": uri if fits else "",
                    "coarse": max(suite.size) <= COARSE,
                    "said": [_said(row) for row in rows],
                }
                | {"course": course(item, rows)}
            )
        wrong = int((~own["right"].fillna(False).astype(bool)).sum())
        shown = sum(_said(said[name][0])["verdict"] != "right" for name in group)
        tasks.append(
            {"task": task, "cards": cards, "wrong": wrong, "shown": shown, "right": len(own) - wrong}
            | {"unread": int(own["right"].isna().sum())}
        )
    return {
        "tasks": tasks,
        "shown": len(names),
        "of": len(first),
        "without": left,
        "hidden": first["task"].nunique() - len(picked),
    }


def _said(row: Mapping[Any, Any]) -> dict[str, Any]:
    verdict = VERDICTS[None if pd.isna(row["right"]) else bool(row["right"])]
    return {"strategy": row["strategy"], "text": row["text"], "reason": row["reason"], "verdict": verdict}


def _picture(image: Image.Image) -> str:
    """A chart as a data URI, of few colours where it is made smaller."""
    if max(image.size) > SIDE:
        image.thumbnail((SIDE, SIDE))
        image = image.quantize(COLOURS)
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    return _encoded(buffer.getvalue())


def _encoded(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


# --- Where it is lost -------------------------------------------------------------------------------------------------


def _lead(rows: Table, target: str) -> str:
    """The probe of image tokens that is told of: of single tokens where there is one, else of all of them."""
    known = set(rows.loc[rows["target"].eq(target), "representation"])
    return SINGLE if SINGLE in known else FLATTENED


def _lost(probes: Table, drops: Table, target: str) -> list[str]:
    """Where a target is lost, in sentences: the largest drop of probes of image tokens, and how certain it is.

    A drop is certain if its interval, widened by Bonferroni's correction for the number of steps, is below 0.
    """
    what, of = READ[target]
    plain = probes["n"].isna() & probes["held_out"].isna() & probes["answered"].isna() & probes["target"].eq(target)
    lead = _lead(probes, target)
    own_rows = probes[plain & probes["representation"].eq(lead)]
    read = own_rows[own_rows["stage"].isin(read_on(own_rows["stage"], lead))].to_dict("records")
    if not read:
        return [f"No probe of all image tokens could learn {what}, for too few training charts have marks of one kind."]
    best = max(read, key=lambda row: row["accuracy"])
    can = (
        f"A probe of {HEADS[lead]} reads {what} best at {best['stage']}: rightly in {_within(best)} of"
        f" {best['rows']:,} {of}; with shuffled labels in {share(best['control'])}."
    )
    others = probes[plain & probes["representation"].isin(HEADS)].to_dict("records")
    most = max(others, key=lambda row: row["accuracy"])
    if most["accuracy"] > best["accuracy"]:
        name = f"the {HEADS[most['representation']]}" if most["representation"] in (POOLED, LAST) else HEADS[FLATTENED]
        can += f" A probe of {name} reads more at {most['stage']}: {_within(most)} of {most['rows']:,}."
    for row in probes[plain & probes["representation"].eq(ANSWER)].to_dict("records"):
        can += f" The model's answer is right in {_within(row)} of {row['rows']:,}."
    if all(row["low"] <= row["control_high"] for row in read):
        none = f"No probe of {HEADS[lead]} reads {what} better at any stage than with shuffled labels"
        return [f"{none}: where it is lost can't be told.", can]
    own = drops["representation"].eq(lead) & drops["target"].eq(target) & drops["answered"].isna()
    steps = drops[own & drops["change"].notna()].to_dict("records")
    least = min(steps, key=lambda row: row["change"], default={"change": 0})
    can += " A probe shows what can be read, not what the model uses."
    if least["change"] >= 0:
        nor = ", nor to the answer," if any(step["after"] == ANSWER for step in steps) else ""
        return [f"From no stage to the next{nor} is {what} read less often.", can]
    wider = norm.ppf(1 - (1 - LEVEL) / 2 / len(steps)) / norm.ppf(0.5 + LEVEL / 2)
    certain = least["change"] + (least["high"] - least["change"]) * wider < 0
    where = f"from {least['before']} to {'the answer' if least['after'] == ANSWER else least['after']}"
    few, low, high = (page.decimal(-100 * least[name], 1) for name in ("change", "high", "low"))
    by = f"{few} of 100 fewer are right there (95 %: {low} to {high}; {least['rows']:,} {of})."
    after = "the answers" if least["after"] == ANSWER else f"what is read at {least['after']}"
    can = (
        f"Of these {least['rows']:,} {of} {share(least['accuracy_before'])} are right at {least['before']}, and of"
        f" {after} {share(least['accuracy_after'])}. {can}"
    )
    if certain:
        return [f"{what[0].upper()}{what[1:]} is lost most {where}: {by}", can]
    return [f"No loss of {what} is certain; the largest is {where}: {by}", can]


def points(value: float) -> str:
    """A difference of shares, in points of 100, with its sign."""
    return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}") if present(value) else page.MISSING


def _nothing(answers: Table) -> str:
    right = answers["right"].fillna(False).astype(bool)
    return (
        f"No probe could learn where marks are, or how many, for fewer than {LEAST} training charts show the same kind"
        f" of mark; {int(right.sum()):,} of {len(answers):,} answers are right."
    )


def _moving(cells: Table, *, none_asked: bool = False) -> Iterator[str]:
    """What of the image moves the answer most at the stage where image tokens enter what follows the tower."""
    whole = cells[cells["n"].isna() & cells["stage"].eq("connector")]
    for task, own in whole.groupby("task", sort=False):
        rows = own.to_dict("records")
        if parts := [f"{row['unit']} {share(row['moved'])}" for row in rows if row["unit"] in UNITS]:
            few = f" (fewer than {FEW}: take them with care)" if any(row["few"] for row in rows) else ""
            yield (
                f"Patched at the connector, these parts of another chart's image give its answer of"
                f" {page.short(task, 40)}: {', '.join(parts)}; {max(row['pairs'] for row in rows):,} pairs{few}."
            )
    if cells.empty:
        yield (
            "Nothing was patched: no pairs were asked for."
            if none_asked
            else "Nothing was patched: no question was answered rightly of two charts whose answers differ."
        )


def _checks(sanity: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Both checks of patching: whether they hold, None where there was no pair."""
    itself, moved, pairs = sanity["itself"], sanity["entry_moved"], sanity["entry_pairs"]
    return [
        {
            "what": "A run patched into itself",
            "wanted": f"changes no logit by more than {page.number(ALIKE)}",
            "found": "no pair"
            if itself is None
            else f"changes one by {page.number(itself)} at most"
            if itself
            else "changes none",
            "holds": None if itself is None else itself <= ALIKE,
        },
        {
            "what": f"All of the image at the {sanity['entry']}",
            "wanted": "gives the other chart's answer in at least 99 % of pairs",
            "found": "no pair"
            if moved is None
            else f"gives it in {share(moved)} of {pairs:,}{', few' if pairs < FEW else ''}",
            "holds": None if moved is None else moved >= 0.99,
        },
    ]


def _stages(probes: Table, drops: Table, target: str) -> list[dict[str, Any]]:
    """A row a stage: accuracy by representation; of image tokens the change, too, and both where answers are wrong."""
    own = probes[probes["target"].eq(target) & probes["n"].isna() & probes["held_out"].isna()]
    lead = _lead(probes, target)
    steps = drops[drops["target"].eq(target) & drops["representation"].eq(lead)]
    rows = []
    for stage in dict.fromkeys(own["stage"]):
        here, to = own[own["stage"].eq(stage)], steps[steps["after"].eq(stage)]
        all_of, wrong = here[here["answered"].isna()], here[here["answered"].eq(False).fillna(False)]
        rows.append(
            {
                "stage": stage,
                "read": {name: _one(all_of, name) for name in HEADS},
                "answer": _one(all_of, ANSWER),
                "change": _first(to[to["answered"].isna()]),
                "wrong": _one(wrong, lead),
                "wrong_change": _first(to[to["answered"].eq(False).fillna(False)]),
            }
        )
    return rows


def _one(rows: Table, representation: str) -> Mapping[Any, Any] | None:
    return _first(rows[rows["representation"].eq(representation)])


def _first(rows: Table) -> Mapping[Any, Any] | None:
    return next(iter(rows.to_dict("records")), None)


def _unprobed(suite: Suite, tables: Mapping[str, Table]) -> list[str]:
    """Kinds of mark that items are about and no probe of image tokens reads."""
    read = tables["predictions"]
    known = set(read.loc[read["representation"].isin((SINGLE, FLATTENED)) & read["target"].eq("position"), "kind"])
    asked_items = set(tables["answers"]["item"].astype(str))
    items = [item for item in suite.items if str(item["item"]) in asked_items and item["task"] == "position"]
    points = [asked_point(item, suite.charts[str(item["chart"])]) for item in items]
    return sorted({kind_of(point) for point in points if point is not None} - known)


def _map(cells: Table) -> dict[str, Any]:
    """Cells of one task, stage by unit."""
    units = [unit for unit in (IMAGE, *UNITS, LAST_TOKEN) if unit in set(cells["unit"])]
    by = {(row["stage"], row["unit"]): row for row in cells.to_dict("records")}
    stages = dict.fromkeys(cells["stage"])
    return {
        "units": units,
        "rows": [{"stage": stage, "cells": [by.get((stage, unit)) for unit in units]} for stage in stages],
    }


Reading = tuple[str, Any, Any, bool]
"""Stage, what was read along both axes (or the number, and None), and whether that is right."""


def _readings(predictions: Table) -> dict[tuple[str, ...], list[Reading]]:
    """What probes read, stage by stage, by chart, kind of mark, target and representation."""
    found: dict[tuple[str, ...], list[Reading]] = defaultdict(list)
    columns = ("chart", "kind", "target", "representation", "stage", "a", "b", "right")
    for *key, stage, a, b, right in zip(*(predictions[name] for name in columns), strict=True):
        found[tuple(map(str, key))].append((str(stage), a, b, bool(right)))
    return found


def _course(
    item: Row, chart: Row, said: Mapping[Any, Any], readings: Mapping[tuple[str, ...], list[Reading]]
) -> dict[str, Any]:
    """What probes read of the mark that an item is about: runs of equal readings, and where it is lost in words."""
    task = str(item["task"])
    if task not in PROBED:
        return {"told": "No probe reads what this task asks.", "runs": {}}
    point = asked_point(item, chart) if task == "position" else {}
    kind = kind_of(point) if point else ""
    steps = [chart["axes"][axis]["step"] for axis in "xy"]

    def text(a: Any, b: Any) -> str:
        return number(float(a)) if pd.isna(b) else pair(a * steps[0], b * steps[1])

    runs = {}
    of_tokens = [readings.get((str(item["chart"]), kind, task, name), []) for name in (SINGLE, FLATTENED)]
    lead = SINGLE if of_tokens[0] else FLATTENED
    for representation in (lead, LAST):
        read = _followed(readings.get((str(item["chart"]), kind, task, representation), []), representation)
        grouped = [[*group] for _, group in groupby(read, key=lambda one: (text(one[1], one[2]), one[3]))]
        if grouped:
            runs[HEADS[representation]] = [
                {"from": g[0][0], "to": g[-1][0], "read": text(g[0][1], g[0][2]), "right": g[0][3]} for g in grouped
            ]
    own = _followed(of_tokens[0] or of_tokens[1], lead)
    answered = None if pd.isna(said["right"]) else bool(said["right"])
    return {"told": _told(own, answered), "runs": {name: one[-RUNS:] for name, one in runs.items()}} | {
        "cut": {name: len(one) - RUNS for name, one in runs.items() if len(one) > RUNS}
    }


def _followed(read: Sequence[Reading], representation: str) -> list[Reading]:
    """Readings of states that something reads behind them."""
    return list(read[: len(read_on((one[0] for one in read), representation))])


def _told(read: Sequence[Reading], answered: bool | None) -> str:
    """Until which stage readings are right, and where that is lost."""
    if not read:
        return "No probe reads this mark, for too few training charts have one of its kind."
    right = [i for i, one in enumerate(read) if one[3]]
    if not right:
        return "No probe of image tokens reads it rightly at any stage."
    last = right[-1]
    gaps = last + 1 - len(right)
    but = f", but for {gaps} stage{'s' if gaps > 1 else ''} before" if gaps else ""
    if last == len(read) - 1:
        end = "the answer has it" if answered else "lost between there and the answer"
        return f"Read rightly until {read[last][0]}, the last stage of image tokens that is read{but}; {end}."
    found = "; the answer has it all the same" if answered else ""
    return f"Read rightly until {read[last][0]}{but}; lost at {read[last + 1][0]}{found}."
