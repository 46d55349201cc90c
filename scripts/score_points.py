"""SSLMem of every point and layer, atypicality of points, as told by the encoder that has not seen them."""

from memloc import job, provenance
from memloc.analysis import tables
from memloc.measuring.files import of_encoder
from memloc.measuring.points import atypicality_scores, point_scores


def main(snakemake):
    job.start(snakemake)
    params, output = snakemake.params, snakemake.output
    expected = {"settings": params.views, "trainings": params.trainings}
    f, g = (of_encoder(path, **expected) for path in (snakemake.input.f, snakemake.input.g))
    points = point_scores(f, g, normalisation=params.normalisation)
    settings = {**params.views, "normalisation": params.normalisation}
    weights = f.record["weights"] | g.record["weights"]
    made = {"weights": weights, "trainings": params.trainings, "settings": settings}
    tables.save_table(points, output.points, provenance.record(output.points, **made))
    atypicality = atypicality_scores(f, g, neighbours=params.neighbours)
    made |= {"settings": {"neighbours": params.neighbours}}
    tables.save_table(atypicality, output.atypicality, provenance.record(output.atypicality, **made))


if "snakemake" in globals():
    main(snakemake)
