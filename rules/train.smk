"""Training f, g and, as a null, f before its first step."""

OF_TRAINING = {
    "weights": "weights.safetensors",
    "additions": "additions.safetensors",
    "snapshots": "snapshots.safetensors",
    "recipe": "recipe.json",
    "history": "training.csv",
}
TRAINED_TOGETHER = trained_together()


rule train_encoder:
    """One encoder of one role and seed. Stopped halfway, it resumes from its last checkpoint."""
    input:
        images=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_images.npy",
        labels=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_labels.npy",
        description=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/dataset.json",
        split=split_of,
    output:
        **{key: RESULTS / f"encoders/{{encoder}}/{{role}}/seed{{seed}}/{name}" for key, name in OF_TRAINING.items()},
    log:
        LOGS / "train_encoder/{encoder}/{role}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "train_encoder/{encoder}/{role}/seed{seed}.tsv"
    wildcard_constraints:
        encoder=any_of(set(config["encoders"]) - set(TRAINED_TOGETHER)),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt * hardware("devices")(wildcards),
        runtime=growing(240),
        gpu=lambda wildcards: processes(wildcards) if gpus else None,
        nodes=in_parallel(hardware("nodes")),
        tasks=in_parallel(processes),
        tasks_per_gpu=in_parallel(lambda wildcards: gpus),
        mpi=in_parallel(lambda wildcards: "srun"),
    params:
        roles=lambda wildcards: [wildcards.role],
        settings=training_settings,
        device=config["device"],
        code=code_of("scripts/train_encoder.py", architecture_module, framework_of),
    message:
        "train {wildcards.encoder} {wildcards.role}, seed {wildcards.seed}"
    script:
        "../scripts/train_encoder.py"


use rule train_encoder as train_pair with:
    output:
        **{key: of_roles(f"encoders/{{encoder}}/{{role}}/seed{{seed}}/{name}") for key, name in OF_TRAINING.items()},
    log:
        LOGS / "train_pair/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "train_pair/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        encoder=any_of(TRAINED_TOGETHER),
    resources:
        mem_mb=growing(2000),
        runtime=growing(480),
    params:
        roles=TOGETHER,
        settings=training_settings,
        device=config["device"],
        code=code_of("scripts/train_encoder.py", architecture_module, framework_of),
    message:
        "train {wildcards.encoder}, pair {wildcards.seed}"


rule encoders:
    """Everything up to the trained encoders."""
    input:
        [
            trained(role)(SimpleNamespace(encoder=name, seed=seed))
            for name, encoder in config["encoders"].items()
            for role in ("f", "g")
            for seed in encoder["seeds"]
        ],
