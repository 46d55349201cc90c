"""Join the experiments' claims."""

import pandas as pd

from memloc import job
from memloc.analysis import tables


def main(snakemake):
    job.start(snakemake)
    claims = pd.concat([tables.load_table(path) for path in snakemake.input], ignore_index=True)
    tables.save_table(claims, snakemake.output.claims)
    job.log.info("%s", ", ".join(f"{n} {verdict}" for verdict, n in claims["verdict"].value_counts().items()))


if "snakemake" in globals():
    main(snakemake)
