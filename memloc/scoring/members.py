"""Many encoders and what each was trained on: memorization of every image at every layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.data.images import Images
from memloc.data.left_out import counted
from memloc.data.prepared import array_sha256
from memloc.data.stored_images import StoredImages
from memloc.errors import InputError, show
from memloc.metrics.membership import Memorization, partners
from memloc.metrics.stats import LEVEL
from memloc.models.architectures import Layer
from memloc.per_image import PerImage, no_units
from memloc.scoring.encoders import OpenEncoder
from memloc.scoring.encoders.source import load_json
from memloc.scoring.passes import Pass, Result, Settings
from memloc.scoring.splits import COLUMNS, Named, check_file, read_csv, read_with
from memloc.scoring.stores import Rows
from memloc.scoring.tables import about_layers
from memloc.scoring.verdict import Verdict, holm, of_effect, place

IN = dict.fromkeys(("1", "1.0", "in", "yes", "true"), True) | dict.fromkeys(("0", "0.0", "out", "no", "false"), False)
"""What a cell may say."""


@dataclass(frozen=True)
class Members:
    """Which images each encoder was trained on.

    Attributes:
        rows: of the images that the file lists, sorted.
        inside: [encoders, rows].
        pairs: encoders that were trained on complementary images.
        taken: lines about what was taken.
    """

    rows: Rows
    inside: NDArray[np.bool_]
    pairs: tuple[tuple[int, int], ...]
    taken: tuple[str, ...]


def load_members(path: Path, images: Images, encoders: Sequence[str]) -> Members:
    """Read what each encoder was trained on.

    Args:
        path: .csv or .parquet with a column image (or name, or row, see ``load_split``) and a column for each encoder,
            called as it was named or as its file is; or with the columns image, encoder and in. Cells are 1 or in, and
            0 or out.
        encoders: as they were named.

    Raises:
        InputError: the file can't be read or says something else, names an image or an encoder that isn't there or
            lacks one, or its membership tells nothing.
    """
    table, column, long = _table(path)
    named = Named(images.names, "members")
    if long:
        table = _widened(path, table, column)
    _check_columns(path, [str(name) for name in table if name != column], encoders)
    found = named.find([str(entry) for entry in table[column]], path, column)
    names, counts = np.unique(found, return_counts=True)
    if (out := names[(names < 0) | (names >= len(images))]).size:
        raise InputError(f"members: {path}: image {out[0]} isn't there; there are {len(images)} images, from 0")
    if (counts > 1).any():
        raise InputError(
            f"members: {path}: image {show(images.names[names[counts.argmax()]])} is there twice; list it once"
        )
    order = np.argsort(found)
    rows = found[order]
    columns = {str(name): _column(path, encoders, str(name)) for name in table if name != column}
    inside = np.zeros((len(encoders), len(rows)), dtype=bool)
    for name, number in columns.items():
        inside[number] = _cells(path, table, name, column)[order]
    unreadable = [*images.unreadable]
    readable = ~np.isin(rows, unreadable)
    rows, inside = rows[readable], inside[:, readable]
    pairs = _check(path, images, rows, inside, encoders)
    numbers = [f"{show(path)}: {line}" for line in named.numbers_taken()]
    return Members(rows, inside, pairs, (*_lines(path, images, rows, inside, pairs), *numbers))


def _table(path: Path) -> tuple[pd.DataFrame, str, bool]:
    check_file(path, "members")
    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise InputError(f"members: {path}: name a .csv or .parquet file")
    table = read_with(path, read_csv if ending == ".csv" else pd.read_parquet, "members")
    names = [str(name) for name in table]
    column = next((name for name in COLUMNS if name in names), None)
    if column is None:
        raise InputError(f"members: {path} has no column image; name it so (it has {show(', '.join(names[:5]))})")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"members: {path} has two columns {show(twice)}; remove one")
    table = table.astype(object).set_axis(names, axis=1)
    if not len(table):
        raise InputError(f"members: {path}: no rows; list the images")
    empty = table.isna().any(axis=1)
    if empty.any():
        lacking = table.columns[table.loc[empty].iloc[0].isna()][0]
        raise InputError(f"members: {path}: row {int(empty.argmax()) + 1} has no {show(lacking)}; fill it in")
    return table, column, {"encoder", "in"} <= {*names}


def _widened(path: Path, table: pd.DataFrame, column: str) -> pd.DataFrame:
    twice = table.duplicated([column, "encoder"])
    if twice.any():
        row = table[twice].iloc[0]
        raise InputError(f"members: {path}: {show(row[column])} of {show(row['encoder'])} is there twice; list it once")
    wide = table.pivot(index=column, columns="encoder", values="in")
    lacking = wide.isna().stack()
    if lacking.any():
        image, encoder = lacking.index[int(lacking.to_numpy().argmax())]
        raise InputError(f"members: {path}: says nothing of {show(image)} for {show(encoder)}; say 1 or 0")
    return wide.reset_index()


def _called(encoder: str) -> list[str]:
    """What a file may call an encoder: as it was named, its file's name, that without its ending."""
    file = Path(encoder.rpartition("@")[2] if "@" in encoder else encoder)
    return [encoder, file.name, file.stem]


def _column(path: Path, encoders: Sequence[str], column: str) -> int:
    """Number of the encoder that a column is of."""
    for way in range(3):
        found = [number for number, encoder in enumerate(encoders) if _called(encoder)[way] == column]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(
                f"members: {path}: {show(column)} may be one of several encoders; write them as they are named"
            )
    raise InputError(
        f"members: {path}: column {show(column)} is of none of the encoders; name its encoder on the command line or"
        " remove the column"
    )


def _check_columns(path: Path, columns: Sequence[str], encoders: Sequence[str]) -> None:
    if len({*encoders}) < len(encoders):
        twice = next(encoder for encoder in encoders if list(encoders).count(encoder) > 1)
        raise InputError(f"encoder: {show(twice)} is named twice; name it once")
    of = [_column(path, encoders, name) for name in columns]
    for number, encoder in enumerate(encoders):
        if of.count(number) != 1:
            has = "two columns" if number in of else "no column"
            raise InputError(f"members: {path} has {has} for {show(encoder)}; it has {show(', '.join(columns[:5]))}")


def _cells(path: Path, table: pd.DataFrame, name: str, column: str) -> NDArray[np.bool_]:
    said = [str(value).strip().lower() for value in table[name]]
    wrong = next((i for i, value in enumerate(said) if value not in IN), None)
    if wrong is not None:
        raise InputError(
            f"members: {path}: {show(name)} is {show(table[name].iloc[wrong])!r} for {show(table[column].iloc[wrong])};"
            " write 1 (in) or 0 (out)"
        )
    return np.array([IN[value] for value in said], dtype=bool)


def _check(
    path: Path, images: Images, rows: Rows, inside: NDArray[np.bool_], encoders: Sequence[str]
) -> tuple[tuple[int, int], ...]:
    """The pairs, if membership tells what encoders memorize."""
    if len(encoders) < 2:
        raise InputError(f"encoder: one is named ({show(encoders[0])}); --members compares two or more")
    count = inside.sum(axis=0)
    for number, where in ((0, "none"), (len(encoders), "all")):
        if (count == number).any():
            image = show(images.names[rows[(count == number).argmax()]])
            raise InputError(
                f"members: {path}: {counted(int((count == number).sum()), 'image')} (first {image}) in {where} of the"
                f" {len(encoders)} encoders; those that had an image are compared with those that hadn't: leave it out"
            )
    labels = np.zeros(len(rows), dtype=np.int64) if images.labels is None else images.labels[rows]
    for encoder, has in zip(encoders, inside, strict=True):
        for label in np.unique(labels):
            if len({*has[labels == label].tolist()}) < 2:
                side = "all" if has[labels == label].all() else "none"
                of = f" of class {show(images.classes[int(label)])}" if images.labels is not None else ""
                raise InputError(
                    f"members: {path}: {show(encoder)} has {side} of the images{of}, which are compared within classes;"
                    " leave them out"
                )
    try:
        pairs = partners(inside)
    except LookupError as error:
        raise InputError(
            f"members: {path}: {show(encoders[int(error.args[0])])} has no partner: no encoder was trained on exactly"
            " the images that it lacks, as others have one; leave it out, or name its partner"
        ) from error
    if not pairs and len(encoders) == 2:
        raise InputError(f"members: {path}: two encoders must be trained on complementary images; name a third")
    return pairs


def _lines(
    path: Path, images: Images, rows: Rows, inside: NDArray[np.bool_], pairs: tuple[tuple[int, int], ...]
) -> list[str]:
    least, most = inside.sum(axis=1).min(), inside.sum(axis=1).max()
    each = f"{least}" if least == most else f"{least} to {most}"
    design = f" in {counted(len(pairs), 'pair')} of complementary images" if pairs else ""
    few, many = inside.sum(axis=0).min(), inside.sum(axis=0).max()
    shared = "" if pairs else f"; an image is in {few if few == many else f'{few} to {many}'} of them"
    lines = [f"{show(path)}: {len(inside)} encoders{design}, each trained on {each} of {len(rows)} images{shared}"]
    others = np.setdiff1d(np.arange(len(images)), rows)
    if len(others):
        first = show(images.names[others[0]])
        lines.append(f"{show(path)}: says nothing of {counted(len(others), 'image')} (first {first}): left out")
    if len(pairs) == 1:
        lines.append("one pair: its intervals are over images alone, and say nothing of another pair")
    if images.labels is None:
        lines.append("images have no classes, so nothing is adjusted for class")
    return lines


def check_trained(encoders: Sequence[OpenEncoder], images: Images, members: Members) -> list[str]:
    """Refuse membership that encoders of memloc contradict; lines on what can't be checked.

    Raises:
        InputError: an encoder was trained on other images of the dataset, or two have the same weights.
    """
    lines: list[str] = []
    seen: dict[str, str] = {}
    columns = [array_sha256(members.rows[inside]) for inside in members.inside]
    for encoder, inside, column in zip(encoders, members.inside, columns, strict=True):
        if encoder.sha256 in seen:
            raise InputError(
                f"encoder: {encoder.name} has the same weights as {seen[encoder.sha256]}; leave one of them out"
            )
        seen[encoder.sha256] = encoder.name
        known = isinstance(images, StoredImages) and encoder.training.get("dataset") == images.sha256
        if not known or encoder.training.get("points") == column:
            continue
        whole = len(members.rows) == len(images)
        swapped = encoder.training.get("points") in columns
        why = None if swapped else _uncheckable(encoder, int(inside.sum()), whole=whole)
        if why is None:
            raise InputError(f"members: {encoder.name} was trained on other images than it says; correct its column")
        lines.append(f"{show(encoder.name)}: {why}, so its column can't be checked")
    return lines


def _uncheckable(encoder: OpenEncoder, count: int, *, whole: bool) -> str | None:
    """Why a column may be right though its hash isn't the training's; None where it is wrong.

    The training's hash is over each image as often as it stood in an epoch, and over images that the table may lack.
    Only recipe.json beside the weights says how many there were.

    Args:
        count: of images that the column has in.
        whole: the table lists all images.
    """
    file = Path(encoder.name).parent / "recipe.json"
    recipe = load_json(file) if file.is_file() else {}
    images = recipe.get("images")
    if not isinstance(images, int) or recipe.get("points") != encoder.training.get("points"):
        return "no recipe.json beside it says whether images stood several times in an epoch"
    if count > images or (whole and count < images):
        return None
    if recipe.get("presentations", images) != images:
        return "some images stood several times in an epoch"
    return None if count == images else f"it was trained on {images} images, of which {count} are listed"


def plan_members(
    encoders: Sequence[OpenEncoder], images: Images, members: Members, layers: Sequence[Layer]
) -> dict[str, Pass]:
    """A pass for each encoder over all images of the membership."""
    return {
        name: Pass(name, encoder, tuple(layers), images, members.rows, "images", units=False, alignment=True)
        for name, encoder in zip((f"e{number}-pool" for number in range(len(encoders))), encoders, strict=True)
    }


def per_image(
    passes: Mapping[str, Pass], results: Mapping[str, Result], members: Members, settings: Settings
) -> PerImage:
    """What was measured, of the images that could be read."""
    first = next(iter(passes.values()))
    found = [result.aligned() for result in results.values()]
    kept = np.isin(members.rows, found[0][0])
    rows, labels = members.rows[kept], first.images.labels
    if len(rows) < 4:
        raise InputError(f"images: {len(rows)} readable; 4 or more are needed, as images are compared")
    return PerImage(
        encoders=np.array([task.encoder.name for task in passes.values()]),
        layers=np.array([layer.name for layer in first.layers]),
        names=np.array([first.images.names[row] for row in rows]),
        labels=np.full(len(rows), -1) if labels is None else labels[rows].astype(np.int64),
        membership=members.inside[:, kept],
        alignment=np.stack([values.mean(axis=2, dtype=np.float64).astype(np.float32) for _, values in found]),
        **no_units(len(passes)),
        about={"normalisation": settings.normalisation, "rows": rows.tolist(), "classes": first.images.classes},
    )


def estimated(scores: PerImage) -> Memorization:
    """Memorization of what could be read.

    Raises:
        InputError: too little of a class could be read.
    """
    try:
        return scores.memorization()
    except ValueError as error:
        reason = error.__cause__ or error
        raise InputError(f"images: of those that could be read, {reason}; repair those that are skipped") from error


def tables(task: Pass, scores: PerImage, found: Memorization) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row a layer: LayerMem with interval and p, reliability; and a row for each image and layer."""
    layers = about_layers(task)
    low, high = found.layermem.interval()
    values = {"": found.layermem.value, "_low": low, "_high": high, "_error": found.layermem.error}
    for end, value in (values | {"_p": found.p, "_holm": holm(found.p)}).items():
        layers[f"layermem_crossed{end}"] = value
    layers["reliability"], layers["reliability_pair"] = found.reliable, found.single
    n, count = found.values.shape
    inside = scores.membership.sum(axis=0)
    classes = np.array([*scores.about["classes"], ""], dtype=object)[scores.labels]
    images = pd.DataFrame(
        {
            "image": np.repeat(np.array(scores.about["rows"]), count),
            "name": np.repeat(scores.names.astype(object), count),
            "class": np.repeat(classes, count),
            "layer": np.tile(scores.layers.astype(object), n),
            "memorization": found.values.ravel(),
            "error": found.error.ravel(),
            "encoders_with": np.repeat(inside, count),
            "encoders_without": np.repeat(len(scores.membership) - inside, count),
        }
    )
    return layers, images


def verdict(layers: pd.DataFrame, scores: PerImage, found: Memorization) -> Verdict:
    """What the layers say, and how far single images can be told."""
    level = 1 - (1 - LEVEL) / len(layers)
    told = of_effect(layers, "layermem_crossed", {"pool": len(scores.names)}, found.layermem.interval(level))
    pairs = len(found.pairs)
    over = f"{counted(pairs, 'pair')} of encoders" if pairs else f"{len(scores.encoders)} encoders"
    if pairs == 1:
        single = "One pair of encoders: intervals are over images alone, and single images can't be told."
    else:
        last = float(found.reliable[-1])
        single = (
            f"Single images, by {over}: reliability {last:.2f} at {place(str(scores.layers[-1]))}"
            f"{' (below .5: their order is mostly chance)' if last < 0.5 else ''}."
        )
    return replace(
        told, more=(*told.more, single), about={**told.about, "encoders": len(scores.encoders), "pairs": pairs}
    )
