"""Replacing layers of an encoder by another dataset's encoder's (paper, Tables 21 to 23, 25, 30, 32 and 33)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from torch import nn

from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments.desk import Desk, Outcomes
from memloc.job import log
from memloc.models import probe
from memloc.models.hybrids import normalisations, replaced
from memloc.models.network import Normalise
from memloc.streams import generator


def affine(base: nn.Module, donor: nn.Module, modules: Mapping[str, Sequence[str]]) -> dict[str, NDArray[np.float32]]:
    """By layer with a normalisation, scale and shift of the base's channels and of the donor's, [channels, 4]."""
    states = [encoder.state_dict() for encoder in (base, donor)]
    scales = {}
    for layer, parts in modules.items():
        names = [f"{name}.{tensor}" for name in normalisations(base, parts) for tensor in ("weight", "bias")]
        columns = [state[name].cpu().numpy() for state in states for name in names]
        if columns:
            scales[layer] = np.stack(columns, axis=1)
    return scales


class Arm(TypedDict):
    """Which layers one encoder has of the donor, and whether with their normalisations."""

    by: str
    count: int
    layers: str
    norms: str


def arms(layers: Sequence[str], counts: Sequence[int], *, norms: Sequence[str]) -> list[Arm]:
    """Settings of every encoder of the experiment: the base, the whole donor, every subset of layers of each size."""
    out: list[Arm] = [
        {"by": "base", "count": 0, "layers": "", "norms": "with"},
        {"by": "donor", "count": len(layers), "layers": " ".join(layers), "norms": "with"},
    ]
    return out + [
        {"by": "subset", "count": count, "layers": " ".join(subset), "norms": kind}
        for count in counts
        for subset in combinations(layers, count)
        for kind in norms
    ]


def draw_tested(part: Part, *, tested: int, dataset: str) -> Part:
    """Test images drawn from all of a dataset's, the same ones for every seed.

    Raises:
        InputError: there are too few.
    """
    if tested > len(part.labels):
        raise InputError(f"tested: {tested} images asked for, {dataset} has {len(part.labels)} to test on; lower it")
    rows = np.sort(generator("tested", dataset).choice(len(part.labels), size=tested, replace=False))
    return Part(np.asarray(part.images[rows]), part.labels[rows])


def probe_replaced(
    base: nn.Module,
    donor: nn.Module,
    tasks: Mapping[str, tuple[Part, Part]],
    *,
    modules: Mapping[str, Sequence[str]],
    counts: Sequence[int],
    normalise: Mapping[str, Normalise],
    blocks: bool = False,
    device: str = "cpu",
) -> Outcomes:
    """Replace every subset of layers, fit a new probe on each task and note which of its test points it gets right.

    Args:
        tasks: by dataset, the labelled images a probe is fitted on and those it is tested on, as many for each.
        modules: by layer, all that belongs to it.
        counts: numbers of layers to replace.
        normalise: by dataset, what standardises its images.
        blocks: what is called layers here are blocks (paper, Table 24), which are exchanged whole: none leaves its
            normalisations behind, and these aren't compared.

    Returns:
        The arms' settings, ``dataset`` and ``correct`` [arms, test points]; by layer, ``affine/<layer>``
        [channels, 4], scale and shift in the base and in the donor.
    """
    scales = {} if blocks else affine(base, donor, modules)
    # Without normalisations to leave behind the two ways are one.
    todo = arms(list(modules), counts, norms=("with", "without") if scales else ("with",))
    hybrid = copy.deepcopy(base)
    settings, marks = [], []
    for done, arm in enumerate(todo, start=1):
        names = [name for layer in str(arm["layers"]).split() for name in modules[layer]]
        # The whole donor has what belongs to no layer (embeddings, shortcuts), too.
        whole = arm["by"] == "donor"
        hybrid.load_state_dict(
            donor.state_dict() if whole else replaced(base, donor, names, norms=arm["norms"] == "with")
        )
        for dataset, (train, test) in tasks.items():
            right = probe.correct(
                probe.features(hybrid, train.images, normalise[dataset], device=device),
                train.labels,
                probe.features(hybrid, test.images, normalise[dataset], device=device),
                test.labels,
            )
            settings.append({**arm, "dataset": dataset})
            marks.append(right)
        if done == len(todo) or done % 20 == 1:
            log.info("%d/%d encoders with replaced layers probed", done, len(todo))
    return probe.describe(settings, marks) | {f"affine/{layer}": values for layer, values in scales.items()}


def run(desk: Desk) -> Outcomes:
    """Replace layers of one encoder by another's in every way the experiment asks for, and probe what comes out."""
    options, donor = desk.options, desk.donor
    tasks = {
        name: (train, draw_tested(test, tested=options["tested"], dataset=name))
        for name, (train, test) in desk.tasks.items()
    }
    blocks = options["by"] == "blocks"
    return probe_replaced(
        desk.encoder,
        donor,
        tasks,
        modules=desk.blocks if blocks else desk.parts,
        counts=options["counts"],
        normalise=desk.task_normalise,
        blocks=blocks,
        device=desk.device,
    )
