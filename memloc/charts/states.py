"""States of a vision-language model on the items of a suite, read once and kept in files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from memloc import io
from memloc.charts.ask import inputs_of
from memloc.charts.batches import Halving, StoppedError
from memloc.charts.models import Model
from memloc.charts.models.stages import Stage
from memloc.charts.probes import WIDTH, sketch
from memloc.charts.reading import Row, Suite

FLATTENED, POOLED, LAST = "flattened", "pooled", "last token"
"""What is kept of a stage: all its image tokens, their mean, and the token that the answer follows."""
SINGLE = "single tokens"
"""All its image tokens, read one by one."""
Arrays = dict[str, NDArray[np.float32]]


class States:
    """States in files, of charts and of items.

    Attributes:
        charts: rows of image tokens.
        items: rows of the last token.
    """

    def __init__(self, files: Sequence[Path], charts: Sequence[str], items: Sequence[str]) -> None:
        self.files, self.charts, self.items = files, charts, items

    def of(self, stage: Stage, representation: str) -> NDArray[np.float32] | None:
        """Rows of a stage; None where it has no such representation."""
        key, parts = f"{stage.name}, {representation}", []
        for path in self.files:
            with np.load(path, allow_pickle=False) as file:
                if key not in file.files:
                    return None
                parts.append(file[key])
        return np.concatenate(parts)

    def tokens(self, stage: Stage) -> NDArray[np.float32] | None:
        """Image tokens [charts, tokens, width] of a stage; None where it has none, or too many to be kept apart."""
        flat, mean = self.of(stage, FLATTENED), self.of(stage, POOLED)
        if flat is None or mean is None or flat.shape[1] >= WIDTH:
            return None
        return flat.reshape(len(flat), -1, mean.shape[1])


def read(
    model: Model,
    suite: Suite,
    items: Sequence[Row],
    strategy: str,
    *,
    work: Path,
    batch: int,
    progress: Callable[[int], object] = lambda done: None,
    stop: Callable[[], bool] = lambda: False,
) -> States:
    """Read the states that the model's stages have on items, and keep them in files of ``work``.

    Image tokens are read with the first item of each chart alone: where the image comes before the question, they are
    the same with every item.

    Raises:
        StoppedError: a stop was requested.
    """
    halving, files = Halving(batch), []
    first = {chart: i for i, chart in reversed([*enumerate(str(item["chart"]) for item in items)])}
    todo = [(item, first[str(item["chart"])] == i) for i, item in enumerate(items)]
    for number, start in enumerate(range(0, len(todo), batch)):
        some = todo[start : start + batch]
        path = work / f"states-{number:06d}.npz"
        if not _whole(path):
            if stop():
                raise StoppedError
            parts = list(halving.over(some, lambda part: _read(model, suite, part, strategy)))
            io.save_arrays({key: np.concatenate([part[key] for part in parts]) for key in parts[0]}, path)
        files.append(path)
        progress(len(some))
    charts = list(dict.fromkeys(str(item["chart"]) for item in items))
    return States(files, charts, [str(item["item"]) for item in items])


def _whole(path: Path) -> bool:
    try:
        with np.load(path, allow_pickle=False) as file:
            return bool(file.files)
    except (OSError, ValueError, EOFError):
        return False


def _read(model: Model, suite: Suite, some: Sequence[tuple[Row, bool]], strategy: str) -> Arrays:
    items = [item for item, _ in some]
    inputs, _ = inputs_of(model, suite, items, strategy)
    at, found = model.places(inputs), Arrays()
    chosen = torch.tensor([is_first for _, is_first in some]).nonzero()[:, 0]
    for stage, all_states in model.states(inputs, model.stages).items():
        values = all_states.float()
        if stage.part == "decoder":
            found[f"{stage.name}, {LAST}"] = values[:, -1].cpu().numpy()
            if model.crosses:
                continue
            values = values[at].reshape(len(values), -1, values.shape[-1])
        values = values[chosen.to(values.device)]
        found[f"{stage.name}, {FLATTENED}"] = sketch(values.cpu().numpy())
        found[f"{stage.name}, {POOLED}"] = values.mean(dim=1).cpu().numpy()
    return found
