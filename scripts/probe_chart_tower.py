"""Probe every layer of a tower for where a mark is, and put beside it what the tower memorizes."""

from memloc import io, job, provenance
from memloc.analysis.tables import load_scores
from memloc.charts import study, towers
from memloc.charts.models import open_model
from memloc.charts.reading import images, open_suite
from memloc.models import checkpoint, network
from memloc.models.architectures import Layer


def main(snakemake):
    job.start(snakemake)
    settings, seed, output = snakemake.params.settings, int(snakemake.wildcards.seed), snakemake.output.probed
    suite, weights = open_suite(snakemake.input.suite), snakemake.input.weights
    charts = study.halved(towers.single_marks(suite), snakemake.params.charts, lambda chart: chart["settings"]["split"])
    names = [str(chart["chart"]) for chart in charts]
    if settings["kind"] == "supervised":
        model = open_model(weights)
        states, known = towers.read_tower(model, suite, names), model.identity
    else:
        known, _ = checkpoint.stated(weights)
        about, built = io.load_json(snakemake.input.description), settings["built"]
        encoder = network.load(built["architecture"], built["network"], weights, image_size=about["image_size"])
        pixels = images(suite, names, size=about["image_size"], channels=about["channels"])
        layers = [Layer(**layer) for layer in settings["layers"]]
        states = towers.read(encoder, network.Normalise(about), pixels, layers)
    found = study.arrays_of(towers.probe(states, charts, seed=seed), towers.COLUMNS)
    if snakemake.input.points:
        points, _ = load_scores(snakemake.input.points, "points")
        told = study.arrays_of(points, towers.MEMORIZED)
        found |= {f"points/{name}": column for name, column in told.items()}
    record = provenance.record(output, weights={"tower": known}, settings=settings, suite=suite.identity)
    io.save_arrays(found, output, record)


if "snakemake" in globals():
    main(snakemake)
