"""What a vision-language model answers to the items of a suite, and how often it is right."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from memloc.charts.batches import Halving, kept
from memloc.charts.models import Inputs, Model
from memloc.charts.reading import Row, Suite
from memloc.charts.scoring import score
from memloc.charts.strategies import STRATEGIES, Prompt
from memloc.errors import InputError, show
from memloc.io import load_json
from memloc.metrics.shares import wilson

ABOUT = ("chart", "task", "n", "type", "split", "held_out")
"""What a row of answers says of its item."""
ANSWERS = r"answers-\d{6}\.parquet"
KINDS = {"n": "Int64", "held_out": "boolean", "right": "boolean"}
"""Types of columns that may lack values."""


def check_strategies(names: Sequence[str]) -> None:
    """Raise an InputError for the first name that no strategy has, or that is there twice."""
    if odd := [name for name in names if name not in STRATEGIES]:
        raise InputError(f"strategies: {show(odd[0])}; give some of {', '.join(STRATEGIES)}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"strategies: {twice[0]} is there twice; name it once")


def image_of(suite: Suite, chart: str, prompt: Prompt) -> Image.Image | None:
    """The image that a prompt goes with: the chart's, one that is as large and white, or none."""
    if prompt.image == "none":
        return None
    return Image.new("RGB", suite.size, "white") if prompt.image == "blank" else suite.image(chart)


def remarks(model: Model, suite: Suite, items: Sequence[Row], strategies: Sequence[str]) -> list[str]:
    """What may make answers to items worth less: unknown words, other sizes of images, items that were learned."""
    found = []
    prompts = [STRATEGIES[name](item, suite.charts[str(item["chart"])]) for name in strategies for item in items]
    texts = [f"{prompt.text} {prompt.start}" for prompt in prompts]
    if count := sum(map(_unknown(model), texts)):
        words = dict.fromkeys(word for text in dict.fromkeys(texts) for word in text.split())
        bare = dict.fromkeys(word.strip(".,:;?!()") for word in words if _unknown(model)(word))
        some = [show(word)[:40] for word in islice(bare, 3)]
        among = f", {', '.join(some)} among them" if some else ""
        found.append(f"{count:,} of {len(texts):,} prompts have words that the model doesn't know{among}")
    number, *size = _pixels(model, suite, items[0], strategies[0])
    if size and tuple(size) != suite.size:
        (width, height), (wide, high) = suite.size, size
        found.append(
            f"charts are of {width} x {height} pixels; the processor makes of each"
            f" {'an image' if number == 1 else f'{number} images'} of {wide} x {high}"
        )
    if _trained_on(model) == suite.identity:
        found.append("the model's training.json names this suite: it may have learned the items that it is asked")
    elif any(item["split"] == "train" for item in items):
        found.append("items of the training part are asked: a model that was trained on this suite has learned them")
    return found


def _unknown(model: Model) -> Callable[[str], bool]:
    """Whether a text has a token that stands for whatever the tokenizer doesn't know."""
    tokenizer = model.processor.tokenizer
    unknown = tokenizer.unk_token_id
    return lambda text: unknown is not None and unknown in tokenizer(text, add_special_tokens=False)["input_ids"]


def _pixels(model: Model, suite: Suite, item: Row, strategy: str) -> tuple[int, ...]:
    """How many images the processor makes of a chart, and their width and height; nothing but 0 where it tells none."""
    inputs, _ = inputs_of(model, suite, [item], strategy)
    shape, grid = tuple(inputs["pixel_values"].shape) if "pixel_values" in inputs else (), inputs.get("image_grid_thw")
    if grid is not None:  # Patches in a row, as Qwen has them.
        side = getattr(getattr(model.config, "vision_config", None), "patch_size", None)
        return (1, *(int(grid[0, k]) * side for k in (2, 1))) if type(side) is int else (0,)
    return (math.prod(shape[:-3]), shape[-1], shape[-2]) if len(shape) > 3 else (0,)


def _trained_on(model: Model) -> object:
    """The suite that a model's folder says it learned from, as ``build.train`` writes it."""
    path = Path(model.name) / "training.json"
    try:
        trained = load_json(path) if path.is_file() else {}
    except InputError:
        return None
    return trained.get("suite") if type(trained) is dict else None


def inputs_of(model: Model, suite: Suite, items: Sequence[Row], strategy: str) -> tuple[Inputs, int]:
    """Inputs of items with their images, and most tokens of an answer."""
    prompts = [STRATEGIES[strategy](item, suite.charts[str(item["chart"])]) for item in items]
    texts = [model.prompt(prompt.text, start=prompt.start) for prompt in prompts]
    inputs = model.encode(texts, [suite.image(str(item["chart"])) for item in items])
    return inputs, max(prompt.tokens for prompt in prompts)


def answers(
    model: Model,
    suite: Suite,
    items: Sequence[Row],
    strategies: Sequence[str],
    *,
    batch: int = 32,
    work: Path | None = None,
    name: str = "answers",
    progress: Callable[[int], object] = lambda done: None,
    stop: Callable[[], bool] = lambda: False,
) -> pd.DataFrame:
    """Greedy answers: item, strategy, text, right (missing where the text can't be parsed), reason, and ABOUT.

    Args:
        work: folder that keeps finished batches.
        name: what their files are called.

    Raises:
        InputError: there is no strategy of a name, or a chart can't be read.
        StoppedError: a stop was requested.
    """
    check_strategies(strategies)
    halving = Halving(batch)

    def ask(some: Sequence[tuple[str, Row]]) -> pd.DataFrame:
        rows: list[dict[str, Any]] = []
        # With an image and without one don't go together, nor do long answers with short ones.
        prompts = [(how, item, STRATEGIES[how](item, suite.charts[str(item["chart"])])) for how, item in some]
        for _, alike in groupby(prompts, key=lambda one: (one[2].image == "none", one[2].tokens)):
            for texts in halving.over(list(alike), lambda part: _said(model, suite, part)):
                rows += texts
        return pd.DataFrame(rows).astype(KINDS)

    todo = [(how, item) for how in strategies for item in items]
    return kept(work, name, todo, ask, size=batch, progress=progress, stop=stop)


def _said(model: Model, suite: Suite, asked: Sequence[tuple[str, Row, Prompt]]) -> list[dict[str, Any]]:
    images = [image_of(suite, str(item["chart"]), prompt) for _, item, prompt in asked]
    shown = [image for image in images if image is not None]
    texts = [model.prompt(p.text, image=p.image != "none", start=p.start) for *_, p in asked]
    out = model.generate(model.encode(texts, shown or None), asked[0][2].tokens)
    rows = []
    for (name, item, prompt), tokens in zip(asked, out, strict=True):
        text = f"{prompt.start} {model.text(tokens)}".strip()
        result = score(item, text)
        about = {key: item.get(key) for key in ABOUT}
        said = {"item": str(item["item"]), "strategy": name, "text": text, "right": result.right}
        rows.append(said | {"reason": result.reason} | about)
    return rows


BY: tuple[tuple[str, ...], ...] = ((), ("task",), ("task", "n"), ("task", "type"), ("task", "n", "type"))
"""What accuracy is counted by, beside the strategy."""


def accuracy(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by strategy, and by task, n and type: missing in a column means all of it.

    An answer that can't be parsed is not right; how many there are stands in ``unparsed``. Intervals are Wilson's.
    """
    parts = []
    yes = table.assign(unparsed=table["right"].isna(), right=table["right"].fillna(False).astype(bool))
    for by in BY:
        groups = yes.groupby(["strategy", *by], sort=False)
        parts.append(
            groups.agg(items=("right", "size"), right=("right", "sum"), unparsed=("unparsed", "sum")).reset_index()
        )
    found = pd.concat(parts, ignore_index=True)
    found = found.reindex(columns=["strategy", "task", "n", "type", "items", "right", "unparsed"])
    found["n"] = found["n"].astype("Int64")
    found["accuracy"] = found["right"] / found["items"]
    found["low"], found["high"] = wilson(found["right"], found["items"])
    return found


def shown(found: pd.DataFrame) -> str:
    """Accuracy by task and strategy, as a table for a terminal."""
    lines = [f"{'task':<14}{'strategy':<12}{'items':>7}{'accuracy':>10}   95 %            unparsed"]
    rows = found[found["n"].isna() & found["type"].isna()].sort_values(["task", "strategy"], na_position="last")
    for row in rows.to_dict("records"):
        task = "all" if pd.isna(row["task"]) else str(row["task"])
        lines.append(
            f"{show(task):<14}{row['strategy']:<12}{row['items']:>7}{row['accuracy']:>10.3f}"
            f"   {row['low']:.3f} to {row['high']:.3f}  {row['unparsed']:>8}"
        )
    return "\n".join(lines)
