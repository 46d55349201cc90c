"""Values of the cells and rows of tables."""

from __future__ import annotations

from memloc.experiments.registry.entry import COUNT, FRACTION, SEVERAL, TABLES, Experiment, array

_VALUED = {
    "rows": {"type": "integer", "minimum": 50},
    "learners": {"type": "integer", "minimum": 10},
    "ratios": array({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
}
_DIRTY = {"dirty_rows": FRACTION, "dirty_columns": FRACTION}
_INJECTOR = {"enum": ["tail", "swap"]}
_INPUTS = {"outcomes": "valuation/{experiment}/{table}/seed{seed}.npz"}

ENTRIES: dict[str, Experiment] = {
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
        inputs=_INPUTS,
        options={**_VALUED, **_DIRTY, "injectors": array(_INJECTOR), "permutations": COUNT},
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
        inputs=_INPUTS,
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
        inputs=_INPUTS,
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
        inputs=_INPUTS,
        options={
            **_VALUED,
            "classes": array({"type": "integer", "minimum": 0}) | {"minItems": 2, "maxItems": 2},
            "side": COUNT,
            "poisoned": FRACTION | {"exclusiveMaximum": 0.5},
            "grids": array(SEVERAL),
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
        inputs=_INPUTS,
        options={
            **_DIRTY,
            "row_counts": array({"type": "integer", "minimum": 50}) | {"minItems": 2},
            "learner_counts": array({"type": "integer", "minimum": 10}) | {"minItems": 2},
            "permutation_counts": array(COUNT),
        },
        over=TABLES,
    ),
}
