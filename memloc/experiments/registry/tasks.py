"""What memorizing layers are worth on tasks."""

from __future__ import annotations

from memloc.experiments.registry.entry import COUNT, OUTCOMES, POINTS, SEVERAL, TASKS, Experiment, array

ENTRIES: dict[str, Experiment] = {
    "transfer": Experiment(
        title="Linear probes on several tasks",
        paper="Table 20, Figure 11",
        caption=(
            "Left: test accuracy of linear probes on frozen encoders, a new probe for each task; dashed, the share of "
            "the largest class. Right: minus the first encoder's. Bars: 95 % intervals over test images, which all "
            "encoders share, nested in seeds."
        ),
        inputs={"outcomes": OUTCOMES},
        options={
            "tasks": TASKS,
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
        inputs={"outcomes": OUTCOMES, "points": POINTS},
        options={
            "donor": {"type": "string"},
            "by": {"enum": ["layers", "blocks"]},
            "tasks": TASKS | {"minItems": 2, "maxItems": 2},
            "counts": array(COUNT),
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
        inputs={"outcomes": OUTCOMES, "points": POINTS},
        options={
            "counts": array(COUNT),
            "subsets": {"type": "boolean"},
            "task": {"type": "string"},
            "images": SEVERAL,
            "recipe": {
                "type": "object",
                "additionalProperties": False,
                "required": ["epochs", "batch_size", "learning_rate"],
                "properties": {
                    "epochs": COUNT,
                    "batch_size": SEVERAL,
                    "learning_rate": {"type": "number", "exclusiveMinimum": 0},
                },
            },
        },
    ),
}
