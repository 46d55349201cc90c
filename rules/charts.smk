"""Charts: suites, towers and vision-language models that are trained on them, what they answer, and where it is lost."""


rule make_chart_suite:
    """Images, masks, questions and answers (memloc charts make)."""
    output:
        suite=directory(folder_of_suite("{suite}")),
    log:
        LOGS / "make_chart_suite/{suite}.log",
    benchmark:
        BENCHMARKS / "make_chart_suite/{suite}.tsv"
    wildcard_constraints:
        suite="[A-Za-z0-9][A-Za-z0-9_-]*",
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        settings=in_charts("suites"),
        code=digest("scripts/make_chart_suite.py"),
    message:
        "make suite of charts {wildcards.suite}"
    script:
        "../scripts/make_chart_suite.py"


rule train_chart_tower:
    """A vision tower that learns what lies in every patch of a chart."""
    input:
        suite=suite_of,
    output:
        model=directory(CHARTS / "towers/{tower}/seed{seed}/model"),
    log:
        LOGS / "train_chart_tower/{tower}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "train_chart_tower/{tower}/seed{seed}.tsv"
    wildcard_constraints:
        tower=towers_that("supervised"),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        settings=tower_settings,
        code=digest("scripts/train_chart_tower.py"),
    message:
        "train tower {wildcards.tower}, seed {wildcards.seed}"
    script:
        "../scripts/train_chart_tower.py"


rule probe_chart_tower:
    """What probes of every layer of a tower read of where a mark is, beside what it memorizes, if it has a partner."""
    input:
        suite=suite_of,
        weights=weights_of_tower,
        description=description_of_tower,
        points=points_of_tower,
    output:
        probed=CHARTS / "probed/{tower}/seed{seed}.npz",
    log:
        LOGS / "probe_chart_tower/{tower}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "probe_chart_tower/{tower}/seed{seed}.tsv"
    wildcard_constraints:
        tower=towers_that("supervised", "trained", "untrained"),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        settings=probed_settings,
        charts=lambda wildcards: config["charts"]["locate"]["charts"],
        code=digest("scripts/probe_chart_tower.py"),
    message:
        "probe tower {wildcards.tower}, seed {wildcards.seed}"
    script:
        "../scripts/probe_chart_tower.py"


rule train_chart_model:
    """A vision-language model that learns to answer questions on charts: all of them, or a half with canaries."""
    input:
        suite=suite_of,
        suites=every_suite,
        tower=tower_of,
        after=model_before,
    output:
        model=directory(CHARTS / "models/{model}/{part}/seed{seed}"),
    log:
        LOGS / "train_chart_model/{model}/{part}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "train_chart_model/{model}/{part}/seed{seed}.tsv"
    wildcard_constraints:
        model="|".join([models_that(canaries=True), models_that(canaries=False)]),
        part="whole|f|g",
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(240),
    params:
        settings=chart_setting,
        tower=tower_settings,
        code=digest("scripts/train_chart_model.py"),
    message:
        "train model {wildcards.model} on charts ({wildcards.part}), seed {wildcards.seed}"
    script:
        "../scripts/train_chart_model.py"


rule ask_chart_model:
    """What a model answers to the test items, asked in several ways (memloc charts ask)."""
    input:
        suite=suite_of,
        model=CHARTS / "models/{model}/whole/seed{seed}",
    output:
        answers=CHARTS / "answers/{model}/seed{seed}.npz",
    log:
        LOGS / "ask_chart_model/{model}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "ask_chart_model/{model}/seed{seed}.tsv"
    wildcard_constraints:
        model=models_that(canaries=False),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=gpus,
    params:
        settings=in_charts("models"),
        device=config["device"],
        code=digest("scripts/ask_chart_model.py"),
    message:
        "ask model {wildcards.model}, seed {wildcards.seed}"
    script:
        "../scripts/ask_chart_model.py"


rule locate_chart_model:
    """Probes and patches at every stage of a model (memloc charts locate)."""
    input:
        suite=suite_of,
        model=CHARTS / "models/{model}/whole/seed{seed}",
    output:
        predictions=CHARTS / "located/{model}/seed{seed}/predictions.npz",
        pairs=CHARTS / "located/{model}/seed{seed}/pairs.npz",
    log:
        LOGS / "locate_chart_model/{model}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "locate_chart_model/{model}/seed{seed}.tsv"
    wildcard_constraints:
        model=models_that(canaries=False),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(120),
        gpu=gpus,
    params:
        options=lambda wildcards: config["charts"]["locate"],
        tasks=in_charts("models", "tasks"),
        device=config["device"],
        code=digest("scripts/locate_chart_model.py"),
    message:
        "look into model {wildcards.model}, seed {wildcards.seed}"
    script:
        "../scripts/locate_chart_model.py"


rule find_canaries:
    """Whether two models memorize wrong answers that one of them has learned, and at which stage these enter."""
    input:
        suite=suite_of,
        models=[CHARTS / f"models/{{model}}/{half}/seed{{seed}}" for half in "fg"],
    output:
        canaries=CHARTS / "canaries/{model}/seed{seed}.npz",
    log:
        LOGS / "find_canaries/{model}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "find_canaries/{model}/seed{seed}.tsv"
    wildcard_constraints:
        model=models_that(canaries=True),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=gpus,
    params:
        settings=chart_setting,
        device=config["device"],
        code=digest("scripts/find_canaries.py"),
    message:
        "find canaries of {wildcards.model}, seed {wildcards.seed}"
    script:
        "../scripts/find_canaries.py"


rule charts:
    """Everything up to the figures of the study of charts."""
    input:
        figures_of([*experiments_over("models"), *experiments_over("towers")]),
