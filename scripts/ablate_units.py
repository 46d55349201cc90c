"""Zero single units of one encoder and see whose views drift apart."""

from pathlib import Path

import numpy as np

from memloc import io, job
from memloc.analysis import tables
from memloc.data import prepared, splits
from memloc.data.augment import for_encoder
from memloc.data.augmentations import AUGMENTATIONS
from memloc.experiments.ablation import job as ablation
from memloc.measuring.protocol import Protocol
from memloc.models import architectures as encoders
from memloc.models import network
from memloc.streams import stream


def main(snakemake):
    job.start(snakemake)
    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    points, groups = splits.measured_points(io.load_arrays(snakemake.input.split))
    rows = np.isin(groups, ablation.GROUPS)
    encoder, normalise = network.of_job(snakemake)
    outcomes = ablation.run(
        encoder,
        tables.load_units(snakemake.input.units),
        prepared.load(Path(snakemake.input.images).parent, "train"),
        points[rows],
        groups[rows],
        modules=params.modules,
        output=encoders.choose_layers(params.architecture, params.network, ["output"]),
        count=params.units,
        matched=params.matched,
        augmentation=for_encoder(AUGMENTATIONS[params.augmentation], encoder),
        protocol=Protocol(**params.protocol),
        normalise=normalise,
        seed=seed,
        views=stream("ablate", seed),
        device=network.device(params.device),
    )
    io.save_arrays(outcomes, snakemake.output.outcomes)


if "snakemake" in globals():
    main(snakemake)
