"""Training one encoder: a plain loop that can stop anywhere and continue where it stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memloc.data.prepared import array_sha256
from memloc.errors import InputError
from memloc.job import log
from memloc.models import architectures, frameworks
from memloc.models.calibration import calibrate
from memloc.models.frameworks.learner import Group, Learner, Views, augmentation_of
from memloc.models.network import Normalise
from memloc.streams import stream
from memloc.training import privacy
from memloc.training.engine import open_fabric, synchronised
from memloc.training.optim import optimizer_of, set_rates
from memloc.training.settings import Training
from memloc.training.unfinished import History, Unfinished
from memloc.training.views import Pixels, Viewer, batches

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CALIBRATION_PASSES = 5
"""How often an untrained encoder sees every image for its batch-norm statistics."""


class TrainingResult(NamedTuple):
    """What a training gives.

    Attributes:
        learner: in eval mode, and so is its ``result()``.
        history: one record an epoch, with the keys of ``columns``.
        snapshots: the encoder's state after each epoch of the training's ``snapshots``, tensors named
            ``<epoch>.<name>``.
    """

    learner: Learner
    history: History
    snapshots: dict[str, Tensor]


def columns(training: Training) -> list[str]:
    """Keys of a record, in order; epsilon is what the epochs so far have spent."""
    return ["epoch", "loss", "learning_rate", *(["epsilon"] if training.recipe.privacy else [])]


def build(training: Training, *, image_size: int, seed: int, role: str) -> nn.Module:
    """An encoder with its initial weights. ``untrained`` is f's start, and g's as well if initialisation is shared."""
    own = role == "g" and training.initialisation == "own"
    torch.manual_seed(stream("init", seed, "g" if own else "f"))
    return architectures.build(training.architecture, training.network, image_size=image_size)


def train(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    points: NDArray[np.int64],
    *,
    training: Training,
    description: dict[str, Any],
    seed: int,
    role: str,
    folder: Path,
    code: str = "",
    device: str = "cpu",
    save_every: float = 10.0,
) -> TrainingResult:
    """Train an encoder on some points of images [n, c, h, w] uint8 with labels [n].

    A point that is there several times is seen as often in every epoch.

    Everything random is drawn from a stream named after the seed, the role and the epoch, so a training that continues
    from a checkpoint ends in the same weights, bit for bit on CPU, as one that was never stopped. Several processes
    share every batch and its draws, so they follow the same curve as one; only the first returns, the others end.

    Args:
        description: of the prepared dataset.
        role: f, g or untrained (f's initial weights, with batch-norm statistics of its views).
        folder: where the unfinished training is kept.
        code: hash of the code, so that a training isn't continued by other code.
        save_every: least seconds between checkpoints.

    Raises:
        InputError: the loss is no longer finite, or the unfinished training is damaged or not one of memloc's.
    """
    fabric = open_fabric(training.hardware, device)
    learner = _learner(training, description, seed=seed, role=role, world=fabric.world_size, device=device)
    pixels = Pixels(images, labels, points, device=fabric.device)
    run = _Run(learner, training, pixels, Normalise(description), fabric, seed=seed, role=role)
    dataset = {"dataset": description["sha256"]["train"], "points": array_sha256(points)}
    identity = {"settings": training.plain(), **dataset, "seed": seed, "role": role, "code": code}
    unfinished = Unfinished(folder, learner, run.optimizer, identity)
    history = run.follow(unfinished, save_every=save_every)
    fabric.barrier()
    if not fabric.is_global_zero:
        raise SystemExit(0)
    run.finish(unfinished)
    return TrainingResult(learner, history, unfinished.snapshots(training.snapshots if run.epochs else ()))


def _learner(
    training: Training, description: Mapping[str, Any], *, seed: int, role: str, world: int, device: str
) -> Learner:
    """The module that is trained, with its initial weights."""
    recipe, size = training.recipe, description["image_size"]
    encoder = build(training, image_size=size, seed=seed, role=role)
    learner = frameworks.build(
        training.framework, encoder, classes=len(description["classes"]), recipe=recipe, image_size=size
    ).to(memory_format=torch.channels_last)
    if world > 1 and role != "untrained":
        learner = synchronised(learner, device=device)  # type: ignore[assignment]
    if training.hardware.compile:
        learner.encoder.compile()
    return learner


class _Run:
    """One training in one of its processes."""

    def __init__(
        self,
        learner: Learner,
        training: Training,
        pixels: Pixels,
        normalise: Normalise,
        fabric: Fabric,
        *,
        seed: int,
        role: str,
    ) -> None:
        self.learner, self.training, self.fabric, self.seed, self.role = learner, training, fabric, seed, role
        recipe, n = training.recipe, len(pixels)
        self.optimizer = optimizer_of(learner, recipe)
        self.model, self.stepped = fabric.setup(learner, self.optimizer)
        self.viewer = Viewer(pixels, learner.groups, normalise, rank=fabric.global_rank, world=fabric.world_size)
        self.batch = min(recipe.batch_size, n) // fabric.world_size * fabric.world_size
        self.steps, self.epochs = n // self.batch, 0 if role == "untrained" else recipe.epochs
        images = len(np.unique(pixels.points))
        if images < n:
            log.info("%d images, %d presentations in %d batches of %d", images, n, self.steps, self.batch)
        self.total = self.epochs * self.steps
        rate = self.batch / n
        self.account = privacy.Account.of(recipe.privacy, rate=rate, steps=self.total) if recipe.privacy else None

    def follow(self, unfinished: Unfinished, *, save_every: float) -> History:
        """Do the epochs that are left, with checkpoints on the way."""
        history = unfinished.load()
        if history:
            log.info("continues after epoch %d of %d", len(history), self.epochs)
        self.learner.train()
        began = saved = time.monotonic()
        first, pause = len(history), save_every
        for epoch in range(first, self.epochs):
            history.append(self.epoch(epoch))
            loss = history[-1]["loss"]
            if not math.isfinite(loss):
                raise self.diverged(f"loss is {loss} in epoch {epoch + 1}", unfinished)
            if epoch + 1 in self.training.snapshots and self.fabric.is_global_zero:
                unfinished.save_snapshot(epoch + 1)
            now = time.monotonic()
            if now - saved >= pause or epoch in (first, self.epochs - 1):
                self.report(epoch, loss, each=(now - began) / (epoch + 1 - first))
                if self.fabric.is_global_zero:
                    unfinished.save(history)
                saved = time.monotonic()
                # A large network takes long to write: no more than a twentieth of the time goes into it.
                pause = max(save_every, 20 * (saved - now)) if save_every else 0.0
        return history

    def epoch(self, epoch: int) -> dict[str, float]:
        """Do one epoch; returns its record."""
        draws = torch.Generator().manual_seed(stream("epoch", self.seed, self.role, epoch))
        torch.manual_seed(stream("learner", self.seed, self.role, epoch))
        losses = torch.zeros((), device=self.fabric.device)
        n, warmup = len(self.viewer.pixels), self.training.recipe.warmup_epochs * self.steps
        if self.account is None:
            order: Iterable[Tensor] = batches(self.viewer.pixels.points, self.batch, draws)
        else:  # DP-SGD draws every batch independently.
            order = (privacy.poisson(n, self.batch / n, draws) for _ in range(self.steps))
        for step, rows in enumerate(order, epoch * self.steps):
            rate = set_rates(self.optimizer, self.training.recipe, step, steps=self.total, warmup=warmup)
            losses += self.step(rows, draws, epoch=epoch, progress=step / self.total)
            self.learner.after_update((step + 1) / self.total)
        mean = float(self.fabric.all_reduce(losses, reduce_op="mean")) / self.steps
        record = {"epoch": epoch + 1, "loss": mean, "learning_rate": rate}
        if self.account is not None:
            record["epsilon"] = self.account.spent((epoch + 1) * self.steps)
        return record

    def step(self, rows: Tensor, draws: torch.Generator, *, epoch: int, progress: float) -> Tensor:
        """Do one step of the optimizer; returns the loss before it."""
        views, labels = self.viewer(rows, draws)
        self.stepped.zero_grad()
        if self.account is None:
            loss: Tensor = self.model(views, labels, progress)
            self.fabric.backward(loss)
            self.learner.before_update(epoch)
            if self.training.recipe.clip is not None:
                norm = self.training.recipe.clip
                # A norm that is no number makes the next loss none, and that is reported.
                self.fabric.clip_gradients(self.model, self.stepped, max_norm=norm, error_if_nonfinite=False)
        else:
            loss = privacy.private_gradients(
                self.learner,
                views,
                labels,
                progress,
                account=self.account,
                expected=self.batch,
                generator=draws,
                # Many images at a time where starting a kernel takes longer than running it.
                chunk=256 if self.fabric.device.type == "cuda" else 16,
            )
        self.stepped.step()
        return loss.detach()

    def report(self, epoch: int, loss: float, *, each: float) -> None:
        """Log how far the training is.

        Args:
            each: seconds that an epoch takes.
        """
        speed = self.steps * self.batch * sum(group.count for group in self.learner.groups) / each
        minutes, seconds = divmod(round((self.epochs - epoch - 1) * each), 60)
        log.info(
            "epoch %d/%d  loss %.4f  %s views/s  %d:%02d left",
            *(epoch + 1, self.epochs, loss, f"{speed:,.0f}", minutes, seconds),
        )

    def finish(self, unfinished: Unfinished) -> None:
        """Check the encoder's outputs, calibrate one that isn't trained, and switch to eval mode."""
        result, pixels = self.learner.result().eval(), self.viewer.pixels
        with torch.no_grad():
            if not torch.isfinite(result(self.viewer.plain(torch.arange(min(100, len(pixels)))))).all():
                raise self.diverged("outputs are no longer finite", unfinished)
        if self.role == "untrained":
            one = Group(1, augmentation_of(self.training.recipe, result), pixels.images.shape[-1])
            calibrate(result, _calibration(Viewer(pixels, (one,), self.viewer.normalise), self.seed))
        self.learner.eval()

    def diverged(self, what: str, unfinished: Unfinished) -> InputError:
        """What to tell a user whose recipe is too fast."""
        path, recipe = unfinished.path, self.training.recipe
        place = f"the last good checkpoint is kept: {path}" if path.exists() else "nothing was saved"
        rates = f"learning_rate {recipe.learning_rate} (or weight_decay {recipe.weight_decay})"
        return InputError(f"{what}: {rates} is too high; lower it ({place})")


def _calibration(viewer: Viewer, seed: int) -> Iterator[Views]:
    """Views of all images in batches of about 100, several times."""
    draws = torch.Generator().manual_seed(stream("calibrate", seed))
    n = len(viewer.pixels)
    for _ in range(CALIBRATION_PASSES):
        for rows in torch.chunk(torch.randperm(n, generator=draws), max(1, n // 100)):
            yield viewer(rows, draws)[0][0]
