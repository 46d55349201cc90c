"""Fine-tuning chosen layers and a new head on a task that training never saw (paper, Table 5)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments.desk import Desk, Outcomes
from memloc.job import log
from memloc.measuring.points import crossed_profile
from memloc.metrics.alignment import increments
from memloc.models import probe
from memloc.models.network import Normalise
from memloc.streams import stream
from memloc.training.optim import schedule


class HeadRecipe(TypedDict):
    """How layers and a head are fine-tuned."""

    epochs: int
    batch_size: int
    learning_rate: float


def choose(profile: NDArray[np.float64], layers: Sequence[str], *, count: int, by: str) -> list[str]:
    """Layers to fine-tune: those of highest LayerMem increment, or the last ones.

    Args:
        profile: LayerMem of the layers, [layers]. The first has no increment and is never chosen by it.
        by: increment or last.
    """
    if by == "last":
        return list(layers[-count:])
    if by != "increment":
        raise ValueError(f"by {by!r} is neither increment nor last")
    order = np.argsort(-increments(profile)[1:], kind="stable") + 1
    return [layers[i] for i in sorted(order[:count])]


def finetune(
    encoder: nn.Module,
    modules: Sequence[str],
    train: Part,
    test: Part,
    *,
    recipe: HeadRecipe,
    normalise: Normalise,
    seed: int,
    device: str = "cpu",
) -> NDArray[np.bool_]:
    """Train the named modules and a new linear head, everything else frozen; which test points come out right, [n].

    Frozen layers stay in eval mode: their batch-norm statistics don't move either. All arms of a seed share the
    head's first weights and the order of images.

    Raises:
        InputError: it diverges.
    """
    torch.manual_seed(stream("head", seed))
    tuned = copy.deepcopy(encoder).to(device).eval()
    classes = int(train.labels.max()) + 1
    head = nn.Linear(encoder.dim, classes).to(device)  # type: ignore[arg-type]
    blocks = [tuned.get_submodule(name) for name in modules]
    for parameter in tuned.parameters():
        parameter.requires_grad_(False)
    for block in blocks:
        block.train().requires_grad_(True)
    trained = [*head.parameters(), *(p for block in blocks for p in block.parameters())]
    optimizer = torch.optim.Adam(trained, lr=recipe["learning_rate"], fused=True)
    pixels, labels = torch.from_numpy(train.images).to(device), torch.from_numpy(train.labels).to(device)
    batch = min(recipe["batch_size"], len(labels))
    steps = len(labels) // batch
    for epoch in range(recipe["epochs"]):
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(stream("finetune", seed, epoch)))
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            for group in optimizer.param_groups:
                total = recipe["epochs"] * steps
                group["lr"] = schedule(epoch * steps + step, total=total, warmup=0, peak=recipe["learning_rate"])
            logits = head(tuned(normalise(pixels[rows].float().div_(255))))
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits, labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    if not all(bool(torch.isfinite(p).all()) for p in trained):
        raise InputError(f"recipe.learning_rate: {recipe['learning_rate']} makes fine-tuning diverge; lower it")
    tuned.eval()
    with torch.no_grad():
        tested = probe.batches(test.images, normalise, size=250, device=device)
        predicted = torch.cat([head(tuned(x)).argmax(dim=1).cpu() for x in tested])
    return np.asarray(predicted.numpy() == test.labels)


def finetune_choices(
    encoder: nn.Module,
    profile: NDArray[np.float64],
    layers: Sequence[str],
    train: Part,
    test: Part,
    *,
    modules: Mapping[str, Sequence[str]],
    counts: list[int],
    subsets: bool,
    recipe: HeadRecipe,
    normalise: Normalise,
    seed: int,
    device: str = "cpu",
) -> Outcomes:
    """Fine-tune the head alone, then the chosen and the last k layers for every k in ``counts``.

    Args:
        modules: by layer, the modules to train.
        subsets: every other choice of k layers, too.
    """
    todo = [{"by": "head", "count": 0, "layers": ""}]
    for count in counts:
        for by in ("increment", "last"):
            chosen = choose(profile, layers, count=count, by=by)
            todo.append({"by": by, "count": count, "layers": " ".join(chosen)})
        if subsets:
            todo += [{"by": "subset", "count": count, "layers": " ".join(s)} for s in combinations(layers, count)]
    # Two arms of the same layers are one: all of a seed start from the same head and see images in the same order.
    tuned: dict[str, NDArray[np.bool_]] = {}
    for done, arm in enumerate(todo, start=1):
        names = str(arm["layers"])
        if names in tuned:
            continue
        chosen = [module for name in names.split() for module in modules[name]]
        tuned[names] = finetune(
            encoder, chosen, train, test, recipe=recipe, normalise=normalise, seed=seed, device=device
        )
        log.info("%d/%d fine-tuned: layers %s + head, accuracy %.3f", done, len(todo), names, tuned[names].mean())
    return probe.describe(todo, [tuned[str(arm["layers"])] for arm in todo])


def run(desk: Desk) -> Outcomes:
    """Fine-tune one encoder in every way the experiment asks for."""
    options, (task,) = desk.options, desk.tasks.values()
    layers, profile = crossed_profile(desk.scores)
    return finetune_choices(
        desk.encoder,
        profile,
        layers,
        *task,
        counts=options["counts"],
        subsets=options["subsets"],
        recipe=options["recipe"],
        modules=desk.parts,
        normalise=desk.normalise,
        seed=desk.seed,
        device=desk.device,
    )
