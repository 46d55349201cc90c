"""Scores of single points and units. From here on, nothing needs torch."""


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
        measures=rules.measure.output.measures,
    output:
        units=RESULTS / "scores/{encoder}/{role}/seed{seed}/units.parquet",
        resamples=RESULTS / "scores/{encoder}/{role}/seed{seed}/resamples.npz",
    log:
        LOGS / "score_units/{encoder}/{role}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "score_units/{encoder}/{role}/seed{seed}.tsv"
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        trainings=trainings(),
        views=views_of,
        shuffles=config["score"]["shuffles"],
        resamples=config["score"]["resamples"],
        others=encoder_setting("measure", "others"),
        half=half_of,
        code=digest("scripts/score_units.py"),
    message:
        "score units of {wildcards.encoder} {wildcards.role}, seed {wildcards.seed}"
    script:
        "../scripts/score_units.py"


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
