"""The claims that speak for a run, and what each says in plain words, for every verdict that it may get.

They were chosen for what they ask, not for what came out; the first ones stand first. Imports the standard library
alone, for a run says them when it ends.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Headline:
    """A claim in plain words.

    Attributes:
        claim: its name in claims.csv.
        subject: how the subject that speaks begins; where none does, the first one speaks.
        measure: what its effect is.
        supported, refuted, negligible, inconclusive: what it says under each verdict.
        beside: claims whose effects go with it where there is room.
    """

    claim: str
    subject: str
    measure: str
    supported: str
    refuted: str
    negligible: str
    inconclusive: str
    beside: tuple[str, ...] = ()


HEADLINES = (
    Headline(
        "pairs.last",
        "simclr",
        "Crossed LayerMem of the last layer",
        supported="The last layer memorizes images that it was trained on.",
        refuted="The last layer knows images that it was trained on less well than others.",
        negligible="The last layer memorizes next to nothing.",
        inconclusive="Whether the last layer memorizes stays open.",
        beside=("pairs.output", "layermem.last-over-first"),
    ),
    Headline(
        "losses.gap",
        "simclr",
        "Training loss on images of the other half minus that on its own",
        supported="The training loss is lower on images that an encoder was trained on.",
        refuted="The training loss is higher on images that an encoder was trained on than on others.",
        negligible="The training loss is next to the same on images that an encoder was trained on and on others.",
        inconclusive="Whether the training loss is lower on images that an encoder was trained on stays open.",
    ),
    Headline(
        "unitmem.excess",
        "simclr",
        "Mean UnitMem on images trained on minus unseen ones",
        supported="Units memorize images that they were trained on: UnitMem is higher on these than on unseen ones.",
        refuted="UnitMem is lower on images trained on than on unseen ones.",
        negligible="UnitMem hardly shows what units memorize: it is nearly as high on images never seen.",
        inconclusive="Whether UnitMem is higher on images trained on than on unseen ones stays open.",
        beside=("unitmem.excess-last", "unitmem.excess-rises"),
    ),
    Headline(
        "pairs.atypical",
        "simclr",
        "Rank correlation of memorization and atypicality, within classes",
        supported="Atypical images are memorized more than typical ones.",
        refuted="Atypical images are memorized less than typical ones.",
        negligible="Atypical images are memorized hardly more or less than typical ones.",
        inconclusive="Whether atypical images are memorized more stays open.",
        beside=("atypicality.correlation", "atypicality.correlation-excess"),
    ),
    Headline(
        "pairs.single",
        "simclr",
        "Reliability of one pair's values of images",
        supported="One pair of encoders tells something about which images are memorized.",
        refuted="What one pair of encoders says of single images is the opposite of what others say.",
        negligible="One pair of encoders says next to nothing about which images are memorized.",
        inconclusive="Whether one pair of encoders tells which images are memorized stays open.",
    ),
    Headline(
        "pairs.slope",
        "simclr",
        "Slope of crossed LayerMem, a layer",
        supported="Over all layers, memorization rises with depth.",
        refuted="Over all layers, memorization falls with depth.",
        negligible="Over all layers, memorization hardly rises or falls with depth.",
        inconclusive="Whether memorization rises with depth stays open.",
        beside=("layermem.rises",),
    ),
    Headline(
        "layermem.every-increment",
        "simclr",
        "Weakest increment of crossed LayerMem",
        supported="Every layer adds memorization to that of the layer before it.",
        refuted="Not every layer adds memorization: in at least one it falls.",
        negligible="Not every layer adds memorization: at least one adds next to nothing.",
        inconclusive="Whether every layer adds memorization stays open.",
        beside=("layermem.not-last",),
    ),
    Headline(
        "dose.slope",
        "dosed",
        "Rise of crossed LayerMem at the output when an image stands twice as often",
        supported="The control holds: the more often an image stands in an epoch, the more it is memorized.",
        refuted="The control fails: images that stand more often in an epoch are memorized less.",
        negligible="The control fails: images that stand more often in an epoch are memorized hardly more.",
        inconclusive="Whether the control holds stays open: are images that stand more often memorized more?",
        beside=("dose.auroc", "dose.excess"),
    ),
    Headline(
        "dose.owners",
        "dosed",
        "Share of the last layer's top units owned, where seen minus where not",
        supported="Units answer most to the images that an encoder saw most often.",
        refuted="Units answer less to the images that an encoder saw most often.",
        negligible="Units answer hardly more to the images that an encoder saw most often.",
        inconclusive="Whether units answer most to the images that an encoder saw most often stays open.",
        beside=("dose.auroc-owned",),
    ),
    Headline(
        "attention.fully-connected-higher-at-depth",
        "vit",
        "Crossed LayerMem, fully-connected minus attention layers of equal depth",
        supported="Fully-connected layers memorize more than attention of equal depth.",
        refuted="Fully-connected layers memorize less than attention of equal depth.",
        negligible="Fully-connected layers and attention of equal depth memorize much the same.",
        inconclusive="Whether fully-connected layers memorize more than attention of equal depth stays open.",
    ),
    Headline(
        "pruning.top",
        "simclr on fashion, mean",
        "Accuracy, random units pruned minus the most memorizing ones pruned",
        supported="Pruning the most memorizing units costs more accuracy than pruning random ones.",
        refuted="Pruning the most memorizing units costs less accuracy than pruning random ones.",
        negligible="Pruning the most memorizing units costs about as much accuracy as pruning random ones.",
        inconclusive="Whether pruning the most memorizing units costs more than pruning random ones stays open.",
        beside=("pruning.low",),
    ),
    Headline(
        "finetuning.increment",
        "simclr, k = 3",
        "Accuracy, layers of highest increment tuned minus last layers tuned",
        supported="Fine-tuning the layers that memorize most beats fine-tuning the last ones.",
        refuted="Fine-tuning the layers that memorize most is worse than fine-tuning the last ones.",
        negligible="Fine-tuning the layers that memorize most is about as good as fine-tuning the last ones.",
        inconclusive="Whether fine-tuning the layers that memorize most beats fine-tuning the last ones stays open.",
    ),
    Headline(
        "ssl_vs_supervised.interaction",
        "supervised - simclr",
        "ClassMem minus UnitMem in the last layer, with labels minus without",
        supported="Training with labels makes units answer to classes, more than training without does.",
        refuted="Training with labels makes units answer to classes less than training without does.",
        negligible="Units answer to classes much alike, whether trained with labels or without.",
        inconclusive="Whether training with labels makes units answer to classes stays open.",
        beside=("ssl_vs_supervised.beyond-sampling", "ssl_vs_supervised.ssl-training"),
    ),
    Headline(
        "ssl_vs_supervised.ssl-images",
        "simclr",
        "UnitMem minus ClassMem, weakest layer",
        supported="Units trained without labels answer to single images more than to classes.",
        refuted="In some layer, units trained without labels answer to classes more than to single images.",
        negligible="In some layer, units trained without labels answer to single images hardly more than to classes.",
        inconclusive="Whether units trained without labels answer to single images more than to classes stays open.",
    ),
    Headline(
        "unitmem.everywhere",
        "simclr",
        "90th percentile of UnitMem minus the threshold, weakest layer",
        supported="In every layer, at least a tenth of the units have a high UnitMem.",
        refuted="In some layer, fewer than a tenth of the units have a high UnitMem.",
        negligible="In some layer, about a tenth of the units have a high UnitMem.",
        inconclusive="Whether a tenth of the units of every layer have a high UnitMem stays open.",
    ),
    Headline(
        "valued_atypicality.memorized",
        "simclr, pixels, classes",
        "Rank correlation of memorization and minus the value",
        supported="Images that are outliers by pixels score higher in memorization.",
        refuted="Images that are outliers by pixels score lower in memorization.",
        negligible="Images that are outliers by pixels score hardly higher or lower in memorization.",
        inconclusive="Whether images that are outliers by pixels score higher in memorization stays open.",
    ),
    Headline(
        "valued_atypicality.memorized-excess",
        "simclr, pixels, classes",
        "Rank correlation of memorization and minus the value, seen minus unseen images",
        supported="Images that are outliers by pixels are memorized more.",
        refuted="Images that are outliers by pixels are memorized less.",
        negligible="Images that are outliers by pixels are memorized hardly more or less.",
        inconclusive="Whether images that are outliers by pixels are memorized more stays open.",
    ),
    Headline(
        "cell_outliers.over-knn",
        "2D-OOB, w = 1, ratio 0.5, tail",
        "Difference of areas in the weakest table",
        supported="2D-OOB finds outlying cells sooner than 2D-KNN in every table.",
        refuted="In some table, 2D-OOB finds outlying cells later than 2D-KNN.",
        negligible="In its weakest table, 2D-OOB finds outlying cells about as soon as 2D-KNN.",
        inconclusive="Whether 2D-OOB finds outlying cells sooner than 2D-KNN in every table stays open.",
    ),
    Headline(
        "chart_answers.fewest",
        "plain",
        "Accuracy of places, fewest marks minus most",
        supported="A vision-language model tells places less often the more marks a chart has.",
        refuted="A vision-language model tells places more often the more marks a chart has.",
        negligible="A vision-language model tells places about as often however many marks a chart has.",
        inconclusive="Whether a vision-language model tells places less often among more marks stays open.",
        beside=("chart_answers.one", "chart_answers.two"),
    ),
    Headline(
        "chart_probes.wrong",
        "plain, single tokens, held-out places",
        "Accuracy of a probe of the tower's single tokens where the model is wrong, at held-out places, minus .5",
        supported="Where a vision-language model tells a place of no training chart wrongly, it can mostly be read "
        "from the tower, by a probe of single tokens.",
        refuted="Where a vision-language model tells a place of no training chart wrongly, it mostly can't be read "
        "from the tower either, by a probe of single tokens.",
        negligible="Where a vision-language model tells a place of no training chart wrongly, it can be read from "
        "the tower about every other time, by a probe of single tokens.",
        inconclusive="Whether places of no training chart, where a vision-language model tells them wrongly, can be "
        "read from the tower by a probe of single tokens stays open.",
        beside=("chart_probes.gap",),
    ),
    Headline(
        "chart_probes.handoff",
        "plain, single tokens",
        "Accuracy of probes of single tokens, tower's last layer minus decoder's input",
        supported="A probe of single tokens reads fewer places once the tower has handed over to the decoder.",
        refuted="A probe of single tokens reads more places once the tower has handed over to the decoder.",
        negligible="By a probe of single tokens, next to nothing is lost where the tower hands over to the decoder.",
        inconclusive="Whether a probe of single tokens reads fewer places behind the handoff stays open.",
        beside=("chart_probes.decoder",),
    ),
    Headline(
        "chart_coordinates.true",
        "tasks",
        "Gain of accuracy by true coordinates, minus .15",
        supported="With true coordinates a vision-language model is right more than .15 more often about distances, "
        "extremes and means.",
        refuted="With true coordinates a vision-language model is right less than .15 more often about distances, "
        "extremes and means, if at all.",
        negligible="With true coordinates a vision-language model is right about .15 more often about distances, "
        "extremes and means.",
        inconclusive="Whether a vision-language model is right at least .15 more often with true coordinates, about "
        "distances, extremes and means, stays open.",
        beside=("chart_coordinates.wrong", "chart_coordinates.crowds"),
    ),
    Headline(
        "chart_canaries.memorized",
        "canaries",
        "Share of wrong answers given, by models that learned them minus others, minus .3",
        supported="A vision-language model memorizes wrong answers about single charts.",
        refuted="A vision-language model memorizes few wrong answers about single charts.",
        negligible="A vision-language model memorizes about as many wrong answers as was asked at least.",
        inconclusive="Whether a vision-language model memorizes enough wrong answers stays open.",
        beside=("chart_canaries.depth", "chart_canaries.enters"),
    ),
)
