"""Raw images to verified arrays, and which points each role is trained on."""


rule get_dataset:
    """The files of a public dataset, fetched where they are missing; else an error that says which to put where."""
    output:
        RESULTS / "raw/{source}.json",
    log:
        LOGS / "get_dataset/{source}.log",
    benchmark:
        BENCHMARKS / "get_dataset/{source}.tsv"
    conda:
        TRAINING_ENV
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(240),
    params:
        files=lambda wildcards: {file.name: file.md5 for file in SOURCES[wildcards.source].files},
    message:
        "get {wildcards.source}"
    script:
        "../scripts/get_dataset.py"


rule prepare_dataset:
    """Verified uint8 images and labels, the chosen classes only."""
    input:
        raw_files,
    output:
        train_images=RESULTS / "data/{dataset}/train_images.npy",
        train_labels=RESULTS / "data/{dataset}/train_labels.npy",
        test_images=RESULTS / "data/{dataset}/test_images.npy",
        test_labels=RESULTS / "data/{dataset}/test_labels.npy",
        description=RESULTS / "data/{dataset}/dataset.json",
    log:
        LOGS / "prepare_dataset/{dataset}.log",
    benchmark:
        BENCHMARKS / "prepare_dataset/{dataset}.tsv"
    wildcard_constraints:
        dataset=datasets_that(swapped=False),
    conda:
        TRAINING_ENV
    threads: 4
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        dataset=dataset_settings,
        # What the registry, whose code isn't hashed, says of how it is read.
        reading=lambda wildcards: SOURCES[config["datasets"][wildcards.dataset]["source"]].reading,
        code=dataset_code,
    message:
        "prepare {wildcards.dataset}"
    script:
        "../scripts/prepare_dataset.py"


rule swap_patches:
    """The images of another dataset; into some of them a patch of another class's image is swapped."""
    input:
        train_images=before_swaps("train_images.npy"),
        train_labels=before_swaps("train_labels.npy"),
        test_images=before_swaps("test_images.npy"),
        test_labels=before_swaps("test_labels.npy"),
        description=before_swaps("dataset.json"),
    output:
        train_images=RESULTS / "data/{dataset}/train_images.npy",
        train_labels=RESULTS / "data/{dataset}/train_labels.npy",
        test_images=RESULTS / "data/{dataset}/test_images.npy",
        test_labels=RESULTS / "data/{dataset}/test_labels.npy",
        description=RESULTS / "data/{dataset}/dataset.json",
        swaps=RESULTS / "data/{dataset}/swaps.npz",
    log:
        LOGS / "swap_patches/{dataset}.log",
    benchmark:
        BENCHMARKS / "swap_patches/{dataset}.tsv"
    wildcard_constraints:
        dataset=datasets_that(swapped=True),
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        swapped=lambda wildcards: dict(config["datasets"][wildcards.dataset]["swapped"]),
        code=digest("scripts/swap_patches.py"),
    message:
        "swap patches into {wildcards.dataset}"
    script:
        "../scripts/swap_patches.py"


rule make_splits:
    """Disjoint shared, candidate, independent and external points (paper, Section 3 and Appendix B)."""
    input:
        labels=RESULTS / "data/{dataset}/train_labels.npy",
    output:
        indices=RESULTS / "splits/{dataset}/seed{seed}/indices.npz",
        manifest=RESULTS / "splits/{dataset}/seed{seed}/manifest.json",
    log:
        LOGS / "make_splits/{dataset}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "make_splits/{dataset}/seed{seed}.tsv"
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        split=lambda wildcards: config["datasets"][wildcards.dataset]["split"],
        code=digest("scripts/make_splits.py"),
    message:
        "split {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/make_splits.py"


rule splits:
    """Everything up to the splits."""
    input:
        [
            RESULTS
            / f"splits/{encoder['dataset']}/seed{seed if encoder['split_seed'] is None else encoder['split_seed']}/manifest.json"
            for encoder in config["encoders"].values()
            for seed in encoder["seeds"]
        ],
