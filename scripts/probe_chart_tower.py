"""Probe every layer of a tower for where a mark is."""

from memloc import io, job, provenance
from memloc.charts import study, towers
from memloc.charts.models import open_model
from memloc.charts.reading import open_suite
from memloc.models import checkpoint, network
from memloc.models.architectures import Layer


def main(snakemake):
    job.start(snakemake)
    settings, seed, output = snakemake.params.settings, int(snakemake.wildcards.seed), snakemake.output.probed
    suite, weights = open_suite(snakemake.input.suite), snakemake.input.weights
    charts = towers.single_marks(suite)
    names = [str(chart["chart"]) for chart in charts]
    if settings["kind"] == "supervised":
        model = open_model(weights)
        states, known = towers.read_tower(model, suite, names), model.identity
    else:
        known, stated = checkpoint.stated(weights)
        about = io.load_json(snakemake.input.description) if snakemake.input.description else stated["input"]
        training = settings["training"]
        size = {"image_size": about["image_size"]}
        encoder = network.load(training["architecture"], training["network"], weights, **size)
        pixels = towers.images(suite, names, size=about["image_size"], channels=about["channels"])
        layers = [Layer(**layer) for layer in settings["layers"]]
        states = towers.read(encoder, network.Normalise(about), pixels, layers)
    table = towers.probe(states, charts, seed=seed)
    record = provenance.record(output, weights={"tower": known}, settings=settings, suite=suite.identity)
    io.save_arrays(study.arrays_of(table, towers.COLUMNS), output, record)


if "snakemake" in globals():
    main(snakemake)
