"""Encoders on their way: what is measured after several epochs of one training."""


rule trace_units:
    """Mean UnitMem of every layer and group before, during and after training (paper, Figure 4)."""
    input:
        images=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_images.npy",
        labels=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_labels.npy",
        description=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/dataset.json",
        split=split_of,
        weights=trained("f"),
        untrained=trained("untrained"),
        snapshots=trained("f", file="snapshots.safetensors"),
        history=trained("f", file="training.csv"),
    output:
        trace=RESULTS / "traces/{experiment}/{encoder}/seed{seed}.npz",
    log:
        LOGS / "trace_units/{experiment}/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "trace_units/{experiment}/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        experiment=one_of("unit_epochs"),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(60),
        gpu=gpus,
    params:
        architecture=encoder_setting("architecture"),
        network=encoder_setting("network"),
        augmentation=encoder_setting("measure", "augmentation"),
        protocol=protocol_of,
        others=encoder_setting("measure", "others"),
        layers=lambda wildcards: [asdict(layer) for layer in layers_of(wildcards) if layer.units],
        snapshots=encoder_setting("snapshots"),
        epochs=encoder_setting("recipe", "epochs"),
        warmup=encoder_setting("recipe", "warmup_epochs"),
        replicates=config["score"]["replicates"],
        device=config["device"],
        code=encoder_code("scripts/trace_units.py"),
    message:
        "trace units of {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/trace_units.py"
