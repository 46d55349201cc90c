"""UnitMem of one encoder at every epoch that was kept of its training."""

from pathlib import Path

import numpy as np

from memloc import io, job
from memloc.analysis import tables
from memloc.data import prepared, splits
from memloc.data.augment import for_encoder
from memloc.data.augmentations import AUGMENTATIONS
from memloc.experiments.unit_epochs import job as trace
from memloc.measuring.protocol import Protocol
from memloc.models import network
from memloc.models.architectures import Layer


def main(snakemake):
    job.start(snakemake)
    params, inputs, seed = snakemake.params, snakemake.input, int(snakemake.wildcards.seed)
    part = prepared.load(Path(inputs.images).parent, "train")
    encoder, normalise = network.of_job(snakemake)
    traced = trace.units(
        encoder,
        trace.states(
            *(inputs.untrained, inputs.snapshots, inputs.weights), epochs=params.snapshots, end=params.epochs, seed=seed
        ),
        part,
        *splits.measured_points(io.load_arrays(inputs.split)),
        layers=[Layer(**layer) for layer in params.layers],
        augmentation=for_encoder(AUGMENTATIONS[params.augmentation], encoder),
        normalise=normalise,
        protocol=Protocol(**params.protocol),
        others=params.others,
        replicates=params.replicates,
        seed=seed,
        device=network.device(params.device),
    )
    loss = tables.load_table(inputs.history)["loss"].to_numpy()
    io.save_arrays({**traced, "loss": loss, "warmup": np.array(params.warmup)}, snakemake.output.trace)


if "snakemake" in globals():
    main(snakemake)
