"""An unfinished training on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memloc.errors import InputError
from memloc.job import log
from memloc.models import checkpoint
from memloc.models.frameworks.learner import Learner
from memloc.streams import stream

History = list[dict[str, float]]
"""One record an epoch."""


class Unfinished:
    """Checkpoints of one training: the newest, the one before it, and snapshots of the encoder.

    Args:
        identity: all that determines the training, ready for JSON; files are named after its hash.
    """

    def __init__(
        self, folder: Path, learner: Learner, optimizer: torch.optim.Optimizer, identity: Mapping[str, object]
    ) -> None:
        self.learner, self.optimizer, self.identity = learner, optimizer, identity
        self.path = folder / f"resume-{stream(json.dumps(identity, sort_keys=True)):016x}.safetensors"
        self.previous, self.damaged = self.path.with_suffix(".previous.safetensors"), False

    def save(self, history: History) -> None:
        """Write weights, the optimizer's state and the records so far to one file, whole or not at all."""
        # Renamed first: no more than two are ever on disk, and one of them is whole at any moment.
        if self.path.exists() and not self.damaged:
            self.path.replace(self.previous)
        tensors = {f"model.{name}": tensor for name, tensor in self.learner.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items() if value is not None}
        checkpoint.save(tensors, {"identity": self.identity, "history": history}, self.path)
        self.damaged = False

    def save_snapshot(self, epoch: int) -> None:
        """Write the encoder as it is now to a file that outlives this process."""
        checkpoint.save(self.learner.result().state_dict(), {"identity": self.identity}, self._snapshot(epoch))

    def snapshots(self, epochs: Iterable[int]) -> dict[str, Tensor]:
        """The encoders of ``save_snapshot``, tensors named ``<epoch>.<name>``."""
        try:
            states = {epoch: checkpoint.load(self._snapshot(epoch))[0] for epoch in epochs}
        except InputError as error:  # The epoch is over, and so are those after it.
            raise InputError(str(error).replace("delete it", f"delete {self.path.stem}* beside it")) from error
        return {f"{epoch}.{name}": tensor for epoch, state in states.items() for name, tensor in state.items()}

    def _snapshot(self, epoch: int) -> Path:
        return self.path.with_name(f"{self.path.stem}-epoch{epoch}.safetensors")

    def load(self) -> History:
        """Continue from the newest checkpoint that is whole, if there is one; returns the records so far.

        Raises:
            InputError: every checkpoint is damaged, or the newest belongs to another training.
        """
        tensors, about, path = self._newest()
        if path is None:
            return []
        if about.get("identity") != self.identity:
            raise InputError(f"{path}: belongs to another run; delete it to start this encoder anew")
        prefix = "model."
        model = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        checkpoint.restore(self.learner, model, path)
        self._restore_optimizer(tensors)
        history: History = about["history"]
        return history

    def _newest(self) -> tuple[dict[str, Tensor], dict[str, Any], Path | None]:
        """Tensors, description and path of the newest checkpoint that is whole."""
        paths = [path for path in (self.path, self.previous) if path.exists()]
        for path in paths:
            try:
                return *checkpoint.load(path), path
            except InputError as error:
                self.damaged |= path == self.path
                message = str(error)
                if path == paths[-1]:
                    both = f"{self.path.name} is damaged, too; delete both"
                    raise InputError(message.replace("delete it", both if len(paths) > 1 else "delete it")) from error
                instead = "continues from the one before"
                log.warning("%s", message.replace("delete it to start this encoder anew", instead))
        return {}, {}, None

    def _restore_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
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


def clear(folder: Path) -> None:
    """Remove what unfinished trainings left, once the encoder is saved."""
    for path in (*folder.glob("resume-*.safetensors"), *folder.glob(".resume-*.safetensors")):
        path.unlink()
