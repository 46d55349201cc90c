"""The study of charts: suites, towers and models as a configuration names them, and what is asked of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.aliases import Array, Options
from memloc.charts import ask, files, locate, states
from memloc.charts.models import Model, build, open_model
from memloc.charts.models.tokens import layout
from memloc.charts.reading import Row, Suite, asked_point, kind_of, numbered, places
from memloc.charts.scoring import score
from memloc.charts.settings import Settings
from memloc.charts.suite import plan
from memloc.job import log
from memloc.provenance import file_sha256

STRATEGY = "templated"
"""How items are asked of which states are read and patched: their answers begin with what differs."""
NONE = -1
"""In files, what has no value: of truth values and whole numbers."""
Done = Callable[[int], object]


def write_suite(settings: Options, folder: Path) -> None:
    """A suite of charts in a folder, its manifest last (see ``memloc charts make``)."""
    asked = Settings(**settings)
    suite = plan(asked)
    folder.mkdir(parents=True, exist_ok=True)
    files.write(suite, asked.size, folder)
    found = {str(path.relative_to(folder)): file_sha256(path) for path in sorted(folder.rglob("*.*"))}
    text = json.dumps({**files.describe(asked, suite), "files": found}, indent=2)
    (folder / files.RECORD).write_text(text + "\n", encoding="utf-8")


def steps(total: int) -> Done:
    """What logs every tenth of so many steps."""
    done = 0

    def count(more: int) -> None:
        nonlocal done
        before, done = done, done + more
        if before * 10 // total < done * 10 // total:
            log.info("%d of %d steps", done, total)

    return count


def schedule(settings: Options) -> build.Schedule:
    """How a part is trained, as the configuration has it."""
    keys = ("steps", "batch", "rate", "enough")
    return build.Schedule(**{key: settings[key] for key in keys if key in settings})


def shape(suite: Suite, tower: Options, model: Options | None = None) -> build.Shape:
    """How large a tower is, and the model that it is put into."""
    more = {} if model is None else {"decoder": model["layers"], "read": tuple(model["read"])}
    sizes = {key: tower[key] for key in ("patch", "width", "heads")}
    return build.Shape(image=suite.size[0], tower=tower["layers"], **sizes, **more)


def train_tower(
    suite: Suite, settings: Options, folder: Path, *, seed: int, progress: Done = lambda done: None
) -> None:
    """A tower that learns what lies in every patch of training charts, saved in a model that knows no more."""
    items = suite.choose(split="train")
    nothing = build.Schedule(0)
    build.train(
        *(suite, items, folder),
        shape=shape(suite, settings),
        tower=schedule(settings),
        decoder=nothing,
        seed=seed,
        progress=progress,
    )


def training_items(suite: Suite, settings: Options) -> list[Row]:
    """The training items of a model's tasks, at most ``items`` of them."""
    items = suite.choose(tasks=settings["tasks"], split="train")
    return thinned(items, settings.get("items", len(items)))


def train_model(
    suite: Suite,
    items: Sequence[Row],
    settings: Options,
    folder: Path,
    *,
    suites: Sequence[Suite],
    tower: Path,
    tower_settings: Options,
    after: Path | None = None,
    seed: int,
    progress: Done = lambda done: None,
) -> None:
    """A model whose connector and decoder learn to answer items, before a tower that was trained, or after a model.

    Where it reads other states of the tower than the model before it, or is told so, its connector is new.

    Args:
        suites: whose words a new model knows.
    """
    before = None if after is None else open_model(after)
    aligned = "all" if before is None else ""
    kept = settings.get("connector", "kept") == "kept"
    same = before is not None and np.array_equal(np.ravel(before.config.vision_feature_layer), settings["read"])
    if before is not None and same and kept:
        model, processor = before.module.requires_grad_(True), before.processor
    else:
        words = dict.fromkeys(text for one in suites for text in build.texts(one, one.items))
        processor = None if before is None else before.processor
        model, processor = build.build(words, shape(suite, tower_settings, settings), processor=processor, seed=seed)
        if before is None:
            trained = open_model(tower).module.get_submodule("model.vision_tower")
            model.get_submodule("model.vision_tower").load_state_dict(trained.state_dict())
        else:
            rest = {key: of for key, of in before.module.state_dict().items() if "multi_modal_projector" not in key}
            model.load_state_dict(rest, strict=False)
            aligned = "connector"
    build.train(
        *(suite, items, folder),
        tower=build.Schedule(0),
        decoder=schedule(settings),
        strategies=settings["strategies"],
        frozen=settings["frozen"],
        start=(model, processor),
        aligned=aligned,
        seed=seed,
        progress=progress,
    )


def asked(model: Model, suite: Suite, settings: Options, *, batch: int, work: Path, progress: Done) -> pd.DataFrame:
    """Answers to the test items of a model's tasks, by every strategy that it is asked by."""
    items = suite.choose(tasks=settings["tasks"], split="test")
    answers = ask.answers(model, suite, items, settings["asked"], batch=batch, work=work, progress=progress)
    place = {}
    for item in items:
        chart = suite.charts[str(item["chart"])]
        point = asked_point(item, chart)
        place[str(item["item"])] = NONE if point is None else numbered(places(chart, point))
    guess = guesses(suite.choose(tasks=settings["tasks"], split="train"), items)
    named = answers["item"].astype(str)
    return answers.assign(place=named.map(place), guess=named.map(guess))


def guesses(known: Sequence[Row], items: Sequence[Row]) -> dict[str, float]:
    """By item, how often a guess is right: one of its few answers, or the most frequent one of its task."""
    often: dict[str, str] = {}
    for task in {str(item["task"]) for item in items}:
        counts = Counter(str(item["answer"]) for item in known if item["task"] == task)
        # Of those that are as frequent, the first in the alphabet.
        often[task] = min(counts, key=lambda answer: (-counts[answer], answer), default="")
    return {
        str(item["item"]): 1 / len(item["answer_set"])
        if item.get("answer_set")
        else float(bool(often[str(item["task"])]) and score(item, often[str(item["task"])]).right is True)
        for item in items
    }


def located(
    model: Model,
    suite: Suite,
    options: Options,
    *,
    tasks: Sequence[str],
    seed: int,
    batch: int,
    work: Path,
    progress: Done,
) -> dict[str, pd.DataFrame]:
    """What probes read at every stage, what the model answers itself, and what patches move.

    Args:
        options: charts, how many items probes learn from and are tested on, half and half; pairs of each task and n.
        tasks: that the model has learned; of these, those that probes can read count.
    """
    tasks = [task for task in locate.PROBED if task in tasks]
    tested = suite.choose(tasks=tasks, split="test")
    answers = ask.answers(model, suite, tested, [STRATEGY], batch=batch, work=work, progress=progress)
    shown = halved(suite.choose(tasks=tasks[:1]), options["charts"], lambda item: item["split"])
    read = states.read(model, suite, shown, STRATEGY, work=work, batch=batch, progress=progress)
    predictions = locate.probe(model, suite, shown, read, seed=seed)
    chosen = locate.chosen_pairs(
        *(model, suite, tested, answers, STRATEGY), most=options["pairs"], seed=seed, batch=batch, work=work
    )
    pairs = locate.patch(model, layout(model, suite), suite, chosen, STRATEGY, batch=batch, work=work)
    if pairs.empty:
        pairs = pd.DataFrame(columns=["task", "n", "stage", "unit", "moved", "kept", "itself", "shift", "tokens"])
    own = locate.own_answers(suite, tested, answers)
    predictions = predictions.merge(own, how="left", on=["chart", "kind", "target"])
    place = {
        (name, kind_of(point)): numbered(places(chart, point))
        for name, chart in suite.charts.items()
        for point in chart["points"]
    }
    marks = zip(predictions["chart"].astype(str), predictions["kind"].astype(str), strict=True)
    return {"predictions": predictions.assign(place=[place.get(mark, NONE) for mark in marks]), "pairs": pairs}


def thinned(items: Sequence[Row], most: int) -> list[Row]:
    """At most so many items, evenly out of all."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def halved(rows: Sequence[Row], most: int, part: Callable[[Row], object]) -> list[Row]:
    """At most so many rows, half of them for training and half for testing, evenly out of all of either."""
    return [row for name in ("train", "test") for row in thinned([r for r in rows if part(r) == name], most // 2)]


def arrays_of(table: pd.DataFrame, columns: Sequence[str]) -> dict[str, Array]:
    """Columns of a table as arrays of a file; truth values as 0 and 1, and NONE where one has no value."""
    found: dict[str, Array] = {}
    for name in columns:
        column = table[name]
        values = set(column.dropna().unique())
        if values <= {True, False} and (values or column.dtype == object or str(column.dtype) == "boolean"):
            found[name] = column.astype("boolean").astype("Int8").fillna(NONE).to_numpy(dtype=np.int8)
        elif pd.api.types.is_integer_dtype(column.dtype):
            found[name] = column.astype("Int64").fillna(NONE).to_numpy(dtype=np.int64)
        elif pd.api.types.is_float_dtype(column.dtype):
            found[name] = column.to_numpy(dtype=np.float64)
        else:
            found[name] = np.array([str(value) for value in column], dtype=np.str_)
    return found


def frame(arrays: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """The table of a file of columns."""
    return pd.DataFrame(dict(arrays))


ANSWERS = ("item", "strategy", "task", "n", "type", "held_out", "place", "right", "guess")
PREDICTIONS = (
    *("chart", "kind", "n", "held_out", "place", "stage", "representation", "target", "right", "control", "answered"),
)
PAIRS = ("task", "n", "stage", "unit", "moved", "shift", "kept", "itself")
"""Columns of the files of answers, of probes' predictions, and of patched pairs."""
