"""How encoders, protocols, recipes and kinds of layers compare."""

from __future__ import annotations

from memloc.experiments.registry.entry import POINTS, UNITS, Experiment

ENTRIES: dict[str, Experiment] = {
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
}
