"""Reports of trainings sent on: what is sent is what was trained, and sending changes nothing."""

import logging

import numpy as np
import pytest
import torch

from memloc import job, training_log
from memloc.data.prepared import array_sha256
from memloc.errors import InputError
from memloc.training.loop import train
from memloc.training.settings import Training

NAMES = {"f": "simclr/f/seed0", "g": "simclr/g/seed0"}


class Service:
    """Keeps what it is sent; draws random numbers, as some libraries do."""

    def __init__(self, down=False):
        self.down, self.sent, self.settings, self.ended = down, [], [], None

    def log_hyperparams(self, settings):
        self.settings.append(settings)

    def log_metrics(self, values, step):
        torch.rand(7), np.random.random(7)  # noqa: NPY002
        if self.down:
            raise ConnectionError("no route")
        self.sent.append((step, values))

    def finalize(self, status):
        self.ended = status


@pytest.fixture
def trained(toy, settings, description, tmp_path, monkeypatch):
    """Trains one tiny encoder, its reports sent to a service if there is one."""

    def go(service=None):
        images, labels = toy(24)
        about = description | {"sha256": {"train": array_sha256(images, labels)}}
        training = Training.of(settings(epochs=3))
        monkeypatch.setattr(training_log, "check", lambda kind: None)
        monkeypatch.setattr(training_log, "_open", lambda *where: service)
        sender = training_log.Sender("mlflow", tmp_path, NAMES, training.plain()) if service else None
        monkeypatch.setattr(job.log, "handlers", [sender] if sender else [])
        monkeypatch.setattr(job.log, "level", logging.INFO)
        folder = tmp_path / f"{service is not None}"
        options = {"training": training, "description": about, "seed": 0, "role": "f", "folder": folder}
        learner, history, _ = train(images, labels, np.arange(24), **options, save_every=0.0)
        if sender:
            sender.close()
        return learner.result().state_dict(), history

    return go


def test_every_report_arrives_and_the_weights_are_the_same(trained):
    service = Service()
    (weights, history), (plain, _) = trained(service), trained()
    assert [step for step, _ in service.sent] == [1, 2, 3]
    assert [values["loss"] for _, values in service.sent] == [record["loss"] for record in history]
    assert all(values["views_per_second"] > 0 for _, values in service.sent)
    assert len(service.settings) == 1 and service.settings[0]["framework"] == "simclr" and service.ended == "success"
    assert all(torch.equal(weights[name], plain[name]) for name in plain)


def test_a_service_that_is_down_is_said_and_ends_no_training(trained, caplog):
    _, history = trained(Service(down=True))
    assert len(history) == 3
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == [f"training_log: epoch {epoch} could not be sent: no route" for epoch in (1, 2, 3)]


def test_trainings_of_one_job_are_told_apart(monkeypatch, tmp_path):
    services, opened = [Service(), Service()], []

    def open_next(kind, folder, name):
        opened.append(name)
        return services[len(opened) - 1]

    monkeypatch.setattr(training_log, "check", lambda kind: None)
    monkeypatch.setattr(training_log, "_open", open_next)
    sender = training_log.Sender("mlflow", tmp_path, NAMES, {})
    log = logging.Logger("job", logging.INFO)
    log.addHandler(sender)
    for role, loss in (("f", 2.0), ("g", 1.0)):
        log.info("%s", role)
        log.info("epoch %d/%d  loss %.4f  %s views/s  %d:%02d left", 1, 1, loss, "1,234", 0, 0)
    sender.close()
    assert opened == list(NAMES.values())
    sent = [[(1, {"loss": loss, "views_per_second": 1234.0})] for loss in (2.0, 1.0)]
    assert [service.sent for service in services] == sent and all(service.ended for service in services)


def test_a_record_that_cannot_be_ended_is_said_and_ends_no_training(monkeypatch, tmp_path, caplog):
    service = Service()
    monkeypatch.setattr(service, "finalize", lambda status: 1 / 0)
    monkeypatch.setattr(training_log, "check", lambda kind: None)
    sender = training_log.Sender("mlflow", tmp_path, NAMES, {})
    for end in (lambda: sender.emit(logging.makeLogRecord({"msg": "g"})), sender.close):
        sender.logger = service
        end()
    assert [record.getMessage() for record in caplog.records] == [
        f"training_log: {NAMES[role]} could not be ended: division by zero" for role in "fg"
    ]


def test_a_missing_library_is_one_line(monkeypatch):
    monkeypatch.setattr(training_log.importlib.util, "find_spec", lambda name: None)
    training_log.check("none")
    with pytest.raises(InputError, match="training_log: mlflow isn't installed; pip install mlflow, or say"):
        training_log.check("mlflow")
