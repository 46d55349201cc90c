"""Values of an encoder's candidate and external points, by pixels and by features of g (of f as a contrast)."""

from memloc import io, job, provenance
from memloc.measuring import files as measures
from memloc.streams import stream
from memloc.valuation.points import scored_points, value_points


def main(snakemake):
    job.start(snakemake)
    inputs, params, names = snakemake.input, snakemake.params, snakemake.wildcards
    expected = {"settings": params.views, "trainings": params.trainings}
    f, g = (measures.of_encoder(path, **expected) for path in (inputs.f, inputs.g))
    known = (io.load_array(inputs.images), f, g, io.load_made(inputs.swaps)[0] if inputs.swaps else {})
    settings = {key: params[key] for key in ("learners", "ratios", "patch")}
    options = {"seed": stream("values", int(names.seed)), "workers": snakemake.threads, **settings}
    weights = f.record["weights"] | g.record["weights"]
    made = {"weights": weights, "trainings": params.trainings, "settings": settings}
    record = provenance.record(snakemake.output.values, **made)
    if hasattr(names, "of"):
        about, scores = scored_points(*known, number=int(names.number), of=int(names.of), **options)
        measures.save(snakemake.output.values, about, scores, record)
    else:
        io.save_arrays(value_points(*known, **options), snakemake.output.values, record)


if "snakemake" in globals():
    main(snakemake)
