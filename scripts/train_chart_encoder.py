"""Train an encoder on charts without labels, by the trainer of all other encoders."""

from pathlib import Path

import numpy as np

from memloc import job
from memloc.charts import towers
from memloc.charts.reading import open_suite
from memloc.models import checkpoint, network
from memloc.training import loop, unfinished
from memloc.training.settings import Training


def main(snakemake):
    job.start(snakemake)
    settings, seed, output = snakemake.params.settings, int(snakemake.wildcards.seed), snakemake.output.weights
    suite, folder = open_suite(snakemake.input.suite), Path(output).parent
    charts = [name for name, chart in suite.charts.items() if chart["settings"]["split"] == "train"]
    pixels = towers.images(suite, charts[: settings["charts"]], size=settings["image_size"], channels=1)
    description = towers.description(pixels)
    learner, _, _ = loop.train(
        pixels,
        np.zeros(len(pixels), dtype=np.int64),
        np.arange(len(pixels)),
        training=Training.of(settings["training"]),
        description=description,
        folder=folder,
        code=snakemake.params.code,
        device=network.device(snakemake.params.device),
        seed=seed,
        role="f",
    )
    checkpoint.save(learner.result().state_dict(), {"input": description, "seed": seed}, output)
    unfinished.clear(folder)


if "snakemake" in globals():
    main(snakemake)
