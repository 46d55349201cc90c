"""Every table and figure of the paper that holds results: what in a run answers it. Standard library only.

Tables 7 to 9 are left out: a glossary, an architecture and recipes, which have no results.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memloc.config import Config
from memloc.paper import readings
from memloc.paper.readings import LAYERMEM, Choice, Of, Reader, Step
from memloc.paper.sources import Source, found

LAYERS = ("config/layers.yaml", "config/paper.yaml")
UNITS = ("config/units.yaml", "config/paper.yaml")
AT_SCALE = ("config/paper.yaml",)
DEFAULT = ()


@dataclass(frozen=True)
class Part:
    """One of the tables or panels of an exhibit.

    Attributes:
        source: what experiment it is read from; several are tried one after the other.
        read: makes its cells or points of that experiment's table.
        label: what tells it from the exhibit's other parts.
        numbers: its key in ``published.yaml``; none of a figure, whose values the paper doesn't print.
        first: what the rows are.
        extra: columns that the paper hasn't.
        whole: rows are places in an encoder, the same only where the run's has all of the paper's.
        none: why no run can have a counterpart of it.
    """

    source: Source | Sequence[Source]
    read: Reader
    label: str = ""
    numbers: str = ""
    first: str = "Layer"
    extra: Sequence[str] = ()
    whole: bool = False
    none: str = ""

    @property
    def sources(self) -> Sequence[Source]:
        """What it may be read from, the best first."""
        return [self.source] if isinstance(self.source, Source) else self.source

    def chosen(self, config: Config) -> tuple[str, str] | None:
        """The experiment of a configuration, complete, that it is read from, and its encoder; None where none fits."""
        return next((one for source in self.sources if (one := found(source, config))), None)


@dataclass(frozen=True)
class Exhibit:
    """A table or a figure of the paper.

    Attributes:
        name: its file's, ``table-21``.
        title: in our words.
        paper: what the paper measured it on, and, of a figure, what it says it shows.
        parts: of it.
        note: what is different here, in what every run has.
    """

    name: str
    title: str
    paper: str
    parts: Sequence[Part]
    note: str = ""

    @property
    def label(self) -> str:
        """As the paper calls it."""
        return self.name.replace("-", " ").capitalize()


R9 = {"architecture": "resnet9", "framework": "simclr"}
CIFAR10 = "ResNet9, SimCLR, CIFAR10: 45,000 images an encoder, 600 epochs, 3 seeds"
CROSSED = {"LayerMem, crossed": Of("crossed")}
"""Beside the paper's estimator ours, in which the offset between two encoders cancels (docs/method.md)."""
NO_CLASSIFIER = "fully-connected, softmax: an encoder trained without labels has no classifier here."


def _framework(name: str, architecture: str) -> Mapping[str, object]:
    return {"framework": name, "architecture": architecture}


def _deep(architecture: str, files: Sequence[str]) -> Part:
    """A table of a ResNet's convolutions: best from one with sublayers, for the pools are there."""
    encoder = _framework("simclr", architecture)
    sources = [Source(kind, encoder, strict=True, files=files) for kind in ("sublayers", "layermem")]
    number = {"resnet18": "15", "resnet34": "16", "resnet50": "17"}[architecture]
    columns = {"LayerMem": Of("published"), **CROSSED}
    read = readings.by_layer(columns, readings.convolutions, lacks=[NO_CLASSIFIER])
    return Part(sources, read, numbers=number, extra=list(CROSSED))


def _frameworks(names: Mapping[str, str]) -> dict[str, Of | Step]:
    columns: dict[str, Of | Step] = {}
    for title, framework in names.items():
        columns |= readings.pair_of(title, {"framework": framework})
    return columns


def _choices(*rows: tuple[str, str | None, bool]) -> list[Choice]:
    return [Choice(*row) for row in rows]


def _on_donor(sources: Sequence[str], *, by: str = "layers", strict: bool = False) -> Source:
    encoder = {} if by == "blocks" else R9
    files = AT_SCALE if strict else LAYERS
    return Source("replacement", encoder, {"by": by}, donor=sources, strict=strict, files=files)


STL10, SVHN = ("stl10", "stl10-unlabeled"), ("svhn",)
FROM_STL10 = _on_donor(STL10)
FROM_SVHN = _on_donor(SVHN, strict=True)
THREE = _choices(
    ("Most memorized by ΔLayerMem: 4 6 8", "increment", True),
    ("Most memorized by LayerMem: 6 7 8", "layermem", True),
    ("Random: 4 5 7", None, True),
    ("Least memorized by LayerMem: 2 3 4", "layermem", False),
    ("Least memorized by ΔLayerMem: 2 3 5", "increment", False),
)
ONE = _choices(
    ("Most memorized by ΔLayerMem: 6", "increment", True),
    ("Most memorized by LayerMem: 8", "layermem", True),
    ("Random: 5", None, True),
    ("Least memorized by ΔLayerMem: 2", "increment", False),
    ("Least memorized by LayerMem: 3", "layermem", False),
)
BLOCKS = _choices(
    ("Most memorized by ΔLayerMem: C4_B6 C3_B4 C2_B3", "increment", True),
    ("Random: C3_B2 C4_B4 C5_B2", None, True),
    ("Least memorized by ΔLayerMem: C2_B1 C2_B2 C3_B3", "increment", False),
)
REPLACED = (
    "Most and least are chosen by this run's crossed LayerMem and its increments; each row names its choice. Layer 1 "
    "has no increment. Normalisations are replaced with their layer. Random is the mean of all choices. A new "
    "probe is fitted on each task."
)
VIEWS = {"measure.augmentation": "none"}
MEDIAN = {"measure.others": "median"}
NO_VALUES = "The paper's values are in an image."


def _replacement(number: str, donor: str, source: Source, choices: Sequence[Choice], count: int | None) -> Part:
    """One of the parts of Tables 21 to 24."""
    label = f"CIFAR10 and {donor}" if number[-1].isalpha() else ""
    read = readings.replaced(choices, donor, count)
    return Part(source, read, label=label, numbers=number, first="Replaced")


def _subsets(number: str, count: int) -> Part:
    return Part(FROM_STL10, readings.every_subset("STL10", count), numbers=number, first="Replaced")


TABLES = (
    Exhibit(
        "table-1",
        "LayerMem and its increments by layer, for all candidates, the 50 most and the 50 least memorized",
        f"{CIFAR10}; 100 random candidates, 50 most and 50 least memorized of 5,000",
        [
            Part(
                Source("layermem", R9, files=DEFAULT),
                readings.groups(
                    readings.by_layer({**LAYERMEM, **CROSSED}),
                    "group_size",
                    ["LayerMem Top50", "ΔLM Top50", "LayerMem Least50"],
                ),
                numbers="1",
                extra=list(CROSSED),
            )
        ],
        note="All candidates are evaluated. Most and least memorized are chosen by other pairs where pairs are on "
        "complementary halves, else on half of the views, and scored on the other half.",
    ),
    Exhibit(
        "table-2",
        "LayerMem of three blocks of a ViT: attention, and fully-connected layers",
        "ViT-Tiny, MAE, CIFAR10",
        [
            Part(
                Source("attention", {"framework": "mae", "architecture": "vit-tiny"}, files=LAYERS),
                readings.one_place(place),
                label=label,
                numbers=f"2 {label}",
                first="Block",
                whole=True,
            )
            for place, label in (("att", "attention"), ("fc", "fully-connected"))
        ],
    ),
    Exhibit(
        "table-3",
        "How many of the 100 most memorized images two layers have in common, and whether they rank alike",
        f"{CIFAR10}; the 100 most memorized of 5,000 candidates, of which two layers share 2 % by chance",
        [
            Part(
                Source("overlap", R9, files=DEFAULT),
                readings.groups(readings.between_layers, "size", ["Overlap %"], chance=True),
                numbers="3",
                first="Layers",
            )
        ],
        note="An overlap says something by as much as it is above chance, which differs on both sides. Both layers are "
        "measured on the same views, as in the paper, which makes layers more alike; on different views the overlap is "
        "lower (claims of Table 3).",
    ),
    Exhibit(
        "table-4",
        "LayerMem by depth of two frameworks on one architecture",
        "ResNet50 and ViT-Base, ImageNet: 100,000 training images, 300 epochs",
        [
            Part(
                Source("frameworks", _framework("simclr", "resnet50"), some={"framework": "dino"}, files=LAYERS),
                readings.by_layer(_frameworks({"SimCLR": "simclr", "DINO": "dino"}), readings.counted),
                label="ResNet50",
                numbers="4 ResNet50",
                whole=True,
            ),
            Part(
                Source("frameworks", _framework("mae", "vit-base"), some={"framework": "mae"}, files=LAYERS),
                readings.blocks(
                    {"MAE": Of("published", {"framework": "mae"}), "DINO": Of("published", {"framework": "dino"})}
                ),
                label="ViT-Base",
                numbers="4 ViT-Base",
                first="Block",
                whole=True,
            ),
        ],
    ),
    Exhibit(
        "table-5",
        "Fine-tuning the layers that memorize most, or the last ones",
        f"{CIFAR10}; fine-tuned on STL10",
        [
            Part(
                Source("finetuning", R9, files=DEFAULT),
                readings.finetuned,
                numbers="5",
                first="Fine-tuned besides the head",
            )
        ],
        note="Layers are chosen by the run's own crossed increments, pair by pair.",
    ),
    Exhibit(
        "table-6",
        "Accuracy after the units of highest UnitMem, of lowest, or random ones were pruned",
        f"{CIFAR10}; UnitMem on 5,000 training images, probes on CIFAR10, SVHN and STL10, 10 random trials",
        [Part(Source("pruning", R9, files=DEFAULT), readings.pruned, numbers="6", first="Pruned")],
    ),
    Exhibit(
        "table-10",
        "LayerMem of every block of a ViT: attention, fully-connected layer, and the sums after them",
        "ViT-Tiny of 12 blocks, MAE, CIFAR10",
        [
            Part(
                Source("attention", _framework("mae", "vit-tiny"), files=LAYERS),
                readings.sublayers_of_blocks,
                numbers="10",
                first="Block",
                whole=True,
            )
        ],
    ),
    Exhibit(
        "table-11",
        "Mean UnitMem of the top 10 % of units on the most, and on the least, memorized images",
        f"{CIFAR10}; 50 points each, of 5,000",
        [
            Part(
                Source("atypicality", R9, files=DEFAULT),
                readings.groups(
                    readings.by_layer(
                        {
                            **{column: Of(series) for series, column in readings.EXTREMES.items()},
                            "Difference": Of("most minus least, candidate"),
                            "Difference, external images": Of("most minus least, external"),
                        },
                        readings.table_11,
                        lacks=[
                            "t: units of a layer aren't independent; the difference has an interval over pairs and "
                            "images."
                        ],
                    ),
                    "group_size",
                    readings.EXTREMES.values(),
                ),
                numbers="11",
                extra=["Difference", "Difference, external images"],
            )
        ],
        note="External images, which no encoder was trained on, are the null of the same choice.",
    ),
    Exhibit(
        "table-12",
        "Images that own several of the most memorizing units, and their SSLMem",
        f"{CIFAR10}; the top 10 % of the last layer's 256 units",
        [Part(Source("atypicality", R9, files=DEFAULT), readings.owners_of_units, numbers="12", first="Units owned")],
        note="Owners of all pairs together.",
    ),
    Exhibit(
        "table-13",
        "UnitMem of a single unit that is trained on one image",
        "ResNet18, SimSiam, CIFAR10; layer4.1.conv2, one test image",
        [
            Part(
                Source("injection", _framework("simsiam", "resnet18"), files=UNITS),
                readings.injected("repeated"),
                numbers="13",
                first="Epochs",
            )
        ],
        note="Columns are steps here, each on a batch that holds the image alone. The lowest is the least active "
        "unit, for none is silent.",
    ),
    Exhibit(
        "table-14",
        "The same with many images, and with one image many times in a batch",
        "ResNet18, SimSiam, CIFAR10; 300 test images, or one of them 300 times",
        [
            Part(
                Source("injection", _framework("simsiam", "resnet18"), files=UNITS),
                readings.injected(arm),
                label=label,
                numbers=number,
                first="Epochs",
            )
            for arm, label, number in (("natural", "many images", "14a"), ("repeated", "one image, repeated", "14b"))
        ],
        note="Columns are steps here. Repeated is the same arm as in Table 13, which here always fills a batch.",
    ),
    Exhibit(
        "table-15", "LayerMem of every layer of a ResNet18", "ResNet18, SimCLR, CIFAR10", [_deep("resnet18", LAYERS)]
    ),
    Exhibit(
        "table-16", "LayerMem of every layer of a ResNet34", "ResNet34, SimCLR, CIFAR10", [_deep("resnet34", AT_SCALE)]
    ),
    Exhibit(
        "table-17", "LayerMem of every layer of a ResNet50", "ResNet50, SimCLR, CIFAR10", [_deep("resnet50", AT_SCALE)]
    ),
    Exhibit(
        "table-18",
        "LayerMem of ResNet9 with its normalisations, pools and head",
        f"{CIFAR10}; 100 random candidates, 50 most, 50 least memorized",
        [
            Part(
                Source("sublayers", R9, files=LAYERS),
                readings.by_layer(
                    {"LayerMem": Of("published"), "ΔLM": Step("LayerMem"), **CROSSED},
                    readings.with_sublayers,
                    lacks=[
                        "LayerMem Top50, ΔTop50, LayerMem Least50: groups are measured at layers alone (Table 1).",
                        "FC: our ResNet9 ends in the pool before it, for the layer behind is a classifier's.",
                    ],
                ),
                numbers="18",
                extra=list(CROSSED),
            )
        ],
        note="Steps are over the layer before of those that the paper lists. Here the head stands behind the pool, "
        "so its increment is over that.",
    ),
    Exhibit(
        "table-19",
        "LayerMem on sets of several sizes",
        f"{CIFAR10}; 3 sets of each size",
        [Part(Source("set_size", R9, files=DEFAULT), readings.by_size, numbers="19")],
        note="Behind ±: the standard deviation over draws, in both. A set of all images has none.",
    ),
    Exhibit(
        "table-20",
        "What encoders trained without and with labels are worth on other tasks",
        "ResNet9, CIFAR100: SimCLR, and with labels until convergence",
        [
            Part(
                Source("transfer", R9, {"order": "own-task"}, files=UNITS),
                readings.transferred,
                numbers="20",
                first="Encoder",
            )
        ],
    ),
    Exhibit(
        "table-21",
        "Accuracy after three layers are replaced by another encoder's",
        f"{CIFAR10}; layers of one trained on STL10",
        [_replacement("21", "STL10", FROM_STL10, THREE, 3)],
        note=REPLACED,
    ),
    Exhibit(
        "table-22",
        "The same with two donors",
        f"{CIFAR10}; layers of one trained on STL10, or on SVHN",
        [_replacement("22a", "STL10", FROM_STL10, THREE, 3), _replacement("22b", "SVHN", FROM_SVHN, THREE, 3)],
        note=REPLACED,
    ),
    Exhibit(
        "table-23",
        "Accuracy after one layer is replaced by another encoder's",
        f"{CIFAR10}; layers of one trained on STL10, or on SVHN",
        [_replacement("23a", "STL10", FROM_STL10, ONE, 1), _replacement("23b", "SVHN", FROM_SVHN, ONE, 1)],
        note=REPLACED,
    ),
    Exhibit(
        "table-24",
        "Accuracy after blocks of a ResNet50 are replaced by another encoder's",
        "ResNet50, SimCLR, CIFAR10; blocks of one trained on STL10, or on SVHN",
        [
            _replacement("24a", "STL10", _on_donor(STL10, by="blocks"), BLOCKS, None),
            Part(
                _on_donor(SVHN, by="blocks", strict=True),
                readings.replaced(BLOCKS, "SVHN"),
                label="CIFAR10 and SVHN",
                numbers="24b",
                first="Replaced",
                none="No configuration here trains a ResNet50 on SVHN. A replacement by blocks with such a donor would "
                "stand here.",
            ),
        ],
        note=REPLACED,
    ),
    Exhibit(
        "table-25",
        "How alike the normalisations of two encoders are",
        "ResNet9, SimCLR: trained on CIFAR10 and on STL10",
        [Part(FROM_STL10, readings.likeness, numbers="25", first="")],
        note="Scales and shifts of like sign have a high cosine by themselves: beside it, what permuted channels have.",
    ),
    Exhibit(
        "table-26",
        "LayerMem by four distances",
        CIFAR10,
        [
            Part(
                Source("protocols", R9, differ="measure.distance", files=LAYERS),
                readings.by_layer(
                    {
                        key: column
                        for name in ("l1", "l2", "cosine", "angular")
                        for key, column in readings.pair_of(name, {"measure.distance": name}).items()
                    }
                ),
                numbers="26",
            )
        ],
    ),
    Exhibit(
        "table-27",
        "LayerMem by strength of the training augmentation",
        CIFAR10,
        [
            Part(
                Source("recipes", R9, differ="recipe.augmentation", files=LAYERS),
                readings.by_layer(
                    {
                        key: column
                        for nth, name in enumerate(("weak", "normal", "strong"))
                        for key, column in readings.pair_of(name, nth=nth).items()
                    },
                    named={
                        f"{name} LM": lambda entry: str(entry["recipe"]["augmentation"])
                        for name in ("weak", "normal", "strong")
                    },
                ),
                numbers="27",
            )
        ],
        note="From the weakest augmentation to the strongest. All are measured on the same views; in the paper each "
        "on its own.",
    ),
    Exhibit(
        "table-28",
        "How many of the 100 most memorized images two encoders have in common",
        f"{CIFAR10}; two trainings of other initial weights; 2 % in common by chance",
        [
            Part(
                Source("overlap", R9, differ="split_seed", files=LAYERS),
                readings.groups(readings.between_seeds, "size", ["Overlap %"], chance=True),
                numbers="28",
                first="",
            )
        ],
        note="As in Table 3, on the same views.",
    ),
    Exhibit(
        "table-29",
        "LayerMem of every layer of a ResNet50 by two frameworks",
        "ResNet50, ImageNet: 100,000 training images, 300 epochs",
        [
            Part(
                Source("frameworks", _framework("simclr", "resnet50"), some={"framework": "dino"}, files=LAYERS),
                readings.by_layer(_frameworks({"SimCLR": "simclr", "DINO": "dino"}), readings.convolutions),
                numbers="29",
                whole=True,
            )
        ],
    ),
    Exhibit(
        "table-30",
        "Accuracy after each single layer is replaced by another encoder's",
        f"{CIFAR10}; layers of one trained on STL10",
        [_subsets("30", 1)],
    ),
    Exhibit(
        "table-31",
        "LayerMem of every block of a ViT by two frameworks",
        "ViT-Base, ImageNet: 100,000 training images, 300 epochs",
        [
            Part(
                Source("frameworks", _framework("mae", "vit-base"), some={"framework": "mae"}, files=LAYERS),
                readings.blocks(
                    {"MAE": Of("published", {"framework": "mae"}), "DINO": Of("published", {"framework": "dino"})}
                ),
                numbers="31",
                first="Block",
                whole=True,
            )
        ],
        note="Of each block the fully-connected layer, and what it adds to the sum before it.",
    ),
    Exhibit(
        "table-32",
        "Accuracy after every two layers are replaced by another encoder's",
        f"{CIFAR10}; layers of one trained on STL10",
        [_subsets("32", 2)],
    ),
    Exhibit(
        "table-33",
        "Accuracy after every three layers are replaced by another encoder's",
        f"{CIFAR10}; layers of one trained on STL10",
        [_subsets("33", 3)],
    ),
    Exhibit(
        "table-34",
        "UnitMem on images of all classes, of three, and of one",
        "ResNet9, SimCLR, STL10; 1,000 images of all classes, of trucks, planes and cars (TPC), and of cars",
        [Part(Source("unit_sets", {"framework": "simclr"}, files=UNITS), readings.by_classes, numbers="34")],
        note="Sets of fewer classes hold fewer images here, and UnitMem grows with their number; the paper has 1,000 "
        "each.",
    ),
)
FIGURES = (
    Exhibit(
        "figure-1",
        "UnitMem: of three data sets, against SSLMem, and under differential privacy",
        "ResNet9, SimCLR (a, b), and a ViT, MAE (c); CIFAR10, SVHN, STL10. It says that SVHN has the fewest highly "
        "memorizing units, that owners of high UnitMem have high SSLMem, and that UnitMem falls with epsilon.",
        [
            Part(
                Source("unit_recipes", {}, {"order": "last-lowest"}, differ="dataset", files=UNITS),
                readings.distribution("dataset"),
                label="a, three data sets, last layer",
            ),
            Part(
                Source("atypicality", R9, files=DEFAULT),
                readings.owners_cloud,
                label="b, owners of units of the last layer",
            ),
            Part(
                Source("unit_recipes", {}, differ="recipe.privacy", files=UNITS),
                readings.distribution("recipe.privacy"),
                label="c, differential privacy, last layer",
            ),
        ],
    ),
    Exhibit(
        "figure-2",
        "Mean UnitMem and ClassMem by layer, without and with labels",
        "ResNet9, CIFAR100: SimCLR, and with labels. It says that UnitMem is above ClassMem without labels in every "
        "layer, and that ClassMem rises with depth with labels.",
        [
            Part(
                Source("ssl_vs_supervised", files=DEFAULT),
                readings.lines(
                    {
                        f"{metric}, {told}": Of(metric, nth=nth)
                        for nth, told in enumerate(("SSL", "SL"))
                        for metric in ("UnitMem", "ClassMem")
                    },
                    y="mean over units",
                ),
            )
        ],
    ),
    Exhibit(
        "figure-3",
        "UnitMem and ClassMem of every unit, without and with labels",
        "ResNet9, CIFAR100: 10,000 images, 100 of each class. It says that most units are below the diagonal in all "
        "layers without labels, and above it in late layers with labels.",
        [
            Part(
                Source("ssl_vs_supervised", settings, strict=True, files=DEFAULT),
                readings.units_cloud(at),
                label=f"{told}, {'first' if at == 0 else 'last'} layer",
            )
            for told, settings in (("SSL", {"framework": "simclr"}), ("SL", {"framework": "supervised"}))
            for at in (0, -1)
        ],
        note="Units of the first and the last layer are kept; the paper shows all eight.",
    ),
    Exhibit(
        "figure-4",
        "Mean UnitMem of the last layer over training",
        "ResNet9, SimCLR, CIFAR10: 800 epochs, every fifth measured. It says that UnitMem rises throughout, fastest in "
        "the first epochs.",
        [Part(Source("unit_epochs", R9, files=UNITS), readings.over_epochs)],
    ),
    Exhibit(
        "figure-5",
        "UnitMem measured with and without augmented views",
        "ResNet9, CIFAR100: SimCLR, and with labels. It says that UnitMem without views is lower in every layer.",
        [
            Part(
                Source("unit_protocols", settings, some=VIEWS, strict=True, files=UNITS),
                readings.every_encoder("candidate", y="mean UnitMem", told="measure.augmentation"),
                label=told,
            )
            for told, settings in (("SSL", {"framework": "simclr"}), ("SL", {"framework": "supervised"}))
        ],
    ),
    Exhibit(
        "figure-6",
        "UnitMem on few images, one of each class or random, and on all",
        "ResNet9, SimCLR, CIFAR100: 100 images, one a class; 100 random ones; 10,000. It says that they don't differ.",
        [Part(Source("unit_sets", R9, files=UNITS), readings.makeup)],
        note="UnitMem holds a maximum, so it grows with the number of images by itself.",
    ),
    Exhibit(
        "figure-7",
        "UnitMem on the most and on the least memorized images",
        f"{CIFAR10}; 300 images each. It says that UnitMem is higher on the most memorized ones.",
        [
            Part(
                Source("atypicality", R9, files=DEFAULT),
                readings.lines(
                    {
                        name: Of(name)
                        for name in ("most memorized", "least memorized", "most, external", "least, external")
                    },
                    y="mean UnitMem, top 10 % of units",
                ),
            )
        ],
        note="Means by layer of the top 10 % of units, and the same choice among external images.",
    ),
    Exhibit(
        "figure-8",
        "UnitMem against the others' mean or median",
        f"{CIFAR10}; 300 most and 300 least memorized images. It says that both are alike.",
        [
            Part(
                Source("unit_protocols", {}, some=MEDIAN, files=UNITS),
                readings.every_encoder("candidate", y="mean UnitMem", told="measure.others"),
            )
        ],
        note="Means by layer, on all candidates.",
    ),
    Exhibit(
        "figure-9",
        "UnitMem measured on other views than those of the training",
        f"{CIFAR10}, and with labels. It says that views matter little without labels, and that those of the training "
        "give the highest UnitMem with labels.",
        [
            Part(
                Source(
                    "unit_protocols",
                    settings,
                    some={"measure.augmentation": "independent"},
                    strict=True,
                    files=UNITS,
                ),
                readings.every_encoder("candidate", y="mean UnitMem", told="measure.augmentation"),
                label=told,
            )
            for told, settings in (("a, SSL", {"framework": "simclr"}), ("b, SL", {"framework": "supervised"}))
        ],
        note="Means by layer; the paper shows the last layer's units.",
    ),
    Exhibit(
        "figure-10",
        "UnitMem by strength of the training augmentation",
        f"{CIFAR10}. It says that stronger augmentation lowers UnitMem.",
        [
            Part(
                Source("unit_recipes", {}, differ="recipe.augmentation", files=UNITS),
                readings.distribution("recipe.augmentation"),
                label="last layer",
            )
        ],
    ),
    Exhibit(
        "figure-11",
        "UnitMem and accuracy by weight decay",
        f"{CIFAR10}; three levels of weight decay. It says that more decay lowers UnitMem, and accuracy.",
        [
            Part(
                Source("unit_recipes", {}, differ="recipe.weight_decay", files=UNITS),
                readings.distribution("recipe.weight_decay"),
                label="UnitMem, last layer",
            ),
            Part(
                Source("transfer", {}, {"order": "falling"}, differ="recipe.weight_decay", files=UNITS),
                readings.accuracy("recipe.weight_decay"),
                label="accuracy of a probe",
            ),
        ],
    ),
    Exhibit(
        "figure-12",
        "UnitMem by framework",
        "ResNet50: SimCLR and DINO; ViT-Base: DINO and MAE; ImageNet. It says that the frameworks are alike.",
        [
            Part(
                Source("frameworks", _framework("simclr", "resnet50"), some={"framework": "dino"}, files=LAYERS),
                readings.distribution("framework"),
                label="a, last convolution",
            ),
            Part(
                Source("frameworks", _framework("mae", "vit-base"), some={"framework": "mae"}, files=LAYERS),
                readings.distribution("framework"),
                label="b, last fully-connected layer",
            ),
        ],
    ),
    Exhibit(
        "figure-13",
        "The most memorized images of each layer",
        f"{CIFAR10}; the ten most memorized of every layer",
        [Part(Source("overlap", R9, files=DEFAULT), readings.most_memorized)],
    ),
)
EXHIBITS: tuple[Exhibit, ...] = TABLES + FIGURES


def named(text: str) -> set[str]:
    """Names of the tables and figures that a claim's ``paper`` speaks of: "Tables 21 to 23 and 25" has four."""
    found = set()
    for kind, numbers in re.findall(r"(Table|Figure)s? ((?:\d+(?:, | and | to )?)+)", text):
        for low, high in re.findall(r"(\d+)(?: to (\d+))?", numbers):
            found |= {f"{kind.lower()}-{n}" for n in range(int(low), int(high or low) + 1)}
    return found


def read_from(config: Config) -> list[str]:
    """Names of the experiments of a configuration, complete, that tables and figures are read from."""
    chosen = [part.chosen(config) for exhibit in EXHIBITS for part in exhibit.parts]
    return list(dict.fromkeys(one[0] for one in chosen if one))


def shown_datasets(config: Config) -> list[str]:
    """Names of the data sets whose images a figure shows: Figure 13's."""
    chosen = FIGURES[-1].parts[0].chosen(config)
    return [config["encoders"][chosen[1]]["dataset"]] if chosen else []
