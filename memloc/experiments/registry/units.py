"""What single units do: without them, with memories put into them, and by the images that own them."""

from __future__ import annotations

from memloc.experiments.registry.entry import (
    COUNT,
    FRACTION,
    MEASURES,
    OUTCOMES,
    RATE,
    SEVERAL,
    TASKS,
    Experiment,
    array,
)

BASELINES = [
    *("matched", "matched-magnitude", "top-unseen", "excess", "excess-unseen"),
    *("activation-low", "activation-high", "magnitude-low"),
]
"""What pruning by UnitMem is compared with, besides random units."""

ENTRIES: dict[str, Experiment] = {
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
        inputs={"outcomes": OUTCOMES},
        options={
            "fractions": array(FRACTION),
            "scopes": array({"enum": ["layer", "total"]}),
            "trials": COUNT,
            "baselines": array({"enum": BASELINES}) | {"minItems": 0},
            "tasks": TASKS,
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
        inputs={"outcomes": OUTCOMES},
        options={
            "fraction": FRACTION,
            "rounds": COUNT,
            "epochs": COUNT,
            "learning_rate": RATE,
            "tasks": TASKS,
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
        inputs={"outcomes": OUTCOMES},
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
        inputs={"measures": MEASURES},
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
        inputs={"measures": MEASURES},
        options={
            "size": SEVERAL,
            "draws": COUNT,
            "classes": SEVERAL,
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
        inputs={"outcomes": OUTCOMES},
        options={
            "layer": {"type": "string"},
            "steps": array(COUNT),
            "batch_size": SEVERAL,
            "learning_rate": RATE,
        },
        units=True,
    ),
}
