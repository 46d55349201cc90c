"""Scores of single points and units. From here on, nothing needs torch."""

UNITS_TOGETHER = pairs_in_one_job()


rule score_points:
    """SSLMem of every point and layer, from f and g (paper, Eqs. 1 and 2)."""
    input:
        f=RESULTS / "measures/{encoder}/f/seed{seed}.npz",
        g=RESULTS / "measures/{encoder}/g/seed{seed}.npz",
    output:
        points=RESULTS / "scores/{encoder}/seed{seed}/points.parquet",
        atypicality=RESULTS / "scores/{encoder}/seed{seed}/atypicality.parquet",
    log:
        LOGS / "score_points/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "score_points/{encoder}/seed{seed}.tsv"
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        trainings=trainings("f", "g"),
        views=views_of,
        normalisation=config["score"]["normalisation"],
        neighbours=config["score"]["neighbours"],
        code=digest("scripts/score_points.py"),
    message:
        "score points of {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/score_points.py"


rule score_units:
    """UnitMem and ClassMem of every unit with their nulls (paper, Eqs. 5 to 8 and 13 to 16)."""
    input:
        measures=RESULTS / "measures/{encoder}/{role}/seed{seed}.npz",
    output:
        units=RESULTS / "scores/{encoder}/{role}/seed{seed}/units.parquet",
        resamples=RESULTS / "scores/{encoder}/{role}/seed{seed}/resamples.npz",
    log:
        LOGS / "score_units/{encoder}/{role}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "score_units/{encoder}/{role}/seed{seed}.tsv"
    wildcard_constraints:
        encoder=any_of(set(config["encoders"]) - set(UNITS_TOGETHER)),
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        halves=lambda wildcards: {wildcards.role: half_of(wildcards)},
        trainings=trainings(),
        views=views_of,
        shuffles=config["score"]["shuffles"],
        resamples=config["score"]["resamples"],
        others=encoder_setting("measure", "others"),
        code=digest("scripts/score_units.py"),
    message:
        "score units of {wildcards.encoder} {wildcards.role}, seed {wildcards.seed}"
    script:
        "../scripts/score_units.py"


use rule score_units as score_units_of_pair with:
    input:
        measures=of_roles("measures/{encoder}/{role}/seed{seed}.npz"),
    output:
        units=of_roles("scores/{encoder}/{role}/seed{seed}/units.parquet"),
        resamples=of_roles("scores/{encoder}/{role}/seed{seed}/resamples.npz"),
    log:
        LOGS / "score_units_of_pair/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "score_units_of_pair/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        encoder=any_of(UNITS_TOGETHER),
    params:
        halves=lambda wildcards: {
            role: half_of(SimpleNamespace(encoder=wildcards.encoder, role=role)) for role in TOGETHER
        },
        trainings=trainings(*TOGETHER),
        views=views_of,
        shuffles=config["score"]["shuffles"],
        resamples=config["score"]["resamples"],
        others=encoder_setting("measure", "others"),
        code=digest("scripts/score_units.py"),
    message:
        "score units of {wildcards.encoder}, pair {wildcards.seed}"


rule scores:
    """Everything up to the scores that the experiments read."""
    input:
        [
            RESULTS / path
            for name in active_experiments()
            for paths in configuration.experiment_inputs(config, name).values()
            for path in paths
            if path.startswith("scores/")
        ],
