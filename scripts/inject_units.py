"""Train single units of one encoder on single images that it has not seen."""

from pathlib import Path

from memloc import io, job
from memloc.data import prepared, splits
from memloc.data.augment import for_encoder
from memloc.data.augmentations import AUGMENTATIONS
from memloc.experiments.injection import job as injection
from memloc.measuring.protocol import Protocol
from memloc.models import network
from memloc.models.architectures import Layer
from memloc.streams import stream


def main(snakemake):
    job.start(snakemake)
    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    part = prepared.load(Path(snakemake.input.images).parent, "train")
    points, groups = splits.measured_points(io.load_arrays(snakemake.input.split))
    rows = injection.equal_groups(groups, seed=seed)
    points, groups = points[rows], groups[rows]
    encoder, normalise = network.of_job(snakemake)
    eye = injection.Eye(
        layer=Layer(**params.layer),
        protocol=Protocol(**params.protocol),
        augmentation=for_encoder(AUGMENTATIONS[params.augmentation], encoder),
        normalise=normalise,
        seed=stream("measure", seed),
        device=network.device(params.device),
    )
    outcomes = injection.run(
        network.learner_of_job(encoder, snakemake, role="f"),
        prepared.Part(part.images[points], part.labels[points]),
        points,
        groups,
        eye=eye,
        steps=params.steps,
        batch_size=params.batch_size,
        learning_rate=params.learning_rate,
        seed=seed,
    )
    io.save_arrays(outcomes, snakemake.output.outcomes)


if "snakemake" in globals():
    main(snakemake)
