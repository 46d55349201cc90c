"""Build the page that holds every figure and claim."""

from memloc import experiments, io, job
from memloc.analysis import tables
from memloc.report import page as report
from memloc.report import reference, timing


def main(snakemake):
    job.start(snakemake)
    figures = [
        report.Figure(name, experiments.EXPERIMENTS[kind], experiments.caption(kind), path, _downloads(name))
        for (name, kind), path in zip(snakemake.params.experiments.items(), snakemake.input.figures, strict=True)
    ]
    recipes = [io.load_json(path) for path in snakemake.input.recipes]
    claims = tables.load_claims(snakemake.input.claims)
    times = timing.table(snakemake.params.benchmarks)
    published = reference.load(snakemake.params.published)
    page = report.render(figures, claims, recipes, snakemake.params.config, times, published)
    io.save_text(page, snakemake.output.page)


def _downloads(name):
    return {suffix.upper(): f"../figures/{name}.{suffix}" for suffix in ("csv", "pdf", "svg")}


if "snakemake" in globals():
    main(snakemake)
