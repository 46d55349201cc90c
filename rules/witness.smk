"""Witnesses of memorization beside alignment: labels inferred from corners, reconstruction, values of points."""


rule infer_labels:
    """Labels of points from their images' corners, by the nearest public images (Meehan et al., 2023)."""
    input:
        images=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_images.npy",
        labels=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_labels.npy",
        description=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/dataset.json",
        split=split_of,
        weights=trained(),
    output:
        witness=RESULTS / "witnesses/{experiment}/{encoder}/{role}/seed{seed}.npz",
    log:
        LOGS / "infer_labels/{experiment}/{encoder}/{role}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "infer_labels/{experiment}/{encoder}/{role}/seed{seed}.tsv"
    wildcard_constraints:
        experiment=one_of("dejavu"),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
        gpu=gpus,
    params:
        architecture=encoder_setting("architecture"),
        network=encoder_setting("network"),
        dataset=dataset_of,
        public=option("public"),
        neighbours=option("neighbours"),
        crop=option("crop"),
        device=config["device"],
        code=encoder_code("scripts/infer_labels.py"),
    message:
        "infer labels with {wildcards.encoder} {wildcards.role}, seed {wildcards.seed}"
    script:
        "../scripts/infer_labels.py"


rule reconstruct:
    """Reconstruction loss of every point over random masks."""
    input:
        images=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_images.npy",
        labels=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_labels.npy",
        description=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/dataset.json",
        split=split_of,
        weights=trained(),
        additions=trained(file="additions.safetensors"),
    output:
        witness=RESULTS / "witnesses/{experiment}/{encoder}/{role}/seed{seed}.npz",
    log:
        LOGS / "reconstruct/{experiment}/{encoder}/{role}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "reconstruct/{experiment}/{encoder}/{role}/seed{seed}.tsv"
    wildcard_constraints:
        experiment=one_of("reconstruction"),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
        gpu=gpus,
    params:
        architecture=encoder_setting("architecture"),
        network=encoder_setting("network"),
        framework=encoder_setting("framework"),
        recipe=encoder_setting("recipe"),
        draws=encoder_setting("measure", "draws"),
        device=config["device"],
        code=encoder_code("scripts/reconstruct.py"),
    message:
        "reconstruct with {wildcards.encoder} {wildcards.role}, seed {wildcards.seed}"
    script:
        "../scripts/reconstruct.py"


rule value_points:
    """2D-OOB values of candidate and external points and of the cells of their images (Sun et al., 2024)."""
    input:
        images=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_images.npy",
        f=RESULTS / "measures/{encoder}/f/seed{seed}.npz",
        g=RESULTS / "measures/{encoder}/g/seed{seed}.npz",
        swaps=swaps_of,
    output:
        values=RESULTS / "witnesses/{experiment}/{encoder}/seed{seed}.npz",
    log:
        LOGS / "value_points/{experiment}/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "value_points/{experiment}/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        experiment=NEVER if IN_PARTS else one_of("valued_atypicality", "planted"),
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
    params:
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
        values=temp(RESULTS / "witnesses/{experiment}/{encoder}/seed{seed}-{number}of{of}.npz"),
    log:
        LOGS / "value_points/{experiment}/{encoder}/seed{seed}-{number}of{of}.log",
    benchmark:
        BENCHMARKS / "value_points/{experiment}/{encoder}/seed{seed}-{number}of{of}.tsv"
    wildcard_constraints:
        experiment=one_of("valued_atypicality", "planted") if IN_PARTS else NEVER,
    message:
        "value points of {wildcards.encoder}, seed {wildcards.seed}, part {wildcards.number} of {wildcards.of}"


rule gather_values:
    """The same values from jobs that had a part of the weak learners each."""
    input:
        parts=in_parts("witnesses/{{experiment}}/{{encoder}}/seed{{seed}}-{part}.npz"),
    output:
        values=RESULTS / "witnesses/{experiment}/{encoder}/seed{seed}.npz",
    log:
        LOGS / "gather_values/{experiment}/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "gather_values/{experiment}/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        experiment=one_of("valued_atypicality", "planted") if IN_PARTS else NEVER,
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(60),
    params:
        learners=option("learners"),
        ratios=option("ratios"),
        code=digest("scripts/gather_values.py"),
    message:
        "join the values of points of {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/gather_values.py"
