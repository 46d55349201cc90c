"""Training one encoder: a plain loop that can stop anywhere and go on where it stopped."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memloc import checkpoint
from memloc.augment import RECIPES, UNIFORMS, augment
from memloc.encoders import ENCODERS
from memloc.encoders.resnet9 import ResNet9
from memloc.errors import InputError
from memloc.frameworks import FRAMEWORKS
from memloc.job import log
from memloc.network import Normalise
from memloc.prepared import array_sha256
from memloc.streams import stream

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


def build(encoder: str, width: float, *, seed: int, role: str) -> ResNet9:
    """An encoder with its initial weights. f and g start from different ones; ``untrained`` is f's start."""
    torch.manual_seed(stream("init", seed, "f" if role == "untrained" else role))
    return ENCODERS[encoder].build(width)


def train(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    settings: dict[str, Any],
    description: dict[str, Any],
    seed: int,
    role: str,
    folder: Path,
    code: str = "",
    device: str = "cpu",
    save_every: float = 10.0,
) -> tuple[ResNet9, list[dict[str, float]]]:
    """Train an encoder on images [n, c, h, w] uint8 with labels [n].

    Everything random is drawn from a stream named after the seed, the role and the epoch, so a run that goes on
    from a checkpoint ends in the same weights, bit for bit on CPU, as one that was never stopped.

    Args:
        settings: the encoder's entry in the configuration.
        description: the prepared dataset's description.
        role: f, g or untrained (f's initial weights, with batch-norm statistics of its views).
        folder: where the unfinished run is kept, under a name made of all that determines it.
        code: hash of the code, so that a run isn't continued by other code.
        save_every: seconds between checkpoints.

    Returns:
        The encoder in eval mode and one record an epoch: epoch, loss, learning_rate.

    Raises:
        InputError: the loss is no longer finite, or the kept run is damaged or not one of memloc's.
    """
    recipe = settings["recipe"]
    framework = FRAMEWORKS[settings["framework"]]
    encoder = build(settings["architecture"], settings["width"], seed=seed, role=role)
    head = framework.build(encoder.dim, len(description["classes"]), recipe)
    model = nn.ModuleDict({"encoder": encoder, "head": head})
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    options = {"momentum": 0.9} if recipe["optimizer"] == "sgd" else {}
    optimizer = OPTIMIZERS[recipe["optimizer"]](
        model.parameters(),
        lr=recipe["learning_rate"],
        weight_decay=recipe["weight_decay"],
        fused=True,
        **options,  # type: ignore[call-arg, arg-type]
    )
    batch = min(recipe["batch_size"], len(images))
    steps = len(images) // batch
    epochs = 0 if role == "untrained" else recipe["epochs"]
    total, warmup = epochs * steps, recipe["warmup_epochs"] * steps
    pixels = torch.from_numpy(np.array(images)).to(device)
    targets = torch.from_numpy(np.array(labels)).to(device)
    normalise, views = Normalise(description), framework.views
    augmentation = RECIPES[recipe["augmentation"]]
    identity = {
        "settings": {key: value for key, value in settings.items() if key != "seeds"},
        "dataset": description["sha256"]["train"],
        "images": array_sha256(images, labels),
        "seed": seed,
        "role": role,
        "code": code,
    }

    resume = folder / f"resume-{stream(json.dumps(identity, sort_keys=True)):016x}.safetensors"
    history: list[dict[str, float]] = []
    if resume.exists():
        history = _load(resume, model, optimizer, identity)
        log.info("continues after epoch %d of %d", len(history), epochs)
    model.train()
    began = saved = time.monotonic()
    first = len(history)
    for epoch in range(first, epochs):
        draws = torch.Generator().manual_seed(stream("epoch", seed, role, epoch))
        torch.manual_seed(stream("dropout", seed, role, epoch))
        order = torch.randperm(len(images), generator=draws)
        losses = torch.zeros((), device=device)
        for step in range(steps):
            rate = schedule(epoch * steps + step, total=total, warmup=warmup, peak=recipe["learning_rate"])
            for group in optimizer.param_groups:
                group["lr"] = rate
            rows = order[step * batch : (step + 1) * batch].to(device)
            u = torch.rand(views * len(rows), UNIFORMS, generator=draws).to(device)
            seen = pixels[rows].float().div_(255).repeat(views, 1, 1, 1)
            loss = head(encoder(normalise(augment(seen, u, augmentation))), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses += loss.detach()
        mean = losses.item() / steps
        if not math.isfinite(mean):
            raise _diverged(f"loss is {mean} in epoch {epoch + 1}", recipe["learning_rate"], resume)
        history.append({"epoch": epoch + 1, "loss": mean, "learning_rate": rate})
        now = time.monotonic()
        if now - saved >= save_every or epoch == first or epoch + 1 == epochs:
            done = epoch + 1 - first
            speed = done * steps * batch * views / (now - began)
            left = (epochs - epoch - 1) * (now - began) / done
            log.info(
                "epoch %d/%d  loss %.4f  %s views/s  %d:%02d left",
                *(epoch + 1, epochs, mean, f"{speed:,.0f}", *divmod(round(left), 60)),
            )
            _save(resume, model, optimizer, identity, history)
            saved = now
    with torch.no_grad():
        if not torch.isfinite(encoder.eval()(normalise(pixels[:batch].float().div_(255)))).all():
            raise _diverged("outputs are no longer finite", recipe["learning_rate"], resume)
    if role == "untrained":
        encoder.train()
        _calibrate(encoder, pixels, lambda seen, u: normalise(augment(seen.float().div_(255), u, augmentation)), seed)
    return encoder.eval(), history


def clear(folder: Path) -> None:
    """Remove what unfinished runs left, once an encoder is saved."""
    for path in folder.glob("resume-*.safetensors"):
        path.unlink()


def _diverged(what: str, rate: float, resume: Path) -> InputError:
    kept = f"the last good checkpoint is kept: {resume}" if resume.exists() else "nothing was saved"
    return InputError(f"{what}: learning_rate {rate} is too high for this recipe; lower it ({kept})")


CALIBRATION_PASSES = 5


def _calibrate(encoder: ResNet9, pixels: Tensor, view: Callable[[Tensor, Tensor], Tensor], seed: int) -> None:
    """Give an encoder that was never trained the batch-norm statistics of its own views.

    With those it starts from (mean 0, variance 1) normalisation would do nothing in eval mode, and its deep layers
    would follow their biases: no null for an encoder whose statistics are those of its data.
    """
    draws = torch.Generator().manual_seed(stream("calibrate", seed))
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # The plain average over all batches.
            module.reset_running_stats()
    with torch.no_grad():
        for _ in range(CALIBRATION_PASSES):
            for rows in torch.chunk(torch.randperm(len(pixels), generator=draws), max(1, len(pixels) // 100)):
                u = torch.rand(len(rows), UNIFORMS, generator=draws)
                encoder(view(pixels[rows.to(pixels.device)], u.to(pixels.device)))


def schedule(step: int, *, total: int, warmup: int, peak: float) -> float:
    """Learning rate at a step: linear warm-up to ``peak``, then half a cosine to zero (paper, Table 9)."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def _save(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    identity: dict[str, Any],
    history: list[dict[str, float]],
) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items() if value is not None}
    checkpoint.save(tensors, {"identity": identity, "history": history}, path)


def _load(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, identity: dict[str, Any]
) -> list[dict[str, float]]:
    tensors, about = checkpoint.load(path)
    if about.get("identity") != identity:
        raise InputError(f"{path}: belongs to another run; delete it to start this encoder anew")
    prefix = "model."
    checkpoint.restore(model, {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}, path)
    parameters = list(model.parameters())
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            # Moments must lie in memory as their parameter does: a fused step walks both side by side.
            like = parameters[int(index)]
            placed = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
            state.setdefault(int(index), {})[key] = placed
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    history: list[dict[str, float]] = about["history"]
    return history
