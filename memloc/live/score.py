"""``memloc.score``: UnitMem of a module, and with a second one LayerMem, as ``memloc score`` gives them."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from memloc.cli.terminal import Bar
from memloc.data.images import Images
from memloc.data.opening import open_images
from memloc.errors import InputError, one_line, show
from memloc.live.images import Items, LiveImages, given
from memloc.live.showing import in_python, placed, say_all, saying, shown_in_notebook
from memloc.models.network import device as device_of
from memloc.scoring import belonging, choices, figure, files
from memloc.scoring.asked import about_encoders, about_images, check_differ, compared, record, settings_for
from memloc.scoring.encoders import OpenEncoder, open_encoder, take_encoder
from memloc.scoring.plan import NEEDS_SPLIT, WORDS, describe, plan
from memloc.scoring.score import Scores, measure, tabulate
from memloc.scoring.splits import Split, load_split
from memloc.scoring.verdict import of_layers


@dataclass(frozen=True, repr=False)
class Scored:
    """What an encoder, or a pair, memorizes. A notebook shows the verdict and a picture.

    Attributes:
        layers: a row a layer: means over units, intervals, nulls, LayerMem by estimator.
        units: a row a unit: UnitMem, its owner, strength, status, nulls.
        tops: the images that excite each unit most.
        points: SSLMem of every image at every layer; None for one encoder.
        verdict: the answer, in sentences, a line each.
        taken: what was taken of encoder and images, a line each.
        about: settings, versions, counts, the verdict's parts, skipped images.
    """

    scores: Scores
    images: Images
    about: Mapping[str, Any]

    @property
    def layers(self) -> pd.DataFrame:
        """See the class."""
        return self.scores.layers

    @property
    def units(self) -> pd.DataFrame:
        """See the class."""
        return self.scores.units

    @property
    def tops(self) -> pd.DataFrame:
        """See the class."""
        return self.scores.tops

    @property
    def points(self) -> pd.DataFrame | None:
        """See the class."""
        return self.scores.points

    @property
    def verdict(self) -> str:
        """See the class."""
        return "\n".join(self._lines)

    @property
    def taken(self) -> list[str]:
        """See the class."""
        return list(self.about["taken"])

    @property
    def _lines(self) -> list[str]:
        return [self.about["verdict"]["headline"], *self.about["verdict"]["more"]]

    def page(self, path: str | os.PathLike[str]) -> Path:
        """Write the page of ``memloc score``: one file, which opens offline.

        Raises:
            InputError: nothing can be written there.
        """
        with tempfile.TemporaryDirectory() as folder:
            files.write(self.scores, self.images, self.about, Path(folder))
            return placed(Path(folder) / "index.html", path)

    def __repr__(self) -> str:
        return self.verdict

    def _repr_html_(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            png = Path(folder) / "summary.png"
            figure.summary(self.layers, self.units, path_png=png)
            data = base64.b64encode(png.read_bytes()).decode()
        picture = f'<img alt="summary by layer" style="max-width: 100%" src="data:image/png;base64,{data}">'
        return shown_in_notebook(self._lines, picture, self.taken)


def score(
    module: nn.Module | str,
    images: Any,
    *,
    external: Any = None,
    against: nn.Module | str | None = None,
    split: Any = None,
    labels: Any = None,
    layers: str | Sequence[str] = (),
    size: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    draws: int = 10,
    augmentation: str | None = None,
    others: str = "mean",
    hook: str = "paper",
    dead: str = "zero",
    pairs: str = "aug-aug",
    distance: str = "l2",
    normalisation: str = "ratio",
    activation: str | None = None,
    representation: str | None = None,
    replicates: int = 32,
    shuffles: int = 20,
    seed: int = 0,
    device: str = "auto",
    part: str = "train",
    config: str | os.PathLike[str] = "config.yaml",
    strict: bool = False,
    quiet: bool = False,
) -> Scored:
    """Where an encoder memorizes images, layer by layer and unit by unit; the same numbers as ``memloc score``.

    Args:
        module: a torch module that gives [n, dim] for standardised images [n, 3, size, size]; or a text that
            ``memloc score`` takes (``"timm:resnet50@weights.safetensors"``, ``"my_code:build"``).
        images: those to score, its training images or some of them: a folder, an array or tensor (uint8, or floats from
            0 to 1), a PyTorch Dataset or DataLoader, a Hugging Face dataset, the name of a configuration's dataset.
            Pixels are as they are stored: no random transforms, no normalisation.
        external: images of the same kind that it has never seen: the null. Without one nothing can be told.
        against: g, a second encoder of the same architecture: LayerMem. Needs ``split``.
        split: who was trained on which: a group for each image (candidate: f alone; independent: g alone; external:
            neither; None: leave it out), a mapping of groups to rows, a DataFrame with columns image and group, a file.
            The index of a Series says which image a group is of.
        labels: a class for each image, where ``images`` has none.
        layers: patterns of names (default: convolutions, attentions, fully-connected).
        size, mean, std: of its input, if it doesn't say: side in pixels; of pixels in [0, 1].
        draws, augmentation, others, hook, dead, pairs, distance, normalisation, activation, representation, replicates,
            shuffles, seed: see ``memloc score --help``.
        device: auto, cpu or cuda.
        part, config: of a dataset by name: train or test; the file that names it.
        strict: stop at an image that can't be read instead of skipping it.
        quiet: show nothing.

    Raises:
        InputError: something that was handed in can't be used; one line says what to do.
    """
    how: dict[str, Any] = {
        **{"draws": draws, "augmentation": augmentation, "others": others, "hook": hook, "dead": dead, "pairs": pairs},
        **{"distance": distance, "normalisation": normalisation, "activation": activation, "seed": seed},
        **{"representation": representation, "replicates": replicates, "shuffles": shuffles},
    }
    choices.check(**how)
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device: {device!r} is none of auto, cpu, cuda")
    patterns = [layers] if isinstance(layers, str) else list(layers)
    if against is not None and split is None:
        raise InputError(in_python(NEEDS_SPLIT))
    stated = {"size": size, "mean": _several(mean), "std": _several(std)}
    with saying(quiet):
        found = given(images, "images", labels)
        others_found = None if external is None else given(external, "external")
        live = _live(found, "images", strict)
        encoder = _encoder(module, "", stated, live)
        second = None if against is None else _encoder(against, " (against)", stated, live)
        if second is not None:
            check_differ(encoder, second)
        taken = say_all(about_encoders(encoder, second))

        def read(found: Items | str, live: LiveImages | None) -> Images:
            if isinstance(found, str):
                return open_images(found, size=encoder.size, part=part, config=Path(config), strict=strict)
            assert live is not None
            live.size = encoder.size
            return live

        scored = read(found, live)
        unseen = None if others_found is None else read(others_found, _live(others_found, "external", strict))
        groups = None if split is None else _split(split, scored.names)
        names: dict[str, str | None] = {
            **{key: _name(value, key) for key, value in (("images", images), ("external", external), ("split", split))},
            "against": None if second is None else second.name,
        }
        settings = settings_for(encoder, **how)
        chosen_device = device_of(device)
        where = Path(split) if isinstance(split, str | os.PathLike) else None
        taken += say_all(belonging.check(encoder, scored, against=second, split=groups, path=where))
        taken += say_all(about_images(scored, unseen, groups, names))
        if unseen is not None and bool(getattr(scored, "rounded", 0)) != bool(getattr(unseen, "rounded", 0)):
            taken += say_all(
                [
                    "images and external: floats between the 256 levels in one of them alone, so their pixels were made"
                    " in different ways, which tells them apart without any memory; make both in one way"
                ]
            )
        passes = plan(
            encoder, scored, against=second, split=groups, external=unseen, patterns=patterns, settings=settings
        )
        taken += say_all([describe(passes, groups)])
        bar = Bar(sum(len(task.rows) for task in passes.values()), quiet=quiet)
        try:
            results = measure(
                passes, settings, progress=bar, begins=lambda name: bar.name(WORDS[name]), device=chosen_device
            )
        finally:
            bar.close()
        scores = tabulate(passes, results, settings)
    about = record(
        *(encoder, settings, passes), skipped=scores.skipped, device=chosen_device, names=names, layers=patterns
    )
    verdict = of_layers(scores.layers, compared(passes, groups)).record()
    told = {"headline": in_python(verdict["headline"]), "more": [*map(in_python, verdict["more"])]}
    about |= {"verdict": verdict | told, "taken": taken}
    return Scored(scores, scored, about)


def _live(found: Items | str, what: str, strict: bool) -> LiveImages | None:
    return None if isinstance(found, str) else LiveImages(found, what, size=None, strict=strict)


def _several(value: float | Sequence[float] | None) -> Sequence[float] | None:
    return [value] if isinstance(value, int | float) else value


def _encoder(module: Any, more: str, stated: Mapping[str, Any], live: LiveImages | None) -> OpenEncoder:
    if isinstance(module, str | os.PathLike):
        return open_encoder(os.fspath(module), **stated)
    if not isinstance(module, nn.Module):
        raise InputError(
            f"module: {type(module).__name__} isn't a torch.nn.Module; hand one in, or a text that names one"
        )
    name = f"{type(module).__name__}{more}"
    return take_encoder(module, name, side=None if live is None else live.side, **stated)


def _name(value: Any, what: str) -> str | None:
    """What a user's input is called: its path, or else the argument; None if it isn't given."""
    if value is None:
        return None
    return os.fspath(value) if isinstance(value, str | os.PathLike) else what


def _split(split: Any, names: Sequence[str]) -> Split:
    """A split in whatever form, through the reader of its files."""
    if isinstance(split, str | os.PathLike):
        return load_split(Path(split), names)
    if isinstance(split, pd.DataFrame):
        table = split
    elif isinstance(split, Mapping):
        rows = [(row, group) for group, members in split.items() for row in _rows(members, len(names), group)]
        table = pd.DataFrame(rows, columns=["row", "group"])
    elif isinstance(split, pd.Series) and not split.index.equals(pd.RangeIndex(len(split))):
        key = "row" if pd.api.types.is_integer_dtype(split.index) else "image"
        table = pd.DataFrame({key: split.index, "group": split.to_numpy()}).dropna()
    else:
        groups = list(split)
        if len(groups) != len(names):
            raise InputError(f"split: {len(groups)} groups for {len(names)} images; give one for each, or None")
        table = pd.DataFrame({"row": range(len(names)), "group": groups}).dropna()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "split.csv"
        table.to_csv(path, index=False)
        try:
            return load_split(path, names)
        except InputError as error:
            raise InputError(one_line(str(error).replace(f"{path}: ", "").replace(str(path), "it"))) from error


def _rows(members: Any, count: int, group: object) -> list[int]:
    rows = np.asarray(members)
    if rows.dtype == np.bool_ and rows.shape == (count,):
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise InputError(f"split: {show(group)} is no list of rows; give whole numbers from 0, or {count} truth values")
    return [int(row) for row in rows]
