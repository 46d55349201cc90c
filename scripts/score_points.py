"""SSLMem of every point and layer, atypicality of every point g has not seen."""

from memloc import job
from memloc.analysis import tables
from memloc.measuring.files import Arrays
from memloc.measuring.points import atypicality_scores, point_scores


def main(snakemake):
    job.start(snakemake)
    f, g = Arrays(snakemake.input.f), Arrays(snakemake.input.g)
    points = point_scores(f, g, normalisation=snakemake.params.normalisation)
    tables.save_table(points, snakemake.output.points)
    atypicality = atypicality_scores(g, neighbours=snakemake.params.neighbours)
    tables.save_table(atypicality, snakemake.output.atypicality)


if "snakemake" in globals():
    main(snakemake)
