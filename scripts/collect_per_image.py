"""Membership and alignment of every image of encoders on complementary halves, in one file."""

from memloc import io, job, provenance
from memloc.measuring.files import of_encoder
from memloc.measuring.per_image import joined


def main(snakemake):
    job.start(snakemake)
    params, output = snakemake.params, snakemake.output
    description = io.load_json(snakemake.input.description)
    pairs = [
        tuple(of_encoder(path, settings=params.views, trainings=trainings) for path in paths)
        for *paths, trainings in zip(snakemake.input.f, snakemake.input.g, params.trainings, strict=True)
    ]
    about = {
        "dataset": description["source"],
        "classes": description["classes"],
        "sha256": description["sha256"]["train"],
    }
    about |= {"normalisation": params.normalisation, **params.views}
    names = [f"{snakemake.wildcards.encoder}/{role}/seed{seed}" for seed in params.seeds for role in ("f", "g")]
    scores = joined(pairs, names, about)
    scores.save(output.scores, provenance.record(output.scores, settings=params.views))
    job.log.info("%d encoders, %d images, %d layers", *scores.alignment.shape)


if "snakemake" in globals():
    main(snakemake)
