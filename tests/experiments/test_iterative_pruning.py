"""Pruning in rounds with retraining in between: the engine on a tiny encoder, the experiment on planted outcomes."""

import copy
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from memloc.data.augmentations import AUGMENTATIONS
from memloc.data.groups import UNSHARED
from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments.iterative_pruning import job as iterative
from memloc.experiments.iterative_pruning.job import ARMS
from memloc.measuring.one_pass import measure_images
from memloc.measuring.protocol import Protocol
from memloc.metrics.units import unitmem
from memloc.models import architectures as encoders
from memloc.models import frameworks
from memloc.models.capture import capture
from memloc.models.frameworks.recipe import Recipe
from memloc.streams import stream
from tests.builders.desk import desk
from tests.builders.layers import dots
from tests.builders.study import Study, save

# --- The engine -------------------------------------------------------------------------------------------------------

NETWORK = {"width": 0.125, "residual": True}
SPLIT = {name: np.arange(12 * i, 12 * (i + 1)) for i, name in enumerate(("shared", *UNSHARED))}
PROTOCOL = {"draws": 4}


def layers_of(*names):
    return [layer for layer in encoders.choose_layers("resnet9", NETWORK, [*names]) if layer.units]


@pytest.fixture
def pupil(settings, network):
    """A factory of learners on a tiny encoder, and of their recipes."""

    def make(framework="simclr", **recipe):
        options = Recipe.of(settings(framework, **{"epochs": 2, **recipe})["recipe"])
        encoder = network(seed=3)
        torch.manual_seed(1)
        learner = frameworks.build(framework, encoder, classes=3, recipe=options, image_size=16)
        return learner.eval(), options

    return make


@pytest.fixture
def part(toy):
    return Part(*toy(48))


@pytest.fixture
def retrain(part, normalise):
    def go(learner, recipe, pruned, *, seed=0, number=0):
        it = desk(
            part=part,
            split=SPLIT,
            unit_layers=layers_of(*pruned),
            normalise=normalise,
            seed=seed,
            settings={"encoder": {"recipe": recipe.plain()}},
            options={"epochs": recipe.epochs, "learning_rate": recipe.learning_rate},
        )
        iterative.retrain(it, learner, pruned, number=number)
        return learner

    return go


PRUNED = {"3": np.array([0, 5]), "8": np.array([1, 2, 30])}


def rows_of_units(state, prefix):
    """By name, the parameters of layers 3 and 8: (those of pruned units, those of the others)."""
    found = {}
    for layer, rows in PRUNED.items():
        for name in ("conv.weight", "conv.bias", "norm.weight", "norm.bias"):
            tensor = state[f"{prefix}block{layer}.{name}"]
            found[layer, name] = tensor[rows], tensor[np.setdiff1d(np.arange(len(tensor)), rows)]
    return found


DECAYING = {"optimizer": "adamw", "weight_decay": 0.1}


@pytest.mark.parametrize(
    ("framework", "recipe"),
    [("simclr", {}), ("simclr", DECAYING), ("simclr", {"optimizer": "sgd"}), ("byol", {}), ("dino", {"clip": 1.0})],
)
def test_pruned_units_stay_exactly_zero_and_the_others_move(pupil, retrain, framework, recipe):
    learner, options = pupil(framework, **recipe)
    before = copy.deepcopy(learner.state_dict())
    retrain(learner, options, PRUNED)
    after = learner.state_dict()
    for prefix in ("encoder.", *(["teacher.encoder."] if framework in ("byol", "dino") else [])):
        old = rows_of_units(before, prefix)
        for (layer, name), (gone, left) in rows_of_units(after, prefix).items():
            assert (gone == 0).all()
            moved = (
                (left != old[layer, name][1]).flatten(1).any(dim=1) if left.dim() > 1 else left != old[layer, name][1]
            )
            # Batch normalisation takes a convolution's bias out again: it has no gradient but rounding's.
            assert name == "conv.bias" or moved.float().mean() > 0.7
    # Heads are retrained, too, and statistics follow.
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("head") for name in changed) and "encoder.block5.norm.running_mean" in changed
    assert not learner.training
    # In both modes of batch normalisation nothing comes out of them.
    x = torch.rand(4, 3, 16, 16)
    encoder = learner.result()
    for mode in (False, True):
        encoder.train(mode)
        with torch.no_grad(), capture(encoder, [layer.units for layer in layers_of("3", "8")]) as maps:
            encoder(x)
        for (_, rows), layer in zip(PRUNED.items(), layers_of("3", "8"), strict=True):
            silent = (maps[layer.units] == 0).flatten(2).all(dim=2).all(dim=0)
            assert silent[rows].all() and not silent.all()


def test_what_is_pruned_has_no_part_in_a_gradient_s_norm(pupil, retrain, monkeypatch):
    learner, options = pupil(clip=0.5)
    seen = []
    monkeypatch.setattr(
        torch.nn.utils, "clip_grad_norm_",
        lambda parameters, largest: seen.append((learner.encoder.block8.conv.weight.grad.clone(), largest)),
    )  # fmt: skip
    retrain(learner, options, PRUNED)
    assert len(seen) == 2 * 3 and all(largest == 0.5 for _, largest in seen)
    for gradient, _ in seen:
        assert (gradient[PRUNED["8"]] == 0).all() and (gradient[0] != 0).any()


def test_retraining_follows_the_framework_s_own_loss(pupil, retrain, part, normalise):
    """Here of classes: images must come with their own labels."""
    learner, options = pupil("supervised", learning_rate=1e-2, epochs=8)

    def loss(of):
        draws = torch.Generator().manual_seed(99)
        with torch.no_grad():
            clean = torch.from_numpy(part.images[:24]).float().div(255)
            views = [iterative.views_of(clean, group, normalise, draws) for group in of.groups]
            return float(of(views, torch.from_numpy(part.labels[:24]), 0.0))

    before = loss(retrain(copy.deepcopy(learner), replace(options, learning_rate=0.0), PRUNED))
    assert loss(retrain(learner, options, PRUNED)) < 0.7 * before


def test_all_arms_see_the_same_views_in_the_same_order_and_no_two_epochs_do(pupil, retrain, monkeypatch):
    learner, options = pupil()
    shown = []

    def watched(images, group, normalise, draws):
        views = views_of(images, group, normalise, draws)
        shown.append(views.images.clone())
        return views

    views_of = iterative.views_of
    monkeypatch.setattr(iterative, "views_of", watched)

    def seen(pruned, **at):
        shown.clear()
        retrain(copy.deepcopy(learner), options, pruned, **at)
        return [*shown]

    first = seen(PRUNED)
    assert len(first) == 2 * 3 and not any(torch.equal(first[i], first[j]) for i in range(6) for j in range(i))
    assert all(torch.equal(a, b) for a, b in zip(first, seen({"3": np.array([7])}), strict=True))
    for other in (seen(PRUNED, number=1), seen(PRUNED, seed=1)):
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_rate_that_makes_retraining_diverge_is_told(pupil, retrain):
    learner, options = pupil()
    with pytest.raises(InputError, match=r"learning_rate: 1e\+30 makes retraining diverge; lower it"):
        retrain(learner, replace(options, learning_rate=1e30), PRUNED)


def test_what_a_round_leaves_is_told_by_the_scores_of_the_remaining_units():
    remaining = {"1": np.array([1, 4, 5, 9]), "2": np.array([0, 2])}
    scores = {"1": np.array([0.1, 0.9, 0.2, 0.8]), "2": np.array([0.3, 0.4])}
    settings = {"fraction": 0.5, "seed": 0}
    top, low = (iterative.leave(scores, remaining, by=by, **settings) for by in ("top", "low"))
    assert {name: rows.tolist() for name, rows in top.items()} == {"1": [1, 5], "2": [0]}
    assert {name: rows.tolist() for name, rows in low.items()} == {"1": [4, 9], "2": [2]}


def test_rounds_that_prune_nothing_or_a_whole_layer_are_refused():
    sizes = {"1": 4, "2": 1}
    with pytest.raises(InputError, match=r"fraction: 0\.05 of layers of at most 4 units is none; raise it"):
        iterative.check_rounds(sizes, fraction=0.05, rounds=1)
    with pytest.raises(InputError, match=r"fraction: 0\.7 leaves layer 2 no unit in round 1; lower it"):
        iterative.check_rounds(sizes, fraction=0.7, rounds=1)
    # 8, 6, 4, 3, 2 and then round(.6) = 1, 1, round(.3) = 0.
    iterative.check_rounds({"1": 8}, fraction=0.3, rounds=5)
    with pytest.raises(InputError, match=r"rounds: 9 of fraction 0\.3 leave nothing to prune from round 6 on; lower"):
        iterative.check_rounds({"1": 8}, fraction=0.3, rounds=9)


def test_too_many_rounds_are_refused_before_any_retraining(job, monkeypatch):
    monkeypatch.setattr(iterative, "retrain", None)
    with pytest.raises(InputError, match=r"rounds: 99 of fraction 0\.25 leave nothing to prune from round \d+ on"):
        job[0](rounds=99)


@pytest.fixture
def job(pupil, part, toy, normalise):
    learner, recipe = pupil(learning_rate=1e-3)
    tasks = {"own": (Part(*toy(30, seed=1)), Part(*toy(12, seed=2))), "new": (part, Part(*toy(9, seed=3)))}

    def run(*, rounds=2, seed=4):
        it = desk(
            learner=learner,
            encoder=learner.encoder,
            part=part,
            split=SPLIT,
            tasks=tasks,
            unit_layers=layers_of("3", "5", "8"),
            augmentation=AUGMENTATIONS["mild"],
            protocol=Protocol(**PROTOCOL),
            others="mean",
            normalise=normalise,
            resamples=12,
            seed=seed,
            settings={"encoder": {"recipe": recipe.plain()}},
            options={"fraction": 0.25, "rounds": rounds, "epochs": 1, "learning_rate": recipe.learning_rate},
        )
        return iterative.run(it)

    return run, learner


def test_every_round_scores_prunes_retrains_and_probes(job, part, normalise, monkeypatch):
    """Told again literally from what each retraining was handed and left behind."""
    run, learner = job
    handed = []

    def watched(desk, pupil, pruned, *, number):
        before = copy.deepcopy(pupil)
        retrain(desk, pupil, pruned, number=number)
        handed.append((number, pruned, before, copy.deepcopy(pupil)))

    retrain = iterative.retrain
    monkeypatch.setattr(iterative, "retrain", watched)
    initial = copy.deepcopy(learner.state_dict())
    out = run()
    assert all(torch.equal(value, initial[name]) for name, value in learner.state_dict().items())
    # Layers of 8, 16 and 32 units: a quarter of what is left, rounded, twice.
    assert [number for number, *_ in handed] == [0, 1] * len(ARMS)
    assert out["pruned"].tolist() == [0, (2 + 4 + 8) / 56, (4 + 7 + 14) / 56]
    assert out["by"].tolist() == ["none"] * 2 + [by for by in ARMS for _ in range(4)]
    assert out["round"].tolist() == [0, 0] + [1, 1, 2, 2] * 3 and out["dataset"].tolist() == ["own", "new"] * 7
    assert out["tested"].tolist() == [12, 9] * 7 and not out["correct"][1::2, 9:].any() and out["correct"].any()
    assert out["after"].shape == (3, 3, 3) and out["before"].shape == (3, 2, 3) and out["size"] == 12
    assert out["after_drawn"].shape == (12, 3, 3, 3) and out["before_drawn"].shape == (12, 3, 2, 3)

    def scores(pupil):
        found = measure_images(
            pupil.result(), part.images[12:], np.arange(12, 48), layers=layers_of("3", "5", "8"),
            augmentation=AUGMENTATIONS["mild"], normalise=normalise,
            protocol=Protocol(**PROTOCOL), seed=stream("measure", 4),
        )  # fmt: skip
        return {
            group: {name: unitmem(values[12 * g : 12 * g + 12].mean(axis=1)) for name, values in found.views.items()}
            for g, group in enumerate(UNSHARED)
        }

    sizes, place = {"3": 8, "5": 16, "8": 32}, iter(handed)
    for arm, by in enumerate(ARMS):
        left = {name: np.arange(size) for name, size in sizes.items()}
        for number in range(2):
            _, pruned, before, after = next(place)
            assert number or all(torch.equal(v, initial[k]) for k, v in before.state_dict().items())
            found = scores(before)
            kept = {name: np.setdiff1d(rows, pruned[name]) for name, rows in left.items()}
            for name, rows in left.items():
                many = round(len(rows) / 4)
                assert len(kept[name]) == len(rows) - many
                mine = found["candidate"][name]
                gone = np.intersect1d(rows, pruned[name])
                if by == "top":
                    assert mine[gone].min() >= mine[kept[name]].max()
                elif by == "low":
                    assert mine[gone].max() <= mine[kept[name]].min()
            for g, group in enumerate(UNSHARED):
                for key, chosen in (("after", left), ("before", kept)):
                    expected = np.mean([found[group][name][rows].mean() for name, rows in chosen.items()])
                    assert out[key][arm, number, g] == pytest.approx(expected, abs=1e-6)
            left = kept
        found = scores(after)["candidate"]
        expected = np.mean([found[name][rows].mean() for name, rows in left.items()])
        assert out["after"][arm, 2, 0] == pytest.approx(expected, abs=1e-6)
    # Random units are those of no ranking.
    first = [str({k: v.tolist() for k, v in pruned.items()}) for number, pruned, *_ in handed if number == 0]
    assert len(set(first)) == 3


def test_all_arms_of_a_seed_are_retrained_alike_on_what_f_was_trained_on(job, part, monkeypatch):
    """By the views, and the seed of what else a framework draws."""
    run, _ = job
    shown, rows = [], {torch.from_numpy(image).float().div(255): row for row, image in enumerate(part.images)}

    def watched(images, group, normalise, draws):
        views = views_of(images, group, normalise, draws)
        points = [row for image in images for clean, row in rows.items() if torch.equal(image, clean)]
        shown.append((views.images.clone(), torch.initial_seed(), points))
        return views

    views_of = iterative.views_of
    monkeypatch.setattr(iterative, "views_of", watched)
    run(rounds=2)
    # Of every arm two rounds of one epoch of three steps.
    first, *others = (shown[i : i + 6] for i in range(0, len(shown), 6))
    assert len(others) + 1 == len(ARMS) and len({seed for _, seed, _ in first}) == 2
    for half in (first[:3], first[3:]):
        assert sorted(row for *_, points in half for row in points) == [*range(24)]
    for other in others:
        assert [told for _, *told in other] == [told for _, *told in first]
        assert all(torch.equal(mine, its) for (mine, *_), (its, *_) in zip(first, other, strict=True))


def test_a_run_is_a_function_of_its_seed(job):
    run, _ = job
    first, second, other = (run(rounds=1, seed=seed) for seed in (4, 4, 5))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["after"], other["after"])


def test_what_all_layers_show_is_their_mean_whatever_their_size():
    rng = np.random.default_rng(0)
    groups = np.repeat(UNSHARED, 6)
    measures = {"groups": groups, "labels": np.tile([0, 1], 9), "layers": np.array(["a", "b"])}
    measures |= {"views/a": rng.random((18, 2, 3)), "views/b": rng.random((18, 2, 50))}
    chosen = ({"a": np.array([0, 2]), "b": np.array([7])}, {"a": np.arange(3), "b": np.arange(50)})
    found = iterative.layer_means(measures, chosen, resamples=5, seed=3, others="mean")
    for means, rows in zip(found, chosen, strict=True):
        assert means.shape == (6, 3)
        for g, group in enumerate(UNSHARED):
            of = [unitmem(measures[f"views/{n}"][groups == group].mean(axis=1))[r].mean() for n, r in rows.items()]
            assert means[0, g] == pytest.approx(np.mean(of))


# --- The experiment ---------------------------------------------------------------------------------------------------

ROUNDS = 4
SHARES = [0.0, 0.06, 0.11, 0.15, 0.19]
FALLING, STEADY = np.array([0.6, 0.57, 0.55, 0.52, 0.5]), np.full(5, 0.6)
SEEN = {"own": 240, "new": 160}


def outcome(seed, accuracy, candidate, unseen, *, change=None, noise=0.004):
    """Outcomes of planted rates in the last round, curves of UnitMem by arm, and what retraining does to it.

    Args:
        accuracy: of each arm after the last round; .9 before the first.
        candidate, unseen: by arm, [rounds + 1].
        change: by arm, before minus after a round; nothing, if it isn't told.
    """
    rng = np.random.default_rng([31, seed])
    rows, width = [], max(SEEN.values())
    for task, n in SEEN.items():
        hard = rng.random(n)
        for by, number in [("none", 0), *((by, r) for by in ARMS for r in range(1, ROUNDS + 1))]:
            rate = 0.9 if by == "none" else 0.9 + (accuracy[by] - 0.9) * number / ROUNDS
            right = np.zeros(width, dtype=bool)
            right[:n] = hard + 0.02 * rng.normal(size=n) < rate
            rows.append({"by": by, "round": number, "dataset": task, "tested": n, "correct": right})
    rng.shuffle(rows)
    rows.sort(key=lambda row: [*SEEN].index(row["dataset"]))
    after = np.stack([np.stack([candidate[by], unseen[by] - 0.01, unseen[by] + 0.01], axis=-1) for by in ARMS])
    before = after[:, 1:] + np.array([(change or {}).get(by, 0.0) for by in ARMS])[:, None, None]
    # What arms and rounds have in common in a resample, biased as a maximum's resamples are, and a little besides.
    common = 10 * noise * rng.normal(size=(150, 1, 1, 3)) - 0.05
    drawn = {
        f"{name}_drawn": values + common + noise * rng.normal(size=(150, *values.shape))
        for name, values in (("after", after), ("before", before))
    }
    about = {"arms": np.array(ARMS), "groups": np.array(UNSHARED), "pruned": np.array(SHARES), "size": np.array(40)}
    return {key: np.array([row[key] for row in rows]) for key in rows[0]} | about | drawn | {
        "after": after,
        "before": before,
    }  # fmt: skip


STILL = dict.fromkeys(ARMS, STEADY)
WORLDS = {
    "supported": {
        "accuracy": {"top": 0.6, "random": 0.75, "low": 0.88},
        "candidate": STILL | {"top": FALLING},
        "unseen": {by: np.full(5, 0.45) for by in ARMS},
        "change": {"top": 0.03},
    },
    "refuted": {
        "accuracy": {"top": 0.88, "random": 0.75, "low": 0.5},
        "candidate": STILL | {"top": 1.2 - FALLING},
        "unseen": {by: np.full(5, 0.45) for by in ARMS},
        "change": {"top": -0.03},
    },
    "inconclusive": {"accuracy": dict.fromkeys(ARMS, 0.75), "candidate": STILL, "unseen": STILL},
}


OPTIONS = {}


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    made = Study(folder, "iterative_pruning")
    for seed in range(seeds):
        made.add("it", seed, outcomes=outcome(seed, **WORLDS["supported"]))
    return made


@pytest.fixture
def study(tmp_path):
    def make(seeds=3, encoder="it", made=None, **planted):
        made = made or Study(tmp_path, "iterative_pruning")
        for seed in range(seeds):
            arrays = outcome(seed, **planted)
            path = tmp_path / f"{encoder}-{seed}.npz"
            save(arrays, path)
            made.runs.append((encoder, seed))
            made.files["outcomes"].append(str(path))
        return made

    return make


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("said", list(WORLDS))
def test_claims_follow_what_was_planted(study, said, seeds):
    _, rows = study(seeds, **WORLDS[said]).analyse()
    assert set(rows["verdict"]) == {said}, rows[["claim", "effect", "low", "high", "p", "verdict"]].to_string()
    by_task = rows["claim"].isin(["iterative_pruning.top", "iterative_pruning.low"])
    assert rows.loc[by_task, "subject"].tolist() == [
        f"it on {task}, 19 % of the units pruned" for task in SEEN for _ in range(2)
    ]
    assert rows.loc[by_task, "n"].tolist() == [240, 240, 160, 160] and (rows.loc[~by_task, "n"] == 40).all()
    assert set(rows.loc[~by_task, "subject"]) == {"it, 19 % of the units pruned"} and (rows["seeds"] == seeds).all()


def test_planted_effects_and_curves_come_out(study):
    world = WORLDS["supported"]
    table, rows = study(**world).analyse()
    effects = rows.set_index("claim")["effect"]
    assert effects["iterative_pruning.falls"] == 1 and effects["iterative_pruning.excess-falls"] == 1
    assert effects["iterative_pruning.falls-more"] == pytest.approx(0.1)
    assert effects["iterative_pruning.excess-falls-more"] == pytest.approx(0.1)
    assert effects["iterative_pruning.beyond-choice"] == pytest.approx(0.03)
    np.testing.assert_allclose(effects["iterative_pruning.top"], 0.15, atol=0.05)
    np.testing.assert_allclose(effects["iterative_pruning.low"], 0.13, atol=0.05)
    top = table[table["arm"] == "top"].set_index("series")
    np.testing.assert_allclose(top.loc["candidate", "value"], FALLING)
    np.testing.assert_allclose(top.loc["unseen images", "value"], 0.45)
    np.testing.assert_allclose(top.loc["excess", "value"], FALLING - 0.45)
    np.testing.assert_allclose(top.loc["candidate, before", "value"], FALLING[1:] + 0.03)
    assert top.loc["candidate, before", "round"].tolist() == [1, 2, 3, 4]
    assert top.loc["candidate, before", "pruned"].tolist() == SHARES[1:]
    assert top.loc["candidate", "pruned"].tolist() == SHARES
    # Literally, from the files: points that are right, the unpruned encoder first in every arm.
    outcomes = [outcome(seed, **world) for seed in range(3)]
    for task, n in SEEN.items():
        for by in ARMS:
            mine = table[(table["task"] == task) & (table["arm"] == by) & (table["series"] == "accuracy")]
            assert mine["round"].tolist() == [0, 1, 2, 3, 4]
            for number, value in enumerate(mine["value"]):
                chosen = "none" if number == 0 else by
                rates = [
                    o["correct"][(o["dataset"] == task) & (o["by"] == chosen) & (o["round"] == number)][0, :n].mean()
                    for o in outcomes
                ]
                assert value == pytest.approx(np.mean(rates))


def test_a_fall_that_random_pruning_shows_alike_is_not_top_s(study):
    world = WORLDS["supported"] | {"candidate": dict.fromkeys(ARMS, FALLING), "change": dict.fromkeys(ARMS, 0.03)}
    rows = study(**world).analyse()[1].set_index("claim")["verdict"]
    assert rows["iterative_pruning.falls"] == "supported" and rows["iterative_pruning.excess-falls"] == "supported"
    for claim in ("falls-more", "excess-falls-more", "beyond-choice"):
        assert rows[f"iterative_pruning.{claim}"] == "inconclusive"


def test_a_fall_on_all_images_alike_is_none_of_excess(study):
    world = WORLDS["supported"] | {"unseen": STILL | {"top": FALLING}}
    rows = study(**world).analyse()[1].set_index("claim")["verdict"]
    assert rows["iterative_pruning.falls-more"] == "supported"
    assert rows["iterative_pruning.excess-falls"] == "inconclusive"
    assert rows["iterative_pruning.excess-falls-more"] == "inconclusive"


def test_differences_between_arms_are_paired(study):
    """Resamples share ten times the noise that is planted between arms: a difference is surer than a curve."""
    table, rows = study(1, **WORLDS["supported"]).analyse()
    row = rows.set_index("claim").loc["iterative_pruning.falls-more"]
    curve = table[(table["series"] == "candidate") & (table["arm"] == "top")]
    assert row["high"] - row["low"] < 0.5 * (curve["high"] - curve["low"]).min()


def test_seeds_that_pruned_other_shares_are_refused(study, tmp_path):
    made = study(2, **WORLDS["supported"])
    arrays = outcome(1, **WORLDS["supported"]) | {"pruned": np.array([0, 0.1, 0.2, 0.3, 0.4])}
    save(arrays, made.files["outcomes"][1])
    with pytest.raises(
        InputError, match=r"npz: differs from the other seeds in pruned; delete it and run snakemake again"
    ):
        made.analyse()


def test_the_figure_shows_every_arm_and_an_analysis_is_the_same_every_time(study):
    made = study(**WORLDS["supported"])
    study(made=made, encoder="other", **WORLDS["refuted"])
    table, rows = made.analyse()
    figure = made.drawn(table)
    assert len(figure.axes) == 2 * 4
    accuracy, _, means, falls = figure.axes[:4]
    np.testing.assert_allclose(dots(means)["top"], FALLING)
    mine = table[(table["encoder"] == rows["subject"].iloc[0].split()[0]) & (table["series"] == "accuracy")]
    by_arm = mine[mine["task"] == mine["task"].iloc[0]].pivot(index="round", columns="arm", values="value")
    for arm in ("top", "low"):
        np.testing.assert_allclose(dots(accuracy)[arm], (by_arm[arm] - by_arm["random"])[1:], atol=1e-8)
    # UnitMem and its excess fall by as much; what the choice of units alone makes of it is above what is left.
    fall, of_excess, retrained = falls.containers[0].lines[0].get_xdata()
    assert [fall, of_excess, retrained] == pytest.approx([FALLING[0] - FALLING[-1]] * 2 + [0.03])
    plt.close(figure)
    again, same = made.analyse()
    assert again.equals(table) and same.equals(rows)
