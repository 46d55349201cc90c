import itertools
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from memloc import io
from memloc.errors import InputError
from memloc.measuring.protocol import Protocol
from memloc.metrics import units
from memloc.scoring import files
from memloc.scoring import run as running
from memloc.scoring.passes import Result
from memloc.scoring.plan import plan
from memloc.scoring.run import Shard, gather
from memloc.scoring.score import score
from memloc.scoring.stores import Store, others_median
from tests.builders.scoring import SETTINGS, SPLIT, WINDOW, Memory, Net, encoder, everything, scores

ABS = Protocol(draws=4, activation="abs")
MEDIAN = replace(SETTINGS, others="median")


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch):
    monkeypatch.setattr(running, "window_of", lambda size: WINDOW)


def same(one, other):
    """Tables of equal bits."""
    assert one.skipped == other.skipped
    for name in ("units", "tops", "layers", "points"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True)


@pytest.fixture(scope="module")
def whole():
    """Everything in one go, by what UnitMem compares with."""
    patch = pytest.MonkeyPatch()
    patch.setattr(running, "window_of", lambda size: WINDOW)
    yield {s.others: everything(s) for s in (SETTINGS, MEDIAN)}
    patch.undo()


class Stop:
    """Progress that interrupts at its n-th update, and counts updates and images."""

    def __init__(self, at=None):
        self.at, self.updates, self.total = at, 0, 0

    def update(self, n=1):
        self.updates, self.total = self.updates + 1, self.total + n
        if self.updates == self.at:
            raise KeyboardInterrupt


# --- Shards ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [SETTINGS, MEDIAN], ids=lambda s: s.others)
@pytest.mark.parametrize("of", [2, 5, 11])
def test_shards_in_any_number_and_order_give_the_bits_of_one_run(tmp_path, whole, settings, of):
    order = 1 + np.random.default_rng(of).permutation(of)
    for number in order.tolist():
        assert everything(settings, run={"shard": Shard(number, of), "folder": tmp_path}) is None
    progress = Stop()
    same(everything(settings, run={"folder": tmp_path, "progress": progress}), whole[settings.others])
    # Joined and not done again, also where there are more shards than windows.
    assert progress.updates == 7 and not list(tmp_path.glob("*-1of1.npz"))


def test_each_shard_reads_its_own_images_only(tmp_path):
    read = []
    for number in (1, 2, 3):
        images = Memory(60)
        passes = plan(encoder(), images, settings=SETTINGS)
        images.seen.clear()
        score(passes, settings=SETTINGS, shard=Shard(number, 3), folder=tmp_path)
        read.append(images.seen)
    assert set.union(*read) == {*range(60)} and sum(map(len, read)) == 60


@pytest.mark.parametrize("missing", ["absent", "unfinished"])
def test_incomplete_shards_are_not_joined(tmp_path, missing):
    for number in (1, 2):
        scores(encoder(), Memory(40), run={"shard": Shard(number, 2), "folder": tmp_path})
    passes = plan(encoder(), Memory(40), settings=SETTINGS)
    assert gather(passes["f-candidate"], SETTINGS, folder=tmp_path) is not None
    path = tmp_path / "f-candidate-2of2.npz"
    if missing == "absent":
        path.unlink()
    else:
        io.save_arrays({**io.load_arrays(path), "done": np.array(1)}, path)
    assert gather(passes["f-candidate"], SETTINGS, folder=tmp_path) is None
    progress = Stop()
    found = scores(encoder(), Memory(40), run={"folder": tmp_path, "progress": progress})
    assert progress.updates > 1
    pd.testing.assert_frame_equal(found.units, scores(encoder(), Memory(40)).units, check_exact=True)


def test_windows_of_shards_are_all_windows_once():
    for count, of in itertools.product((0, 1, 5, 12), (1, 2, 5, 13)):
        parts = [number for k in range(1, of + 1) for number in Shard(k, of).windows(count)]
        assert parts == list(range(count))


# --- Interruptions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [SETTINGS, MEDIAN], ids=lambda s: s.others)
@pytest.mark.parametrize("seed", range(4))
def test_an_interrupted_run_continues_to_the_same_bits(tmp_path, monkeypatch, whole, settings, seed):
    monkeypatch.setattr(running, "SAVE_EVERY", -1.0)
    rng = np.random.default_rng(seed)
    # There are about 30 updates in a run; each stop shortens the rest by two or more.
    for stop in (rng.integers(3, 15), rng.integers(3, 12)):
        with pytest.raises(KeyboardInterrupt):
            everything(settings, run={"folder": tmp_path, "progress": Stop(stop)})
    progress = Stop()
    same(everything(settings, run={"folder": tmp_path, "progress": progress}), whole[settings.others])
    passes = plan(encoder(0), Memory(60), settings=SETTINGS, against=encoder(1), split=SPLIT)
    assert progress.total == sum(len(p.rows) for p in passes.values())


@pytest.mark.parametrize("settings", [SETTINGS, MEDIAN], ids=lambda s: s.others)
def test_interrupted_shards_continue_and_join_to_the_same_bits(tmp_path, monkeypatch, whole, settings):
    monkeypatch.setattr(running, "SAVE_EVERY", -1.0)
    for number in (2, 1):
        run = {"shard": Shard(number, 2), "folder": tmp_path}
        with pytest.raises(KeyboardInterrupt):
            everything(settings, run={**run, "progress": Stop(4)})
        everything(settings, run=run)
    same(everything(settings, run={"folder": tmp_path}), whole[settings.others])


@pytest.mark.parametrize("settings", [SETTINGS, MEDIAN], ids=lambda s: s.others)
def test_windows_that_are_measured_together_are_counted_one_by_one(tmp_path, monkeypatch, whole, settings):
    """As on a GPU: several at a time, interrupted, go on where they were and join with those measured each alone."""
    monkeypatch.setitem(running.TOGETHER, "cpu", 3)
    monkeypatch.setattr(running, "SAVE_EVERY", -1)
    with pytest.raises(KeyboardInterrupt):
        everything(settings, run={"shard": Shard(1, 2), "folder": tmp_path, "progress": Stop(at=3)})
    assert everything(settings, run={"shard": Shard(1, 2), "folder": tmp_path}) is None
    monkeypatch.setitem(running.TOGETHER, "cpu", 1)
    assert everything(settings, run={"shard": Shard(2, 2), "folder": tmp_path}) is None
    joined = everything(settings, run={"folder": tmp_path})
    assert joined.skipped == whole[settings.others].skipped
    for name in ("units", "layers", "points"):
        pd.testing.assert_frame_equal(
            getattr(joined, name), getattr(whole[settings.others], name), rtol=1e-4, atol=1e-6
        )


def test_what_was_saved_is_not_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "SAVE_EVERY", -1.0)
    with pytest.raises(KeyboardInterrupt):
        scores(encoder(), Memory(40), run={"folder": tmp_path, "progress": Stop(4)})
    images = Memory(40)
    passes = plan(encoder(), images, settings=SETTINGS)
    images.seen.clear()
    score(passes, settings=SETTINGS, folder=tmp_path)
    # The fourth update is of the third window, which was not saved yet.
    assert images.seen == {*range(2 * WINDOW, 40)}


def test_without_a_save_all_is_done_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        scores(encoder(), Memory(40), run={"folder": tmp_path, "progress": Stop(4)})
    assert not list(tmp_path.rglob("*.npz"))


def test_skipped_images_are_remembered_across_a_resume(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "SAVE_EVERY", -1.0)
    bad = (9, 11, 33)  # Not among the first four, which every plan looks at.
    with pytest.raises(KeyboardInterrupt):
        scores(encoder(), Memory(40, bad=bad), run={"folder": tmp_path, "progress": Stop(4)})
    found = scores(encoder(), Memory(40, bad=bad), run={"folder": tmp_path})
    assert found.skipped == {f"{row}.png": f"bad {row}" for row in bad}
    assert not {*bad} & {*found.tops["image"]}


def test_a_file_of_activations_is_whole_or_not_there(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.mu.npy"
    with monkeypatch.context() as patch:
        patch.setattr(np, "full", full)
        with pytest.raises(OSError, match="No space"):
            Store(path, np.arange(200), 3)
    assert list(tmp_path.iterdir()) == []
    store = Store(path, np.arange(200), 3)
    assert store.mu.shape == (200, 3) and np.isnan(store.mu).all()
    store.put(np.ones((2, 3), dtype=np.float32), np.array([7, 150]))
    store.sync()
    again = np.load(path)
    assert np.flatnonzero(~np.isnan(again[:, 0])).tolist() == [7, 150]
    assert path.stat().st_blocks * 512 >= 200 * 3 * 4  # No holes, which a map could not fill on a full disk.


def test_a_median_looks_at_few_units_at_a_time_and_skips_unread_rows(monkeypatch):
    mu = np.random.default_rng(0).random((30, 5)).astype(np.float32)
    stores = [Store(None, rows, 5) for rows in (np.arange(10), np.arange(10, 31))]
    stores[0].put(mu[:10], np.arange(10))
    stores[1].put(mu[10:], np.arange(10, 30))  # Row 30 couldn't be read.
    assert np.array_equal(others_median(stores), units.median_of_others(mu.astype(np.float64)))
    chosen = np.array([2, 3, 11, 30])
    assert np.array_equal(others_median(stores, chosen), units.median_of_others(mu[[2, 3, 11]].astype(np.float64)))


# --- Plans -----------------------------------------------------------------------------------------------------------


def test_passes_of_one_encoder_a_null_and_a_pair():
    one = plan(encoder(), Memory(30), settings=SETTINGS)
    assert list(one) == ["f-candidate"] and not one["f-candidate"].alignment and one["f-candidate"].classes == 3
    null = plan(encoder(), Memory(30), external=Memory(20, seed=1), settings=SETTINGS)
    assert list(null) == ["f-candidate", "f-external", "untrained-candidate"]
    unknown = plan(encoder(untrained=None), Memory(30), external=Memory(20, seed=1), settings=SETTINGS)
    assert list(unknown) == ["f-candidate", "f-external"]
    pair = plan(encoder(0), Memory(60), against=encoder(1), split=SPLIT, settings=SETTINGS)
    roles = {"f-candidate", "f-independent", "f-external", "g-candidate", "g-independent", "g-external"}
    assert {*pair} == roles | {"untrained-candidate"}
    for name, task in pair.items():
        group = name.partition("-")[2]
        assert task.alignment == (name in roles) and task.units == (name[0] != "g" and group != "independent")
        assert [layer.name for layer in task.layers] == ["1", "2", "output"] and task.counts == (6, 8, 0)
        if name in roles:
            assert np.array_equal(task.rows, SPLIT[group])


def test_a_matched_subset_is_drawn_from_the_larger_set_and_the_untrained_sees_it():
    for n, m in ((30, 20), (20, 30), (25, 25)):
        passes = plan(encoder(), Memory(n), external=Memory(m, seed=1), settings=SETTINGS)
        inside, outside = passes["f-candidate"].matched, passes["f-external"].matched
        for rows, size, other in ((inside, n, m), (outside, m, n)):
            if size <= other:
                assert rows is None
            else:
                assert len({*rows.tolist()}) == other and (np.diff(rows) > 0).all() and rows.max() < size
        expected = np.arange(n) if inside is None else inside
        assert np.array_equal(passes["untrained-candidate"].rows, expected)


def test_an_untrained_encoder_is_reproducible_and_not_the_trained_one():
    states = []
    for seed in (0, 0, 1):
        torch.rand(3)  # Draws in between change nothing, dropout included.
        settings = replace(SETTINGS, seed=seed)
        passes = plan(encoder(5), Memory(30), external=Memory(20, seed=1), settings=settings)
        states.append(passes["untrained-candidate"].encoder.module.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["conv1.weight"], states[2]["conv1.weight"])
    assert not torch.equal(states[0]["conv1.weight"], encoder(5).module.conv1.weight)


def test_an_untrained_encoder_has_the_batch_norm_statistics_of_its_own_views():
    images = Memory(200)
    passes = plan(encoder(), images, external=Memory(20, seed=1), settings=SETTINGS)
    task = passes["untrained-candidate"]
    module = task.encoder.module
    assert not module.training and not any(m.training for m in module.modules())
    assert not torch.equal(module.norm1.running_var, torch.ones(6))
    every = replace(task, rows=np.arange(200), counts=(6, 8))
    seen = {}
    hooks = [
        module.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: seen.setdefault(name, []).append(out.detach())
        )
        for name in ("norm1", "norm2")
    ]
    running.run(every, SETTINGS, shard=Shard(), folder=None, progress=Stop())
    for hook in hooks:
        hook.remove()
    for outputs in seen.values():
        both = torch.cat(outputs)
        # Views of other draws and images than those of the calibration, so about and not exactly.
        assert both.mean(dim=(0, 2, 3)).abs().max() < 0.35
        variance = both.var(dim=(0, 2, 3))
        assert variance.min() > 0.6 and variance.max() < 1.6


class Plain(Net):
    """The same without batch norm."""

    def __init__(self, seed=0):
        super().__init__(seed)
        self.norm1, self.norm2 = nn.Identity(), nn.Identity()


def test_an_untrained_encoder_without_batch_norm_needs_no_calibration():
    images, f = Memory(30), encoder(untrained=lambda seed: Plain(seed).eval())
    passes = plan(f, images, external=Memory(20, seed=1), settings=SETTINGS)
    assert images.seen == {0, 1, 2, 3} and not passes["untrained-candidate"].encoder.module.training


# --- What can't be scored --------------------------------------------------------------------------------------------


def complaint(images, f=None, settings=SETTINGS, **chosen):
    with pytest.raises(InputError) as caught:
        scores(f or encoder(), images, settings, **chosen)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_units_that_all_go_below_zero_are_refused_with_the_way_out():
    message = complaint(Memory(20), encoder(signed=(6, 8)))
    assert "--activation abs" in message and "below 0" in message
    found = scores(encoder(signed=(6, 8)), Memory(20), replace(SETTINGS, protocol=ABS))
    assert (found.units["status"] == "ok").all()


@pytest.mark.parametrize("n", [1, 0])
def test_fewer_than_two_images_are_refused(n):
    assert f"{n} candidate image" in complaint(Memory(n, classes=0))


@pytest.mark.parametrize(
    ("bad", "options", "message"),
    [
        (range(20), {}, "0 readable in f-candidate"),
        (range(19), {}, "1 readable in f-candidate"),
        *((SPLIT[group], "pair", f"0 readable in f-{group}") for group in SPLIT),
        ((), {"external": Memory(9, seed=1, bad=range(9))}, "0 readable in f-external"),
    ],
)
def test_fewer_than_two_readable_images_are_refused(bad, options, message):
    pair = {"against": encoder(1), "split": SPLIT}
    images = Memory(60 if options == "pair" else 20, bad=bad)
    assert message in complaint(images, **(pair if options == "pair" else options))


def test_what_does_not_fit_together_is_refused():
    images = Memory(60)
    assert "needs --split" in complaint(images, against=encoder(1))
    assert "leave one of the two out" in complaint(images, split=SPLIT, external=Memory(9, seed=1))
    assert "no candidate images" in complaint(images, split={"external": np.arange(9)})
    one = {**SPLIT, "independent": np.array([30])}
    assert "1 independent image" in complaint(images, against=encoder(1), split=one)
    assert "f-independent" not in plan(encoder(), images, split=one, settings=SETTINGS)
    assert "in architecture (its images have 32 pixels" in complaint(images, against=encoder(1, size=32), split=SPLIT)
    message = complaint(images, settings=replace(SETTINGS, hook="before"), patterns=["nothing*"])
    assert "'nothing*' matches no module" in message and "conv1" in message
    assert "matches no module" in complaint(images, patterns=["1", "3"])
    g = replace(encoder(1), layers=encoder().layers[:1])
    assert "it has no layer 2" in complaint(images, against=g, split=SPLIT)


def test_layers_without_units_are_refused():
    bare = tuple(replace(layer, units=None) for layer in encoder().layers)
    f = replace(encoder(), layers=bare)
    assert "1, 2 has no units" in complaint(Memory(20), f)
    found = scores(replace(f, layers=(encoder().layers[0], bare[1])), Memory(20))
    assert found.layers["units"].tolist() == [6, 0] and np.isnan(found.layers["unitmem"][1])


def test_layers_are_chosen_by_pattern():
    found = scores(encoder(), Memory(20), patterns=["2"])
    assert found.units["layer"].unique().tolist() == ["2"]
    # Names of modules are taken as well.
    found = scores(encoder(), Memory(20), patterns=["conv*"], settings=replace(SETTINGS, protocol=ABS))
    assert found.units["layer"].unique().tolist() == ["conv1", "conv2"]


# --- Identity --------------------------------------------------------------------------------------------------------


def test_the_identity_changes_with_all_that_changes_numbers():
    base = {"against": None, "split": None, "external": None, "patterns": (), "settings": SETTINGS, "device": "cpu"}

    def key(f=None, images=None, **changes):
        return files.identity(f or encoder(), images or Memory(20), **{**base, **changes})

    assert key() == key()
    changed = [
        key(encoder(1)),
        *(key(replace(encoder(), **change)) for change in ({"size": 32}, {"mean": (0.1,)}, {"std": (0.1,)})),
        key(replace(encoder(), made_of="x")),
        *(key(images=images) for images in (Memory(20, seed=1), Memory(21))),
        *(key(split=split) for split in (SPLIT, {**SPLIT, "external": np.arange(42, 59)})),
        *(
            key(**change)
            for change in ({"against": encoder(1)}, {"external": Memory(20)}, {"patterns": ["1"]}, {"device": "cuda"})
        ),
        *(
            key(settings=replace(SETTINGS, **change))
            for change in (
                {"augmentation": "weak"},
                {"normalisation": "none"},
                {"others": "median"},
                {"dead": "nan"},
                {"hook": "after"},
                {"seed": 1},
                {"replicates": 21},
                {"shuffles": 4},
                {"kept": 4},
                {"protocol": Protocol(draws=6)},
            )
        ),
    ]
    assert len({key(), *changed}) == len(changed) + 1


def test_the_files_are_those_that_the_folder_takes_for_its_own(tmp_path, monkeypatch, whole):
    monkeypatch.setattr(files.page, "render", lambda **_: "page")
    files.write(whole["mean"], Memory(60), {}, tmp_path)
    of_many = {"images.parquet", "images.csv", "per_image.npz"}
    assert {path.name for path in tmp_path.iterdir()} == {*files.FILES} - of_many
    assert {*files.FILES} == {*files.output(tmp_path).names}


def test_files_of_work_have_names_that_are_recognised(tmp_path, monkeypatch):
    started, save = [], io.save_arrays
    monkeypatch.setattr(io, "save_arrays", lambda arrays, path: (started.append(path), save(arrays, path)))
    everything(MEDIAN, run={"folder": tmp_path, "shard": Shard(2, 3)})
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {path.name for path in started} and any(name.endswith(".mu.npy") for name in names)
    temporary = {f".{path.stem}.a_cd3fgh{path.suffix}" for path in map(tmp_path.joinpath, names)}
    assert all(re.fullmatch(running.PARTS, name) for name in names | temporary)
    for foreign in ("notes.npz", "f-candidate.npz", "f-candidate-1of2.txt", "work.json"):
        assert not re.fullmatch(running.PARTS, foreign)


def test_a_result_that_was_saved_is_the_same_after_loading(tmp_path):
    task = plan(encoder(0), Memory(60, bad=(8,)), against=encoder(1), split=SPLIT, settings=SETTINGS)["f-candidate"]
    result = running.run(task, SETTINGS, shard=Shard(), folder=tmp_path, progress=Stop())
    again = Result(task, SETTINGS)
    again.load(tmp_path / "f-candidate-1of1.npz")
    assert again.done == result.done == 4 and again.skipped == {8: "bad 8"}
    for name in ("tally", "matched", "classes"):
        before, after = getattr(result, name).arrays(), getattr(again, name).arrays()
        assert before.keys() == after.keys() and all(np.array_equal(before[k], after[k]) for k in before)
    assert all(np.array_equal(a, b) for a, b in zip(result.aligned(), again.aligned(), strict=True))
