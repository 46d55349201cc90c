"""The paper in its own order: every table and figure, the run's numbers beside the paper's."""

from memloc.paper.exhibits import EXHIBITS, read_from, shown_datasets
from memloc.provenance import ROOT


rule build_paper:
    """A page, and a CSV for every table and figure."""
    input:
        tables=[RESULTS / f"figures/{name}.csv" for name in read_from(config)],
        claims=rules.collect_claims.output.claims,
        images=[RESULTS / f"data/{name}/train_images.npy" for name in shown_datasets(config)],
        parts=[
            relative(ROOT / f"memloc/{name}")
            for name in (
                "paper/published.yaml",
                "paper/page.html",
                "page/frame.html",
                "page/style.css",
                "page/page.js",
            )
        ],
    output:
        page=RESULTS / "paper/index.html",
        tables=[RESULTS / f"paper/{exhibit.name}.csv" for exhibit in EXHIBITS],
    log:
        LOGS / "build_paper/all.log",
    benchmark:
        BENCHMARKS / "build_paper/all.tsv"
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(15),
    params:
        config=dict(config),
        datasets=shown_datasets(config),
        code=digest("scripts/build_paper.py"),
    message:
        "put the paper's tables and figures beside this run's"
    script:
        "../scripts/build_paper.py"


rule paper:
    """results/paper/: the paper in its own order."""
    input:
        rules.build_paper.output,
