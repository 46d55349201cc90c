"""Ask a vision-language model the test items of its tasks."""

from pathlib import Path

from memloc import io, job, provenance
from memloc.charts import study
from memloc.charts.models import open_model
from memloc.charts.reading import open_suite
from memloc.models import network


def main(snakemake):
    job.start(snakemake)
    settings, output = snakemake.params.settings, Path(snakemake.output.answers)
    suite = open_suite(snakemake.input.suite)
    model = open_model(snakemake.input.model, device=network.device(snakemake.params.device))
    with io.scratch(output.with_suffix(".work")) as work:
        table = study.asked(model, suite, settings, batch=64, work=work, progress=lambda done: None)
    about = {key: value for key, value in settings.items() if key != "seeds"}
    record = provenance.record(output, weights={"model": model.identity}, settings=about, suite=suite.identity)
    io.save_arrays(study.arrays_of(table, study.ANSWERS), output, record)


if "snakemake" in globals():
    main(snakemake)
