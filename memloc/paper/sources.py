"""Which experiment answers a table or figure of the paper, and at which scale. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from memloc.aliases import Options
from memloc.config import Config, active
from memloc.data.sources import SOURCES
from memloc.experiments import EXPERIMENTS
from memloc.experiments.entry import OVER_ENCODERS
from memloc.models.architectures import ARCHITECTURES
from memloc.models.frameworks import FRAMEWORKS
from memloc.paper.readings import Row, Run, has, setting


@dataclass(frozen=True)
class Source:
    """What an experiment must be to answer a table or figure.

    Attributes:
        kind: its kind.
        encoder: settings of the encoder that the paper's is most like; another one stands for it unless ``strict``.
        options: its options.
        differ: the setting in which its encoders differ.
        some: settings that one of its encoders has, at least.
        donor: where the donor's images come from; another one stands for it unless ``strict``.
        strict: no other encoder or donor stands for the one that is asked for.
        files: configurations that have such an experiment besides config.yaml, the smallest first; none where that has.
    """

    kind: str
    encoder: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    differ: str = ""
    some: Mapping[str, object] = field(default_factory=dict)
    donor: Sequence[str] = ()
    strict: bool = False
    files: Sequence[str] = ("config/paper.yaml",)

    def needs(self) -> str:
        """What a run without it lacks, and what to do."""
        wanted = {**(self.encoder if self.strict else {}), **self.some}
        about = [f"an encoder of {_listed(wanted)}"] if wanted else []
        about += [f"{name}: {value}" for name, value in self.options.items()]
        about += [f"encoders that differ in {self.differ}"] if self.differ else []
        about += [f"a donor trained on {' or '.join(self.donor)}"] if self.donor and self.strict else []
        told = f" with {', '.join(about)}" if about else ""
        way = (
            f"add --configfile {' or '.join(self.files)}" if self.files else "config.yaml has one; don't set it to null"
        )
        return f"Needs an experiment of kind {self.kind}{told}: {way}."


def _listed(settings: Mapping[str, object]) -> str:
    return " and ".join(f"{path.rpartition('.')[2]} {value}" for path, value in settings.items())


def found(source: Source, config: Config) -> tuple[str, str] | None:
    """Name and encoder of the experiment of a checked, complete configuration that fits best; None where none does."""
    able = list(_candidates(source, config))
    exact = (one for one in able if _exact(source, *one, config))
    return next(exact, next(iter(able), None) if not source.strict else None)


def _candidates(source: Source, config: Config) -> Iterator[tuple[str, str]]:
    for name, experiment in active(config).items():
        if experiment["kind"] != source.kind or EXPERIMENTS[source.kind].over != OVER_ENCODERS:
            continue
        entries = [config["encoders"][encoder] for encoder in experiment["encoders"]]
        same = all(experiment.get(option) == value for option, value in source.options.items())
        several = not source.differ or len({str(setting(entry, source.differ)) for entry in entries}) > 1
        if same and several and (not source.some or any(has(entry, source.some) for entry in entries)):
            yield from ((name, encoder) for encoder in experiment["encoders"])


def _exact(source: Source, name: str, encoder: str, config: Config) -> bool:
    donor = config["experiments"][name].get("donor")
    images = config["datasets"][config["encoders"][donor]["dataset"]]["source"] if donor else None
    return has(config["encoders"][encoder], source.encoder) and (not source.donor or images in source.donor)


def run_of(name: str, encoder: str, rows: Sequence[Row], config: Config) -> Run:
    """An experiment of a run with its table."""
    experiment = config["experiments"][name]
    encoders = {other: config["encoders"][other] for other in experiment["encoders"]}
    donor = {donor: config["encoders"][donor] for donor in [experiment.get("donor")] if donor}
    return Run(name, rows, experiment, encoders, encoder, config["datasets"], donor)


def scale(run: Run) -> list[str]:
    """A line for each group of encoders that were read and are alike: what is trained on which images, how often."""
    groups: dict[str, list[str]] = {}
    first = run.experiment.get("first_seeds")
    read = {name: entry for name, entry in run.encoders.items() if name in run.used} or run.encoders
    for name, entry in {**read, **run.donor}.items():
        own = ", ".join(filter(None, ("donor" * (name in run.donor), _apart(entry))))
        about = _told(entry, run.datasets[entry["dataset"]], first)
        groups.setdefault(about, []).append(f"{name} ({own})" if own else name)
    return [f"{', '.join(names)}: {about}" for about, names in groups.items()]


def _told(entry: Options, dataset: Options, first: int | None) -> str:
    """One encoder in words."""
    split, seeds = dataset["split"], len(entry["seeds"][:first])
    options = ARCHITECTURES[entry["architecture"]].options
    changed = [f"{key} {value}" for key, value in entry["network"].items() if value != options[key]["default"]]
    network = ARCHITECTURES[entry["architecture"]].title.partition(" (")[0] + (
        f" ({', '.join(changed)})" if changed else ""
    )
    framework = FRAMEWORKS[entry["framework"]].title.partition(" (")[0]
    images = SOURCES[dataset["source"]].title
    images += f", {len(dataset['classes'])} classes" if dataset.get("classes") else ""
    if "pool" in split:
        told = f"{split['candidate']} images, half of a pool of {split['pool']} ({images})"
        pairs = f"{seeds} pairs on complementary halves"
    else:
        told = f"{split['shared'] + split['candidate']} images, {split['candidate']} of them candidates ({images})"
        pairs = f"{seeds} pairs"
    return f"{network} by {framework}, {entry['recipe']['epochs']} epochs on {told}; {pairs}"


def _apart(entry: Options) -> str:
    """What tells an encoder from others of its kind: augmentation, privacy, and what it is measured by."""
    recipe, measure = entry["recipe"], entry["measure"]
    views = measure["augmentation"]
    return ", ".join(
        [
            f"{recipe['augmentation']} augmentation",
            *([f"epsilon {recipe['privacy']['epsilon']}"] if recipe.get("privacy") else []),
            *(["measured without views"] if views == "none" else []),
            *([f"measured on {views} views"] if views not in ("none", recipe["augmentation"]) else []),
            *([f"distance {measure['distance']}"] if measure["distance"] != "l2" else []),
            *([f"others' {measure['others']}"] if measure["others"] != "mean" else []),
        ]
    )
