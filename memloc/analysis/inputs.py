"""The files an experiment reads, by name, encoder and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.analysis.claims import Finding, Interval, p_of
from memloc.analysis.tables import load_scores
from memloc.data.groups import EXCHANGED, UNSHARED
from memloc.errors import AGAIN, InputError
from memloc.io import load_made
from memloc.measuring.points import own_layers
from memloc.metrics.alignment import ESTIMATORS, control, increments, layermem
from memloc.metrics.pairs import dealt_means
from memloc.metrics.stats import Estimate, Images, Sample, bootstrap_means, permutation_p, rank_correlation
from memloc.provenance import Record
from memloc.streams import generator

T = TypeVar("T")


class About(TypedDict):
    """What the configuration says of an encoder."""

    architecture: str
    framework: str
    measure: Mapping[str, object]


@dataclass(frozen=True)
class Inputs:
    """Files of an experiment.

    Attributes:
        runs: (encoder, seed), or (table, seed), in the order of the files.
        files: for each input name, one path a run.
        about: what the configuration says of each encoder.
        roles: by encoder, those of a pair that count; f alone where nothing is said. Files by role have one path for
            each role of a run.
        trainings: by role, what tells the training of a run's encoder from others; one for each run, or none are known.
    """

    runs: Sequence[tuple[str, int]]
    files: Mapping[str, Sequence[str]]
    about: Mapping[str, About] = field(default_factory=dict)
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    trainings: Sequence[Mapping[str, str]] = ()
    _made_with: dict[tuple[str, int, str], tuple[str, str]] = field(default_factory=dict, init=False, repr=False)
    """By encoder, seed and role, the hash of the weights behind the files, and the first file that names it."""

    def encoders(self) -> list[str]:
        """Encoders, or whatever the experiment is over, in the order of the configuration."""
        return list(dict.fromkeys(encoder for encoder, _ in self.runs))

    def tables(self, name: str, encoder: str) -> list[pd.DataFrame]:
        """One table of scores for each seed of an encoder, or for each role of each seed: f, g, f, g, ...

        Tables of g name the groups as g has them: candidates are the images that it alone is trained on.

        Raises:
            InputError: a file isn't the one that is expected, or what is wrong with its scores.
        """
        kind = name.removeprefix("untrained_")
        found, records = [], {}
        for seed, role, path in self._paths(name, encoder):
            table, records[seed, path] = load_scores(path, kind, trainings=self._trainings(encoder, seed))
            found.append(table.replace({"group": EXCHANGED}) if role == "g" else table)
        self._agree(encoder, records)
        return found

    def arrays(self, name: str, encoder: str, *, same: Sequence[str] = (), rows: Sequence[str] = ()) -> list[Arrays]:
        """One set of arrays for each seed of an encoder, or for each role of each seed, as ``tables``.

        Args:
            same: names of arrays that must be equal in all seeds: settings that the files were made with.
            rows: names of arrays that must hold the same values in all seeds, in any order: what each row is.

        Raises:
            InputError: a file isn't the one that is expected, an array isn't finite, or one in ``same`` or ``rows`` is
                missing or differs between seeds.
        """
        seeds, records = [], {}
        for seed, role, path in self._paths(name, encoder):
            arrays, records[seed, path] = load_made(path, trainings=self._trainings(encoder, seed))
            if role == "g" and "groups" in arrays:
                arrays["groups"] = np.array([EXCHANGED.get(group, group) for group in arrays["groups"].tolist()])
            seeds.append(Arrays(path, arrays))
        self._agree(encoder, records)
        for key in (*same, *rows):
            values = [repr((np.sort(arrays[key]) if key in rows else arrays[key]).tolist()) for arrays in seeds]
            usual = max(values, key=values.count)
            for arrays, value in zip(seeds, values, strict=True):
                if value != usual:
                    raise InputError(f"{arrays.path}: differs from the other seeds in {key}; {AGAIN}")
        return seeds

    def by_seed(self, encoder: str, items: Sequence[T]) -> list[tuple[T, ...]]:
        """What there is one of for each role of each seed of an encoder, together by seed."""
        many = self.roles_of(encoder)
        return [tuple(items[i : i + many]) for i in range(0, len(items), many)]

    def quotes(self, encoder: str, published: Mapping[tuple[str, str], Quotes]) -> Quotes:
        """The paper's effects for an encoder's framework and architecture; NONE_QUOTED where it has none."""
        about = self.about[encoder]
        return published.get((about["framework"], about["architecture"]), NONE_QUOTED)

    def roles_of(self, encoder: str) -> int:
        """How many encoders of a pair count."""
        return len(self._roles(encoder))

    def _roles(self, encoder: str) -> Sequence[str]:
        return self.roles.get(encoder, ("f",))

    def _paths(self, name: str, encoder: str) -> list[tuple[int, str, str]]:
        """Seed, role and path; the role of a file of both encoders of a pair is f."""
        every = [(owner, seed, role) for owner, seed in self.runs for role in self._roles(owner)]
        if len(self.files[name]) != len(every):
            every = [(owner, seed, "f") for owner, seed in self.runs]
        found = zip(every, self.files[name], strict=True)
        return [(seed, role, path) for (owner, seed, role), path in found if owner == encoder]

    def _trainings(self, encoder: str, seed: int) -> Mapping[str, str]:
        return dict(zip(self.runs, self.trainings, strict=False)).get((encoder, seed), {})

    def _agree(self, encoder: str, records: Mapping[tuple[int, str], Record]) -> None:
        """Raise an InputError where files of one run were made with different weights, or seeds in different ways."""
        settings = [repr(record.get("settings")) for record in records.values()]
        usual = max(settings, key=settings.count)
        for ((seed, path), record), told in zip(records.items(), settings, strict=True):
            if told != usual:
                raise InputError(f"{path}: was made with other settings than the other seeds'; {AGAIN}")
            for role, sha256 in record["weights"].items():
                known, first = self._made_with.setdefault((encoder, seed, role), (sha256, path))
                if known != sha256:
                    both = "delete both and run snakemake again"
                    raise InputError(f"{path}: was made with other weights of {role} than {first}; {both}")


class Arrays(dict[str, NDArray[Any]]):
    """Arrays of one file, which names the file if one is missing."""

    def __init__(self, path: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(arrays)
        self.path = path

    def __missing__(self, key: str) -> NDArray[Any]:
        raise InputError(f"{self.path}: lacks {key}; {AGAIN}")


def right_of_pair(encoders: Sequence[Arrays]) -> Arrays:
    """Outcomes of both encoders of a pair, where both count: the mean of what they get right.

    Raises:
        InputError: they have other layers.
    """
    first = encoders[0]
    for other in encoders[1:]:
        if other["layers"].tolist() != first["layers"].tolist():
            raise InputError(f"{other.path}: has other layers than {first.path}; {AGAIN}")
    return Arrays(first.path, {**first, "correct": np.mean([it["correct"] for it in encoders], axis=0)})


@dataclass(frozen=True)
class Quotes:
    """The paper's effects for one kind of encoder.

    Attributes:
        scale: what the paper measured them on.
        effects: by claim.
    """

    scale: str = ""
    effects: Mapping[str, float] = field(default_factory=dict)


NONE_QUOTED = Quotes()


def candidates(points: pd.DataFrame) -> int:
    """Number of candidates among the points of one seed."""
    return int(points.loc[points["group"] == "candidate", "point"].nunique())


def wide(points: pd.DataFrame, group: str, score: str) -> pd.DataFrame:
    """One score of a group's points: rows are points, columns layers in order of depth."""
    layers = list(dict.fromkeys(points["layer"]))
    chosen = points[points["group"] == group]
    return chosen.pivot(index="point", columns="layer", values=score)[layers]


def sslmem_of_groups(
    points: pd.DataFrame, layers: Sequence[str] | None = None, *, by_class: bool = False
) -> dict[str, NDArray[np.float64]]:
    """SSLMem [points, layers] of each unshared group, at some layers or at all that were measured.

    Args:
        by_class: take from every image what its class differs by: from one of the pool by the mean of its class over
            both halves, from an external one by that over external images. Means over groups that have the classes in
            equal shares stay as they are, and have less noise.
    """
    scores = {group: wide(points, group, "sslmem") for group in UNSHARED}
    if by_class:
        label = points.drop_duplicates("point").set_index("point")["label"]
        means = {group: table.groupby(label.loc[table.index]).mean() for group, table in scores.items()}
        means["candidate"] = means["independent"] = (means["candidate"] + means["independent"]) / 2
        for group, table in scores.items():
            classes = label.loc[table.index]
            # A class that one half lacks has no offset to take away.
            offset = means[group].reindex(classes).fillna(means[group].mean())
            weights = label.loc[[i for of in ALIKE[group] for i in scores[of].index]].value_counts(normalize=True)
            common = means[group].mul(weights, axis=0).sum()
            scores[group] = table - (offset - common).to_numpy()
    return {group: (table if layers is None else table[list(layers)]).to_numpy() for group, table in scores.items()}


ALIKE = {
    "candidate": ("candidate", "independent"),
    "independent": ("candidate", "independent"),
    "external": ("external",),
}
"""Groups that share the offsets of their classes."""


def images_of_groups(
    seeds: Sequence[pd.DataFrame], groups: Sequence[str] = UNSHARED
) -> list[dict[str, NDArray[np.int64]]] | None:
    """The images of groups in every seed, in the order of ``wide``; None where seeds have points of their own.

    Args:
        seeds: points of one encoder, one table for each seed.
    """
    every = [set(points["point"]) for points in seeds]
    if len(seeds) == 1 or any(points != every[0] for points in every):
        return None
    return [
        {group: np.unique(points.loc[points["group"] == group, "point"].to_numpy()) for group in groups}
        for points in seeds
    ]


LIMITS = {"ratio": 1.0, "none": np.inf, "range": np.inf}
"""Largest SSLMem by normalisation: a ratio is at most 1; how large a distance can be depends on which one it is."""

EXTERNAL = "external images"
"""The null's series: mean SSLMem of images that neither encoder has seen."""
SERIES = (*ESTIMATORS, EXTERNAL)


def profiles(seeds: Sequence[pd.DataFrame], *, resamples: int, normalisation: str) -> dict[str, Estimate]:
    """LayerMem [layers] in every estimator (paper, Eq. 3) and, as EXTERNAL, the null of the published one.

    All come from the same resamples of points, so their differences are paired.

    Args:
        seeds: points of one encoder, one table for each seed.
    """
    images = images_of_groups(seeds)
    samples = [sslmem_of_groups(points, by_class=images is not None) for points in seeds]
    return _every_series(samples, images, resamples=resamples, normalisation=normalisation)


def forms(means: Sample) -> NDArray[np.float64]:
    """The forms of LayerMem from the means [k, ...] of each group: [k, ESTIMATORS, ...]."""
    groups = [means[group] for group in UNSHARED]
    return np.stack([control(*groups, estimator=estimator) for estimator in ESTIMATORS], axis=1)


def _every_series(
    samples: Sequence[Sample], images: Images | None, *, resamples: int, normalisation: str
) -> dict[str, Estimate]:
    """SERIES from SSLMem of the unshared groups and, where seeds share them, their images."""
    every = bootstrap_means(
        samples,
        lambda means: np.concatenate([forms(means), means["external"][:, None]], axis=1),
        resamples=resamples,
        seed=0,
        limit=LIMITS[normalisation],
        images=images,
    )
    return {name: every[i] for i, name in enumerate(SERIES)}


@dataclass(frozen=True)
class Profiles:
    """LayerMem of several encoders over the layers they have in common, all from the same resamples.

    Attributes:
        encoders: their names.
        layers: names of the layers proper, by depth.
        series: by estimator and EXTERNAL, [encoders, layers].
        seeds: crossed LayerMem of every seed, [seeds, encoders, layers].
        points: number of candidates in each seed.
    """

    encoders: Sequence[str]
    layers: Sequence[str]
    series: Mapping[str, Estimate]
    seeds: NDArray[np.float64]
    points: int

    def rows(self) -> pd.DataFrame:
        """One row for each encoder, series and layer."""
        return pd.concat(
            rows_of(estimate[i], self.layers, encoder=encoder, series=name)
            for i, encoder in enumerate(self.encoders)
            for name, estimate in self.series.items()
        )


def paired_profiles(inputs: Inputs, *, resamples: int, normalisation: str) -> Profiles:
    """LayerMem (paper, Eq. 3) of encoders that were measured on the same points in every seed.

    A point's SSLMem under all encoders stays together in a resample, and so does a seed: differences between encoders
    are paired.

    Raises:
        InputError: the encoders differ in points or in layers.
    """
    encoders = inputs.encoders()
    seeds = list(zip(*(inputs.tables("points", encoder) for encoder in encoders), strict=True))
    layers = own_layers(seeds[0][0])
    images = images_of_groups([tables[0] for tables in seeds])
    samples = []
    for tables in seeds:
        for group in UNSHARED:
            scores = [wide(points, group, "sslmem") for points in tables]
            if not all(set(layers) <= set(s.columns) and s.index.equals(scores[0].index) for s in scores):
                names = ", ".join(encoders)
                raise InputError(f"{names}: points or layers differ; delete their scores and run snakemake again")
        every = [sslmem_of_groups(points, layers, by_class=images is not None) for points in tables]
        samples.append({group: np.stack([of[group] for of in every], axis=1) for group in UNSHARED})
    series = _every_series(samples, images, resamples=resamples, normalisation=normalisation)
    crossed = [layermem(*(sample[group] for group in UNSHARED), estimator="crossed") for sample in samples]
    return Profiles(
        encoders=encoders,
        layers=layers,
        series=series,
        seeds=np.stack(crossed),
        points=len(samples[0]["candidate"]),
    )


def unit_activations(
    measures: Sample, rows: NDArray[np.int64]
) -> tuple[list[str], NDArray[np.float64], NDArray[np.int64]]:
    """Mean activations over views (paper, Eq. 5) of some points, the units of all layers side by side.

    Args:
        measures: of one encoder.
        rows: of the points.

    Returns:
        Names of the layers that have units, activations [rows, units], and the column each layer begins at [layers].
    """
    layers = [str(name) for name in measures["layers"] if f"views/{name}" in measures]
    parts = [measures[f"views/{name}"][rows].mean(axis=1, dtype=np.float64) for name in layers]
    begins = np.cumsum([0, *(part.shape[1] for part in parts[:-1])])
    return layers, np.concatenate(parts, axis=1), begins


def rows_of(estimate: Interval, axis: Sequence[object], **about: object) -> pd.DataFrame:
    """A profile as a table: one row for each place along the axis, with interval and z."""
    low, high = estimate.interval()
    return pd.DataFrame(
        {**about, "layer": list(axis), "value": estimate.value, "low": low, "high": high, "z": estimate.z()}
    )


def depth_correlation(profile: Estimate) -> Estimate:
    """Rank correlation of a profile over layers with depth."""
    return profile.map(lambda v: rank_correlation(np.arange(v.shape[-1]) + np.zeros_like(v), v), limit=1)


def depth_slope(profile: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares slope of profiles [..., layers] per layer."""
    depth = np.arange(profile.shape[-1]) - (profile.shape[-1] - 1) / 2
    return np.asarray(profile @ depth / (depth @ depth))


def rises(
    claim: str,
    subject: str,
    profile: Estimate,
    *,
    n: int,
    value: float | None = None,
    null: NDArray[np.float64] | None = None,
) -> Finding:
    """A finding on a claim that a profile rises with depth: their rank correlation, with p of the slope over depth.

    A few layers are in order by chance, and then stay so in every resample: the interval of a rank correlation is too
    narrow. Layers depend on each other, so that their random orders are no null. The slope has neither fault.

    Args:
        null: profiles [deals, layers] where nothing is memorized, such as ``dealt_layermem``; else p is that of the
            slope's interval.
    """
    slope = profile.map(depth_slope)
    # Of a slope, which is another quantity: its spread has no part in whether the correlation is negligible.
    p = p_of(slope) if null is None else float(permutation_p(slope.value, depth_slope(null)))
    return Finding(claim, subject, depth_correlation(profile), n, p=p, value=value)


def dealt_layermem(seeds: Sequence[pd.DataFrame], layers: Sequence[str]) -> NDArray[np.float64]:
    """Crossed LayerMem [deals, layers] where it is dealt anew which image f was trained on and which g.

    Candidates and independent images are exchangeable but for that. Halves of a pool are dealt within classes, as they
    were drawn.

    Args:
        seeds: points of one encoder, one table for each seed.
    """
    halves = images_of_groups(seeds) is not None
    out = np.zeros((PERMUTATIONS, len(layers)))
    for number, points in enumerate(seeds):
        f, g = (wide(points, group, "sslmem")[list(layers)] for group in ("candidate", "independent"))
        scores = np.concatenate([f, g])[None]
        inside = np.arange(len(f) + len(g))[None] < len(f)
        classes = points.drop_duplicates("point").set_index("point")
        labels = classes.loc[[*f.index, *g.index], "label"].to_numpy() if halves else np.zeros(inside.size, dtype=int)
        out += dealt_means(scores, inside, labels, deals=PERMUTATIONS, seed=number) / len(seeds)
    return out


PERMUTATIONS = 10_000
"""Random orders of layers, or deals of membership, behind a p."""


def layer_traits(points: pd.DataFrame, *, estimator: str) -> pd.DataFrame:
    """Traits of the layers proper: increment (nan in the first), LayerMem, parameters and depth.

    Args:
        points: of one encoder and seed.
    """
    own = own_layers(points)
    profile = layermem(*sslmem_of_groups(points, own).values(), estimator=estimator)
    parameters = points.drop_duplicates("layer").set_index("layer")["parameters"]
    return pd.DataFrame(
        {
            "increment": increments(profile),
            "layermem": profile,
            "parameters": parameters[own].to_numpy(),
            "depth": np.arange(1, len(own) + 1),
        },
        index=own,
    )


def membership(subsets: Sequence[str], layers: Sequence[str]) -> NDArray[np.float64]:
    """Which layers are in which subset (names separated by blanks): 1 or 0, [subsets, layers]."""
    return np.array([[name in subset.split() for name in layers] for subset in subsets], dtype=np.float64)


def random_orders(layers: int, *, permutations: int, fixed: int = 0) -> NDArray[np.int64]:
    """Random orders of layers, [permutations, layers], in which the first ``fixed`` keep their places."""
    keys = generator("orders", layers, fixed).random((permutations, layers))
    keys[:, :fixed] = np.arange(-fixed, 0)
    return np.argsort(keys, axis=1)


def profile_correlations(profile: Estimate) -> Estimate:
    """Rank correlation over layers of every two encoders' profiles: [encoders, layers] to [encoders, encoders]."""
    return profile.map(lambda v: rank_correlation(v[..., :, None, :], v[..., None, :, :]), limit=1)


def above(estimate: Estimate, threshold: float) -> Estimate:
    """An estimate minus a threshold."""
    return estimate.map(lambda v: v - threshold, limit=estimate.limit, centre=estimate.centre - threshold)


def equivalent(
    claim: str, subject: str, difference: Estimate, places: Sequence[str], *, margin: float | Estimate, n: int
) -> Finding:
    """A finding on a claim that a difference [places] is within -margin and margin in all places.

    Two one-sided tests in each place.

    Args:
        margin: a number, or an estimate made with the same resamples, such as a share of the reference.
    """
    if isinstance(margin, Estimate):
        room_of = margin.map(lambda v: v[..., None], limit=margin.limit, centre=margin.centre)
        below, over, name = room_of - difference, room_of + difference, f"{float(margin.value):.2g}"
    else:
        below = difference.map(lambda v: margin - v, limit=difference.limit, centre=margin)
        over, name = difference.map(lambda v: margin + v, limit=difference.limit, centre=margin), f"{margin:g}"
    # The places of both sides one after another.
    room = below.combined(
        lambda one, two: np.concatenate([one, two], axis=-1), over, limit=below.limit, centre=below.centre
    )
    sides = [f"{place} {side}" for side in (f"below {name}", f"above -{name}") for place in places]
    return Finding.of_every(claim, subject, room, sides, n=n)
