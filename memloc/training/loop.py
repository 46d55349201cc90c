"""Training one encoder: a plain loop that can stop anywhere and go on where it stopped."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memloc.data.augment import UNIFORMS, augment, hidden
from memloc.data.prepared import array_sha256
from memloc.errors import InputError
from memloc.job import log
from memloc.models import architectures as encoders
from memloc.models import checkpoint, frameworks
from memloc.models.frameworks.learner import Group, Learner, Views, augmentation_of, represent
from memloc.models.network import Normalise
from memloc.streams import stream
from memloc.training import privacy
from memloc.training.engine import open_fabric, synchronised
from memloc.training.optim import optimizer_of, set_rates

HELD = 2 << 30
"""Images of up to so many bytes are held in memory, on the device; more are read from disk, batch by batch."""


def build(settings: Mapping[str, Any], *, image_size: int, seed: int, role: str) -> nn.Module:
    """An encoder with its initial weights. ``untrained`` is f's start, and g's too where initialisation is shared."""
    alone = role == "g" and settings["initialisation"] == "own"
    torch.manual_seed(stream("init", seed, "g" if alone else "f"))
    return encoders.build(settings["architecture"], settings["network"], image_size=image_size)


def train(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    points: NDArray[np.int64],
    *,
    settings: dict[str, Any],
    description: dict[str, Any],
    seed: int,
    role: str,
    folder: Path,
    code: str = "",
    device: str = "cpu",
    save_every: float = 10.0,
) -> tuple[Learner, list[dict[str, float]], dict[str, Tensor]]:
    """Train an encoder on some points of images [n, c, h, w] uint8 with labels [n].

    Everything random is drawn from a stream named after the seed, the role and the epoch, so a run that goes on
    from a checkpoint ends in the same weights, bit for bit on CPU, as one that was never stopped. Several processes
    share every batch and its draws, so they follow the same curve as one.

    Args:
        settings: the encoder's entry in the configuration, complete.
        description: the prepared dataset's description.
        role: f, g or untrained (f's initial weights, with batch-norm statistics of its views).
        folder: where the unfinished run is kept, under a name made of all that determines it.
        code: hash of the code, so that a run isn't continued by other code.
        save_every: seconds between checkpoints, at least.

    Returns:
        The learner, its ``result()`` in eval mode; one record an epoch: epoch, loss, learning_rate and, where training
        is private, the epsilon spent so far; the encoder's state after each epoch of ``settings["snapshots"]``,
        tensors named ``<epoch>.<name>``. Of several processes only the first returns; the others end.

    Raises:
        InputError: the loss is no longer finite, or the kept run is damaged or not one of memloc's.
    """
    recipe, size = settings["recipe"], description["image_size"]
    fabric = open_fabric(settings["hardware"], device)
    encoder = build(settings, image_size=size, seed=seed, role=role)
    learner = frameworks.build(
        settings["framework"], encoder, classes=len(description["classes"]), recipe=recipe, image_size=size
    ).to(memory_format=torch.channels_last)
    if fabric.world_size > 1 and role != "untrained":
        learner = synchronised(learner, device=device)  # type: ignore[assignment]
    if settings["hardware"]["compile"]:
        learner.encoder.compile()
    optimizer = optimizer_of(learner, recipe)
    model, stepped = fabric.setup(learner, optimizer)
    data = _Images(images, labels, points, device=fabric.device)
    shown = _Viewer(data, learner.groups, Normalise(description), rank=fabric.global_rank, world=fabric.world_size)
    batch = min(recipe["batch_size"], len(points)) // fabric.world_size * fabric.world_size
    steps, epochs = len(points) // batch, 0 if role == "untrained" else recipe["epochs"]
    total = epochs * steps
    account = (
        privacy.Account.of(recipe["privacy"], rate=batch / len(points), steps=total) if recipe["privacy"] else None
    )
    identity = {
        "settings": {key: value for key, value in settings.items() if key not in ("seeds", "measure")},
        "dataset": description["sha256"]["train"],
        "points": array_sha256(points),
        "seed": seed,
        "role": role,
        "code": code,
    }
    # Images whose gradients are held at a time: many of them where starting a kernel takes longer than running it.
    chunk = 256 if device == "cuda" else 16
    kept = _Kept(folder, learner, optimizer, identity)
    history = kept.load(epochs)
    learner.train()
    began = saved = time.monotonic()
    first, pause = len(history), save_every
    for epoch in range(first, epochs):
        draws = torch.Generator().manual_seed(stream("epoch", seed, role, epoch))
        torch.manual_seed(stream("learner", seed, role, epoch))
        losses = torch.zeros((), device=fabric.device)
        for step, rows in enumerate(_batches(len(points), batch, draws, private=account is not None), epoch * steps):
            rate = set_rates(optimizer, recipe, step, steps=total, warmup=recipe["warmup_epochs"] * steps)
            views, targets = shown(rows, draws)
            stepped.zero_grad()
            if account is None:
                loss = model(views, targets, step / total)
                fabric.backward(loss)
                learner.before_update(epoch)
                if recipe["clip"] is not None:
                    fabric.clip_gradients(model, stepped, max_norm=recipe["clip"])
            else:
                loss = privacy.private_gradients(
                    learner, views, targets, step / total, account=account, expected=batch, generator=draws, chunk=chunk
                )
            stepped.step()
            learner.after_update((step + 1) / total)
            losses += loss.detach()
        mean = float(fabric.all_reduce(losses, reduce_op="mean")) / steps
        if not math.isfinite(mean):
            raise _diverged(f"loss is {mean} in epoch {epoch + 1}", recipe, kept.path)
        history.append({"epoch": epoch + 1, "loss": mean, "learning_rate": rate})
        if account is not None:
            history[-1]["epsilon"] = account.spent((epoch + 1) * steps)
        if epoch + 1 in settings["snapshots"] and fabric.is_global_zero:
            kept.save_snapshot(epoch + 1)
        now = time.monotonic()
        if now - saved >= pause or epoch == first or epoch + 1 == epochs:
            done = epoch + 1 - first
            speed = done * steps * batch * sum(group.count for group in learner.groups) / (now - began)
            left = (epochs - epoch - 1) * (now - began) / done
            log.info(
                "epoch %d/%d  loss %.4f  %s views/s  %d:%02d left",
                *(epoch + 1, epochs, mean, f"{speed:,.0f}", *divmod(round(left), 60)),
            )
            if fabric.is_global_zero:
                kept.save(history)
            saved = time.monotonic()
            # A large network takes long to write: no more than a twentieth of the time goes into it.
            pause = max(save_every, 20 * (saved - now)) if save_every else 0.0
    fabric.barrier()
    if not fabric.is_global_zero:
        raise SystemExit(0)
    result = learner.result()
    with torch.no_grad():
        few = torch.arange(min(100, len(points)))
        if not torch.isfinite(result.eval()(shown.plain(few))).all():
            raise _diverged("outputs are no longer finite", recipe, kept.path)
    if role == "untrained":
        one = Group(1, augmentation_of(recipe, result), size)
        _calibrate(result, _Viewer(data, (one,), shown.normalise), seed)
    learner.eval()
    return learner, history, kept.snapshots(settings["snapshots"] if epochs else [])


def _batches(n: int, batch: int, draws: torch.Generator, *, private: bool) -> Iterator[Tensor]:
    """Rows of each step of an epoch: a random order in equal parts, or each drawn on its own, as privacy asks for."""
    if private:
        yield from (privacy.poisson(n, batch / n, draws) for _ in range(n // batch))
    else:
        yield from torch.split(torch.randperm(n, generator=draws)[: n // batch * batch], batch)


class _Images:
    """Chosen points of a dataset, given out by row on a device."""

    def __init__(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], points: NDArray[np.int64], *, device: torch.device
    ) -> None:
        self.images, self.points, self.device = images, points, device
        self.labels = torch.from_numpy(np.array(labels[points])).to(device)
        small = len(points) * images[0].nbytes <= HELD
        self.held = torch.from_numpy(np.array(images[points])).to(device) if small else None

    def __call__(self, rows: Tensor) -> Tensor:
        """Images [n, c, h, w] in [0, 1]."""
        if self.held is not None:
            return self.held[rows.to(self.device)].float().div_(255)
        chosen = torch.from_numpy(np.array(self.images[self.points[rows.numpy()]]))
        return chosen.to(self.device).float().div_(255)


class _Viewer:
    """What a step shows the learner: this process's share of a batch."""

    def __init__(
        self, data: _Images, groups: tuple[Group, ...], normalise: Normalise, *, rank: int = 0, world: int = 1
    ) -> None:
        self.data, self.groups, self.normalise, self.rank, self.world = data, groups, normalise, rank, world

    def __call__(self, rows: Tensor, draws: torch.Generator) -> tuple[list[Views], Tensor]:
        """Views of each group, and labels. Numbers are drawn for the whole batch, so processes share one stream."""
        mine = slice(self.rank * len(rows) // self.world, (self.rank + 1) * len(rows) // self.world)
        images, out = self.data(rows[mine]), []
        for group in self.groups:
            u = torch.rand(group.count, len(rows), UNIFORMS, generator=draws)[:, mine].flatten(0, 1).to(images.device)
            seen = augment(images.repeat(group.count, 1, 1, 1), u, group.augmentation, size=group.size)
            covered = hidden(u, group.augmentation, group.size) if group.augmentation.mask else None
            out.append(Views(self.normalise(seen), covered))
        return out, self.data.labels[rows[mine].to(images.device)]

    def plain(self, rows: Tensor) -> Tensor:
        """Images as they are, standardised."""
        return self.normalise(self.data(rows))


def columns(settings: Mapping[str, Any]) -> list[str]:
    """What the records of a training hold, in this order."""
    return ["epoch", "loss", "learning_rate", *(["epsilon"] if settings["recipe"]["privacy"] else [])]


def clear(folder: Path) -> None:
    """Remove what unfinished runs left, once an encoder is saved."""
    for path in (*folder.glob("resume-*.safetensors"), *folder.glob(".resume-*.safetensors")):
        path.unlink()


def _diverged(what: str, recipe: Mapping[str, Any], resume: Path) -> InputError:
    kept = f"the last good checkpoint is kept: {resume}" if resume.exists() else "nothing was saved"
    rate, decay = recipe["learning_rate"], recipe["weight_decay"]
    return InputError(f"{what}: learning_rate {rate} (or weight_decay {decay}) is too high; lower it ({kept})")


CALIBRATION_PASSES = 5


def _calibrate(encoder: nn.Module, shown: _Viewer, seed: int) -> None:
    """Give an encoder that was never trained the batch-norm statistics of its own views.

    With those it starts from (mean 0, variance 1) normalisation would do nothing in eval mode, and its deep layers
    would follow their biases: no null for an encoder whose statistics are those of its data.
    """
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        module.momentum = None  # The plain average over all batches.
        module.reset_running_stats()
    draws = torch.Generator().manual_seed(stream("calibrate", seed))
    n = len(shown.data.labels)
    with torch.no_grad():
        encoder.train()
        for _ in range(CALIBRATION_PASSES if norms else 0):
            for rows in torch.chunk(torch.randperm(n, generator=draws), max(1, n // 100)):
                represent(encoder, shown(rows, draws)[0][0])


class _Kept:
    """The unfinished run on disk."""

    def __init__(
        self, folder: Path, learner: Learner, optimizer: torch.optim.Optimizer, identity: dict[str, Any]
    ) -> None:
        self.learner, self.optimizer, self.identity = learner, optimizer, identity
        self.path = folder / f"resume-{stream(json.dumps(identity, sort_keys=True)):016x}.safetensors"
        self.previous, self.damaged = self.path.with_suffix(".previous.safetensors"), False

    def save(self, history: list[dict[str, float]]) -> None:
        """Weights, the optimizer's state and the records so far, in one file that is whole or not there."""
        # Renamed first: no more than two are ever on disk, and one of them is whole at any moment.
        if self.path.exists() and not self.damaged:
            self.path.replace(self.previous)
        tensors = {f"model.{name}": tensor for name, tensor in self.learner.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items() if value is not None}
        checkpoint.save(tensors, {"identity": self.identity, "history": history}, self.path)
        self.damaged = False

    def save_snapshot(self, epoch: int) -> None:
        """The encoder as it is now, in a file that outlives this process, as the run itself does."""
        checkpoint.save(self.learner.result().state_dict(), {"identity": self.identity}, self._snapshot(epoch))

    def snapshots(self, epochs: list[int]) -> dict[str, Tensor]:
        """The encoders of ``save_snapshot``, each tensor's name behind its epoch."""
        try:
            states = {epoch: checkpoint.load(self._snapshot(epoch))[0] for epoch in epochs}
        except InputError as error:  # The epoch is over, and so are those after it.
            raise InputError(str(error).replace("delete it", f"delete {self.path.stem}* beside it")) from error
        return {f"{epoch}.{name}": tensor for epoch, state in states.items() for name, tensor in state.items()}

    def _snapshot(self, epoch: int) -> Path:
        return self.path.with_name(f"{self.path.stem}-epoch{epoch}.safetensors")

    def load(self, epochs: int) -> list[dict[str, float]]:
        """Go on from what is there, from the checkpoint before it if that is damaged; returns the records so far."""
        there = [path for path in (self.path, self.previous) if path.exists()]
        for path in there:
            try:
                tensors, about = checkpoint.load(path)
                break
            except InputError as error:
                self.damaged |= path == self.path
                told = str(error)
                if path == there[-1]:
                    both = f"{self.path.name} is damaged, too; delete both"
                    raise InputError(told.replace("delete it", both if len(there) > 1 else "delete it")) from error
                log.warning("%s", told.replace("delete it to start this encoder anew", "goes on from the one before"))
        else:
            return []
        if about.get("identity") != self.identity:
            raise InputError(f"{path}: belongs to another run; delete it to start this encoder anew")
        prefix = "model."
        model = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        checkpoint.restore(self.learner, model, path)
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                # Moments must lie in memory as their parameter does: a fused step walks both side by side.
                like = parameters[int(index)]
                placed = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
                state.setdefault(int(index), {})[key] = placed
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        history: list[dict[str, float]] = about["history"]
        log.info("continues after epoch %d of %d", len(history), epochs)
        return history
