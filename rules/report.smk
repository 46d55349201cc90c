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
        template=relative(ROOT / "docs/report/page.html"),
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


rule collect_per_image:
    """Membership and alignment of every image, owners of units: scores for others (memloc.per_image)."""
    input:
        f=measures_of_seeds("f"),
        g=measures_of_seeds("g"),
        description=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/dataset.json",
    output:
        scores=RESULTS / "per_image/{encoder}.npz",
    log:
        LOGS / "collect_per_image/{encoder}.log",
    benchmark:
        BENCHMARKS / "collect_per_image/{encoder}.tsv"
    wildcard_constraints:
        encoder="|".join(in_halves()) or NEVER,
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        seeds=encoder_setting("seeds"),
        trainings=trainings_of_seeds,
        views=views_of,
        normalisation=config["score"]["normalisation"],
        code=digest("scripts/collect_per_image.py"),
    message:
        "collect scores per image of {wildcards.encoder}"
    script:
        "../scripts/collect_per_image.py"


rule per_image:
    """Scores per image of every encoder on complementary halves."""
    input:
        [RESULTS / f"per_image/{encoder}.npz" for encoder in in_halves()],
