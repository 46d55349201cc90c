"""What an experiment's entry says, and what several entries have in common. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from memloc.aliases import Json
from memloc.aliases import Options as Options
from memloc.data.groups import CANDIDATE_AND_NULL

POINTS = "scores/{encoder}/seed{seed}/points.parquet"
ATYPICALITY = "scores/{encoder}/seed{seed}/atypicality.parquet"
UNITS = "scores/{encoder}/{role}/seed{seed}/units.parquet"
RESAMPLES = "scores/{encoder}/{role}/seed{seed}/resamples.npz"
F_UNITS = "scores/{encoder}/f/seed{seed}/units.parquet"
MEASURES = "measures/{encoder}/f/seed{seed}.npz"
MEASURES_OF_G = "measures/{encoder}/g/seed{seed}.npz"
VALUES = "values/{experiment}/{encoder}/seed{seed}.npz"
EVERY_OUTCOME = "outcomes/{experiment}/{encoder}/{role}/seed{seed}.npz"
OUTCOMES = "outcomes/{experiment}/{encoder}/f/seed{seed}.npz"
OUTCOMES_OF_G = "outcomes/{experiment}/{encoder}/g/seed{seed}.npz"
TRIALS = "valuation/{experiment}/{table}/seed{seed}.npz"
CHART_ANSWERS = "charts/answers/{model}/seed{seed}.npz"
CHART_PREDICTIONS = "charts/located/{model}/seed{seed}/predictions.npz"
CHART_PAIRS = "charts/located/{model}/seed{seed}/pairs.npz"
CHART_CANARIES = "charts/canaries/{model}/seed{seed}.npz"
CHART_TOWERS = "charts/probed/{tower}/seed{seed}.npz"

OVER_ENCODERS = ("encoders",)
OVER_TABLES = ("tables", "seeds")
OVER_MODELS = ("models",)
OVER_TOWERS = ("towers",)
OF_CHARTS = (OVER_MODELS, OVER_TOWERS)

THEMES = ("layers", "units", "valuation", "charts")
NEEDS = ("labels", "swapped", "image_losses", "units", "snapshots")


def no_faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """No faults: the experiment asks nothing that its schema and its needs don't say."""
    return ()


READS = (
    *("images", "layers", "protocol", "learner", "partner", "snapshots", "tasks", "donor"),
    *("units", "points", "resamples"),
)


@dataclass(frozen=True)
class Job:
    """How an experiment computes with a network, once for each encoder, role and seed whose outcomes its inputs name.

    Attributes:
        options: the options that the job gets, and reads every one of; a change of any other one repeats the analysis
            alone. Tasks and donor come with ``reads``.
        reads: what it reads besides weights, split and description of the dataset, of READS: images of the dataset,
            layers that are measured, the protocol of measuring, all that the framework adds to the encoder (learner),
            g beside f (partner), the states after several epochs (snapshots), tasks, the donor, scores of units and of
            points, how many resamples a bootstrap has.
        mem_mb, runtime: what it needs, in megabytes and minutes; a cluster doubles both for a second try.
    """

    options: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    mem_mb: int = 2000
    runtime: int = 60


@dataclass(frozen=True)
class Experiment:
    """One kind of experiment.

    Attributes:
        order: its place among figures and in the report.
        theme: of THEMES, under which the documentation lists it.
        title: of the figure.
        paper: the tables and figures of the paper that it answers.
        asks: the question that it answers, to go behind its name in a list.
        inputs: files below the results folder, by name, with {encoder} or {table}, {seed} and {experiment} to fill in;
            with {role}, of f and, on complementary halves, of g, too.
        options: JSON schema, with a description, of each option besides ``kind`` and those of ``over``; all are
            required.
        smallest: every option, and what it runs over, in the smoke configuration.
        over: the keys that say what it runs over: OVER_ENCODERS, whose seeds are theirs, or OVER_TABLES, which are
            names of ``memloc.valuation.tables.TABLES`` or of datasets, with seeds of its own, or OVER_MODELS or
            OVER_TOWERS of ``charts``, whose seeds are theirs.
        encoders: how many the experiment compares; None for any number.
        fewest: how many it needs, where that is any number.
        equal: what its encoders must have in common, see ``memloc.config.experiments``.
        trained_apart: it compares trainings, so no two of its encoders may have the same weights.
        needs: what it needs of encoders, of NEEDS: labelled images (labels), images into some of which patches are
            swapped (swapped), a framework with a loss of single images (image_losses), layers that have units (units),
            encoders as they were after several epochs (snapshots).
        layers: kinds of layers that each encoder must be measured at.
        known: keys of an encoder's ``measure`` or ``recipe`` that the analysis gets, as options {key: {encoder:
            value}}.
        tasks: the option that names datasets to fit probes on, one or several.
        donor: the option that names another encoder, whose layers are taken.
        job: how it computes with a network; None where it only reads scores. Over tables, its trial.
        colours: a colour of ``memloc.analysis.plotting.PALETTE`` for each series that has one of its own here.
        faults: yields what is wrong with an experiment of this kind and one of its encoders or tables, each as
            "<option>: <what is wrong>; <what to do>". Called with options, name and configuration, all complete.
    """

    order: int
    theme: str
    title: str
    paper: str
    asks: str
    inputs: Mapping[str, str]
    smallest: Options
    options: Options = field(default_factory=dict)
    over: tuple[str, ...] = OVER_ENCODERS
    encoders: int | None = None
    fewest: int = 1
    equal: tuple[str, ...] = ()
    trained_apart: bool = False
    needs: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    tasks: str | None = None
    donor: str | None = None
    job: Job | None = None
    colours: Mapping[str, str] = field(default_factory=dict)
    faults: Callable[[Options, str, Options], Iterable[str]] = no_faults


def described(schema: Options, description: str) -> Json:
    """JSON schema of an option, with what it is."""
    return {"description": description, **schema}


def array(item: Options) -> Json:
    """JSON schema of a list of at least one item, all different."""
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": item}


COUNT = {"type": "integer", "minimum": 1}
SEVERAL = {"type": "integer", "minimum": 2}
RATE = {"type": "number", "exclusiveMinimum": 0, "maximum": 1000}
FRACTION = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
NAME = {"type": "string"}

GROUP_SIZE = described(COUNT, "Points in each of the groups of most and of least memorized candidates.")
TASKS = described(array(NAME), "Datasets that a new linear probe is fitted on and tested on.")
IMAGES = described(SEVERAL, "Labelled images that a probe is fitted on.")

UNIT_FILES = {
    "units": UNITS,
    "resamples": RESAMPLES,
    "untrained_units": "scores/{encoder}/untrained/seed{seed}/units.parquet",
    "untrained_resamples": "scores/{encoder}/untrained/seed{seed}/resamples.npz",
}
"""UnitMem of f before and after training."""


VALUED_FILES = {"points": POINTS, "atypicality": ATYPICALITY, "units": UNITS, "values": VALUES}
"""Values of points beside what an encoder says of them."""
VALUED_OPTIONS = {
    "learners": described(COUNT, "Trees behind every value."),
    "ratios": described(array(FRACTION), "Shares of the cells that each tree sees."),
    "patch": described(COUNT, "Side in pixels of the cells that images are cut into."),
    "shown": described(COUNT, "Images in each strip of the figure."),
}

TABLE_ROWS = described({"type": "integer", "minimum": 50}, "At most so many rows are valued.")
LEARNERS = described({"type": "integer", "minimum": 10}, "Trees of 2D-OOB.")
RATIOS = described(
    array({"type": "number", "exclusiveMinimum": 0, "maximum": 1}), "Shares of the columns that each tree sees."
)
DIRTY_ROWS = described(FRACTION, "Share of the rows that have outliers.")
DIRTY_COLUMNS = described(FRACTION, "Share of such a row's cells that are outliers.")
INJECTOR = {"enum": ["tail", "swap"]}
PERMUTATIONS = described(COUNT, "Random orders of the columns behind 2D-KNN.")


def group_fits(experiment: Options, split: Mapping[str, int]) -> Iterable[str]:
    """Faults of ``group_size``: two groups must fit into the candidates, and into the external points."""
    size = experiment["group_size"]
    for group in CANDIDATE_AND_NULL:
        if 2 * size > split[group]:
            yield f"group_size: two groups of {size} don't fit into {split[group]} {group} points; lower it"


def leaves_a_choice(option: str, count: int, groups: Iterable[str], split: Mapping[str, int]) -> Iterable[str]:
    """Faults of an option that chooses points of a group: it must be smaller than the smallest of the groups."""
    smallest = min(groups, key=lambda group: split[group])
    if count >= split[smallest]:
        yield f"{option}: {count} must be smaller than the number of {smallest} points, {split[smallest]}; lower it"


def split_of(name: str, config: Options) -> Options:
    """Numbers of points in the groups of an encoder's dataset."""
    split: Options = config["datasets"][config["encoders"][name]["dataset"]]["split"]
    return split


def on_halves(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Faults of experiments on pairs: encoders are trained on halves of a pool, drawn anew for every seed."""
    encoder = config["encoders"][name]
    if "pool" not in split_of(name, config):
        known = [key for key, dataset in config["datasets"].items() if "pool" in dataset.get("split", {})]
        yield f"encoders: {name} isn't trained on halves of a pool; datasets with one: {', '.join(known) or 'none'}"
    elif encoder["split_seed"] is not None:
        yield f"encoders: {name} has a split_seed, so all its pairs have the same halves; leave split_seed out"


def counts_fit(counts: Iterable[int], places: int, what: str) -> Iterable[str]:
    """Faults of ``counts``: so many places must have an increment, and the first has none."""
    if max(counts) >= places:
        few = f"{max(counts)} must be smaller than the number of {what}, {places}, of which the first has no increment"
        yield f"counts: {few}; lower it"


def valued_faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Faults of experiments that value images: a strip shows some of the candidates, and images have enough cells."""
    yield from leaves_a_choice("shown", experiment["shown"], ("candidate",), split_of(name, config))
    size = config["datasets"][config["encoders"][name]["dataset"]]["image_size"]
    if 3 * experiment["patch"] > size:
        yield f"patch: images of {size} pixels have fewer than three by three cells of {experiment['patch']}; lower it"


def like_the_first(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Faults of experiments that compare models or towers item by item: all have the first one's seeds and charts."""
    (key,) = (key for (key,) in OF_CHARTS if key in experiment)
    charts = config["charts"]
    entries = [charts[key][one] for one in (name, experiment[key][0])]
    suites = [one.get("suite") or charts["towers"][one["tower"]]["suite"] for one in entries]
    for what, (own, first) in {"seeds": [one["seeds"] for one in entries], "suite": suites}.items():
        if own != first:
            yield f"{key}: {what} of {name} and {experiment[key][0]} differ, {own} and {first}; make them equal"


def tells_places(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Faults of experiments that are about where marks are."""
    tasks = config["charts"]["models"][name]["tasks"]
    if "position" not in tasks:
        yield f"models: {name} learns {', '.join(tasks)}, not position, which this is about; name another"


TAUGHT = ("after", "tasks", "items", "strategies", "steps", "batch", "rate", "enough")
"""What models that are compared are taught alike."""


def goes_on(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Faults of experiments whose models go on from the same one, and learn as much as the first of them."""
    yield from like_the_first(experiment, name, config)
    models, first = config["charts"]["models"], experiment["models"][0]
    one, own = models[first], models[name]
    if "after" not in own:
        yield f"models: {name} goes on from no other model; name one that does, with after"
        return
    for key in TAUGHT:
        if own.get(key) != one.get(key):
            yield f"models: {key} of {name} and {first} differ, {own.get(key)} and {one.get(key)}; make them equal"


def same_images(one: Options, other: Options) -> bool:
    """Whether two entries of datasets may hold the same images: one source and place, and a class in common."""
    if any(one.get(key) != other.get(key) for key in ("source", "path")):
        return False
    first, second = one.get("classes"), other.get("classes")
    return not first or not second or bool(set(first) & set(second))
