"""What results depend on: seeds, epochs, protocols, layers and the number of points."""

from __future__ import annotations

from memloc.experiments.registry.entry import COUNT, MEASURES, POINTS, SEVERAL, Experiment, array

ENTRIES: dict[str, Experiment] = {
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
            "candidates": array(SEVERAL | {"maximum": 10**9}),
            "seeds": array(SEVERAL | {"maximum": 10**6}),
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
            "measures": MEASURES,
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
            "sizes": array(SEVERAL),
            "draws": {"type": "integer", "minimum": 2, "maximum": 10_000},
        },
    ),
}
