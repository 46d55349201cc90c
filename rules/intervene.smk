"""Changing an encoder by what its scores say: pruning units, fine-tuning layers."""


rule prune_units:
    """Zero units by UnitMem, or by what it may be mistaken for, and fit a new probe (paper, Table 6)."""
    input:
        weights=trained("f"),
        units=RESULTS / "scores/{encoder}/f/seed{seed}/units.parquet",
        split=split_of,
        description=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/dataset.json",
        tasks=task_files,
    output:
        outcomes=RESULTS / "interventions/{experiment}/{encoder}/seed{seed}.npz",
    log:
        LOGS / "prune_units/{experiment}/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "prune_units/{experiment}/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        experiment=one_of("pruning"),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
        gpu=gpus,
    params:
        architecture=encoder_setting("architecture"),
        network=encoder_setting("network"),
        modules=modules_of,
        dataset=dataset_of,
        tasks=option("tasks"),
        images=option("images"),
        fractions=option("fractions"),
        trials=option("trials"),
        scopes=option("scopes"),
        baselines=option("baselines"),
        device=config["device"],
        code=encoder_code("scripts/prune_units.py"),
    message:
        "prune {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/prune_units.py"


rule prune_rounds:
    """Prune a few units a round, retrain the rest in between, and fit new probes (the paper's follow-up, SparseMem)."""
    input:
        images=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_images.npy",
        labels=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_labels.npy",
        description=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/dataset.json",
        split=split_of,
        weights=trained("f"),
        additions=trained("f", file="additions.safetensors"),
        tasks=task_files,
    output:
        outcomes=RESULTS / "interventions/{experiment}/{encoder}/seed{seed}.npz",
    log:
        LOGS / "prune_rounds/{experiment}/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "prune_rounds/{experiment}/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        experiment=one_of("iterative_pruning"),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(120),
        gpu=gpus,
    params:
        architecture=encoder_setting("architecture"),
        network=encoder_setting("network"),
        framework=encoder_setting("framework"),
        recipe=encoder_setting("recipe"),
        augmentation=encoder_setting("measure", "augmentation"),
        protocol=protocol_of,
        others=encoder_setting("measure", "others"),
        layers=lambda wildcards: [asdict(layer) for layer in layers_of(wildcards) if layer.units],
        dataset=dataset_of,
        tasks=option("tasks"),
        images=option("images"),
        fraction=option("fraction"),
        rounds=option("rounds"),
        epochs=option("epochs"),
        learning_rate=option("learning_rate"),
        replicates=config["score"]["replicates"],
        device=config["device"],
        code=learner_code("scripts/prune_rounds.py"),
    message:
        "prune {wildcards.encoder} in rounds, seed {wildcards.seed}"
    script:
        "../scripts/prune_rounds.py"


rule replace_layers:
    """Replace subsets of layers by another encoder's and fit new probes (paper, Tables 21 to 23, 25, 30, 32 and 33)."""
    input:
        weights=trained("f"),
        donor=of_donor(trained("f")),
        split=split_of,
        donor_split=of_donor(split_of),
        tasks=task_files,
    output:
        outcomes=RESULTS / "interventions/{experiment}/{encoder}/seed{seed}.npz",
    log:
        LOGS / "replace_layers/{experiment}/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "replace_layers/{experiment}/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        experiment=one_of("replacement"),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
        gpu=gpus,
    params:
        architecture=encoder_setting("architecture"),
        network=encoder_setting("network"),
        modules=replaced_parts,
        by=option("by"),
        dataset=dataset_of,
        donor_dataset=of_donor(dataset_of),
        tasks=option("tasks"),
        images=option("images"),
        tested=option("tested"),
        counts=option("counts"),
        device=config["device"],
        code=encoder_code("scripts/replace_layers.py"),
    message:
        "replace layers of {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/replace_layers.py"


rule finetune_layers:
    """Fine-tune layers of highest increment, or the last ones, on a new task (paper, Table 5)."""
    input:
        weights=trained("f"),
        points=RESULTS / "scores/{encoder}/seed{seed}/points.parquet",
        split=split_of,
        description=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/dataset.json",
        task=lambda wildcards: RESULTS / f"data/{option('task')(wildcards)}/dataset.json",
    output:
        outcomes=RESULTS / "interventions/{experiment}/{encoder}/seed{seed}.npz",
    log:
        LOGS / "finetune_layers/{experiment}/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "finetune_layers/{experiment}/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        experiment=one_of("finetuning"),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
        gpu=gpus,
    params:
        architecture=encoder_setting("architecture"),
        network=encoder_setting("network"),
        modules=parts_of,
        dataset=dataset_of,
        task=option("task"),
        images=option("images"),
        counts=option("counts"),
        subsets=option("subsets"),
        recipe=option("recipe"),
        device=config["device"],
        code=encoder_code("scripts/finetune_layers.py"),
    message:
        "fine-tune {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/finetune_layers.py"


rule ablate_units:
    """Zero single units and measure the alignment of their owners and of images like these, before and after."""
    input:
        images=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_images.npy",
        labels=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_labels.npy",
        description=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/dataset.json",
        split=split_of,
        weights=trained("f"),
        units=RESULTS / "scores/{encoder}/f/seed{seed}/units.parquet",
    output:
        outcomes=RESULTS / "interventions/{experiment}/{encoder}/seed{seed}.npz",
    log:
        LOGS / "ablate_units/{experiment}/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "ablate_units/{experiment}/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        experiment=one_of("ablation"),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
        gpu=gpus,
    params:
        architecture=encoder_setting("architecture"),
        network=encoder_setting("network"),
        modules=modules_of,
        augmentation=encoder_setting("measure", "augmentation"),
        protocol=protocol_of,
        units=option("units"),
        matched=option("matched"),
        device=config["device"],
        code=encoder_code("scripts/ablate_units.py"),
    message:
        "ablate units of {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/ablate_units.py"


rule inject_units:
    """Train single units on single images that the encoder has not seen (paper, Tables 13 and 14)."""
    input:
        images=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_images.npy",
        labels=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/train_labels.npy",
        description=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/dataset.json",
        split=split_of,
        weights=trained("f"),
        additions=trained("f", file="additions.safetensors"),
    output:
        outcomes=RESULTS / "interventions/{experiment}/{encoder}/seed{seed}.npz",
    log:
        LOGS / "inject_units/{experiment}/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "inject_units/{experiment}/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        experiment=one_of("injection"),
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
        gpu=gpus,
    params:
        architecture=encoder_setting("architecture"),
        network=encoder_setting("network"),
        framework=encoder_setting("framework"),
        recipe=encoder_setting("recipe"),
        augmentation=encoder_setting("measure", "augmentation"),
        protocol=protocol_of,
        layer=chosen_layer,
        steps=option("steps"),
        batch_size=option("batch_size"),
        learning_rate=option("learning_rate"),
        device=config["device"],
        code=learner_code("scripts/inject_units.py"),
    message:
        "train single units of {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/inject_units.py"


rule probe_tasks:
    """Fit linear probes on an encoder as it is, one for each task (paper, Table 20 and Figure 11)."""
    input:
        weights=trained("f"),
        split=split_of,
        description=lambda wildcards: RESULTS / f"data/{dataset_of(wildcards)}/dataset.json",
        tasks=task_files,
    output:
        outcomes=RESULTS / "interventions/{experiment}/{encoder}/seed{seed}.npz",
    log:
        LOGS / "probe_tasks/{experiment}/{encoder}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "probe_tasks/{experiment}/{encoder}/seed{seed}.tsv"
    wildcard_constraints:
        experiment=one_of("transfer"),
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
        tasks=option("tasks"),
        images=option("images"),
        device=config["device"],
        code=encoder_code("scripts/probe_tasks.py"),
    message:
        "probe {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/probe_tasks.py"
