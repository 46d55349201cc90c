"""All claims in one table, all results on one page."""


rule collect_claims:
    """claims.csv: every claim with effect, interval and verdict."""
    input:
        [RESULTS / f"claims/{name}.csv" for name in active_experiments()],
    output:
        claims=report(RESULTS / "claims.csv", category="Claims", caption="../docs/report/claims.rst"),
    log:
        LOGS / "collect_claims/all.log",
    benchmark:
        BENCHMARKS / "collect_claims/all.tsv"
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    params:
        code=digest("scripts/collect_claims.py"),
    message:
        "collect claims"
    script:
        "../scripts/collect_claims.py"


rule build_report:
    """One self-contained page: figures, captions, claims, how it was made."""
    input:
        claims=rules.collect_claims.output.claims,
        figures=[RESULTS / f"figures/{name}.png" for name in active_experiments()],
        recipes=trained_encoders(),
        template=relative(Path(workflow.basedir) / "docs/report/page.html"),
    output:
        page=RESULTS / "report/index.html",
    log:
        LOGS / "build_report/all.log",
    benchmark:
        BENCHMARKS / "build_report/all.tsv"
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    params:
        experiments={name: value["kind"] for name, value in configuration.active(config).items()},
        config=dict(config),
        benchmarks=str(BENCHMARKS),
        code=digest("scripts/build_report.py"),
    message:
        "build the report"
    script:
        "../scripts/build_report.py"
