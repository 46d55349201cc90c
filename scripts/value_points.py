"""Values of an encoder's candidate and external points, by pixels and by features of g (of f as a contrast)."""

from memloc import io, job
from memloc.measuring import files as measures
from memloc.streams import stream
from memloc.valuation.points import scored_points, value_points


def main(snakemake):
    job.start(snakemake)
    inputs, params, names = snakemake.input, snakemake.params, snakemake.wildcards
    known = (
        io.load_array(inputs.images),
        measures.Arrays(inputs.f),
        measures.Arrays(inputs.g),
        io.load_arrays(inputs.swaps) if inputs.swaps else {},
    )
    options = {key: params[key] for key in ("learners", "ratios", "patch")}
    options |= {"seed": stream("values", int(names.seed)), "workers": snakemake.threads}
    if hasattr(names, "of"):
        about, scores = scored_points(*known, number=int(names.number), of=int(names.of), **options)
        measures.save(snakemake.output.values, about, scores)
    else:
        io.save_arrays(value_points(*known, **options), snakemake.output.values)


if "snakemake" in globals():
    main(snakemake)
