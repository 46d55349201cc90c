"""Join the experiments' claims."""

from pathlib import Path

import pandas as pd

from memloc import job
from memloc.analysis import tables
from memloc.analysis.claims import joined


def main(snakemake):
    job.start(snakemake)
    parts = [tables.load_claims(path, experiment=Path(path).stem) for path in snakemake.input]
    claims = joined(pd.concat(parts, ignore_index=True))
    tables.save_table(claims, snakemake.output.claims)
    job.log.info("%s", ", ".join(f"{n} {verdict}" for verdict, n in claims["verdict"].value_counts().items()))


if "snakemake" in globals():
    main(snakemake)
