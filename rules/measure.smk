"""One pass over the measured images that captures every layer of an encoder."""

MEASURED_TOGETHER = [] if IN_PARTS else pairs_in_one_job()


rule measure:
    """Alignment (paper, Eq. 1) and mean activations (Eq. 5) of every layer, point and unit."""
    input:
        **measured_files(trained(), additions_measured),
    output:
        measures=RESULTS / "measures/{encoder}/{role}/seed{seed}.npz",
    log:
        LOGS / "measure/{encoder}/{role}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "measure/{encoder}/{role}/seed{seed}.tsv"
    wildcard_constraints:
        encoder=any_of(set(config["encoders"]) - set(MEASURED_TOGETHER)),
        role=ROLES if not IN_PARTS else NEVER,
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(60),
        gpu=gpus,
    params:
        encoders=lambda wildcards: {wildcards.role: followed(wildcards)},
        trainings=trainings(),
        views=views_of,
        layers=measured_layers,
        device=config["device"],
        code=code_of("scripts/measure.py", architecture_module),
    message:
        "measure {wildcards.encoder} {wildcards.role}, seed {wildcards.seed}"
    script:
        "../scripts/measure.py"


use rule measure as measure_pair with:
    input:
        **measured_files(of_each(trained()), of_each(additions_measured)),
    output:
        measures=of_roles("measures/{encoder}/{role}/seed{seed}.npz"),
    log:
        LOGS / "measure_pair/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "measure_pair/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        encoder=any_of(MEASURED_TOGETHER),
    params:
        encoders=lambda wildcards: {role: followed(wildcards, role) for role in TOGETHER},
        trainings=trainings(*TOGETHER),
        views=views_of,
        layers=measured_layers,
        device=config["device"],
        code=code_of("scripts/measure.py", architecture_module),
    message:
        "measure {wildcards.encoder}, pair {wildcards.seed}"


use rule measure as measure_part with:
    output:
        measures=temp(RESULTS / "measures/{encoder}/{role}/seed{seed}-{number}of{of}.npz"),
    log:
        LOGS / "measure/{encoder}/{role}/seed{seed}-{number}of{of}.log",
    benchmark:
        BENCHMARKS / "measure/{encoder}/{role}/seed{seed}-{number}of{of}.tsv"
    wildcard_constraints:
        role=ROLES if IN_PARTS else NEVER,
    message:
        "measure {wildcards.encoder} {wildcards.role}, seed {wildcards.seed}, part {wildcards.number} of {wildcards.of}"


rule gather_measures:
    """The same measures from jobs that had a part of the images each."""
    input:
        parts=in_parts("measures/{{encoder}}/{{role}}/seed{{seed}}-{part}.npz"),
    output:
        measures=RESULTS / "measures/{encoder}/{role}/seed{seed}.npz",
    log:
        LOGS / "gather_measures/{encoder}/{role}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "gather_measures/{encoder}/{role}/seed{seed}.tsv"
    wildcard_constraints:
        role=ROLES if IN_PARTS else NEVER,
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        trainings=trainings(),
        code=digest("scripts/gather_measures.py"),
    message:
        "join the measures of {wildcards.encoder} {wildcards.role}, seed {wildcards.seed}"
    script:
        "../scripts/gather_measures.py"
