"""Trainings that are killed, continued, and find damaged or foreign files."""

import shutil
import types

import numpy as np
import pytest
import torch

from memloc.errors import InputError
from memloc.models import checkpoint
from memloc.models.frameworks import FRAMEWORKS
from memloc.training import loop, unfinished, views
from memloc.training.optim import OPTIMIZERS
from tests.builders.trainings import Killed, kill_after, kill_in, same

COLOUR = np.random.default_rng(0).integers(0, 256, size=(24, 3, 16, 16), dtype=np.uint8), np.arange(24) % 3


@pytest.mark.parametrize(
    ("framework", "recipe", "data"),
    [
        *((framework, {}, None) for framework in FRAMEWORKS),
        *(("simclr", {"optimizer": optimizer}, None) for optimizer in OPTIMIZERS if optimizer != "adam"),
        *((framework, {"architecture": "vit-tiny"}, COLOUR) for framework in ("simclr", "dino", "mae")),
        ("mae", {"privacy": {"epsilon": 4.0, "delta": 1e-3, "clip": 0.5}, "clip": None}, None),
    ],
)
def test_a_run_that_was_killed_ends_in_the_same_weights_bit_for_bit(resumed, framework, recipe, data):
    whole, again = resumed(framework, recipe={"weight_decay_end": 0.1, "clip": 1.0, **recipe}, data=data)
    assert same(whole.learner, again.learner)
    assert again.history == whole.history and [record["epoch"] for record in whole.history] == [1, 2, 3, 4]


def test_a_run_killed_within_an_epoch_more_than_once_ends_in_the_same_weights(run, monkeypatch, tmp_path):
    whole = run(folder=tmp_path / "a")
    for call in (5, 2, 4):  # Three steps an epoch: in epoch 2, in epoch 2 again, in epoch 3.
        with monkeypatch.context() as patch:
            kill_in(patch, call)
            with pytest.raises(Killed):
                run(folder=tmp_path / "b")
    again = run(folder=tmp_path / "b")
    assert same(whole.encoder, again.encoder) and again.history == whole.history


@pytest.mark.parametrize("epochs", [3, 4])
def test_only_the_epochs_that_are_left_are_done(run, monkeypatch, epochs):
    with monkeypatch.context() as patch:
        kill_after(patch, epochs)
        with pytest.raises(Killed):
            run()
    calls, original = [], views.augment
    monkeypatch.setattr(views, "augment", lambda *args, **options: calls.append(1) or original(*args, **options))
    assert len(run().history) == 4
    assert len(calls) == 3 * (4 - epochs)  # Three steps an epoch.


# Snapshots


def test_a_snapshot_is_the_encoder_that_a_shorter_run_of_the_same_steps_ends_with(run, monkeypatch, tmp_path):
    # At a constant rate the first epochs of a long run are those of a short one.
    monkeypatch.setattr("memloc.training.optim.schedule", lambda step, *, total, warmup, peak: peak)
    long = run(entry={"snapshots": [1, 3, 4]}, folder=tmp_path / "long")
    short = {epochs: run(recipe={"epochs": epochs}, folder=tmp_path / str(epochs)) for epochs in (1, 3)}
    assert all(run.snapshots == {} for run in short.values())
    expected = {
        f"{epochs}.{name}": tensor
        for epochs, run in {**short, 4: long}.items()
        for name, tensor in run.encoder.state_dict().items()
    }
    assert long.snapshots.keys() == expected.keys()
    assert all(torch.equal(long.snapshots[name], tensor) for name, tensor in expected.items())


def test_snapshots_of_a_run_that_was_killed_are_the_same_and_cleared_at_the_end(resumed, tmp_path):
    whole, again = (run.snapshots for run in resumed(entry={"snapshots": [1, 3]}))
    assert whole.keys() == again.keys() and all(torch.equal(whole[name], again[name]) for name in whole)
    assert any(not torch.equal(whole[name], whole[name.replace("1.", "3.", 1)]) for name in whole if name[:2] == "1.")
    folder = tmp_path / "killed"
    (folder / "weights.safetensors").write_text("of the trained encoder")
    unfinished.clear(folder)
    assert [path.name for path in folder.iterdir()] == ["weights.safetensors"]


def test_an_untrained_encoder_has_no_snapshots(run):
    assert run(entry={"snapshots": [1]}, role="untrained").snapshots == {}


def test_a_damaged_snapshot_says_which_files_to_delete(run, tmp_path):
    options = {"recipe": {"epochs": 2}, "entry": {"snapshots": [1]}, "folder": tmp_path}
    run(**options)
    damage(next(tmp_path.glob("*-epoch1.safetensors")))
    with pytest.raises(InputError, match="not a complete checkpoint") as caught:
        run(**options)
    message = str(caught.value)
    assert "-epoch1.safetensors: " in message and "* beside it to start this encoder anew" in message
    pattern = message.partition("delete ")[2].partition(" ")[0]
    for path in tmp_path.glob(pattern):
        path.unlink()
    assert run(**options).snapshots


# Runs of another identity

OTHERS = {
    "seed": {"seed": 1},
    "role": {"role": "g"},
    "code": {"code": "x"},
    "recipe": {"recipe": {"learning_rate": 2e-3}},
    "framework": {"framework": "supervised"},
    "points": {"points": np.arange(1, 23)},
    "images": {"data": (COLOUR[0][:, :1], COLOUR[1])},
}


@pytest.mark.parametrize("name", OTHERS)
def test_an_unfinished_run_of_another_identity_is_not_continued(run, tmp_path, name):
    alone = run(folder=tmp_path / "alone", **OTHERS[name])
    run(folder=tmp_path / "both")
    beside = run(folder=tmp_path / "both", **OTHERS[name])
    assert same(alone.encoder, beside.encoder)
    assert len(list((tmp_path / "both").glob("resume-*"))) == 4


def test_a_file_of_another_identity_under_this_one_s_name_is_refused(run, tmp_path):
    run()
    run(seed=1, folder=tmp_path / "other")
    shutil.copy(files(tmp_path / "other")[0], files(tmp_path / "unfinished")[0])
    with pytest.raises(InputError, match="belongs to another run; delete it"):
        run()


# Damaged files


def die(tensors, file, metadata):
    raise Killed


def damage(path):
    path.write_bytes(path.read_bytes()[:-100])


def files(folder):
    """The newest checkpoint and the one before it."""
    (newest,) = (path for path in folder.glob("resume-*") if ".previous" not in path.name)
    return newest, newest.with_suffix(".previous.safetensors")


@pytest.mark.parametrize("cut", ["truncated", "altered", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_it_and_says_so(run, monkeypatch, tmp_path, caplog, cut):
    whole = run(folder=tmp_path / "a")
    with monkeypatch.context() as patch:
        kill_after(patch, 3)
        with pytest.raises(Killed):
            run(folder=tmp_path / "b")
    newest, previous = files(tmp_path / "b")
    data = newest.read_bytes()
    newest.write_bytes({"truncated": data[:-100], "altered": data[:-1] + bytes([data[-1] ^ 1]), "empty": b""}[cut])
    assert len(checkpoint.load(previous)[1]["history"]) == 2
    monkeypatch.setattr(unfinished.log, "propagate", True)
    caplog.clear()
    with caplog.at_level("INFO", logger="memloc"), monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", die)
        with pytest.raises(Killed):
            run(folder=tmp_path / "b")
    warned, continued, *_ = (record.getMessage() for record in caplog.records)
    assert str(newest) in warned and warned.endswith("continues from the one before") and "\n" not in warned
    assert continued == "continues after epoch 2 of 4"
    # The damaged one didn't take its place before the next was written.
    assert len(checkpoint.load(previous)[1]["history"]) == 2
    again = run(folder=tmp_path / "b")
    assert same(whole.encoder, again.encoder) and again.history == whole.history
    assert [len(checkpoint.load(path)[1]["history"]) for path in files(tmp_path / "b")] == [4, 3]


def test_if_both_checkpoints_are_damaged_one_line_names_both(run, tmp_path):
    run()
    newest, previous = files(tmp_path / "unfinished")
    damage(newest)
    damage(previous)
    with pytest.raises(InputError, match="not a complete checkpoint") as caught:
        run()
    message = str(caught.value)
    assert str(previous) in message and f"{newest.name} is damaged, too; delete both to start" in message
    assert "\n" not in message
    for path, other in ((newest, previous), (previous, newest)):
        bytes_of_other = other.read_bytes()
        other.unlink()
        with pytest.raises(InputError, match=r"not a complete checkpoint .*; delete it to start this encoder anew"):
            run()
        assert path.exists()
        other.write_bytes(bytes_of_other)


def test_a_run_killed_between_two_checkpoints_continues_from_the_older(run, monkeypatch, tmp_path):
    whole = run(folder=tmp_path / "a")
    for attribute in (None, "save_file"):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, attribute, die) if attribute else kill_after(patch, 2)
            with pytest.raises(Killed):
                run(folder=tmp_path / "b")
    assert [path.suffixes[-2:] for path in (tmp_path / "b").iterdir()] == [[".previous", ".safetensors"]]
    again = run(folder=tmp_path / "b")
    assert same(whole.encoder, again.encoder) and again.history == whole.history


def test_no_more_than_two_checkpoints_are_on_disk_at_a_time(run, monkeypatch, tmp_path):
    counts, original = [], checkpoint.save_file

    def save_file(tensors, file, metadata):
        original(tensors, file, metadata)
        counts.append(len(list((tmp_path / "unfinished").iterdir())))

    monkeypatch.setattr(checkpoint, "save_file", save_file)
    run()
    assert counts == [1, 2, 2, 2]


@pytest.mark.parametrize(
    ("epoch_takes", "write_takes", "save_every", "expected"),
    [
        # The first and the last epoch in any case.
        (1.0, 0.0, 0.0, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (1.0, 0.0, 3.0, [1, 4, 7, 9]),
        (1.0, 0.0, 100.0, [1, 9]),
        # Writing takes 0.25 s: 5 s go by before it is done again, however short the pause is set.
        (1.0, 0.25, 2.0, [1, 6, 9]),
        (1.0, 0.125, 6.0, [1, 7, 9]),
        (1.0, 1.0, 0.0, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_checkpoints_come_as_often_as_set_but_take_no_more_than_a_twentieth_of_the_time(
    run, monkeypatch, epoch_takes, write_takes, save_every, expected
):
    """By a clock that only epochs and writing move."""
    now, saved, original = [0.0], [], loop.batches

    def batches(*args, **options):
        yield from original(*args, **options)
        now[0] += epoch_takes

    def save(self, history):
        saved.append(len(history))
        now[0] += write_takes

    monkeypatch.setattr(loop, "batches", batches)
    monkeypatch.setattr(unfinished.Unfinished, "save", save)
    monkeypatch.setattr(loop, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    run(recipe={"epochs": 9, "batch_size": 24}, save_every=save_every)
    assert saved == expected
