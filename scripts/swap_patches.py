"""Replace a patch in some training images of a prepared dataset by one of another class's image."""

from pathlib import Path

import numpy as np

from memloc import io, job, provenance
from memloc.data import prepared
from memloc.data.swapped import swap


def main(snakemake):
    job.start(snakemake)
    settings, folder = snakemake.params.swapped, Path(snakemake.input.description).parent
    train, test = (prepared.load(folder, part) for part in ("train", "test"))
    of, share, side = (settings[key] for key in ("of", "share", "side"))
    images, swaps = swap(train.images, train.labels, share=share, side=side, dataset=of)
    description = io.load_json(snakemake.input.description)
    description["sha256"]["train"] = prepared.array_sha256(images, train.labels)
    for name, part in (("train", prepared.Part(images, train.labels)), ("test", test)):
        io.save_array(np.asarray(part.images), snakemake.output[f"{name}_images"])
        io.save_array(part.labels, snakemake.output[f"{name}_labels"])
    io.save_arrays(swaps, snakemake.output.swaps, provenance.record(snakemake.output.swaps, settings=settings))
    io.save_json(description | {"swapped": settings | {"images": len(swaps["points"])}}, snakemake.output.description)
    job.log.info("%d of %d training images of %s have a swapped patch", len(swaps["points"]), len(images), of)


if "snakemake" in globals():
    main(snakemake)
