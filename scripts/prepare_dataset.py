"""Prepare raw images as verified uint8 arrays."""

from pathlib import Path

from memloc import io, job
from memloc.data.prepared import PARTS
from memloc.data.preparing import write


def main(snakemake):
    job.start(snakemake)
    settings = snakemake.params.dataset
    parts, description = write(
        settings["source"],
        {part: snakemake.output[f"{part}_images"] for part in PARTS},
        path=settings.get("path"),
        classes=settings.get("classes"),
        image_size=settings["image_size"],
        images=settings.get("images"),
    )
    for name, part in parts.items():
        io.save_array(part.labels, snakemake.output[f"{name}_labels"])
    io.save_json(description, snakemake.output.description)
    job.log.info("%s: %s images", Path(description["folder"]).name, description["sizes"])


if "snakemake" in globals():
    main(snakemake)
