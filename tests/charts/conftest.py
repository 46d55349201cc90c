"""Suites and models that several tests of charts share."""

import pytest

from memloc.charts.models import build, open_model
from memloc.charts.reading import open_suite
from tests.builders.charts import write_suite


@pytest.fixture(scope="session")
def suite(tmp_path_factory):
    """A few charts of one and two marks."""
    return open_suite(write_suite(tmp_path_factory.mktemp("charts") / "suite", train=20, test=8))


@pytest.fixture(scope="session")
def single(tmp_path_factory):
    """Charts of one mark at one of seven places, with which a tiny model is trained in seconds."""
    folder = tmp_path_factory.mktemp("single") / "suite"
    return open_suite(write_suite(folder, train=60, test=24, counts=(1,), sides=(2, 5, 7), colours=("red",)))


SHAPE = build.Shape(width=32, tower=2, decoder=2, heads=2)
STEPS = {"tower": build.Schedule(40, batch=30, rate=4e-3), "decoder": build.Schedule(260, batch=40, rate=1e-2)}


@pytest.fixture(scope="session")
def trained(single, tmp_path_factory):
    """A model that answers position items of ``single`` rightly."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    build.train(single, single.choose(tasks=["position"], split="train"), folder, shape=SHAPE, **STEPS)
    return open_model(folder)
