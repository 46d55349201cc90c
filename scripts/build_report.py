"""Build the page that holds every figure and claim."""

from pathlib import Path

from memloc import experiments, io, job
from memloc.analysis import tables
from memloc.report import page as report
from memloc.report import reference, timing

LARGEST = 1_000_000
"""Bytes of a drawing that is shown as lines; a larger one is shown as pixels."""


def main(snakemake):
    job.start(snakemake)
    figures = [
        report.Figure(
            name, experiments.EXPERIMENTS[kind], experiments.caption(kind), _picture(*drawn), _downloads(name)
        )
        for (name, kind), *drawn in zip(
            snakemake.params.experiments.items(), snakemake.input.drawings, snakemake.input.figures, strict=True
        )
    ]
    recipes = [io.load_json(path) for path in snakemake.input.recipes]
    claims = tables.load_claims(snakemake.input.claims)
    times = timing.table(snakemake.params.benchmarks)
    published = reference.load(snakemake.params.published)
    page = report.render(figures, claims, recipes, snakemake.params.config, times, published)
    io.save_text(page, snakemake.output.page)


def _picture(svg, png):
    return svg if Path(svg).stat().st_size <= LARGEST else png


def _downloads(name):
    return {suffix.upper(): f"../figures/{name}.{suffix}" for suffix in ("csv", "pdf", "svg")}


if "snakemake" in globals():
    main(snakemake)
