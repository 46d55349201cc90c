"""Scores to tables and claims, tables to figures."""


rule analyse_experiment:
    """The table a figure is drawn from and the experiment's rows of claims.csv."""
    input:
        unpack(experiment_files),
    output:
        table=RESULTS / "figures/{experiment}.csv",
        claims=RESULTS / "claims/{experiment}.csv",
    log:
        LOGS / "analyse_experiment/{experiment}.log",
    benchmark:
        BENCHMARKS / "analyse_experiment/{experiment}.tsv"
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        kind=kind_of,
        runs=runs,
        about=about_encoders,
        options=experiment_options,
        code=experiment_code("scripts/analyse_experiment.py"),
    message:
        "analyse {wildcards.experiment}"
    script:
        "../scripts/analyse_experiment.py"


rule draw_figure:
    """One figure as PDF and PNG."""
    input:
        table=rules.analyse_experiment.output.table,
        images=images_of,
    output:
        pdf=RESULTS / "figures/{experiment}.pdf",
        png=report(
            RESULTS / "figures/{experiment}.png",
            category="Figures",
            caption="../docs/report/figure.rst",
            labels=labels_of,
        ),
    log:
        LOGS / "draw_figure/{experiment}.log",
    benchmark:
        BENCHMARKS / "draw_figure/{experiment}.tsv"
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(15),
    params:
        kind=kind_of,
        caption=lambda wildcards: EXPERIMENTS[kind_of(wildcards)].caption,
        code=experiment_code("scripts/draw_figure.py"),
    message:
        "draw {wildcards.experiment}"
    script:
        "../scripts/draw_figure.py"


rule figures:
    """Everything up to the figures."""
    input:
        figure_files(),


rule atypicality:
    """Everything up to the figures of which images are memorized, and how they are told from outside the encoder."""
    input:
        figures_of(experiments_of("atypicality", "valued_atypicality", "planted")),
