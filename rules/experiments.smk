"""Experiments: jobs that compute with a network, then tables and claims from all that there is, then figures."""

for kind, job in jobs_of_experiments().items():

    rule:
        """One experiment on one encoder, role and seed. There is one such rule for each kind that computes."""
        name:
            f"run_experiment_{kind}"
        input:
            unpack(job_files),
        output:
            outcomes=RESULTS / "outcomes/{experiment}/{encoder}/{role}/seed{seed}.npz",
        log:
            LOGS / f"run_experiment/{kind}/{{experiment}}/{{encoder}}/{{role}}/seed{{seed}}.log",
        benchmark:
            BENCHMARKS / f"run_experiment/{kind}/{{experiment}}/{{encoder}}/{{role}}/seed{{seed}}.tsv"
        wildcard_constraints:
            experiment=one_of(kind),
            role="f|g",
        conda:
            TRAINING_ENV
        threads: 1
        resources:
            mem_mb=growing(job.mem_mb),
            runtime=growing(job.runtime),
            gpu=gpus,
        params:
            kind=kind,
            settings=job_settings,
            code=job_code,
        message:
            f"run {{wildcards.experiment}} ({kind}) on {{wildcards.encoder}} {{wildcards.role}}, seed {{wildcards.seed}}"
        script:
            "../scripts/run_experiment.py"


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
        roles=roles_of_runs,
        trainings=trainings_of_runs,
        about=about_encoders,
        options=experiment_options,
        code=code_of("scripts/analyse_experiment.py", part_of_experiment("analysis")),
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
        svg=RESULTS / "figures/{experiment}.svg",
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
        caption=lambda wildcards: caption(kind_of(wildcards)),
        code=code_of("scripts/draw_figure.py", part_of_experiment("analysis")),
    message:
        "draw {wildcards.experiment}"
    script:
        "../scripts/draw_figure.py"


rule figures:
    """Everything up to the figures."""
    input:
        figure_files(),


rule atypicality:
    """Everything up to the figures of which images are memorized, and how that is judged from outside the encoder."""
    input:
        figures_of(experiments_of("atypicality", "valued_atypicality", "planted")),
