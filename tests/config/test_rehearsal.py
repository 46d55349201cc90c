"""The rehearsal has a stand-in for every entry of the paper's configuration, in the forms that the paper's have."""

import numpy as np
import pytest

from memloc.config import active
from memloc.data.preparing import prepare
from memloc.valuation.loading import load
from memloc.valuation.tables import TABLES
from tests.config.test_overlays import overlaid
from tools import make_stand_ins


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rehearsal")
    make_stand_ins.main(folder / "stand-ins")
    return folder


@pytest.fixture
def both(folder, monkeypatch):
    """The paper's configuration and the rehearsal's, as a run in a folder that holds the stand-ins reads them."""
    monkeypatch.chdir(folder)
    return overlaid("paper"), overlaid("paper", "rehearsal")


def test_every_entry_is_there_and_costs_next_to_nothing(both):
    paper, rehearsal = both
    assert rehearsal["device"] == "cpu"
    for part in ("datasets", "encoders"):
        assert rehearsal[part].keys() == paper[part].keys()
    assert active(rehearsal).keys() == active(paper).keys()
    for name, dataset in rehearsal["datasets"].items():
        assert dataset["path"].startswith("stand-ins/"), name
        same = ("image_size", "classes")
        assert [dataset.get(key) for key in same] == [paper["datasets"][name].get(key) for key in same]
        assert ("swapped" in dataset) == ("swapped" in paper["datasets"][name]), name
    for name, encoder in rehearsal["encoders"].items():
        model, split = paper["encoders"][name], rehearsal["datasets"][encoder["dataset"]]["split"]
        same = ("framework", "architecture", "dataset")
        assert [encoder[key] for key in same] == [model[key] for key in same], name
        assert all(encoder["recipe"][key] == model["recipe"][key] for key in ("optimizer", "augmentation", "privacy"))
        assert len(encoder["seeds"]) == 1 and encoder["recipe"]["epochs"] <= 3, name
        assert sum(split[group] for group in ("shared", "candidate", "independent", "external")) <= 260, name
        small = encoder["network"].get("width", 0) < 1 and encoder["network"].get("depth", 0) <= 3
        assert small or encoder["architecture"] == "vgg19", name
    for name, experiment in active(rehearsal).items():
        assert experiment.keys() == active(paper)[name].keys() | {"rows", "counts"} & experiment.keys(), name
        assert experiment.get("learners", 0) <= 20 and experiment.get("images", 0) <= 40, name
        assert experiment.get("epochs", 0) <= 1 and max(experiment.get("steps", [0])) <= 4, name


def test_stand_ins_are_read_as_the_papers_images_are(both):
    for name, dataset in both[1]["datasets"].items():
        if "swapped" in dataset:
            continue
        keys = ("path", "classes", "image_size", "images")
        parts, description = prepare(dataset["source"], **{key: dataset.get(key) for key in keys})
        side, train = dataset["image_size"], parts["train"]
        assert parts["test"].images.shape[1:] == train.images.shape[1:] == (3, side, side)
        grey = (train.images == train.images[:, :1]).all(axis=(1, 2, 3))
        assert not grey.any(), name
        unlabelled = name == "stl10-unlabeled"
        assert (
            description["classes"] == [] if unlabelled else len(description["classes"]) == len(np.unique(train.labels))
        )
        assert (train.labels == -1).all() == unlabelled and (parts["test"].labels >= 0).all()


def test_openmls_tables_come_from_files_like_its_own(folder):
    fetched = {name for name, table in TABLES.items() if table.fetched}
    assert fetched == make_stand_ins.COLUMNS.keys()
    for name in fetched:
        table = load(name, str(folder / "stand-ins" / "openml"))
        # The row with a gap is left out, as are the words; of six classes two stay.
        rows, columns = table["x"].shape
        assert columns == make_stand_ins.COLUMNS[name] and 100 < rows < make_stand_ins.ROWS, name
        assert np.unique(table["y"]).tolist() == [0, 1], name
