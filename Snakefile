"""memloc: from raw images to every figure. Stages are in rules/, in the order data flows."""

from snakemake.utils import min_version

from memloc.provenance import ROOT

min_version("9.0")


configfile: ROOT / "config.yaml"


report: "docs/report/workflow.rst"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/measure.smk"
include: "rules/score.smk"
include: "rules/experiments.smk"
include: "rules/valuation.smk"
include: "rules/charts_common.smk"
include: "rules/charts.smk"
include: "rules/report.smk"
include: "rules/paper.smk"


localrules:
    all,
    get_dataset,
    splits,
    encoders,
    scores,
    figures,
    atypicality,
    valuation,
    charts,
    per_image,
    paper,


rule all:
    default_target: True
    input:
        rules.build_report.output,
        rules.collect_claims.output,
        figure_files(),
