"""Experiments by kind. Each is an entry here and a module of the same name with three things:

- ``CLAIMS``: what the paper says, by id, written down before any result.
- ``analyse(inputs, options)``: score files to the figure's table and an estimate for every claim.
- ``draw(table, images)``: that table to a figure.

The entry holds what the workflow must know to plan: it is imported without pandas, matplotlib or torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

POINTS = "scores/{encoder}/seed{seed}/points.parquet"
ATYPICALITY = "scores/{encoder}/seed{seed}/atypicality.parquet"
UNITS = "scores/{encoder}/f/seed{seed}/units.parquet"
REPLICATES = "scores/{encoder}/f/seed{seed}/replicates.npz"
VALUES = "witnesses/{experiment}/{encoder}/seed{seed}.npz"
UNTRAINED_UNITS = "scores/{encoder}/untrained/seed{seed}/units.parquet"
UNTRAINED_REPLICATES = "scores/{encoder}/untrained/seed{seed}/replicates.npz"
TRIAL = "valuation/{experiment}/{table}/seed{seed}.npz"


ENCODERS = ("encoders",)
TABLES = ("tables", "seeds")


@dataclass(frozen=True)
class Experiment:
    """An entry of EXPERIMENTS.

    Attributes:
        title: of the figure.
        paper: the tables and figures of the paper it answers.
        caption: what the figure shows, for a reader who sees nothing else.
        inputs: files below the results folder, by name, with {encoder} or {table}, {seed} and {experiment} to fill in.
        options: JSON schema of each option besides ``kind`` and those of ``over``; all are required.
        over: the keys that say what it runs over: ENCODERS, whose seeds are theirs, or TABLES, which are names of
            ``memloc.valuation.tables.TABLES`` or of datasets, with seeds of its own.
        encoders: how many the experiment compares; None for any number.
        fewest: how many it needs, where that is any number.
        equal: what its encoders must have in common, see ``memloc.config``.
        trained_apart: it compares trainings, so no two of its encoders may have the same weights.
        labels: whether it asks for labelled images.
        swapped: whether it asks for images into some of which patches are swapped.
        losses: whether it asks for a framework with a loss of single images.
        layers: kinds of layers that each encoder must be measured at.
        units: whether it asks for layers that have units.
        snapshots: whether it asks for encoders as they were after several epochs.
        told: keys of an encoder's ``measure`` that the analysis is told, as options {key: {encoder: value}}.
    """

    title: str
    paper: str
    caption: str
    inputs: Mapping[str, str]
    options: Mapping[str, Any]
    over: tuple[str, ...] = ENCODERS
    encoders: int | None = None
    fewest: int = 1
    equal: tuple[str, ...] = ()
    trained_apart: bool = False
    labels: bool = False
    swapped: bool = False
    losses: bool = False
    layers: tuple[str, ...] = ()
    units: bool = False
    snapshots: bool = False
    told: tuple[str, ...] = ()


COUNT = {"type": "integer", "minimum": 1}
SEVERAL = {"type": "integer", "minimum": 2}
RATE = {"type": "number", "exclusiveMinimum": 0, "maximum": 1000}
FRACTION = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}


BASELINES = [
    *("matched", "matched-magnitude", "top-unseen", "excess", "excess-unseen"),
    *("activation-low", "activation-high", "magnitude-low"),
]
"""What pruning by UnitMem is compared with, besides random units."""


_VALUING: dict[str, Any] = {
    "learners": COUNT,
    "ratios": {"type": "array", "minItems": 1, "uniqueItems": True, "items": FRACTION},
    "patch": COUNT,
    "shown": COUNT,
}
"""Options of experiments on valued points."""


def _list(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": item}


_VALUED = {
    "rows": {"type": "integer", "minimum": 50},
    "learners": {"type": "integer", "minimum": 10},
    "ratios": _list({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
}
_DIRTY = {"dirty_rows": FRACTION, "dirty_columns": FRACTION}
_INJECTOR = {"enum": ["tail", "swap"]}

EXPERIMENTS: dict[str, Experiment] = {
    "layermem": Experiment(
        title="Memorization by layer",
        paper="Tables 1 and 18",
        caption=(
            "(a) LayerMem of every layer as published, the mean SSLMem of the candidates. It "
            "contains the offset between two separately trained encoders, which the external images, seen by neither, "
            "show alone. (b) Corrected by that offset, or with the roles of f and g crossed over, LayerMem is what "
            "training on an image does; mind the scale. (c) Increment of crossed LayerMem from layer to layer. (d) The "
            "most and the least memorized candidates, chosen on one half of the augmentation draws and scored on the "
            "other, and the same choice among external images as a null. Bands and bars: 95 % intervals over points "
            "nested in seeds."
        ),
        inputs={"points": POINTS},
        options={"group_size": COUNT},
    ),
    "unitmem": Experiment(
        title="Memorization by unit",
        paper="Figure 1",
        caption=(
            "Left: distribution over units of UnitMem on candidates, in every layer that has units. Middle: its mean "
            "on candidates (in training), on as many external images (never seen) and in the untrained encoder. Right: "
            "excess UnitMem, candidates minus the mean of independent and external images, none of which f "
            "was trained on. Bands: 95 % intervals over points nested in seeds."
        ),
        inputs={
            "units": UNITS,
            "replicates": REPLICATES,
            "untrained_units": UNTRAINED_UNITS,
            "untrained_replicates": UNTRAINED_REPLICATES,
        },
        options={"threshold": FRACTION},
        units=True,
    ),
    "unit_recipes": Experiment(
        title="Memorization by unit and recipe of training",
        paper="Figures 1, 10 and 11",
        caption=(
            "(a) Mean UnitMem by layer on candidates, of encoders that were trained otherwise in one respect; "
            "dashed, before training. (b) What "
            "candidates have above the mean of independent and external images, none of which f was trained on. (c) "
            "Share of the last layer's units with UnitMem above a value; dotted, the values that are claimed about. "
            "(d) The last layer's mean on candidates and on images that f was not trained on. Bands and bars: 95 % "
            "intervals over points nested in seeds, a point and seed kept together in all encoders of one split."
        ),
        inputs={
            "units": UNITS,
            "replicates": REPLICATES,
            "untrained_units": UNTRAINED_UNITS,
            "untrained_replicates": UNTRAINED_REPLICATES,
        },
        options={"order": {"enum": ["falling", "last-lowest"]}},
        fewest=2,
        equal=("seeds", "split_seed", "architecture", "network", "layers", "measure"),
        trained_apart=True,
        units=True,
    ),
    "ssl_vs_supervised": Experiment(
        title="Single images or classes: self-supervised against supervised units",
        paper="Figures 2 and 3",
        caption=(
            "Top: UnitMem against ClassMem of every unit, first and last layer; above the diagonal a unit answers "
            "to a single image more than to a class. The largest of many images against the largest of few class "
            "means: most units lie above it by sampling alone. Bottom: means by layer with 95 % intervals. Dashed, "
            "the nulls: the encoder before training, and ClassMem after the labels are shuffled."
        ),
        inputs={
            "units": UNITS,
            "replicates": REPLICATES,
            "untrained_units": UNTRAINED_UNITS,
            "untrained_replicates": UNTRAINED_REPLICATES,
        },
        options={},
        encoders=2,
        equal=("dataset", "architecture", "network", "seeds", "measure"),
        units=True,
    ),
    "atypicality": Experiment(
        title="Which images are memorized",
        paper="Figures 1 and 7, Tables 11 and 12",
        caption=(
            "Top: the most and the least memorized candidates of the first seed. Middle: SSLMem of the "
            "encoder's output against atypicality (distance to the nearest shared images in the features of g, "
            "which never saw them), both as ranks, for candidates; rank correlation for candidates "
            "and, as a null, for external images; mean UnitMem within each layer of the top 10 % of "
            "units on the most, and on the least, memorized candidates, dashed the same choice among external "
            "images. Bottom: SSLMem of points that own units of the last layer (excite them most) against the "
            "highest UnitMem of these, its rank correlation, and mean SSLMem by how many of the top units a point owns "
            "(Table 12; single points have no interval). Bars: 95 % intervals over points nested in seeds."
        ),
        inputs={
            "points": POINTS,
            "atypicality": ATYPICALITY,
            "units": UNITS,
            "measures": "measures/{encoder}/f/seed{seed}.npz",
        },
        options={"group_size": COUNT},
        units=True,
    ),
    "valued_atypicality": Experiment(
        title="Which images are memorized, told from outside the encoder",
        paper="Section 4.1 and beyond (2D-OOB: Sun et al., 2024)",
        caption=(
            "Top, first seed: the most memorized candidates, those of lowest value in their class and those in its "
            "middle; below each image, where its cells have lower values than its mean (by pixels and classes), "
            "accuracy of learners alone (w = 0) and with closeness to the class (w = 1), one scale for each. Bottom: "
            "within classes, rank correlation of minus the value with SSLMem of the encoder's output, with how many of "
            "the last layer's top 10 % of units an image owns and with its distance to the nearest shared images in "
            "the features of g, and by how much the lowest-valued tenth is among the most memorized tenth more often "
            "than by chance. Values by pixels and by features of g, which saw neither candidates nor external images, "
            "with true classes or clusters of these features; those by features of f itself, which is measured, are a "
            "contrast and no evidence. External images, which f never saw, are the null. Bars: 95 % intervals over "
            "points nested in seeds."
        ),
        inputs={"points": POINTS, "atypicality": ATYPICALITY, "units": UNITS, "values": VALUES},
        options=_VALUING,
        labels=True,
        units=True,
    ),
    "planted": Experiment(
        title="Planted atypicality: images with a patch of another class",
        paper="beyond the paper",
        caption=(
            "A control. Some images had a patch of another class's image swapped in before training. Top, first seed: "
            "some of them, the patch outlined, and where their cells have lower values than the image's mean (by "
            "pixels and classes), with w = 0 and w = 1. Bottom left: AUROC within classes of planted among clean "
            "images, by SSLMem of the encoder's output, by units owned, by distance in the features of g and by minus "
            "the value in every way; candidates, which f was trained on, and external images, which it never saw. "
            "Middle: the difference, which is what training adds. Right: share of planted images with a cell of the "
            "patch among their five lowest (line: what is claimed), and share of clean images of their class in which "
            "the same cells are. Bars: 95 % intervals over points nested in seeds."
        ),
        inputs={"points": POINTS, "atypicality": ATYPICALITY, "units": UNITS, "values": VALUES},
        options=_VALUING,
        labels=True,
        units=True,
        swapped=True,
    ),
    "pruning": Experiment(
        title="Pruning units by UnitMem",
        paper="Table 6",
        caption=(
            "Accuracy of a new linear probe after a fraction of the units is made to put out exactly zero: those of "
            "highest (top) and of lowest UnitMem, random ones, and, where asked for, random ones as active as the top "
            "ones (matched, up to a third) or of as large weights (matched-magnitude), those of highest excess "
            "UnitMem over unseen images, those that unseen images would have chosen (top-unseen, excess-unseen), the "
            "most and the least active ones, and those of smallest weights. The fraction is one of each layer's "
            "units, or of all by one ranking; as UnitMem differs between layers, the lowest of all are mostly those "
            "of a few layers, and a curve that leaves a panel below has lost one of these. With 95 % intervals over "
            "test images and seeds; random and matched are means over their trials, the dots are random trials. "
            "Dashed: nothing pruned."
        ),
        inputs={"outcomes": "interventions/{experiment}/{encoder}/seed{seed}.npz"},
        options={
            "fractions": _list(FRACTION),
            "scopes": _list({"enum": ["layer", "total"]}),
            "trials": COUNT,
            "baselines": _list({"enum": BASELINES}) | {"minItems": 0},
            "tasks": _list({"type": "string"}),
            "images": SEVERAL,
        },
        units=True,
    ),
    "iterative_pruning": Experiment(
        title="Pruning units in rounds, with retraining in between",
        paper="beyond the paper (its follow-up, SparseMem)",
        caption=(
            "In every round a fraction of each layer's remaining units is made to put out exactly zero for good, those "
            "of highest (top) or lowest UnitMem, scored anew, or random ones, and the rest is retrained with the "
            "framework's own loss. Against the share of all units that is pruned: accuracy of a new linear probe, one "
            "panel a task; mean UnitMem of the remaining units, averaged over layers, on candidates (in training) and, "
            "dashed, on images that f has never seen (mean of independent and external); excess, candidates minus "
            "these. Crosses: the same units before the others are zeroed and they are retrained, which is what the "
            "choice does by itself. Bands: 95 % intervals over test images, or points, nested in seeds; views and "
            "order of the retraining are the same in all three."
        ),
        inputs={"outcomes": "interventions/{experiment}/{encoder}/seed{seed}.npz"},
        options={
            "fraction": FRACTION,
            "rounds": COUNT,
            "epochs": COUNT,
            "learning_rate": RATE,
            "tasks": _list({"type": "string"}),
            "images": SEVERAL,
        },
        units=True,
    ),
    "ablation": Experiment(
        title="Zeroing single units: do their owners suffer?",
        paper="beyond the paper",
        caption=(
            "Harm of zeroing one unit to the image that excites it most, its owner: how much the distance between the "
            "owner's views at the encoder's output grows, minus that of images like it (same group and class, nearest "
            "in that distance before). Left: each layer's units of highest UnitMem on candidates, which f was trained "
            "on, and of highest UnitMem on external images, which it never saw; the owner excites its unit most in "
            "both, so what training on it adds is the difference. Middle: candidates, units of highest UnitMem and "
            "random ones. Right: harm of every zeroed unit against its UnitMem. Bands: 95 % intervals over owners "
            "nested in seeds, none where a seed has fewer than three."
        ),
        inputs={"outcomes": "interventions/{experiment}/{encoder}/seed{seed}.npz"},
        options={"units": COUNT, "matched": COUNT},
        units=True,
    ),
    "gallery": Experiment(
        title="The most memorizing units and the images that own them",
        paper="beyond the paper; Table 12",
        caption=(
            "Top, a row a layer, first seed: its units of highest UnitMem on candidates, each with the three "
            "candidates that excite it most and, behind the gap, the external image that does. Numbers: the unit and "
            "its UnitMem on candidates; above the external image, on as many external images, which f never saw. "
            "Units were chosen for the first number, so the second is lower by the choice alone. Bottom: by how much "
            "the top 10 % of a layer's units have fewer distinct owners than images drawn at random would make, as a "
            "share of the units, each group with its own top units. Bands: 95 % intervals over points nested in "
            "seeds."
        ),
        inputs={"measures": "measures/{encoder}/f/seed{seed}.npz"},
        options={"units": {"type": "integer", "minimum": 1, "maximum": 12}},
        encoders=1,
        units=True,
    ),
    "unit_sets": Experiment(
        title="UnitMem by the make-up of the evaluated images",
        paper="Figure 6, Table 34",
        caption=(
            "Left: mean UnitMem by layer on all images of a group, on few drawn evenly from the classes and on as "
            "many drawn at random. Middle: on all classes, some classes and one class; dotted, each cut at random to "
            "as many images as the smallest class has. Right: the last layer in each set, on candidates and on "
            "external images, which f never saw. UnitMem holds a maximum over images, so it grows with their number "
            "by itself: sets of unequal size differ for that alone. Bands and bars: 95 % intervals over points nested "
            "in seeds."
        ),
        inputs={"measures": "measures/{encoder}/f/seed{seed}.npz"},
        options={
            "size": {"type": "integer", "minimum": 2},
            "draws": COUNT,
            "classes": {"type": "integer", "minimum": 2},
        },
        labels=True,
        units=True,
    ),
    "injection": Experiment(
        title="Memorization put into single units",
        paper="Tables 13 and 14",
        caption=(
            "UnitMem of a unit that is all that is trained, its filter and its normalisation, by steps on an external "
            "image: the unit of highest UnitMem (left) and the least active other one (middle). Solid: among the "
            "external images, the trained one among them; dashed: among as many independent images, none of which was "
            "ever trained on, so that a line that rises dashed too is no memory of the image. Trained on the image "
            "alone, on all external images alike, or on another image alone, a null. Right: how much more the image "
            "excites the unit than the other images do on average, as a ratio. No other unit, parameter or statistic "
            "changed at all, or the job would have failed. Bands: 95 % intervals over images nested in seeds."
        ),
        inputs={"outcomes": "interventions/{experiment}/{encoder}/seed{seed}.npz"},
        options={
            "layer": {"type": "string"},
            "steps": _list(COUNT),
            "batch_size": {"type": "integer", "minimum": 2},
            "learning_rate": RATE,
        },
        units=True,
    ),
    "transfer": Experiment(
        title="Linear probes on several tasks",
        paper="Table 20, Figure 11",
        caption=(
            "Left: test accuracy of linear probes on frozen encoders, a new probe for each task; dashed, the share of "
            "the largest class. Right: minus the first encoder's. Bars: 95 % intervals over test images, which all "
            "encoders share, nested in seeds."
        ),
        inputs={"outcomes": "interventions/{experiment}/{encoder}/seed{seed}.npz"},
        options={
            "tasks": _list({"type": "string"}),
            "images": SEVERAL,
            "order": {"enum": ["own-task", "falling"]},
        },
        fewest=2,
        equal=("dataset", "seeds", "split_seed"),
        trained_apart=True,
    ),
    "replacement": Experiment(
        title="Replacing layers by those of an encoder trained on other images",
        paper="Tables 21 to 25, 30, 32 and 33",
        caption=(
            "(a, b) Accuracy of a new probe on the base's and on the donor's task after layers of the base (or whole "
            "blocks, where these are asked for) are replaced by the donor's, normalisation included, against the "
            "summed increment of their crossed LayerMem; a dot is a subset of layers, without the first, which has no "
            "increment. Dashed: the base; dotted: the whole donor. (c) Rank correlation of the two over subsets, alone "
            "and given the subsets' parameters and "
            "mean depth; grey: 95 % of what comes out when increments are dealt to the layers at random. (d) Cosine "
            "of scales and shifts of the normalisations of base and donor; grey: 95 % of those of permuted channels. "
            "Bars: 95 % intervals over test images (d: channels) and seeds; those of the dots in (a, b) are in the "
            "table. A correlation counts where its bar leaves out 0 and two-sided p among dealt increments is .05 or "
            "less."
        ),
        inputs={"outcomes": "interventions/{experiment}/{encoder}/seed{seed}.npz", "points": POINTS},
        options={
            "donor": {"type": "string"},
            "by": {"enum": ["layers", "blocks"]},
            "tasks": _list({"type": "string"}) | {"minItems": 2, "maxItems": 2},
            "counts": _list(COUNT),
            "images": SEVERAL,
            "tested": SEVERAL,
        },
    ),
    "finetuning": Experiment(
        title="Fine-tuning layers by LayerMem increment",
        paper="Table 5",
        caption=(
            "Test accuracy on a task that training never saw, after fine-tuning a new head and k layers: those whose "
            "crossed LayerMem rises most, or the last ones. Bars: 95 % intervals over test images nested in "
            "seeds. Dashed: the head alone. Where both choices are the same layers in every seed they are one, and no "
            "claim. Below, where every subset was fine-tuned: accuracy against the summed "
            "increment of the subset's layers, without the first, which has none; their correlations, with 95 % of "
            "what comes out when increments are dealt to the layers at random (null_low, null_high, p), are in the "
            "table."
        ),
        inputs={"outcomes": "interventions/{experiment}/{encoder}/seed{seed}.npz", "points": POINTS},
        options={
            "counts": _list(COUNT),
            "subsets": {"type": "boolean"},
            "task": {"type": "string"},
            "images": SEVERAL,
            "recipe": {
                "type": "object",
                "additionalProperties": False,
                "required": ["epochs", "batch_size", "learning_rate"],
                "properties": {
                    "epochs": COUNT,
                    "batch_size": {"type": "integer", "minimum": 2},
                    "learning_rate": {"type": "number", "exclusiveMinimum": 0},
                },
            },
        },
    ),
    "frameworks": Experiment(
        title="Memorization by framework",
        paper="Tables 4, 29 and 31, Figures 12 and 15",
        caption=(
            "Top: LayerMem by layer of encoders of one architecture trained by different frameworks on the same "
            "images, crossed and as published (dashed: external images, which show the offset alone), and the "
            "distribution over units of UnitMem in the last layer that has units, on candidates. Bottom: for every "
            "pair the rank correlation of their crossed profiles over layers, the largest difference between these, "
            "and the Kolmogorov-Smirnov distance of the UnitMem distributions; the diagonals compare one encoder's "
            "seeds with one another, single seeds, which is what noise and other images do. Bands: 95 % intervals "
            "over points nested in seeds. How good the encoders are is not held equal; how they are measured is."
        ),
        inputs={"points": POINTS, "units": UNITS},
        options={},
        fewest=2,
        equal=("dataset", "seeds", "split_seed", "architecture", "network", "layers", "measure"),
        trained_apart=True,
        units=True,
    ),
    "protocols": Experiment(
        title="Memorization by protocol of measurement",
        paper="Table 26 and beyond: draws, pairs of views, representation, views",
        caption=(
            "(a) Crossed LayerMem by layer of the same weights, measured in different ways; the first is the "
            "reference. Distances differ in scale, the ratio of Eq. 2 does not, but where a distance is the "
            "square of another, as cosine is of l2, the ratio is about twice as large. (b, c) LayerMem of the last "
            "layer, crossed and in the other estimators; mind the scales. Bands and bars: 95 % intervals over points "
            "nested in seeds."
        ),
        inputs={"points": POINTS},
        options={},
        fewest=2,
        equal=("weights", "seeds", "layers"),
    ),
    "recipes": Experiment(
        title="Memorization by recipe of training",
        paper="Table 27 and beyond: residual sums, initialisation",
        caption=(
            "(a) Crossed LayerMem by layer of encoders trained on the same images by different recipes. (b, c) "
            "LayerMem of the last layer minus the first recipe's, crossed and in the other estimators; mind the "
            "scales. What views a recipe is measured on changes the answer: measured on its own training views, it "
            "differs by these too. Here every encoder is measured on the views that its measure.augmentation names; "
            "in the configurations of this project, on the first recipe's. Bands and bars: 95 % intervals over points "
            "nested in seeds, a point and seed kept "
            "together in all recipes."
        ),
        inputs={"points": POINTS},
        options={"order": {"enum": ["falling", "same"]}},
        fewest=2,
        equal=("dataset", "seeds", "split_seed", "architecture", "layers"),
        trained_apart=True,
    ),
    "sublayers": Experiment(
        title="Memorization by place: layers, normalisations, pools and the head",
        paper="Tables 1 and 15 to 18",
        caption=(
            "Left: LayerMem of every place on the way through the encoder as published; dashed, images that neither f "
            "nor g has seen. Middle: crossed LayerMem by kind of place. Right: what a layer adds to the crossed "
            "LayerMem of the layer before, against its number of parameters; numbers count layers by depth, layers of "
            "equal size stand side by side. Bars and bands: 95 % intervals over points nested in seeds."
        ),
        inputs={"points": POINTS},
        options={},
        layers=("normalisation",),
    ),
    "attention": Experiment(
        title="Memorization in transformers: attention against fully-connected layers",
        paper="Tables 2 and 10",
        caption=(
            "Left: LayerMem of what attention and fully-connected layers put out, and of the tokens after each is "
            "added, by block, as published; dotted, images that neither f nor g has seen. Middle: crossed LayerMem. "
            "Right: what each part and the whole block add to the crossed LayerMem of the tokens before it. Each "
            "encoder is measured on the views of its own training. Bars and bands: 95 % intervals over points nested "
            "in seeds."
        ),
        inputs={"points": POINTS},
        options={},
        layers=("attention", "fully-connected", "sum"),
    ),
    "dejavu": Experiment(
        title="Labels inferred from the periphery",
        paper="beyond the paper (Meehan et al., 2023)",
        caption=(
            "From left to right: share of the nearest public images to an image's four corners that have its label, by "
            "group, with f and with g; black, the share by chance. f was trained on candidates, g on independent "
            "images, neither on external ones. Votes of f minus votes of g as published LayerMem is taken (candidates "
            "alone), corrected by external images and crossed over the roles of f and g. Candidates' advantage of f "
            "against SSLMem of the output. Their rank correlation in each group; external images are the null, and "
            "independent ones are candidates with f and g in each other's role. Bars: 95 % intervals over points "
            "nested in seeds."
        ),
        inputs={
            "points": POINTS,
            "f": "witnesses/{experiment}/{encoder}/f/seed{seed}.npz",
            "g": "witnesses/{experiment}/{encoder}/g/seed{seed}.npz",
        },
        options={"public": SEVERAL, "neighbours": COUNT, "crop": FRACTION | {"exclusiveMaximum": 0.5}},
        labels=True,
        layers=("output",),
    ),
    "reconstruction": Experiment(
        title="Reconstruction of what was trained on",
        paper="beyond the paper",
        caption=(
            "From left to right: loss of the hidden patches under f and under g, by group; f was trained on "
            "candidates, g on independent images, neither on external ones. Loss of g minus loss of f over the "
            "external images' mean loss, as published LayerMem is taken (candidates alone), corrected by external "
            "images and crossed over the roles of f and g. Candidates' advantage of f against SSLMem of the output. "
            "Their rank correlation in each group; external images are the null, and independent ones are candidates "
            "with f and g in each other's role. Bars: 95 % intervals over points nested in seeds."
        ),
        inputs={
            "points": POINTS,
            "f": "witnesses/{experiment}/{encoder}/f/seed{seed}.npz",
            "g": "witnesses/{experiment}/{encoder}/g/seed{seed}.npz",
        },
        options={},
        losses=True,
        layers=("output",),
    ),
    "power": Experiment(
        title="Candidates and seeds that an effect asks for",
        paper="beyond the paper",
        caption=(
            "Probability that a two-sided t-test over seeds finds an effect on crossed LayerMem, against the number of "
            "seeds, for several numbers of candidates; in the legend the fewest seeds with a power of .8 (dashed). "
            "Top: the effects and sizes measured here. Bottom: the paper's last LayerMem (Table 1), its smallest "
            "difference between augmentations (Table 27), and the same difference as a share of LayerMem. Band: with "
            "this run's candidates, at the 95 % limits of the variance between its seeds."
        ),
        inputs={"points": POINTS},
        options={
            "candidates": _list(SEVERAL | {"maximum": 10**9}),
            "seeds": _list(SEVERAL | {"maximum": 10**6}),
        },
    ),
    "unit_epochs": Experiment(
        title="Memorization by unit in the course of training",
        paper="Figure 4",
        caption=(
            "Left: mean UnitMem of the first, a middle and the last layer with units, from the untrained encoder "
            "(epoch 0, batch-norm statistics estimated on its views) to the trained one, on candidates (in training) "
            "and, dashed, on images that f has never seen (mean of independent and external). Middle: excess, "
            "candidates minus these. Right: training loss. Grey line: the end of the learning rate's warm-up. The axis "
            "of epochs is that of their square roots. Bands: 95 % intervals over points nested in seeds; images, views "
            "and resamples are the same in every epoch."
        ),
        inputs={"traces": "traces/{experiment}/{encoder}/seed{seed}.npz"},
        options={},
        snapshots=True,
        units=True,
    ),
    "unit_protocols": Experiment(
        title="Memorization by unit and protocol of measurement",
        paper="Figures 5, 8 and 9",
        caption=(
            "(a) Mean UnitMem by layer of the same weights, measured in different ways, on candidates (in training) "
            "and, dashed, on images that f has never seen (mean of independent and external). (b) UnitMem of the first "
            "way minus each other's, on candidates; dashed, the same difference in the encoder before training, which "
            "is what the arithmetic of the measurement does by itself. (c) Excess: candidates minus unseen images. (d) "
            "Rank correlation over all units of the last layer of UnitMem with the first way's, on candidates, on "
            "external images and, in the encoder before training, on candidates; dotted, .9. Bands and bars: 95 % "
            "intervals over points nested in seeds, a point kept together in all ways."
        ),
        inputs={
            "measures": "measures/{encoder}/f/seed{seed}.npz",
            "untrained_measures": "measures/{encoder}/untrained/seed{seed}.npz",
        },
        options={"first": {"enum": ["highest", "any"]}},
        fewest=2,
        equal=("weights", "seeds", "layers"),
        told=("others",),
        units=True,
    ),
    "overlap": Experiment(
        title="Which points layers and encoders memorize in common",
        paper="Tables 3 and 28, Figure 13",
        caption=(
            "Top, a row an encoder: share of the most memorized candidates of one layer that are among those of "
            "another, chosen on one half of the augmentation draws in the one and on the other half in the other; on "
            "the diagonal, a layer with itself. The same among external images, which neither f nor g has seen: what "
            "two encoders have in common without memorizing. Kendall's tau of the order of all candidates, on "
            "all draws. Overlap against how many layers lie between. Bottom: the "
            "same share between encoders that were trained on one split, layer by layer; the most memorized candidates "
            "of the first seed. Dotted: chance, shaded the 95 % interval of a single pair of choices. Bands: 95 % "
            "intervals over points nested in seeds; between encoders over points alone, the encoders taken as they are."
        ),
        inputs={"points": POINTS},
        options={"size": COUNT},
    ),
    "set_size": Experiment(
        title="LayerMem by the number of points",
        paper="Table 19",
        caption=(
            "Left and middle: LayerMem by layer, as published and crossed, of random subsets of the candidates (and of "
            "as many independent images); dots are means over draws, bars the standard deviation over draws. Right: "
            "that standard deviation in the last layer against the number of points, with 95 % intervals over points "
            "nested in seeds; dashed, the closed form of drawing without replacement."
        ),
        inputs={"points": POINTS},
        options={
            "sizes": _list(SEVERAL),
            "draws": {"type": "integer", "minimum": 2, "maximum": 10_000},
        },
    ),
    "cell_outliers": Experiment(
        title="Outlier cells found by their values",
        paper="2D-OOB (Sun et al., 2024)",
        caption=(
            "Top to bottom, one way of planting outliers each: cells drawn from the tail of their class's normal, and "
            "cells swapped for those of another class. Left: area under the detection curve, by table. Right: that "
            "curve in one table, the share of the planted cells found when cells are inspected from the lowest value "
            "on. 2D-OOB counts accuracy alone (w = 0) or closeness to the class, too (w = 1), and shows a learner a "
            "share of the columns (ratio). A tail outlier is what a z-score is made for; where the classes depend on "
            "sums of columns (fried), accuracy alone does not see it. Medians over seeds with 95 % intervals; grey "
            "line, chance."
        ),
        inputs={"outcomes": TRIAL},
        options={**_VALUED, **_DIRTY, "injectors": _list(_INJECTOR), "permutations": COUNT},
        over=TABLES,
    ),
    "cell_fixation": Experiment(
        title="Cells repaired in the order of their values",
        paper="2D-OOB (Sun et al., 2024)",
        caption=(
            "Test accuracy of a logistic regression fitted to a table with planted outlier cells, after a share of all "
            "cells is put right, from the lowest value on, a panel a table. Dashed: fitted to the clean table. Medians "
            "over seeds; bands: 95 % intervals, of two methods alone to keep the others readable."
        ),
        inputs={"outcomes": TRIAL},
        options={**_VALUED, **_DIRTY, "injector": _INJECTOR, "permutations": COUNT},
        over=TABLES,
    ),
    "point_removal": Experiment(
        title="Flipped labels found, and rows removed, by the values of rows",
        paper="2D-OOB (Sun et al., 2024)",
        caption=(
            "A share of the labels is flipped. Top: area under precision against recall of the flipped rows, lowest "
            "values first, by table; line, chance. A row's value under 2D-OOB is the mean over its cells. Bottom: test "
            "accuracy of a logistic regression after a share of all rows is removed, from the lowest value on, in the "
            "first tables. Medians over seeds; bars: 95 % intervals."
        ),
        inputs={"outcomes": TRIAL},
        options={**_VALUED, "flipped": FRACTION},
        over=TABLES,
    ),
    "backdoor": Experiment(
        title="A backdoor's trigger among the cells of poisoned images",
        paper="2D-OOB (Sun et al., 2024)",
        caption=(
            "Images of one class get a bright square in a corner and another class's label. Rows: tables, and cells of "
            "an image, pixels or patches. Maps of 2D-OOB with w = 0 and the first ratio, first seed: a poisoned image; "
            "its values; the mean of all poisoned images; the mean of the other images of that label. The trigger is "
            "what speaks for a poisoned image's label, so its cells are the HIGH ones. Right: AUROC of the trigger's "
            "cells within a poisoned image, the share of as many highest cells as the trigger has that are its own, "
            "and the share of images whose highest cell is. The z-score takes the most outlying cells. Medians over "
            "seeds; bars: 95 % intervals."
        ),
        inputs={"outcomes": TRIAL},
        options={
            **_VALUED,
            "classes": _list({"type": "integer", "minimum": 0}) | {"minItems": 2, "maxItems": 2},
            "side": COUNT,
            "poisoned": FRACTION | {"exclusiveMaximum": 0.5},
            "grids": _list(SEVERAL),
        },
        over=TABLES,
    ),
    "valuation_cost": Experiment(
        title="What values of cells cost",
        paper="2D-OOB (Sun et al., 2024)",
        caption=(
            "A row a table. Left: area under the detection curve of tail outliers against CPU time, at the largest "
            "number of rows; along a line, 2D-OOB has more learners and 2D-KNN more permutations. Middle and right: "
            "CPU time against learners and against rows; dotted, in proportion. CPU seconds of one thread, medians "
            "over seeds with 95 % intervals: they depend on the machine and on what else it does, so alone of all "
            "numbers here they are not the same from run to run."
        ),
        inputs={"outcomes": TRIAL},
        options={
            **_DIRTY,
            "row_counts": _list({"type": "integer", "minimum": 50}) | {"minItems": 2},
            "learner_counts": _list({"type": "integer", "minimum": 10}) | {"minItems": 2},
            "permutation_counts": _list(COUNT),
        },
        over=TABLES,
    ),
}


def module(kind: str) -> ModuleType:
    """The module of an experiment.

    Raises:
        KeyError: ``kind`` is not a key of EXPERIMENTS; nothing else is ever imported.
    """
    EXPERIMENTS[kind]
    return importlib.import_module(f"memloc.experiments.{kind}")


def as_list(files: str | Sequence[str]) -> list[str]:
    """The files of a named input, which Snakemake hands over as a bare string where there is one."""
    return [files] if isinstance(files, str) else list(files)
