"""One look for every figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from memloc.io import atomic

WIDTH = 9.0
"""Inches: as wide as a figure is shown, in the report, on a page of documentation or in print."""
SMALLEST = 7.0
"""Points: no text of a figure is smaller at that width."""
TEXT = 7.5
INK = "#222222"
PALETTE = {
    "black": INK,
    "blue": "#0072b2",
    "orange": "#e69f00",
    "grey": "#808080",
    "green": "#009e73",
    "red": "#d55e00",
    "purple": "#aa4499",
    "pale purple": "#b9a3cf",
    "pale blue": "#56b4e9",
    "brown": "#8c510a",
    "pink": "#cc79a7",
    "pale green": "#66c2a5",
    "teal": "#44aa99",
    "indigo": "#332288",
}
"""Hues by name, told apart with every kind of colour vision."""
_NAMES = {
    # Who has seen an image: f's side is blue, g's orange, what nobody has seen or nothing but chance decides grey.
    **dict.fromkeys(("f", "in", "candidate", "UnitMem"), "blue"),
    **dict.fromkeys(("g", "out", "independent"), "orange"),
    **dict.fromkeys(("external", "external images", "untrained", "random", "null", "chance"), "grey"),
    # What is measured and claimed about is black, the paper's way and values purple.
    **dict.fromkeys(("crossed", "effect"), "black"),
    **dict.fromkeys(("published", "paper"), "purple"),
    "external-corrected": "pale purple",
    # What is picked by how much it is memorized.
    **dict.fromkeys(("most memorized", "most, external", "top"), "red"),
    **dict.fromkeys(("least memorized", "least, external", "low"), "green"),
    # Parts of a transformer's block.
    "attention": "teal",
    "fully-connected": "indigo",
    # How an encoder was trained.
    **dict.fromkeys(("ssl", "self-supervised"), "pale blue"),
    **dict.fromkeys(("supervised", "ClassMem", "ClassMem, shuffled labels"), "brown"),
    # Methods that value cells and rows: 2D-OOB with closeness to the class and without, and baselines, told by shapes.
    "2D-OOB, w = 1": "black",
    "2D-OOB, w = 0": "pink",
    **dict.fromkeys(("2D-KNN", "KNN-Shapley", "two-stage", "Data-OOB", "z-score", "DDC"), "grey"),
}
COLOURS = {series: PALETTE[name] for series, name in _NAMES.items()}
"""Colours by what they mean, the same in all figures."""
SIGNED, SEQUENTIAL = "RdBu_r", "Blues"
"""Scales of colours for values with a sign, and for values from 0 on."""
plt.rcParams["svg.hashsalt"] = "memloc"


def panels(
    *,
    rows: int,
    columns: int,
    width: float = WIDTH,
    height: float = 2.6,
    sharex: Any = False,
    sharey: Any = False,
) -> tuple[Figure, NDArray[Any]]:
    """A grid of axes [rows, columns].

    Args:
        width, height: inches of the figure, and of a row.
        sharex, sharey: as in ``plt.subplots``: True, "row" or "col".
    """
    _look()
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width, height * rows),
        sharex=sharex,
        sharey=sharey,
        squeeze=False,
        layout="constrained",
    )
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # type: ignore[union-attr, call-arg]
    return figure, axes


def _look() -> None:
    sizes = ("font.size", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize")
    rc: dict[str, Any] = {
        **dict.fromkeys(sizes, TEXT),
        "axes.titlesize": 8.5,
        "axes.titlelocation": "left",
        "axes.edgecolor": "#9a9a9a",
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": "#e6e6e6",
        "grid.linewidth": 0.6,
        "legend.framealpha": 0.9,
        "figure.dpi": 150,
    }
    sns.set_theme(context="paper", style="whitegrid", rc=rc)


def plain(name: str, *, most: int = 32) -> str:
    """A name, plain already or not, as text of a figure: printable, no formula, without the middle of a long name."""
    name = name.replace(r"\$", "$")
    known = name.replace("…", "")
    text = name if known.isascii() and known.isprintable() else ascii(name)[1:-1]
    if len(text) > most:
        text = f"{text[: most // 2]}…{text[-(most - most // 2 - 1) :]}"
    return text.replace("$", r"\$")


def by_encoder(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Each encoder's rows of a figure's table, indexed by series, in the order of the table."""
    return {str(encoder): rows.set_index("series") for encoder, rows in table.groupby("encoder", sort=False)}


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each of several names that are not in COLOURS."""
    hues = sns.color_palette("colorblind" if len(names) <= 10 else "tab20", len(names)).as_hex()
    return dict(zip(names, hues, strict=True))


def profile(
    axis: Axes,
    table: pd.DataFrame,
    *,
    label: str,
    dashed: bool = False,
    colour: str | None = None,
    shift: float = 0.0,
) -> None:
    """A line over layers with its intervals as bars.

    Args:
        shift: to the right, so that bars of several lines stand side by side.
    """
    few = len(table) <= 20
    axis.errorbar(
        np.arange(len(table)) + shift,
        table["value"],
        yerr=np.abs(table[["low", "high"]].to_numpy(dtype=float).T - table["value"].to_numpy(dtype=float)),
        fmt="o--" if dashed else "o-",
        color=colour or COLOURS[label],
        markersize=3.5 if few else 1.8,
        linewidth=0.9,
        elinewidth=1.2 if few else 0.8,
        capsize=0,
        label=label,
    )
    layers(axis, list(table["layer"].astype(str)))


def band(
    axis: Axes, at: Iterable[float], table: pd.DataFrame, *, colour: str, alpha: float = 0.18, label: str = ""
) -> None:
    """Intervals as a band along ``at``. One polygon, which a legend sees and keeps clear of."""
    low, high = (table[name].to_numpy(dtype=np.float64) for name in ("low", "high"))
    known = np.isfinite(low) & np.isfinite(high)
    x = np.array(list(at), dtype=np.float64)[known]
    across, along = np.concatenate([x, x[::-1]]), np.concatenate([low[known], high[known][::-1]])
    axis.fill(across, along, color=colour, alpha=alpha, linewidth=0, label=label or None)


def short(names: Sequence[str]) -> list[str]:
    """Names of layers without the dotted parts that all of them begin or end with; at least one part of each stays."""
    parts = [name.split(".") for name in names]
    before = _shared(parts)
    after = _shared([part[before:][::-1] for part in parts])
    return [".".join(part[before : len(part) - after]) for part in parts]


def _shared(parts: Sequence[Sequence[str]]) -> int:
    """How many leading parts all have in common, of all but one part of each."""
    most = min(map(len, parts)) - 1 if len(parts) > 1 else 0
    return next((i for i in range(most) if len({part[i] for part in parts}) > 1), most)


def blocks(names: Sequence[str]) -> list[tuple[str, int, int]]:
    """Runs of layers of one block, (name, first, last): all up to the first part of a name that has a digit."""
    runs: list[tuple[str, int, int]] = []
    for place, name in enumerate(names):
        parts = name.split(".")
        numbered = next((i for i, part in enumerate(parts) if any(map(str.isdigit, part))), 0)
        block = ".".join(parts[: numbered + 1])
        first = runs.pop()[1] if runs and runs[-1][0] == block else place
        runs.append((block, first, place))
    return runs


_LETTER = 0.066
"""Inches that a letter of TEXT takes at most, on average."""


def layers(axis: Axes, names: Sequence[str], *, at: Sequence[float] | NDArray[Any] | None = None) -> None:
    """Names of layers along the axis, horizontally: all where two lines hold them, else blocks, as many as one holds.

    Args:
        at: their positions; by default 0, 1, ...
    """
    places = np.asarray(range(len(names)) if at is None else at, dtype=np.float64)
    names = short([str(name) for name in names])
    room = axis.get_window_extent().width / axis.get_figure(root=True).dpi  # type: ignore[union-attr]
    inch = room / max(1.0, float(np.ptp(places)) + 1)
    runs = [(name, place, place) for place, name in enumerate(names)]
    texts, every = [plain(name, most=24) for name in names], list(range(len(names)))
    lower = [i for i in every if i not in _fitting(texts, places, inch, every)]
    if _fitting(texts, places, inch, lower) != lower:
        runs, lower = blocks(names), []
        for _, first, _ in runs[1:] if len(runs) < len(names) else []:
            edge = (places[first - 1] + places[first]) / 2
            axis.axvline(edge, color="#e6e6e6", linewidth=0.6, zorder=0)
        axis.grid(visible=len(runs) == len(names), axis="x")
    axis.set_xticks(places[lower], [texts[i] for i in lower], minor=True, fontsize=TEXT)
    axis.tick_params(axis="x", which="minor", pad=plt.rcParams["xtick.major.pad"] + 1.3 * TEXT)
    axis.grid(visible=bool(lower), axis="x", which="minor")
    centres = np.array([(places[first] + places[last]) / 2 for _, first, last in runs])
    labels = [plain(block, most=24) for block in short([block for block, _, _ in runs])]
    shown = [i for i in _fitting(labels, centres, inch, range(len(labels))) if i not in lower]
    axis.set_xticks(centres[shown], [labels[i] for i in shown], rotation=0, fontsize=TEXT)


def _fitting(labels: Sequence[str], at: NDArray[Any], inch: float, those: Sequence[int]) -> list[int]:
    """Of those labels, the ones that can stand in a line: the last one, and before it each that still fits."""
    half = [_LETTER * (len(label) + 1.5) / 2 for label in labels]
    chosen: list[int] = []
    for i in reversed(those):
        if not chosen or (at[chosen[-1]] - at[i]) * inch >= half[chosen[-1]] + half[i]:
            chosen.append(i)
    return chosen[::-1]


def points(
    axis: Axes,
    at: NDArray[Any],
    table: pd.DataFrame,
    *,
    colour: str,
    label: str,
    size: float = 5,
    hollow: bool = False,
) -> None:
    """Values as dots with their intervals."""
    error = np.abs(table[["low", "high"]].to_numpy().T - table["value"].to_numpy())
    face = "white" if hollow else colour
    axis.errorbar(
        at,
        table["value"],
        yerr=error,
        fmt="o",
        color=colour,
        markerfacecolor=face,
        markersize=size,
        elinewidth=1.3,
        capsize=0,
        label=label,
    )


def forest(
    axis: Axes,
    table: pd.DataFrame,
    names: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    colours: Sequence[str] | str = INK,
    hollow: Sequence[bool] | None = None,
    shift: float = 0.0,
    label: str | None = None,
    null: float | None = 0.0,
) -> NDArray[Any]:
    """A row a value with its interval, the first on top; where each is along the axis.

    Args:
        table: value, low and high, a row each.
        names: what stands before each row.
        groups: what each row belongs to: rows of a group stand together below its name.
        colours: of each row, or of all.
        hollow: rows whose dot is hollow.
        shift: of all rows downwards, for a second series between the rows of a first one.
        label: for a legend.
        null: where the line of no effect is, if there is one.
    """
    heads = [] if groups is None else [i for i, group in enumerate(groups) if i == 0 or group != groups[i - 1]]
    at = np.arange(len(table)) + np.array([sum(head <= i for head in heads) for i in range(len(table))], dtype=float)
    error = np.abs(table[["low", "high"]].to_numpy(dtype=float).T - table["value"].to_numpy(dtype=float))
    each = [colours] * len(table) if isinstance(colours, str) else list(colours)
    styles = list(zip(each, hollow or [False] * len(table), strict=True))
    for number, style in enumerate(dict.fromkeys(styles)):
        rows = [i for i, other in enumerate(styles) if other == style]
        axis.errorbar(
            table["value"].to_numpy()[rows],
            (at + shift)[rows],
            xerr=error[:, rows],
            fmt="o",
            color=style[0],
            markerfacecolor="white" if style[1] else style[0],
            markersize=4.5,
            elinewidth=1.4,
            capsize=0,
            label=None if number else label,
        )
    ticks = sorted([*zip(at, map(str, names), strict=True), *((at[i] - 1, f"{groups[i]}:") for i in heads if groups)])
    axis.set_yticks([place for place, _ in ticks], [plain(name, most=48) for _, name in ticks])
    for text in axis.get_yticklabels():
        text.set_fontweight("bold" if text.get_position()[1] not in at else "normal")
    axis.set_ylim((at[-1] if len(at) else 0) + 0.6, -0.6)
    wide = axis.get_window_extent().width / axis.figure.dpi > 5
    axis.xaxis.set_major_locator(MaxNLocator(7 if wide else 4, steps=[1, 2, 2.5, 5, 10]))
    axis.grid(visible=False, axis="y")
    if null is not None:
        axis.axvline(null, color=INK, linewidth=0.8, zorder=1)
    places: NDArray[Any] = at
    return places


def paired(axis: Axes, at: float, dots: Iterable[float], row: Any, *, colour: str = INK, label: str = "") -> None:
    """Points of pairs or seeds beside their mean with its interval.

    Args:
        row: value, low and high of the mean.
    """
    each = np.fromiter(dots, dtype=np.float64)
    spread = np.linspace(-0.1, 0.1, len(each)) if len(each) > 1 else np.zeros(len(each))
    axis.plot(at - 0.18 + spread, each, "o", color=colour, markersize=3.2, alpha=0.45, markeredgewidth=0)
    points(axis, np.array([at + 0.12]), pd.DataFrame([row])[["value", "low", "high"]], colour=colour, label=label)


def papers(axis: Axes, value: float, at: float, *, label: str | None = None) -> None:
    """The paper's value in a row of a forest: a purple diamond."""
    axis.plot([value], [at], "D", color=COLOURS["paper"], markersize=5, markerfacecolor="white", label=label, zorder=3)


def zero(axis: Axes) -> None:
    """A line at 0."""
    axis.axhline(0, color="black", linewidth=0.8, zorder=1)


def legend(axis: Axes, *, room: float = 0.0) -> None:
    """A small legend where it covers least.

    Args:
        room: share of its height by which the axis grows upwards, to make space for the legend.
    """
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + room * (high - low))
    axis.legend(frameon=True)


@dataclass(frozen=True)
class Rows:
    """A forest with a row an encoder.

    Attributes:
        title: of the panel.
        series: by what a colour of COLOURS means, the name of a series of the table; its last layer counts.
        null: where the line of no effect is, if there is one.
        least: a threshold, a dotted line.
    """

    title: str
    series: Mapping[str, str]
    null: float | None = 0.0
    least: float | None = None


def compared(
    table: pd.DataFrame,
    series: Mapping[str, str],
    forests: Sequence[Rows],
    *,
    asks: str,
    label: str,
    reference: bool = False,
    dashed: Iterable[str] = ("untrained",),
) -> Figure:
    """Encoders side by side: a panel of profiles for each on one scale; below, forests of what they differ in.

    Args: as of ``side_by_side``.
    """
    encoders, room = by_encoder(table), 0.24 * table["encoder"].nunique() + 0.75
    figure, lower = side_by_side(
        encoders, series, asks=asks, label=label, reference=reference, dashed=dashed, room=room
    )
    for axis, panel in zip(np.atleast_1d(lower.subplots(1, len(forests), sharey=True)), forests, strict=True):
        _rows_of(axis, encoders, panel)
    return figure


def side_by_side(
    encoders: Mapping[str, pd.DataFrame],
    series: Mapping[str, str],
    *,
    asks: str,
    label: str,
    room: float,
    reference: bool = False,
    dashed: Iterable[str] = (),
) -> tuple[Figure, SubFigure]:
    """A panel of profiles for each encoder, all on one scale, and space below them.

    Args:
        series: by what a colour of COLOURS means, the name of a series of profiles; two at most.
        asks: the question above all panels.
        label: of the profiles' axis.
        room: inches of the space below.
        reference: draw the first encoder's profile into all other panels, too, as a dotted line.
        dashed: meanings whose profiles are dashed.
    """
    lines, dashed = -(-len(encoders) // 4), set(dashed)
    columns = -(-len(encoders) // lines)
    above = 1.75 * lines + 0.45
    figure, axes = panels(rows=1, columns=1, height=above + room + 0.3)
    axes[0, 0].remove()
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[above, room]).flat
    upper.suptitle(asks, x=0.01, ha="left", fontsize=8.5)
    axes = upper.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    first = next(iter(encoders.values()))
    for place, (axis, (encoder, rows)) in enumerate(zip(axes.flat, encoders.items(), strict=False)):
        for number, (meaning, name) in enumerate(series.items()):
            shift = 0.2 * (number - (len(series) - 1) / 2)
            profile(axis, rows[rows.index == name], label=meaning, dashed=meaning in dashed, shift=shift)
            if reference and place:
                line = first.loc[first.index == name, "value"]
                axis.plot(range(len(line)), line, ":", color=COLOURS[meaning], linewidth=1.2)
        zero(axis)
        last = place + columns >= len(encoders)
        axis.tick_params(which="both", labelbottom=last)
        axis.set(title=plain(encoder, most=112 // columns), xlabel="layer" if last else "")
        axis.set_ylabel("" if place % columns else label)
    for axis in axes.flat[len(encoders) :]:
        axis.remove()
    return figure, lower


def _rows_of(axis: Axes, encoders: Mapping[str, pd.DataFrame], panel: Rows) -> None:
    for number, (meaning, name) in enumerate(panel.series.items()):
        last = [rows[rows.index == name].tail(1) for rows in encoders.values()]
        blank = pd.DataFrame({"value": [np.nan], "low": [np.nan], "high": [np.nan]})
        table = pd.concat([rows[["value", "low", "high"]] if len(rows) else blank for rows in last])
        shift = 0.26 * (number - (len(panel.series) - 1) / 2)
        colours, names = COLOURS[meaning], [plain(encoder, most=24) for encoder in encoders]
        forest(
            axis, table, names, colours=colours, shift=shift, hollow=[meaning == "untrained"] * len(names), null=None
        )
    for at, style in ((panel.null, "-"), (panel.least, ":")):
        if at is not None:
            axis.axvline(at, color=INK, linewidth=0.8, linestyle=style, zorder=1)
    axis.set_title(panel.title)


def shared_legend(figure: Figure, axis: Axes) -> None:
    """One legend of an axis's lines below all panels."""
    handles, labels = axis.get_legend_handles_labels()
    _below(figure, handles, labels)


def key(
    figure: Figure,
    colours: Mapping[str, str],
    *,
    dashed: Iterable[str] = (),
    hollow: Iterable[str] = (),
    bands: Iterable[str] = (),
    side: str = "center",
) -> None:
    """A legend below all panels that says what colours mean.

    Args:
        colours: by what they mean; the paper's, if hollow, stands for the diamond of ``papers``.
        dashed, hollow, bands: which of them stand for dashed lines, hollow dots or bands.
        side: "left", "center" or "right": where the panels are that it is about; in a column where that's not all.
    """
    dashed, hollow, bands = set(dashed), set(hollow), set(bands)
    handles: list[Artist] = []
    for name, colour in colours.items():
        if name in bands:
            handles.append(Patch(facecolor=colour, alpha=0.45, linewidth=0))
            continue
        papers = colour == COLOURS["paper"] and name in hollow
        line: Any = "none" if papers else "--" if name in dashed else "-"
        handle = Line2D([], [], color=colour, linestyle=line, marker="D" if papers else "o", markersize=4.5)
        handle.set_markerfacecolor("white" if name in hollow else colour)
        handles.append(handle)
    _below(figure, handles, list(colours), side=side)


def _below(figure: Figure, handles: Sequence[Any], labels: Sequence[str], *, side: str = "center") -> None:
    widest = max((len(label) for label in labels), default=0)
    columns = max(1, min(len(labels), 6, int(figure.get_figwidth() / (_LETTER * (widest + 7)))))
    columns = columns if side == "center" else 1
    place: Any = f"outside lower {side}"
    figure.legend(handles, labels, loc=place, ncols=columns, frameon=False)


def matrix(
    axis: Axes, values: pd.DataFrame, *, low: float, high: float, digits: int = 2, colours: str = SEQUENTIAL
) -> None:
    """Named rows against named columns as a heat map that shows its numbers, where they fit.

    Args:
        colours: SIGNED, with low = -high, for values with a sign.
    """
    sns.heatmap(
        values,
        ax=axis,
        vmin=low,
        vmax=high,
        cmap=colours,
        cbar=False,
        annot=bool(_LETTER * (digits + 3) * values.shape[1] <= axis.get_window_extent().width / axis.figure.dpi),
        fmt=f".{digits}f",
        annot_kws={"size": SMALLEST},
    )
    axis.tick_params(axis="x", labelrotation=90 if values.shape[1] > 3 else 0)
    axis.tick_params(axis="y", labelrotation=0)
    axis.set(xlabel="", ylabel="")


def one_scale(axes: Iterable[Axes]) -> None:
    """The same range along x in all panels."""
    axes = list(axes)
    low, high = (pick(axis.get_xlim()[end] for axis in axes) for pick, end in ((min, 0), (max, 1)))
    for axis in axes:
        axis.set_xlim(low, high)


def maps(axes: Sequence[Axes], values: Sequence[NDArray[Any]], *, label: str, signed: bool = True) -> None:
    """Maps [rows, columns] on one scale, with one bar of colours; values with a sign are white at 0."""
    low, high = (float(pick([pick(part) for part in values])) for pick in (np.nanmin, np.nanmax))
    top = max(abs(low), abs(high)) or 1.0
    limits = (-top, top, SIGNED) if signed else (low, high, SEQUENTIAL)
    for axis, part in zip(axes, values, strict=True):
        drawn = axis.imshow(part, cmap=limits[2], vmin=limits[0], vmax=limits[1], interpolation="nearest")
        bare(axis)
    axes[0].get_figure(root=True).colorbar(drawn, ax=list(axes), label=label, fraction=0.03, aspect=25)  # type: ignore[union-attr]


def bare(axis: Axes) -> None:
    """No ticks and no grid."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)


def thumbnail(axis: Axes, image: NDArray[np.uint8], title: str = "") -> None:
    """One image [channels, height, width] without axes."""
    axis.imshow(image[0] if len(image) == 1 else image.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
    axis.set_title(title, fontsize=SMALLEST, pad=2, loc="center")
    axis.axis("off")


def save(figure: Figure, *paths: str | Path) -> None:
    """Write a figure in the formats of the paths' endings, the same bytes every time."""
    for path in paths:
        with atomic(path) as temporary:
            stamp = {".pdf": "CreationDate", ".svg": "Date"}.get(temporary.suffix, "Software")
            # Names of an SVG's parts are hashes, of random salt unless it is given.
            with plt.rc_context({"svg.hashsalt": "memloc"}):
                figure.savefig(temporary, metadata={stamp: None}, dpi=150)
    plt.close(figure)
