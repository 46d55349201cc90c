"""What a training reports, sent to TensorBoard, Weights & Biases or MLflow as well, by the loggers of Lightning Fabric.

It listens to the log of the job and has no hand in the training: weights are the same with it and without it, and
nothing is trained again for it.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from memloc.errors import InputError

REPORTS = "epoch %d/%d  loss"
"""How the message begins in which ``memloc.training.loop`` says how far it is: epoch, epochs, loss, views/s."""
NONE, TENSORBOARD, WANDB, MLFLOW = "none", "tensorboard", "wandb", "mlflow"


def check(kind: str) -> None:
    """Raise an InputError where the library behind ``training_log`` is missing. They are called as their kinds."""
    if kind != NONE and importlib.util.find_spec(kind) is None:
        raise InputError(f"config: training_log: {kind} isn't installed; pip install {kind}, or say training_log: none")


class Sender(logging.Handler):
    """Sends the reports of a job's trainings on, which follow one another; the log names a role as its training begins.

    Args:
        kind: tensorboard, wandb or mlflow.
        folder: where those that keep files put them.
        names: of the trainings, by role.
        settings: of the trainings, for the record.
    """

    def __init__(self, kind: str, folder: Path, names: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        super().__init__(logging.INFO)
        check(kind)
        self.kind, self.folder, self.names, self.settings = kind, folder, names, dict(settings)
        self.training = next(iter(names.values()))
        self.logger: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        """Send a report; other messages are not for here. What can't be sent is said, and the training continues."""
        if record.getMessage() in self.names:
            self.end()
            self.training = self.names[record.getMessage()]
        if not (isinstance(record.msg, str) and record.msg.startswith(REPORTS) and isinstance(record.args, tuple)):
            return
        epoch, _, loss, speed, *_ = record.args
        try:
            if self.logger is None:
                self.logger = _open(self.kind, self.folder, self.training)
                self.logger.log_hyperparams(self.settings)
            self.logger.log_metrics({"loss": loss, "views_per_second": float(str(speed).replace(",", ""))}, step=epoch)
        except Exception as error:  # A service that is down must not end a training.
            logging.getLogger("memloc").warning("training_log: epoch %s could not be sent: %s", epoch, error)

    def end(self) -> None:
        """End the record of the training that was sent last. What can't be ended is said."""
        logger, self.logger = self.logger, None
        if logger is None:
            return
        try:
            logger.finalize("success")
            if self.kind == WANDB:
                logger.experiment.finish()
        except Exception as error:
            logging.getLogger("memloc").warning("training_log: %s could not be ended: %s", self.training, error)

    def close(self) -> None:
        """Called when the process ends."""
        self.end()
        super().close()


def _open(kind: str, folder: Path, name: str) -> Any:
    """A logger of Fabric's interface; each asks its own environment variables for servers and keys."""
    if kind == TENSORBOARD:
        logger = import_module("lightning_fabric.loggers").TensorBoardLogger
        return logger(folder / TENSORBOARD, name=name, version="", default_hp_metric=False)
    # Not by import statements: every job imports this module, and only trainings need these libraries.
    loggers = import_module("pytorch_lightning.loggers")
    folder.mkdir(parents=True, exist_ok=True)
    if kind == WANDB:
        return loggers.WandbLogger(name=name, project="memloc", save_dir=folder)
    server = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{(folder / 'mlflow.db').absolute()}")
    return loggers.MLFlowLogger("memloc", run_name=name, tracking_uri=server)
