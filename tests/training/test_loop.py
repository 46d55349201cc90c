import math
import shutil
import types
from itertools import pairwise

import numpy as np
import pytest
import torch

from memloc.data.augment import UNIFORMS, augment
from memloc.data.augmentations import AUGMENTATIONS
from memloc.data.prepared import array_sha256
from memloc.errors import InputError
from memloc.models import checkpoint
from memloc.models.frameworks import FRAMEWORKS
from memloc.training import loop as train
from memloc.training.optim import schedule


@pytest.fixture
def run(tmp_path, toy, settings, description):
    """Trains one encoder on toy images; keyword arguments replace what is usual."""

    def go(*, recipe=None, framework="simclr", n=24, folder=None, data=None, **changes):
        images, labels = data or toy(n)
        sums = {"train": array_sha256(images, labels)}
        options = {"settings": settings(framework, **(recipe or {})), "description": description | {"sha256": sums}}
        options |= {"role": "f", "seed": 0, "folder": folder or tmp_path / "unfinished", "save_every": 0.0, **changes}
        learner, history, _ = train.train(images, labels, np.arange(len(images)), **options)
        return learner.result(), history

    return go


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def same_weights(a, b):
    """Without the statistics of batch norms, which aren't learnt."""
    pairs = zip(a.named_parameters(), b.named_parameters(), strict=True)
    return all(n == m and torch.equal(x, y) for (n, x), (m, y) in pairs)


class Killed(BaseException):
    pass


def kill_after(monkeypatch, epochs):
    """The process dies right after the checkpoint of an epoch is written."""
    original = train._Kept.save

    def save(self, history):
        original(self, history)
        if len(history) == epochs:
            raise Killed

    monkeypatch.setattr(train._Kept, "save", save)


def kill_in(monkeypatch, call):
    """The process dies in the middle of a step: at some call of the augmentation."""
    original, calls = train.augment, []

    def augment(*args, **options):
        calls.append(1)
        if len(calls) == call:
            raise Killed
        return original(*args, **options)

    monkeypatch.setattr(train, "augment", augment)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "lars"])
@pytest.mark.parametrize("framework", ["simclr", "supervised"])
def test_a_run_that_was_killed_ends_in_the_same_weights_bit_for_bit(run, monkeypatch, tmp_path, framework, optimizer):
    recipe = {"optimizer": optimizer, "epochs": 5}
    whole, records = run(recipe=recipe, framework=framework, folder=tmp_path / "a")
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            run(recipe=recipe, framework=framework, folder=tmp_path / "b")
    again, continued = run(recipe=recipe, framework=framework, folder=tmp_path / "b")
    assert same(whole, again)
    assert continued == records and [r["epoch"] for r in records] == [1, 2, 3, 4, 5]


def test_a_run_killed_within_an_epoch_more_than_once_ends_in_the_same_weights(run, monkeypatch, tmp_path):
    whole, records = run(folder=tmp_path / "a")
    for call in (5, 2, 4):  # three steps an epoch: in epoch 2, in epoch 2 again, in epoch 3
        with monkeypatch.context() as patch:
            kill_in(patch, call)
            with pytest.raises(Killed):
                run(folder=tmp_path / "b")
    again, continued = run(folder=tmp_path / "b")
    assert same(whole, again) and continued == records


def test_a_finished_run_is_not_trained_again(run, monkeypatch):
    whole, records = run()
    with monkeypatch.context() as patch:
        kill_in(patch, 1)
        again, kept = run()
    assert same(whole, again) and kept == records


def test_a_run_continued_does_only_what_is_left(run, monkeypatch):
    with monkeypatch.context() as patch:
        kill_after(patch, 3)
        with pytest.raises(Killed):
            run()
    calls = []
    original = train.augment
    monkeypatch.setattr(train, "augment", lambda *args, **options: calls.append(1) or original(*args, **options))
    run()
    assert len(calls) == 3  # one epoch of three steps


def snapshots_of(folder, images, labels, description, *, settings, role="f"):
    about = description | {"sha256": {"train": array_sha256(images, labels)}}
    made = {"settings": settings, "description": about, "seed": 0, "role": role, "folder": folder, "save_every": 0.0}
    return train.train(images, labels, np.arange(24), **made)


def test_a_snapshot_is_the_encoder_that_a_shorter_run_of_the_same_steps_ends_with(
    tmp_path, toy, settings, description, monkeypatch
):
    # At a constant rate the first epochs of a long run are those of a short one.
    monkeypatch.setattr("memloc.training.optim.schedule", lambda step, *, total, warmup, peak: peak)
    options = (*toy(24), description)
    long = settings(epochs=4) | {"snapshots": [1, 3, 4]}
    learner, _, kept = snapshots_of(tmp_path / "long", *options, settings=long)
    states = {1: None, 3: None, 4: learner.result().state_dict()}
    for epochs in (1, 3):
        short, _, none = snapshots_of(tmp_path / str(epochs), *options, settings=settings(epochs=epochs))
        states[epochs] = short.result().state_dict()
        assert none == {}
    expected = {f"{epoch}.{name}": tensor for epoch, state in states.items() for name, tensor in state.items()}
    assert kept.keys() == expected.keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in expected.items())


def test_snapshots_of_a_run_that_was_killed_are_the_same_and_cleared_at_the_end(
    tmp_path, toy, settings, description, monkeypatch
):
    options, long = (*toy(24), description), settings(epochs=4) | {"snapshots": [1, 3]}
    _, _, whole = snapshots_of(tmp_path / "a", *options, settings=long)
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            snapshots_of(tmp_path / "b", *options, settings=long)
    _, _, again = snapshots_of(tmp_path / "b", *options, settings=long)
    assert whole.keys() == again.keys() and all(torch.equal(whole[name], again[name]) for name in whole)
    assert any(not torch.equal(whole[name], whole[name.replace("1.", "3.", 1)]) for name in whole if name[:2] == "1.")
    train.clear(tmp_path / "b")
    assert not list((tmp_path / "b").iterdir())


def test_an_untrained_encoder_has_no_snapshots(tmp_path, toy, settings, description):
    made = settings() | {"snapshots": [1]}
    assert snapshots_of(tmp_path, *toy(24), description, settings=made, role="untrained")[2] == {}


def test_same_seed_same_weights_other_seed_or_role_others(run, tmp_path):
    a, _ = run(folder=tmp_path / "a")
    b, _ = run(folder=tmp_path / "b")
    c, _ = run(seed=1)
    d, _ = run(role="g")
    assert same(a, b) and not same(a, c) and not same(a, d)


def test_weights_do_not_depend_on_the_state_of_the_global_generator(run, tmp_path):
    a, _ = run(folder=tmp_path / "a")
    torch.manual_seed(12345)
    torch.rand(7)
    b, _ = run(folder=tmp_path / "b")
    assert same(a, b)


def test_untrained_is_fs_start_and_g_starts_elsewhere(run, monkeypatch, settings):
    untrained, records = run(role="untrained")
    assert records == [] and not untrained.training
    f, g = (train.build(settings(), image_size=16, seed=0, role=role) for role in ("f", "g"))
    assert same_weights(untrained, f) and not same_weights(f, g)
    starts = []
    original = train.build
    monkeypatch.setattr(train, "build", lambda *a, **k: starts.append(original(*a, **k)) or starts[-1])
    kill_in(monkeypatch, 1)
    with pytest.raises(Killed):
        run(role="f")
    assert same_weights(starts[0], untrained)


def test_f_and_g_start_alike_only_where_the_start_is_shared(settings):
    own, shared = settings(), settings() | {"initialisation": "shared"}
    assert own["initialisation"] == "own"
    built = {
        (start["initialisation"], role): train.build(start, image_size=16, seed=0, role=role)
        for start in (own, shared)
        for role in ("f", "g", "untrained")
    }
    assert same(built["shared", "g"], built["shared", "f"]) and not same_weights(built["own", "g"], built["own", "f"])
    for role in ("f", "untrained"):
        assert same(built["shared", role], built["own", role]) and same(built["own", role], built["own", "f"])
    assert not same_weights(built["shared", "g"], train.build(shared, image_size=16, seed=1, role="g"))


def test_encoders_that_start_alike_see_batches_and_views_of_their_own(settings, toy, description, tmp_path):
    images, labels = toy(24)
    shared = settings(epochs=1) | {"initialisation": "shared"}
    options = {"settings": shared, "description": description, "seed": 0, "folder": tmp_path}
    f, g = (train.train(images, labels, np.arange(24), role=role, **options)[0].result() for role in ("f", "g"))
    assert not same_weights(f, g)


def test_the_learner_comes_back_with_what_its_framework_added(settings, toy, description, tmp_path):
    images, labels = toy(24)
    options = {"settings": settings("dino"), "description": description, "folder": tmp_path}
    learner, *_ = train.train(images, labels, np.arange(24), seed=0, role="f", **options)
    assert learner.result() is learner.teacher["encoder"] and learner.result_head() is learner.teacher["head"]
    assert not any(module.training for module in learner.modules())
    start = train.build(settings("dino"), image_size=16, seed=0, role="f")
    assert not same_weights(learner.result(), start) and learner.additions()["loss.center"].abs().sum() > 0


def normalised(encoder, x):
    """What each batch norm puts out, by name, one row a channel."""
    seen = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.transpose(0, 1).flatten(1)}))
        for name, module in encoder.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    ]
    with torch.no_grad():
        encoder(x)
    for hook in hooks:
        hook.remove()
    return seen


def views_of(images, normalise, *, copies, seed):
    rng = torch.Generator().manual_seed(seed)
    u = torch.rand(copies * len(images), UNIFORMS, generator=rng)
    pixels = torch.from_numpy(images).float().div(255).repeat(copies, 1, 1, 1)
    return normalise(augment(pixels, u, AUGMENTATIONS["normal"]))


def test_an_untrained_encoder_has_the_statistics_of_its_views(run, toy, normalise, settings):
    images, labels = toy(200)
    encoder, _ = run(role="untrained", data=(images, labels))
    x = views_of(images, normalise, copies=5, seed=99)
    out = normalised(encoder, x)
    assert len(out) == 8
    for name, rows in out.items():
        assert rows.mean(dim=1).abs().max() < 0.15, name
        assert rows.var(dim=1).min() > 0.7 and rows.var(dim=1).max() < 1.4, name
    # Those it starts from are far from that.
    start = train.build(settings(), image_size=16, seed=0, role="untrained").eval()
    assert max(float((rows.var(dim=1) - 1).abs().max()) for rows in normalised(start, x).values()) > 0.5


def test_statistics_of_an_untrained_encoder_are_those_of_views_and_not_of_plain_images(run, toy, normalise):
    images, labels = toy(200)
    images = np.full_like(images, 255)  # Plain, every image is white; only jitter and crops' edges make a difference.
    encoder, _ = run(role="untrained", data=(images, labels))
    expected = encoder.block1.conv(views_of(images, normalise, copies=5, seed=98)).transpose(0, 1).flatten(1)
    plain = encoder.block1.conv(normalise(torch.from_numpy(images).float().div(255))).transpose(0, 1).flatten(1)
    got, scale = encoder.block1.norm.running_mean, expected.std(dim=1)
    assert ((got - expected.mean(dim=1)).abs() < 0.15 * scale).all()
    assert ((got - plain.mean(dim=1)).abs() > 0.2 * scale).any()


def test_an_untrained_encoder_is_the_same_every_time(run, tmp_path):
    a, _ = run(role="untrained", folder=tmp_path / "a")
    torch.manual_seed(12345)
    torch.rand(7)
    b, _ = run(role="untrained", folder=tmp_path / "b")
    c, _ = run(role="untrained", seed=1)
    assert same(a, b) and not same(a, c)


def test_an_untrained_encoder_of_another_framework_or_length_of_training_is_the_same(run):
    a, _ = run(role="untrained")
    b, _ = run(role="untrained", framework="supervised")
    c, _ = run(role="untrained", recipe={"epochs": 9})
    assert same(a, b) and same(a, c)


def test_encoders_come_back_in_eval_mode(run):
    assert not any(module.training for module in run()[0].modules())


@pytest.mark.parametrize("framework", ["simclr", "supervised"])
def test_the_loss_falls(run, framework):
    _, records = run(framework=framework, n=48, recipe={"epochs": 30, "batch_size": 16, "learning_rate": 5e-3})
    losses = [r["loss"] for r in records]
    assert np.mean(losses[-5:]) < 0.95 * np.mean(losses[:3])


def test_a_supervised_encoder_tells_its_training_classes_apart(run, toy, normalise):
    data = toy(48)
    recipe = {"epochs": 30, "batch_size": 16, "learning_rate": 5e-3, "augmentation": "weak"}
    encoder, _ = run(framework="supervised", data=data, recipe=recipe)
    with torch.no_grad():
        out = encoder(normalise(torch.from_numpy(data[0]).float() / 255)).numpy()
    means = np.stack([out[data[1] == c].mean(axis=0) for c in range(3)])
    nearest = np.linalg.norm(out[:, None] - means, axis=2).argmin(axis=1)
    assert (nearest == data[1]).mean() > 0.6


def test_the_first_losses_are_those_of_chance(run):
    _, records = run(framework="supervised", n=48, recipe={"epochs": 1, "warmup_epochs": 0, "learning_rate": 1e-9})
    assert records[0]["loss"] == pytest.approx(math.log(3), abs=0.8)
    _, records = run(n=48, recipe={"epochs": 1, "warmup_epochs": 0, "learning_rate": 1e-9, "batch_size": 16})
    # NT-Xent at temperature 0.5 lies within 2 / 0.5 of the logarithm of its 31 candidates.
    assert abs(records[0]["loss"] - math.log(31)) < 4


def test_a_loss_that_is_not_finite_is_an_input_error_and_the_checkpoint_is_kept(run, monkeypatch, tmp_path):
    folder = tmp_path / "unfinished"
    original, calls = train.augment, []

    def augment(*args, **options):
        calls.append(1)
        return original(*args, **options) * (math.nan if len(calls) > 6 else 1)

    with monkeypatch.context() as patch:
        patch.setattr(train, "augment", augment)
        with pytest.raises(InputError) as caught:
            run()
    message = str(caught.value)
    assert "nan" in message and "epoch 3" in message and "learning_rate 0.001" in message and "lower it" in message
    assert "\n" not in message
    tensors, about = checkpoint.load(kept_files(folder)[0])
    assert len(about["history"]) == 2 and all(torch.isfinite(t).all() for t in tensors.values())
    assert same(run()[0], run(folder=tmp_path / "fresh")[0])


def other_runs():
    return {
        "seed": {"seed": 1},
        "role": {"role": "g"},
        "code": {"code": "x"},
        "recipe": {"recipe": {"learning_rate": 2e-3}},
        "framework": {"framework": "supervised"},
        "points": {"n": 32},
    }


@pytest.mark.parametrize("name", list(other_runs()))
def test_a_kept_run_of_another_identity_is_not_continued(run, tmp_path, name):
    alone, _ = run(folder=tmp_path / "alone", **other_runs()[name])
    run(folder=tmp_path / "both")
    beside, _ = run(folder=tmp_path / "both", **other_runs()[name])
    assert same(alone, beside)
    assert len(list((tmp_path / "both").glob("resume-*"))) == 4


def test_a_kept_run_on_other_images_of_the_same_number_is_not_continued(run, tmp_path, toy, monkeypatch):
    other = toy(24, seed=9)
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            run(folder=tmp_path / "both")
    assert same(run(folder=tmp_path / "both", data=other)[0], run(folder=tmp_path / "alone", data=other)[0])


def test_a_resume_file_of_another_identity_under_this_ones_name_is_refused(run, tmp_path):
    folder = tmp_path / "unfinished"
    run()
    mine, _ = kept_files(folder)
    run(seed=1, folder=tmp_path / "other")
    foreign, _ = kept_files(tmp_path / "other")
    shutil.copy(foreign, mine)
    with pytest.raises(InputError, match="belongs to another run; delete it"):
        run()


def damage(path):
    path.write_bytes(path.read_bytes()[:-100])


def kept_files(folder):
    """The newest checkpoint and the one before it."""
    (newest,) = (path for path in folder.glob("resume-*") if ".previous" not in path.name)
    return newest, newest.with_suffix(".previous.safetensors")


@pytest.mark.parametrize("cut", ["truncated", "altered", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_it_and_says_so(run, monkeypatch, tmp_path, caplog, cut):
    whole, records = run(folder=tmp_path / "a")
    with monkeypatch.context() as patch:
        kill_after(patch, 3)
        with pytest.raises(Killed):
            run(folder=tmp_path / "b")
    newest, previous = kept_files(tmp_path / "b")
    data = newest.read_bytes()
    newest.write_bytes({"truncated": data[:-100], "altered": data[:-1] + bytes([data[-1] ^ 1]), "empty": b""}[cut])
    assert [len(checkpoint.load(previous)[1]["history"])] == [2]
    monkeypatch.setattr(train.log, "propagate", True)
    with caplog.at_level("INFO", logger="memloc"), monkeypatch.context() as patch:
        kill_in(patch, 1)
        with pytest.raises(Killed):
            run(folder=tmp_path / "b")
    warned, continued = (record.getMessage() for record in caplog.records)
    assert str(newest) in warned and warned.endswith("goes on from the one before") and "\n" not in warned
    assert continued == "continues after epoch 2 of 4"
    assert previous.exists()  # The damaged one doesn't take its place.
    again, kept = run(folder=tmp_path / "b")
    assert same(whole, again) and kept == records
    newest, previous = kept_files(tmp_path / "b")
    assert [len(checkpoint.load(path)[1]["history"]) for path in (newest, previous)] == [4, 3]


def test_where_both_checkpoints_are_damaged_one_line_names_both(run, tmp_path):
    run()
    newest, previous = kept_files(tmp_path / "unfinished")
    damage(newest)
    damage(previous)
    with pytest.raises(InputError, match="not a complete checkpoint") as caught:
        run()
    message = str(caught.value)
    assert str(previous) in message and f"{newest.name} is damaged, too; delete both to start" in message
    assert "\n" not in message
    newest.unlink()
    with pytest.raises(InputError, match="; delete it to start this encoder anew"):
        run()


def test_a_damaged_first_checkpoint_is_refused(run, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        kill_after(patch, 1)
        with pytest.raises(Killed):
            run()
    (mine,) = (tmp_path / "unfinished").iterdir()
    damage(mine)
    with pytest.raises(InputError, match=r"not a complete checkpoint .*; delete it to start this encoder anew"):
        run()


def test_a_run_killed_between_two_checkpoints_goes_on_from_the_older(run, monkeypatch, tmp_path):
    whole, records = run(folder=tmp_path / "a")

    def fail(tensors, file, metadata):
        raise Killed

    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            run(folder=tmp_path / "b")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", fail)
        with pytest.raises(Killed):
            run(folder=tmp_path / "b")
    assert [path.suffixes[-2:] for path in (tmp_path / "b").iterdir()] == [[".previous", ".safetensors"]]
    again, kept = run(folder=tmp_path / "b")
    assert same(whole, again) and kept == records


def test_no_more_than_two_checkpoints_are_on_disk_at_a_time(run, monkeypatch, tmp_path):
    most, original = [], checkpoint.save_file

    def save_file(tensors, file, metadata):
        original(tensors, file, metadata)
        most.append(len(list((tmp_path / "unfinished").iterdir())))

    monkeypatch.setattr(checkpoint, "save_file", save_file)
    run()
    assert most == [1, 2, 2, 2]


def test_a_damaged_snapshot_says_which_files_to_delete(tmp_path, toy, settings, description):
    options, made = (*toy(24), description), settings(epochs=2) | {"snapshots": [1]}
    snapshots_of(tmp_path, *options, settings=made)
    damage(next(tmp_path.glob("*-epoch1.safetensors")))
    with pytest.raises(InputError, match="not a complete checkpoint") as caught:
        snapshots_of(tmp_path, *options, settings=made)
    message = str(caught.value)
    assert "-epoch1.safetensors: " in message and "* beside it to start this encoder anew" in message
    pattern = message.partition("delete ")[2].partition(" ")[0]
    for path in tmp_path.glob(pattern):
        path.unlink()
    assert snapshots_of(tmp_path, *options, settings=made)[2]


def test_what_unfinished_runs_left_is_removed_and_nothing_else(run, tmp_path):
    run()
    folder = tmp_path / "unfinished"
    (folder / "weights.safetensors").write_text("mine")
    train.clear(folder)
    assert [p.name for p in folder.iterdir()] == ["weights.safetensors"]


def test_the_schedule_is_a_linear_warm_up_and_half_a_cosine():
    def rate(step):
        return schedule(step, total=110, warmup=10, peak=0.8)

    assert [rate(s) for s in (0, 4, 9)] == pytest.approx([0.08, 0.4, 0.8])
    assert [rate(s) for s in (10, 60, 110)] == pytest.approx([0.8, 0.4, 0.0])
    assert rate(35) == pytest.approx(0.4 * (1 + math.sqrt(0.5)))
    assert all(rate(s) > rate(s + 1) > 0 for s in range(10, 108))


def test_a_schedule_that_is_all_warm_up_ends_at_its_peak():
    rates = [schedule(s, total=5, warmup=5, peak=1.0) for s in range(5)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_the_recorded_learning_rates_follow_the_schedule(run):
    _, records = run()
    expected = [schedule(3 * e + 2, total=12, warmup=3, peak=1e-3) for e in range(4)]
    assert [r["learning_rate"] for r in records] == pytest.approx(expected)


# --- Every framework, and what a recipe may ask for -------------------------------------------------------------------


def resumed(run, monkeypatch, tmp_path, **options):
    """A whole run and one that was killed after its second epoch and continued, with their records."""
    whole, records = run(folder=tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            run(folder=tmp_path / "killed", **options)
    again, continued = run(folder=tmp_path / "killed", **options)
    return (whole, records), (again, continued)


@pytest.mark.parametrize("framework", list(FRAMEWORKS))
def test_every_framework_goes_on_where_it_was_killed_bit_for_bit(run, monkeypatch, tmp_path, framework, settings):
    recipe = {"weight_decay_end": 0.1, "clip": 1.0}
    start = train.build(settings(framework), image_size=16, seed=0, role="f")
    (whole, records), (again, continued) = resumed(run, monkeypatch, tmp_path, framework=framework, recipe=recipe)
    assert same(whole, again) and continued == records and len(records) == 4
    assert not same_weights(whole, start)


def test_transformers_go_on_where_they_were_killed_with_any_framework_and_three_channels(run, monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, size=(24, 3, 16, 16), dtype=np.uint8), np.arange(24) % 3
    for framework in ("simclr", "dino", "mae"):
        recipe = {"architecture": "vit-tiny"}
        where = tmp_path / framework
        (whole, _), (again, _) = resumed(run, monkeypatch, where, framework=framework, recipe=recipe, data=colour)
        assert same(whole, again), framework


def steps_of_sgd(run, monkeypatch, **recipe):
    """Norms of the gradients that an optimizer was given, step by step."""
    norms, original = [], torch.optim.SGD.step

    def step(self, *args, **options):
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.cat([g.flatten() for g in gradients]).norm()))
        return original(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", step)
        run(recipe={"optimizer": "sgd", "learning_rate": 1e-9, "epochs": 2, **recipe})
    return np.array(norms)


def test_no_step_has_a_gradient_longer_than_asked_for(run, monkeypatch, tmp_path):
    free = steps_of_sgd(run, monkeypatch)
    assert len(free) == 6 and free.min() > 0
    middle = float(np.median(free))
    # Steps of next to no length: every gradient is that of the free run, cut where it is longer.
    clipped = steps_of_sgd(run, monkeypatch, clip=middle)
    np.testing.assert_allclose(clipped, np.minimum(free, middle), rtol=1e-3)
    assert (clipped < free).any()
    np.testing.assert_allclose(steps_of_sgd(run, monkeypatch, clip=100 * free.max()), free, rtol=1e-3)


PRIVATE = {"epsilon": 4.0, "delta": 1e-3, "clip": 0.5}


def test_a_private_run_spends_what_it_was_given_and_goes_on_bit_for_bit(run, monkeypatch, tmp_path):
    options = {"framework": "mae", "recipe": {"privacy": PRIVATE}}
    (whole, records), (again, continued) = resumed(run, monkeypatch, tmp_path, **options)
    assert same(whole, again) and continued == records
    spent = [record["epsilon"] for record in records]
    assert len(spent) == 4 and spent[0] > 0 and all(a < b for a, b in pairwise(spent))
    assert 0.95 * PRIVATE["epsilon"] < spent[-1] <= PRIVATE["epsilon"]


def test_privacy_changes_the_weights_and_only_private_runs_have_an_epsilon(run, tmp_path):
    plain, records = run(framework="mae", folder=tmp_path / "plain")
    private, _ = run(framework="mae", recipe={"privacy": PRIVATE}, folder=tmp_path / "private")
    stricter, _ = run(framework="mae", recipe={"privacy": PRIVATE | {"epsilon": 1.0}}, folder=tmp_path / "private")
    assert not same_weights(plain, private) and not same_weights(private, stricter)
    assert all("epsilon" not in record for record in records)


@pytest.mark.parametrize("framework", ["simclr", "mae"])
def test_images_read_from_disk_give_the_weights_of_held_ones(run, monkeypatch, tmp_path, toy, framework):
    images, labels = toy(24)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    held, records = run(framework=framework, data=(images, labels), folder=tmp_path / "held")
    monkeypatch.setattr(train, "HELD", 0)
    read, again = run(framework=framework, data=(mapped, labels), folder=tmp_path / "read")
    assert same(held, read) and records == again


@pytest.mark.parametrize("held", [train.HELD, 0])
def test_rows_are_those_of_the_chosen_points(toy, monkeypatch, held):
    monkeypatch.setattr(train, "HELD", held)
    images, labels = toy(24)
    points = np.array([20, 3, 5, 11])
    chosen = train._Images(images, labels, points, device=torch.device("cpu"))
    assert (chosen.held is None) == (held == 0)
    assert chosen.labels.tolist() == labels[points].tolist()
    np.testing.assert_array_equal(chosen(torch.tensor([2, 0])).numpy(), images[[5, 20]].astype(np.float32) / 255)


def test_points_that_are_not_chosen_change_nothing(tmp_path, toy, settings, description):
    def weights(images, folder):
        options = {"settings": settings("supervised"), "description": description, "seed": 0, "role": "f"}
        return train.train(images, labels, np.arange(0, 48, 2), folder=tmp_path / folder, **options)[0].result()

    images, labels = toy(48)
    other = images.copy()
    other[1::2] = 255 - other[1::2]
    first = weights(images, "a")
    assert same(first, weights(other, "b"))
    other[0] = 255 - other[0]
    assert not same(first, weights(other, "c"))


def saved_epochs(run, monkeypatch, *, epoch_takes, write_takes, save_every):
    """Epochs after which a checkpoint is written, by a clock that only epochs and writing move."""
    now, saved = [0.0], []
    original = train._batches

    def batches(*args, **options):
        yield from original(*args, **options)
        now[0] += epoch_takes

    def save(self, history):
        saved.append(len(history))
        now[0] += write_takes

    with monkeypatch.context() as patch:
        patch.setattr(train, "_batches", batches)
        patch.setattr(train._Kept, "save", save)
        patch.setattr(train, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
        run(recipe={"epochs": 9, "batch_size": 24}, save_every=save_every)
    return saved


def test_checkpoints_come_as_often_as_asked_but_take_no_more_than_a_twentieth_of_the_time(run, monkeypatch):
    def saved(epoch, write, every):
        return saved_epochs(run, monkeypatch, epoch_takes=epoch, write_takes=write, save_every=every)

    # The first and the last epoch in any case.
    assert saved(1.0, 0.0, 0.0) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert saved(1.0, 0.0, 3.0) == [1, 4, 7, 9]
    assert saved(1.0, 0.0, 100.0) == [1, 9]
    # Writing takes 0.25 s: 5 s go by before it is done again, however short the pause asked for.
    assert saved(1.0, 0.25, 2.0) == [1, 6, 9]
    assert saved(1.0, 0.125, 6.0) == [1, 7, 9]
    assert saved(1.0, 1.0, 0.0) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
