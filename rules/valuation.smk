"""Values of rows and cells: of labelled tables into which something was planted, and of an encoder's points."""


rule make_table:
    """A labelled table: scikit-learn's, generated, OpenML's (which needs a network), or the images of a dataset."""
    input:
        images=images_in,
    output:
        table=RESULTS / "tables/{table}.npz",
    log:
        LOGS / "make_table/{table}.log",
    benchmark:
        BENCHMARKS / "make_table/{table}.tsv"
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        openml=config.get("openml"),
        code=digest("scripts/make_table.py"),
    message:
        "make table {wildcards.table}"
    script:
        "../scripts/make_table.py"


rule run_trial:
    """Plant outliers, flipped labels or a trigger into a table, value it in several ways, see which ways find them."""
    input:
        table=rules.make_table.output.table,
    output:
        outcomes=RESULTS / "valuation/{experiment}/{table}/seed{seed}.npz",
    log:
        LOGS / "run_trial/{experiment}/{table}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "run_trial/{experiment}/{table}/seed{seed}.tsv"
    wildcard_constraints:
        experiment="|".join(experiments_over("tables")) or "(?!)",
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        kind=kind_of,
        options=own_options,
        code=code_of("scripts/run_trial.py", part_of_experiment("job")),
    message:
        "run {wildcards.experiment} on {wildcards.table}, seed {wildcards.seed}"
    script:
        "../scripts/run_trial.py"


rule value_points:
    """2D-OOB values of candidate and external points and of the cells of their images (Sun et al., 2024)."""
    input:
        images=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_images.npy",
        f=RESULTS / "measures/{encoder}/f/seed{seed}.npz",
        g=RESULTS / "measures/{encoder}/g/seed{seed}.npz",
        swaps=swaps_of,
    output:
        values=RESULTS / "values/{experiment}/{encoder}/seed{seed}.npz",
    log:
        LOGS / "value_points/{experiment}/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "value_points/{experiment}/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        experiment=NEVER if IN_PARTS else experiments_that_read("values"),
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
    params:
        trainings=trainings("f", "g"),
        views=views_of,
        learners=option("learners"),
        ratios=option("ratios"),
        patch=option("patch"),
        code=digest("scripts/value_points.py"),
    message:
        "value points of {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/value_points.py"


use rule value_points as value_points_part with:
    output:
        values=temp(RESULTS / "values/{experiment}/{encoder}/seed{seed}-{number}of{of}.npz"),
    log:
        LOGS / "value_points/{experiment}/{encoder}/seed{seed}-{number}of{of}.log",
    benchmark:
        BENCHMARKS / "value_points/{experiment}/{encoder}/seed{seed}-{number}of{of}.tsv"
    wildcard_constraints:
        experiment=experiments_that_read("values") if IN_PARTS else NEVER,
    message:
        "value points of {wildcards.encoder}, seed {wildcards.seed}, part {wildcards.number} of {wildcards.of}"


rule gather_values:
    """The same values from jobs that had a part of the weak learners each."""
    input:
        parts=in_parts("values/{{experiment}}/{{encoder}}/seed{{seed}}-{part}.npz"),
    output:
        values=RESULTS / "values/{experiment}/{encoder}/seed{seed}.npz",
    log:
        LOGS / "gather_values/{experiment}/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "gather_values/{experiment}/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        experiment=experiments_that_read("values") if IN_PARTS else NEVER,
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(60),
    params:
        trainings=trainings("f", "g"),
        learners=option("learners"),
        ratios=option("ratios"),
        code=digest("scripts/gather_values.py"),
    message:
        "join the values of points of {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/gather_values.py"


rule valuation:
    """Everything up to the figures of the experiments on valuation."""
    input:
        figures_of(experiments_over("tables")),
