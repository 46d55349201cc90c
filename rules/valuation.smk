"""Valuation of the rows and cells of labelled tables, tried where what is to be found was planted."""


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
        code=digest("scripts/run_trial.py"),
    message:
        "run {wildcards.experiment} on {wildcards.table}, seed {wildcards.seed}"
    script:
        "../scripts/run_trial.py"


rule valuation:
    """Everything up to the figures of the experiments on valuation."""
    input:
        figures_of(experiments_over("tables")),
