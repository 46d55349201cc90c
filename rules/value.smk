"""Values of points: how well those like them speak for them, asked without the encoder that is measured."""


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
        experiment=one_of("valued_atypicality", "planted"),
    conda:
        ANALYSIS_ENV
    threads: 1
    resources:
        mem_mb=3000,
        runtime=240,
    params:
        learners=option("learners"),
        ratio=option("ratio"),
        patch=option("patch"),
        code=digest("scripts/value_points.py"),
    message:
        "value points of {wildcards.encoder}, seed {wildcards.seed}"
    script:
        "../scripts/value_points.py"
