"""Which layers, units and images are memorized."""

from __future__ import annotations

from memloc.experiments.registry.entry import (
    ATYPICALITY,
    COUNT,
    FRACTION,
    MEASURES,
    POINTS,
    REPLICATES,
    UNITS,
    VALUES,
    Experiment,
    array,
)

_UNITMEM = {
    "units": UNITS,
    "replicates": REPLICATES,
    "untrained_units": "scores/{encoder}/untrained/seed{seed}/units.parquet",
    "untrained_replicates": "scores/{encoder}/untrained/seed{seed}/replicates.npz",
}
_VALUED = {"points": POINTS, "atypicality": ATYPICALITY, "units": UNITS, "values": VALUES}
_VALUING = {"learners": COUNT, "ratios": array(FRACTION), "patch": COUNT, "shown": COUNT}

ENTRIES: dict[str, Experiment] = {
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
        inputs=_UNITMEM,
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
        inputs=_UNITMEM,
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
        inputs=_UNITMEM,
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
            "measures": MEASURES,
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
        inputs=_VALUED,
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
        inputs=_VALUED,
        options=_VALUING,
        labels=True,
        units=True,
        swapped=True,
    ),
}
