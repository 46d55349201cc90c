"""One pass over the measured images that captures every layer of an encoder."""


rule measure:
    """Alignment (paper, Eq. 1) and mean activations (Eq. 5) of every layer, point and unit."""
    input:
        images=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_images.npy",
        labels=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_labels.npy",
        description=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/dataset.json",
        split=split_of,
        weights=trained(),
        additions=additions_measured,
    output:
        measures=RESULTS / "measures/{encoder}/{role}/seed{seed}.npz",
    log:
        LOGS / "measure/{encoder}/{role}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "measure/{encoder}/{role}/seed{seed}.tsv"
    wildcard_constraints:
        role=ROLES if not IN_PARTS else NEVER,
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(60),
        gpu=gpus,
    params:
        encoder=followed,
        trainings=trainings(),
        views=views_of,
        layers=measured_layers,
        device=config["device"],
        code=code_of("scripts/measure.py", architecture_module),
    message:
        "measure {wildcards.encoder} {wildcards.role}, seed {wildcards.seed}"
    script:
        "../scripts/measure.py"


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
