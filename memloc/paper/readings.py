"""From an experiment's table to the cells of one of the paper's tables, or the points of one of its figures.

Standard library only: a table is a list of rows, its cells texts, as ``csv.DictReader`` reads them. A reading is a
function of a run; most are made by one here, which ``exhibits`` calls with what differs from table to table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from memloc.aliases import Options
from memloc.models.architectures import ARCHITECTURES, SUBLAYERS

Row = Mapping[str, str]
Names = Callable[[Sequence[str]], dict[str, str]]
"""From all layers of an architecture, measured or not, to what the paper calls them; what it leaves out is left out."""

PERCENT = 100.0
LAYERS = "config/layers.yaml"


@dataclass(frozen=True)
class Cell:
    """A number with its interval, or its standard deviation where the paper gives one; nan is none. Or a text."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    spread: float = math.nan
    text: str = ""


@dataclass(frozen=True)
class Run:
    """One experiment of a run.

    Attributes:
        name: of the experiment.
        rows: of its table.
        experiment: its entry in the configuration.
        encoders: entries of its encoders, complete, in their order.
        encoder: the one that is asked for, where a table is of one.
        datasets: entries of the configuration's datasets.
        donor: name and entry of the encoder whose layers are taken; none of most experiments.
        used: encoders whose rows were asked for.
    """

    name: str
    rows: Sequence[Row]
    experiment: Options
    encoders: Mapping[str, Options]
    encoder: str
    datasets: Mapping[str, Options]
    donor: Mapping[str, Options] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def where(self, **values: str) -> list[Row]:
        """The rows that have these values."""
        self.used.update({values.get("encoder", "")} & self.encoders.keys())
        return [row for row in self.rows if all(row.get(key) == value for key, value in values.items())]

    def like(self, settings: Mapping[str, object]) -> str | None:
        """The first encoder that has these settings."""
        return next((name for name, entry in self.encoders.items() if has(entry, settings)), None)


@dataclass
class Reading:
    """What a run says to a table: cells by row and column.

    Attributes:
        columns, rows: what stands in the place of one of the paper's, where it isn't the same.
        lacks: why cells have no number.
    """

    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)
    lacks: list[str] = field(default_factory=list)

    def put(self, row: str, column: str, cell: Cell) -> None:
        """Fill a cell."""
        self.cells.setdefault(row, {})[column] = cell


@dataclass(frozen=True)
class Point:
    """One point of a figure: where it stands, a name or a number, and its value with an interval."""

    x: str | float
    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass
class Plot:
    """What a run says to a figure.

    Attributes:
        form: lines, histogram, scatter or images.
        x, y: what the axes are.
        series: points by the name of a line, a distribution or a cloud.
    """

    form: str
    x: str
    y: str
    series: dict[str, list[Point]] = field(default_factory=dict)
    lacks: list[str] = field(default_factory=list)


Reader = Callable[[Run], Reading | Plot]


def setting(entry: Options, path: str) -> object:
    """A setting of an encoder by its keys with points between: ``recipe.epochs``."""
    value: object = entry
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def has(entry: Options, settings: Mapping[str, object]) -> bool:
    """Whether an encoder has all these settings."""
    return all(setting(entry, path) == value for path, value in settings.items())


def number(row: Row, key: str, times: float = 1.0) -> float:
    """A number of a row; nan where there is none."""
    text = row.get(key) or ""
    return times * float(text) if text else math.nan


def cell(row: Row, *, times: float = 1.0, spread: str = "") -> Cell:
    """Value and interval of a row; with ``spread``, the standard deviation in that column instead of the interval."""
    if spread:
        return Cell(number(row, "value", times), spread=number(row, spread, times))
    return Cell(number(row, "value", times), number(row, "low", times), number(row, "high", times))


# --- Names of layers -------------------------------------------------------------------------------------------------


def as_they_are(layers: Sequence[str]) -> dict[str, str]:
    """Names of this project, the paper's numbers: sums are Res2 and Res6."""
    return {layer: layer.replace("res", "Res") for layer in layers}


CONVOLUTIONS = ("1 Conv1", "2 Conv2-0", "3 Conv2-1", "4 Conv2-2", "5 Conv3", "6 Conv4-0", "7 Conv4-1", "8 Conv4-2")
_T18 = {
    **{str(i + 1): name for i, name in enumerate(CONVOLUTIONS)},
    **{f"{i}.norm": f"BN{place}" for i, place in (("1", "1"), ("2", "2-0"), ("5", "3"), ("6", "4-0"))},
    **{f"{i + 1}.pool": "MaxPool" + name.removeprefix(f"{i + 1} Conv") for i, name in enumerate(CONVOLUTIONS)},
    **{"res2": "Residual2", "res6": "Residual6", "head": "head", "output": "MaxPool"},
}


def with_sublayers(layers: Sequence[str]) -> dict[str, str]:
    """ResNet9's layers as Table 18 names them; the pool before its classifier is our encoder's output."""
    return {layer: _T18.get(layer, layer) for layer in layers}


def convolutions(layers: Sequence[str]) -> dict[str, str]:
    """A ResNet's convolutions as Tables 15 to 17 name them: conv3-2 is the second of the second stage."""
    names, counts = {}, dict.fromkeys("1234", 0)
    for layer in layers:
        if inner := re.fullmatch(r"layer([1-4])\.\d+\.conv\d", layer):
            counts[inner[1]] += 1
            names[layer] = f"conv{int(inner[1]) + 1}-{counts[inner[1]]}"
        elif known := {"conv1": "conv1", "conv1.pool": "max pool", "output": "average pool"}.get(layer):
            names[layer] = known
    return names if len(names) > 1 else as_they_are([layer for layer in layers if layer.isdigit()])


def counted(layers: Sequence[str]) -> dict[str, str]:
    """A ResNet's convolutions by their number (Table 4)."""
    inner = [layer for layer in layers if re.fullmatch(r"conv1|layer\d\.\d+\.conv\d|\d+", layer)]
    return {layer: str(place) for place, layer in enumerate(inner, start=1)}


# --- Tables ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Of:
    """Rows that one column of a table is filled from.

    Attributes:
        series: their series.
        encoder: settings of the encoder that they are of; by default the one that is asked for.
        nth: its place among the experiment's encoders instead.
        where: other columns that they are chosen by.
        times: what numbers are multiplied by.
    """

    series: str
    encoder: Mapping[str, object] = field(default_factory=dict)
    nth: int | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    times: float = 1.0

    def name(self, run: Run) -> str | None:
        """The encoder, where there is one."""
        if self.nth is not None:
            return next(iter(list(run.encoders)[self.nth :]), None)
        return run.like(self.encoder) if self.encoder else run.encoder

    def rows(self, run: Run) -> list[Row]:
        """Its rows."""
        name = self.name(run)
        return run.where(encoder=name, series=self.series, **self.where) if name else []


@dataclass(frozen=True)
class Step:
    """A column of differences: another column's number minus that of the layer before, where both were measured."""

    of: str


def by_layer(
    columns: Mapping[str, Of | Step],
    names: Names = as_they_are,
    named: Mapping[str, Callable[[Options], str]] | None = None,
    lacks: Iterable[str] = (),
) -> Reader:
    """A row a layer.

    Args:
        columns: what fills them.
        named: by column, what of its encoder's entry is said of it.
        lacks: what has no counterpart, and why.
    """

    def read(run: Run) -> Reading:
        reading, orders = Reading(lacks=list(lacks)), dict[str, dict[str, str]]()
        for column, of in columns.items():
            if isinstance(of, Step):
                _steps(reading, column, of.of, orders[of.of])
                continue
            known, orders[column] = _places(of.name(run), run, names)
            rows = of.rows(run)
            if not rows and of.encoder:
                listed = " and ".join(f"{path.rpartition('.')[2]} {value}" for path, value in of.encoder.items())
                reading.lacks.append(f"{column}: experiment {run.name} has no encoder of {listed}.")
            for row in rows:
                if row["layer"] in known:
                    reading.put(known[row["layer"]], column, cell(row, times=of.times))
            if named and column in named and (name := of.name(run)):
                reading.columns[column] = named[column](run.encoders[name])
        return reading

    return read


def _places(encoder: str | None, run: Run, names: Names) -> tuple[dict[str, str], dict[str, str]]:
    """What the paper calls the layers of an encoder, and by that name of each the one before; empty of the first.

    All layers count, measured or not, but for sublayers that the paper has no name for.
    """
    if encoder is None:
        return {}, {}
    entry = run.encoders[encoder]
    layers = ARCHITECTURES[entry["architecture"]].layers(entry["network"])
    known = names([layer.name for layer in layers])
    before, last = {}, ""
    for layer in layers:
        if (name := known.get(layer.name)) is not None:
            before[name] = last
            last = last if layer.kind in SUBLAYERS and name == layer.name else name
    return known, before


def _steps(reading: Reading, column: str, of: str, before: Mapping[str, str]) -> None:
    """Fill a column with what another one's number adds to that of the layer before."""
    values = {row: cells[of].value for row, cells in reading.cells.items() if of in cells}
    unknown = False
    for row, value in values.items():
        step = value - values.get(before[row], math.nan)
        if not math.isnan(step):
            reading.put(row, column, Cell(step))
        elif before[row] and not math.isnan(value):
            unknown = True
    if unknown:
        reading.lacks.append(f"{column}: only where the layer before was measured, too (measure.layers).")


def candidates(run: Run) -> int:
    """How many candidates a pair of the encoder that is asked for has."""
    return int(run.datasets[run.encoders[run.encoder]["dataset"]]["split"]["candidate"])


def groups(read: Reader, option: str, columns: Iterable[str], *, chance: bool = False) -> Reader:
    """A reader that says, too, how many of the candidates the groups behind some columns hold.

    Args:
        option: the experiment's, which is the size of a group.
        chance: say what share of two groups drawn at random is common, on average.
    """

    def told(run: Run) -> Reading:
        reading, size, of = read(run), run.experiment[option], candidates(run)
        said = f"{size} of {of}" + (f"; {PERCENT * size / of:.3g} % by chance" if chance else "")
        assert isinstance(reading, Reading)
        reading.columns |= dict.fromkeys(columns, said)
        return reading

    return told


LAYERMEM: dict[str, Of | Step] = {
    "LayerMem": Of("published"),
    "ΔLM": Step("LayerMem"),
    "LayerMem Top50": Of("most memorized"),
    "ΔLM Top50": Step("LayerMem Top50"),
    "LayerMem Least50": Of("least memorized"),
}


def pair_of(
    title: str, encoder: Mapping[str, object] | None = None, nth: int | None = None, series: str = "published"
) -> dict[str, Of | Step]:
    """LayerMem and its steps of one encoder, as two columns."""
    return {f"{title} LM": Of(series, encoder=encoder or {}, nth=nth), f"{title} ΔLM": Step(f"{title} LM")}


def blocks(columns: Mapping[str, Of]) -> Reader:
    """LayerMem of a ViT's fully-connected layers, and what each adds to the sum before it (Tables 4 and 31)."""

    def read(run: Run) -> Reading:
        reading = Reading()
        for title, of in columns.items():
            found = {row["layer"]: number(row, "value") for row in of.rows(run)}
            if not found:
                wanted = " and ".join(map(str, of.encoder.values()))
                reading.lacks.append(f"{title}: experiment {run.name} has no encoder of {wanted}.")
            for row in of.rows(run):
                block, _, place = row["layer"].rpartition(".")
                if place == "fc":
                    reading.put(block, f"{title} LM", cell(row))
                    reading.put(block, f"{title} ΔLM", Cell(row_value(found, block, "fc", "res-att")))
        return reading

    return read


def row_value(found: Mapping[str, float], block: str, place: str, before: str) -> float:
    """LayerMem of a place of a block minus that of a place before; nan where one of them wasn't measured."""
    return found.get(f"{block}.{place}", math.nan) - found.get(
        before if "." in before else f"{block}.{before}", math.nan
    )


def sublayers_of_blocks(run: Run) -> Reading:
    """Table 10: LayerMem of attention, fully-connected layer and both sums of each block, and their differences."""
    reading = Reading()
    rows = run.where(encoder=run.encoder, series="published")
    found = {row["layer"]: number(row, "value") for row in rows}
    titles = {
        "att": "Attention LayerMem",
        "res-att": "Attention ResBlock",
        "fc": "FC LayerMem",
        "res-fc": "FC ResBlock",
    }
    for row in rows:
        block, _, place = row["layer"].rpartition(".")
        if place in titles:
            reading.put(block, titles[place], cell(row))
    for block in [block for block in reading.cells if block.isdigit()]:
        before = f"{int(block) - 1}.res-fc"
        for column, place, other in (
            ("Attention ΔLayerMem", "att", before),
            ("FC ΔLayerMem", "fc", "res-att"),
            ("ΔBlockMem", "res-fc", before),
        ):
            if not math.isnan(value := row_value(found, block, place, other)):
                reading.put(block, column, Cell(value))
    return reading


def one_place(place: str) -> Reader:
    """Table 2: one sublayer of a ViT by block, of Table 10's columns."""
    title = {"att": "Attention", "fc": "FC"}[place]

    def read(run: Run) -> Reading:
        whole, reading = sublayers_of_blocks(run), Reading()
        for block, cells in whole.cells.items():
            for column in ("LayerMem", "ΔLayerMem"):
                if f"{title} {column}" in cells:
                    reading.put(block, column, cells[f"{title} {column}"])
        return reading

    return read


def between_layers(run: Run) -> Reading:
    """Table 3: overlap of the most memorized candidates of two layers, and Kendall's tau of all candidates."""
    reading = Reading(lacks=["p of τ: here τ is of all candidates and has an interval over pairs and images instead."])
    for column, series, times in (("Overlap %", "candidate, same draws", PERCENT), ("τ", "candidate, tau", 1.0)):
        for row in run.where(encoder=run.encoder, series=series, part="layers"):
            if row["layer"] != row["other"]:
                reading.put(f"{row['layer']} {row['other']}", column, cell(row, times=times))
    return reading


def between_seeds(run: Run) -> Reading:
    """Table 28: overlap of the most memorized candidates between encoders of one split, by layer."""
    reading = Reading()
    subjects = {row["encoder"]: None for row in run.where(part="seeds")}
    for subject in list(subjects)[:1]:
        for row in run.where(encoder=subject, part="seeds", series="candidate, same draws"):
            reading.put("Overlap %", row["layer"], cell(row, times=PERCENT))
    if not subjects:
        needs = f"needs two encoders on one split (split_seed): add --configfile {LAYERS}."
        reading.lacks.append(f"No two encoders of experiment {run.name} were trained on one split; this {needs}")
    return reading


FINETUNED = {
    ("head", "0"): "None (head alone)",
    ("increment", "1"): "6: highest ΔLayerMem",
    ("last", "1"): "8: the last layer",
    ("increment", "2"): "6, 8: highest ΔLayerMem",
    ("last", "2"): "7, 8: the last two",
    ("increment", "3"): "4, 6, 8: highest ΔLayerMem",
    ("last", "3"): "6, 7, 8: the last three",
}


def finetuned(run: Run) -> Reading:
    """Table 5: the head alone, and with it the layers of highest increment or the last ones."""
    reading = Reading(columns={"Accuracy %": f"{run.experiment['task']}"})
    for row in run.where(encoder=run.encoder):
        if place := FINETUNED.get((row["series"], row["count"])):
            reading.put(place, "Accuracy %", cell(row, times=PERCENT))
            chosen = dict.fromkeys(" ".join(part.split()) for part in row["layers"].removeprefix("layers").split("|"))
            reading.rows[place] = "; ".join(filter(None, chosen))
    return reading


def pruned(run: Run) -> Reading:
    """Table 6: accuracy by task after units are pruned; the n-th task stands for the paper's n-th."""
    reading, tasks = Reading(), _tasks(run, ("CIFAR10", "SVHN", "STL10"))
    reading.columns = {column: task for task, column in tasks.items() if task != column}
    for row in run.where(encoder=run.encoder):
        if row["task"] not in tasks or row["series"] not in ("none", "top", "random", "low"):
            continue
        name = {"top": "Top UnitMem", "low": "Low UnitMem"}.get(row["series"], "Random")
        scope = {"layer": "per layer", "total": "total"}.get(row["scope"], "")
        of = f" {scope}, {number(row, 'fraction', PERCENT):.3g} %"
        place = "No pruning" if row["series"] == "none" else name + of
        reading.put(place, tasks[row["task"]], cell(row, times=PERCENT))
    return reading


def _tasks(run: Run, columns: Sequence[str]) -> dict[str, str]:
    """The paper's columns by task: the one of the same data set, else the next one that is left."""
    own = {task: _told(run.datasets[task].get("source", task)) for task in run.experiment["tasks"]}
    same = {task: column for task, name in own.items() for column in columns if column == name}
    left = iter([column for column in columns if column not in same.values()])
    return {task: column for task in own if (column := same.get(task) or next(left, None))}


def _told(source: str) -> str:
    """A source of images as the paper writes it."""
    return {"stl10-unlabeled": "STL10"}.get(source, source.upper())


EXTREMES = {"most memorized": "Most memorized (10 % of units)", "least memorized": "Least memorized (10 % of units)"}
_T11 = {name.partition(" ")[0]: name.partition(" ")[2].lower() for name in CONVOLUTIONS}


def table_11(layers: Sequence[str]) -> dict[str, str]:
    """ResNet9's convolutions by the names of Table 11."""
    return {layer: _T11.get(layer, layer) for layer in layers}


def owners_of_units(run: Run) -> Reading:
    """Table 12: how many points own 1, 2, ... of the last layer's top units, and their mean SSLMem."""
    reading = Reading()
    for row in run.where(encoder=run.encoder, series="owners, candidate"):
        owns = str(int(number(row, "owns")))
        reading.put("Average SSLMem", owns, cell(row))
        reading.put("Number of samples", owns, Cell(number(row, "points")))
    return reading


def injected(arm: str) -> Reader:
    """Tables 13 and 14: UnitMem of a unit by how long it was trained, in one arm."""

    def read(run: Run) -> Reading:
        reading = Reading()
        for row in run.where(encoder=run.encoder, arm=arm, series="with the image"):
            place = {"top": "Highest UnitMem", "inactive": "Lowest UnitMem"}[row["unit"]]
            reading.put(place, row["layer"], cell(row))
        return reading

    return read


def by_size(run: Run) -> Reading:
    """Table 19: LayerMem on sets of several sizes, with its standard deviation over draws; all images have none."""
    columns = ("100 samples", "500 samples", "1000 samples", "5000 samples")
    rows = run.where(encoder=run.encoder, series="published")
    sizes = sorted({int(number(row, "size")) for row in rows})
    at = dict(zip(sizes, columns, strict=False))
    every = candidates(run)
    told = {column: f"{size} images" + ", all" * (size == every) for size, column in at.items()}
    reading = Reading(columns=told)
    for row in rows:
        if column := at.get(size := int(number(row, "size"))):
            one = Cell(number(row, "value")) if size == every else cell(row, spread="sd")
            reading.put(as_they_are([row["layer"]])[row["layer"]], column, one)
    return reading


def transferred(run: Run) -> Reading:
    """Table 20: accuracy of probes by task, of an encoder trained without and with labels."""
    reading, tasks = Reading(), _tasks(run, ("CIFAR100", "CIFAR10", "STL10", "SVHN"))
    reading.columns = {column: task for task, column in tasks.items() if task != column}
    for row in run.where(series="accuracy"):
        labels = run.encoders[row["encoder"]]["framework"] == "supervised"
        place = "SL (trained until convergence)" if labels else "SSL"
        if row["task"] in tasks and tasks[row["task"]] not in reading.cells.get(place, {}):
            reading.put(place, tasks[row["task"]], cell(row, times=PERCENT))
    return reading


@dataclass(frozen=True)
class Choice:
    """A row of Tables 21 to 24: which subset of layers it replaces.

    Attributes:
        row: the paper's name of it.
        by: column of sums over the replaced layers, increment or layermem.
        highest: whether the sum is the highest or the lowest; both None for the mean of all subsets.
    """

    row: str
    by: str | None = None
    highest: bool = True


def replaced(choices: Sequence[Choice], donor: str, count: int | None = None) -> Reader:
    """Tables 21 to 24: accuracy on the base's and the donor's task after the layers that memorize most, or least, went.

    Args:
        choices: the rows.
        donor: the paper's column of the donor's task.
        count: how many layers are replaced at once; by default as many as the run replaces at most.
    """

    def read(run: Run) -> Reading:
        reading, k = _replacements(run, donor, count)
        for task, column in (("base", "CIFAR10"), ("donor", donor)):
            subsets = [row for row in _subsets(run, k) if row["task"] == task]
            for choice in choices:
                if choice.by is None:
                    if subsets:
                        mean = sum(number(row, "value", PERCENT) for row in subsets) / len(subsets)
                        reading.put(choice.row, column, Cell(mean))
                        reading.rows[choice.row] = f"mean of all {len(subsets)} choices"
                    continue
                able = [row for row in subsets if row.get(choice.by)]
                if able:
                    pick = max if choice.highest else min
                    best = pick(able, key=lambda row, by=choice.by: number(row, by))  # type: ignore[misc]
                    reading.put(choice.row, column, cell(best, times=PERCENT))
                    reading.rows[choice.row] = best["layers"].partition(" ")[2]
        return reading

    return read


def every_subset(donor: str, count: int) -> Reader:
    """Tables 30, 32 and 33: accuracy after every choice of so many layers was replaced, its largest and smallest."""

    def read(run: Run) -> Reading:
        reading, k = _replacements(run, donor, count, none="None")
        for task, column in (("base", "CIFAR10"), ("donor", donor)):
            subsets = [row for row in _subsets(run, k) if row["task"] == task]
            for row in subsets:
                reading.put(row["layers"].partition(" ")[2], column, cell(row, times=PERCENT))
            for place, pick in (("max", max), ("min", min)):
                if subsets:
                    best = pick(subsets, key=lambda row: number(row, "value"))
                    reading.put(place, column, cell(best, times=PERCENT))
                    at = f"{reading.columns.get(column, column)}: {best['layers'].partition(' ')[2]}"
                    reading.rows[place] = "; ".join(filter(None, (reading.rows.get(place), at)))
        return reading

    return read


def _replacements(run: Run, donor: str, count: int | None, none: str = "None (baseline)") -> tuple[Reading, int]:
    """A reading with the row in which nothing is replaced, and how many layers others replace."""
    base, other = run.experiment["tasks"]
    told = {column: task for column, task in (("CIFAR10", base), (donor, other)) if _told(task) != column}
    reading, counts = Reading(columns=told), run.experiment["counts"]
    k = count or max(counts)
    if k not in counts:
        way = f"set its counts to [1, 2, 3], or add --configfile {LAYERS}"
        reading.lacks.append(f"Experiment {run.name} replaces {' or '.join(map(str, counts))} at once, not {k}: {way}.")
        return reading, k
    for task, column in (("base", "CIFAR10"), ("donor", donor)):
        for row in run.where(encoder=run.encoder, series="base alone", task=task):
            reading.put(none, column, cell(row, times=PERCENT))
    return reading, k


def _subsets(run: Run, count: int) -> list[Row]:
    """Every replaced choice of so many layers, normalisations replaced with them."""
    return run.where(encoder=run.encoder, series="subset", norms="with", count=str(count))


def likeness(run: Run) -> Reading:
    """Table 25: cosine of scales and shifts of two encoders' normalisations, and of permuted channels."""
    reading = Reading()
    for row in run.where(encoder=run.encoder, series="cosine"):
        reading.put("Cosine similarity", row["layer"], cell(row))
        null = Cell(math.nan, number(row, "null_low"), number(row, "null_high"))
        reading.put("95 % of permuted channels", row["layer"], null)
    return reading


def by_classes(run: Run) -> Reading:
    """Table 34: highest and mean UnitMem by layer, on images of all classes, of some, and of one."""
    reading = Reading(lacks=["min: the lowest UnitMem isn't in the experiment's table; a unit that never acts has 0."])
    for title, series in (("All", "all"), ("TPC", "some classes"), ("Car", "one class")):
        for column, what in (("max", "largest"), ("avg", "mean")):
            for row in run.where(encoder=run.encoder, series=series, what=what, group="candidate"):
                reading.put(row["layer"], f"{title} {column}", cell(row))
    reading.columns = {f"TPC {what}": f"{run.experiment['classes']} classes" for what in ("min", "max", "avg")}
    reading.columns |= {f"Car {what}": "one class" for what in ("min", "max", "avg")}
    return reading


# --- Figures ---------------------------------------------------------------------------------------------------------


def point(row: Row, x: str | float) -> Point:
    """A row as a point with its interval."""
    return Point(x, *(number(row, key) for key in ("value", "low", "high")))


def lines(series: Mapping[str, Of], *, y: str, lacks: Iterable[str] = (), names: Names = as_they_are) -> Reader:
    """Lines over layers."""

    def read(run: Run) -> Plot:
        plot = Plot("lines", "layer", y, lacks=list(lacks))
        for name, of in series.items():
            rows = of.rows(run)
            known = names([row["layer"] for row in rows])
            if points := [point(row, known[row["layer"]]) for row in rows if row["layer"] in known]:
                plot.series[name] = points
        return plot

    return read


def every_encoder(series: str, *, y: str, told: str) -> Reader:
    """A line over layers for each of the experiment's encoders, named by one of its settings."""

    def read(run: Run) -> Plot:
        named = encoders_by(run, told)
        return lines({name: Of(series, encoder={}, nth=i) for i, name in enumerate(named)}, y=y)(run)  # type: ignore[return-value]

    return read


def encoders_by(run: Run, told: str) -> list[str]:
    """The experiment's encoders, each by its value of a setting, where those differ."""
    values = [value_of(entry, told) for entry in run.encoders.values()]
    return values if len({*values}) == len(values) else list(run.encoders)


def value_of(entry: Options, path: str) -> str:
    """What an encoder has of a setting, in words."""
    value = setting(entry, path)
    if isinstance(value, Mapping):
        return f"epsilon {value['epsilon']}"
    name = path.rpartition(".")[2].replace("_", " ")
    if value is None:
        return "no privacy" if name == "privacy" else f"no {name}"
    return f"{name} {value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def distribution(told: str) -> Reader:
    """The distribution of UnitMem over the last layer's units, of each of the experiment's encoders.

    Args:
        told: the setting that tells the encoders from one another.
    """

    def read(run: Run) -> Plot:
        plot = Plot("histogram", "UnitMem", "share of units")
        for name, title in zip(run.encoders, encoders_by(run, told), strict=True):
            rows = run.where(encoder=name, series="unit")
            last = rows[-1]["layer"] if rows else ""
            plot.series[title] = [Point(i, number(row, "value")) for i, row in enumerate(rows) if row["layer"] == last]
        return plot

    return read


def owners_cloud(run: Run) -> Plot:
    """Figure 1b: SSLMem of points that own units of the last layer, against the highest UnitMem of these."""
    plot = Plot("scatter", "SSLMem of the owner", "highest UnitMem owned")
    for group in ("candidate", "external"):
        rows = run.where(encoder=run.encoder, series=f"owner, {group}")
        plot.series[f"{group} images"] = [Point(number(row, "sslmem"), number(row, "unitmem")) for row in rows]
    return plot


def units_cloud(at: int) -> Reader:
    """Figure 3: ClassMem and UnitMem of every unit of the first (0) or the last (-1) layer."""

    def read(run: Run) -> Plot:
        plot = Plot("scatter", "UnitMem", "ClassMem")
        rows = run.where(encoder=run.encoder, series="unit")
        layers = list(dict.fromkeys(row["layer"] for row in rows))
        if layers:
            mine = [row for row in rows if row["layer"] == layers[at]]
            name = f"layer {layers[at]}"
            plot.series[name] = [Point(number(row, "unitmem"), number(row, "classmem")) for row in mine]
        return plot

    return read


def over_epochs(run: Run) -> Plot:
    """Figure 4: mean UnitMem of the last layer by epoch, on images trained on and on others."""
    plot = Plot("lines", "epoch", "mean UnitMem")
    for series in ("candidate", "unseen images"):
        rows = run.where(encoder=run.encoder, series=series)
        last = rows[-1]["layer"] if rows else ""
        plot.series[series] = [point(row, number(row, "epoch")) for row in rows if row["layer"] == last]
    return plot


def makeup(run: Run) -> Plot:
    """Figure 6: mean UnitMem by layer on all images, few drawn evenly from the classes, and as many at random."""
    plot = Plot("lines", "layer", "mean UnitMem")
    size = run.experiment["size"]
    told = {"evenly": f"{size}, evenly by class", "random": f"{size} at random", "all": "all images"}
    for series, name in told.items():
        rows = run.where(encoder=run.encoder, series=series, what="mean", group="candidate")
        plot.series[name] = [point(row, row["layer"]) for row in rows]
    return plot


def most_memorized(run: Run) -> Plot:
    """Figure 13: the most memorized images of several layers."""
    plot = Plot(
        "images", "place", "layer", lacks=["The experiment keeps the images of its first, middle and last layer."]
    )
    for row in run.where(encoder=run.encoder, series="most memorized", part="images"):
        plot.series.setdefault(row["layer"], []).append(Point(number(row, "point"), number(row, "value")))
    return plot


def accuracy(told: str) -> Reader:
    """Accuracy of probes on every task, of each of the experiment's encoders, named by a setting (Figure 11)."""

    def read(run: Run) -> Plot:
        plot = Plot("lines", told.rpartition(".")[2].replace("_", " "), "accuracy")
        titles = dict(zip(run.encoders, encoders_by(run, told), strict=True))
        for row in run.where(series="accuracy"):
            plot.series.setdefault(row["task"], []).append(point(row, titles[row["encoder"]]))
        return plot

    return read
