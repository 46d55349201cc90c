"""Measure every layer of one encoder, or of each of a pair, in one pass, on all points or on a part of them."""

from pathlib import Path
from types import SimpleNamespace

from memloc import experiments, job, provenance
from memloc.data import prepared, splits
from memloc.data.augment import for_encoder
from memloc.data.augmentations import AUGMENTATIONS
from memloc.data.groups import REPEATED
from memloc.measuring import files as measures
from memloc.measuring.batches import batches_of_file, shard
from memloc.measuring.one_pass import about_layers, by_point, measure_batches
from memloc.measuring.protocol import Protocol
from memloc.models import network
from memloc.models.architectures import Layer
from memloc.models.trained import Trained
from memloc.streams import stream


def main(snakemake):
    job.start(snakemake)
    names, files = snakemake.wildcards, snakemake.input
    weights, additions, outputs = map(experiments.as_list, (files.weights, files.additions, snakemake.output.measures))
    for number, (role, settings) in enumerate(snakemake.params.encoders.items()):
        own = {"weights": weights[number], "additions": additions[number] if additions else []}
        of_role = SimpleNamespace(**{key: files[key] for key in ("description", "split")}, **own)
        trained = Trained(
            of_role,
            {"encoder": settings, "device": snakemake.params.device},
            SimpleNamespace(role=role, seed=names.seed),
        )
        measure(snakemake, trained, outputs[number])


def measure(snakemake, trained, output):
    """Measure the encoder of one role."""
    params, names, seed = snakemake.params, snakemake.wildcards, trained.seed
    points, groups = splits.measured_points(trained.split)
    rows = shard(len(points), number=int(names.get("number", 1)), of=int(names.get("of", 1)))
    points, groups = points[rows], groups[rows]
    layers = [Layer(**layer) for layer in params.layers]
    encoder, device = trained.encoder, trained.device
    if trained.files.additions:
        network.add_head(encoder, trained.learner.result_head())
    protocol = dict(params.views)
    labels = prepared.load_labels(Path(snakemake.input.labels).parent, "train")[points]
    about = {"points": points, "groups": groups, "labels": labels}
    if REPEATED in trained.split:
        about["doses"] = splits.doses(trained.split, points)
    batches = measure_batches(
        encoder,
        batches_of_file(snakemake.input.images, points, device=device),
        layers=layers,
        augmentation=for_encoder(AUGMENTATIONS[protocol.pop("augmentation")], encoder),
        normalise=trained.normalise,
        protocol=Protocol(**protocol),
        seed=stream("measure", seed),
        device=device,
    )
    trainings = {trained.role: params.trainings[trained.role]}
    record = provenance.record(output, weights=trained.weights, trainings=trainings, settings=params.views)
    measures.save(output, about | about_layers(layers, encoder), map(by_point, batches), record)


if "snakemake" in globals():
    main(snakemake)
