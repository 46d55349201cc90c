"""Jobs that use labelled images beside an encoder: none of those that it, or its counterpart, was trained on."""

import importlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from memloc.io import save_array, save_arrays

N = 20
SPLIT = {"shared": [0, 1], "candidate": [2, 3], "independent": [7, 8], "external": [12, 13]}
FREE = sorted(set(range(N)) - {point for group in SPLIT.values() for point in group})


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Runs a script's main on a dataset whose labels are the numbers of its points; encoders are nobody's."""

    def go(name, *, role="f", inputs=None, outputs=None, **params):
        script = importlib.import_module(f"scripts.{name}")
        save_arrays({group: np.array(points) for group, points in SPLIT.items()}, tmp_path / "split.npz")
        for dataset in ("here", "there"):
            folder = tmp_path / dataset
            folder.mkdir(exist_ok=True)
            (folder / "dataset.json").write_text(json.dumps({"image_size": 4, "mean": [0.5], "std": [0.5]}))
            for part in ("train", "test"):
                save_array(np.zeros((N, 1, 4, 4), dtype=np.uint8), folder / f"{part}_images.npy")
                save_array(np.arange(N), folder / f"{part}_labels.npy")
        monkeypatch.setattr(script.job, "start", lambda _: None)
        monkeypatch.setattr(script.network, "of_job", lambda *_, **__: (None, None))
        files = {"split": tmp_path / "split.npz", **(inputs or {})}
        script.main(
            SimpleNamespace(
                params=SimpleNamespace(dataset="here", device="cpu", **params),
                input=SimpleNamespace(**files),
                output=SimpleNamespace(**(outputs or {})),
                wildcards=SimpleNamespace(seed="0", role=role),
            )
        )

    return go


@pytest.mark.parametrize("role", ["f", "g"])
def test_public_images_of_label_inference_are_in_no_group(start, tmp_path, monkeypatch, role):
    given = []

    def infer(encoder, images, labels, public, **_):
        given.append(public)
        return np.zeros((len(labels), N)), np.zeros(len(labels), dtype=bool)

    monkeypatch.setattr("memloc.experiments.dejavu.job.infer", infer)
    files = {"images": tmp_path / "here" / "train_images.npy"}
    out = tmp_path / "witness.npz"
    # As many as there are in no group: all of them, and nothing else.
    options = {"public": len(FREE), "crop": 0.35, "neighbours": 3}
    start("infer_labels", role=role, inputs=files, outputs={"witness": out}, **options)
    assert sorted(given[0].labels.tolist()) == FREE
    with np.load(out) as kept:
        told = {group: sorted(kept["points"][kept["groups"] == group].tolist()) for group in set(kept["groups"])}
        assert told == {group: points for group, points in SPLIT.items() if group != "shared"}
        assert kept["chance"].tolist() == [0] * 6  # No public image has the label of a judged one.


@pytest.mark.parametrize(("task", "expected"), [("here", FREE), ("there", list(range(N)))])
def test_fine_tuning_on_the_encoders_own_dataset_leaves_its_groups_out(start, tmp_path, monkeypatch, task, expected):
    given = []
    monkeypatch.setattr(
        "memloc.experiments.finetuning.job.run",
        lambda encoder, profile, layers, train, test, **_: given.append(train) or {},
    )
    monkeypatch.setattr("memloc.measuring.points.crossed_profile", lambda _: (["1"], np.zeros(1)))
    monkeypatch.setattr("memloc.analysis.tables.load_table", lambda _: None)
    monkeypatch.setattr("memloc.io.save_arrays", lambda *_: None)
    files = {"task": tmp_path / task / "dataset.json", "points": "points", "weights": "f"}
    options = {"counts": [1], "subsets": False, "recipe": {}, "modules": {}, "task": task, "images": len(expected)}
    start("finetune_layers", inputs=files, outputs={"outcomes": tmp_path / "out.npz"}, **options)
    assert sorted(given[0].labels.tolist()) == expected
