"""Reconstruction of hidden patches: the losses themselves, and the experiment on planted ones."""

import copy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from memloc import experiments
from memloc.analysis.inputs import Inputs
from memloc.analysis.tables import load_table, save_table
from memloc.config import check
from memloc.data.augment import UNIFORMS, hidden, hide
from memloc.data.groups import UNSHARED as GROUPS
from memloc.errors import InputError
from memloc.experiments.reconstruction import job as reconstruction
from memloc.io import load_arrays
from memloc.models import architectures as encoders
from memloc.models import frameworks
from memloc.models.frameworks.recipe import Recipe
from memloc.streams import uniforms
from tests.builders.study import Study, analysed, save

# --- Losses -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def learner(settings):
    torch.manual_seed(0)
    entry = settings("mae")
    encoder = encoders.build(entry["architecture"], entry["network"], image_size=16)
    return frameworks.build("mae", encoder, classes=3, recipe=Recipe.of(entry["recipe"]), image_size=16).eval()


def test_losses_are_those_of_the_training_on_the_same_masks_one_image_at_a_time(learner, toy, normalise):
    images, _ = toy(5)
    points = np.array([11, 3, 500, 7, 2])
    got = reconstruction.losses(learner, images, points, draws=6, normalise=normalise, seed=9)
    (group,) = learner.groups
    for image, point, mean in zip(images, points, got, strict=True):
        losses = []
        for u in torch.from_numpy(uniforms(9, np.array([point]), (6, UNIFORMS)))[0]:
            mask = hidden(u[None], group.augmentation, 16)
            whole = normalise(torch.from_numpy(image[None]).float() / 255)
            # The training's own loss of a batch of one: its mean is the image's.
            with torch.no_grad():
                losses.append(learner.forward([(whole, mask)], torch.zeros(1), 0.0).item())
            # Pixels that are hidden from the encoder count, others don't change what it sees.
            assert mask.sum() == round(0.75 * mask.numel())
        assert mean == pytest.approx(np.mean(losses), rel=1e-5)
        assert np.std(losses) > 0


def test_losses_do_not_depend_on_batch_or_order(learner, toy, normalise):
    images, _ = toy(9)
    points = np.arange(20, 29)
    settings = {"draws": 3, "normalise": normalise, "seed": 1}
    whole = reconstruction.losses(learner, images, points, **settings)
    turned = reconstruction.losses(learner, images[::-1], points[::-1], batch=2, **settings)
    np.testing.assert_allclose(whole, turned[::-1], rtol=1e-5)
    other = reconstruction.losses(learner, images, points, **settings | {"seed": 2})
    assert not np.allclose(whole, other, rtol=1e-4)


def test_the_encoder_never_sees_what_it_is_asked_to_paint(learner, toy, normalise):
    """Whatever stands in hidden patches, the painting is the same: only its distance to them changes."""
    image = normalise(torch.from_numpy(toy(1)[0]).float() / 255)
    mask = hidden(torch.from_numpy(uniforms(0, np.array([0]), (UNIFORMS,))), learner.groups[0].augmentation, 16)
    keep, rest = learner.indices(mask)
    emptied = hide(image, mask, with_nan=False)
    with torch.no_grad():
        a, b = (learner.encoder.tokens(x, keep) for x in (image, emptied))
        assert learner.example_losses(image, keep, rest) != learner.example_losses(emptied, keep, rest)
    torch.testing.assert_close(a, b)


def test_images_that_were_trained_on_are_painted_better(learner, normalise):
    # Every patch a grey of its own: what is hidden can be known, not guessed.
    greys = np.random.default_rng(0).integers(0, 256, size=(12, 1, 4, 4), dtype=np.uint8)
    images = greys.repeat(4, axis=2).repeat(4, axis=3)
    points = np.arange(12)
    settings = {"draws": 4, "normalise": normalise, "seed": 0}
    before = reconstruction.losses(learner, images, points, **settings)
    trained = copy.deepcopy(learner)
    optimizer = torch.optim.Adam(trained.parameters(), lr=1e-2)
    whole = normalise(torch.from_numpy(images[:2].repeat(4, axis=0)).float() / 255)
    for step in range(80):
        u = torch.rand(8, UNIFORMS, generator=torch.Generator().manual_seed(step))
        loss = trained.forward([(whole, hidden(u, trained.groups[0].augmentation, 16))], torch.zeros(8), 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    gain = before - reconstruction.losses(trained.eval(), images, points, **settings)
    assert gain[:2].mean() > gain[2:].mean() + 0.5


# --- Who qualifies ----------------------------------------------------------------------------------------------------


def configured(framework, settings, **options):
    entry = settings(framework)
    keys = ("framework", "architecture", "network", "recipe")
    split = dict.fromkeys(("shared", "candidate", "independent", "external"), 24)
    return {
        "device": "cpu",
        "shards": 1,
        "datasets": {"toy": {"source": "fashion-mnist-12k", "image_size": 32, "split": split}},
        "encoders": {"it": {key: entry[key] for key in keys} | {"dataset": "toy", "seeds": [0]}},
        "measure": {"draws": 4, "pairs": "aug-aug", "distance": "l2", "representation": "flattened",
                    "activation": "as-is", "others": "mean", "layers": ["*"], "sublayers": False},
        "score": {"normalisation": "ratio", "shuffles": 2, "neighbours": 3, "resamples": 50},
        "experiments": {"asked": {"encoders": ["it"], **options}},
    }  # fmt: skip


def test_a_loss_of_pairs_of_images_gives_no_reconstruction(settings):
    config = configured("mae", settings, kind="reconstruction")
    config["encoders"]["it"]["network"]["depth"] = 2
    check(config)
    with pytest.raises(InputError, match=r"asked\.encoders: simclr has no loss of single images; take encoders of mae"):
        check(configured("simclr", settings, kind="reconstruction"))


def test_labels_that_are_not_there_cannot_be_inferred(settings):
    options = {"kind": "dejavu", "public": 50, "neighbours": 5, "crop": 0.3}
    config = configured("simclr", settings, **options)
    check(config)
    with pytest.raises(InputError, match=r"asked\.neighbours: 51 must be smaller than public, 50; lower it"):
        check(configured("simclr", settings, **options | {"neighbours": 51}))
    config["datasets"]["toy"]["source"] = "stl10-unlabeled"
    with pytest.raises(InputError, match=r"asked\.encoders: toy has no labels, which this experiment needs"):
        check(config)


# --- The experiment ---------------------------------------------------------------------------------------------------

N = 60


def planted(folder, *, seeds=3, offset=0.0, gain=0.0, agree=0.0, common=0.0, encoder="mae-vit"):
    """Files of planted losses about .2: f's advantage on every point (offset), on its own (gain), as SSLMem has it."""
    runs, files = [], {name: [] for name in ("points", "f", "g")}
    for seed in range(seeds):
        rng = np.random.default_rng([5, seed])
        groups, sign = np.repeat(GROUPS, N), np.repeat([1, -1, 0], N)
        trait, noise, own = rng.normal(size=(3, 3 * N))
        shared = agree * np.abs(sign) + common
        advantage = offset + sign * gain + 0.01 * (shared * trait + noise)
        base = rng.uniform(0.1, 0.3, size=3 * N)
        table = pd.DataFrame({"point": np.arange(3 * N), "group": groups, "layer": "output", "kind": "output"})
        table["sslmem"] = 0.3 * sign + 0.1 * (shared * trait + own)
        contents = {"points": table}
        for role, half in (("f", -0.5), ("g", 0.5)):
            contents[role] = {"points": np.arange(3 * N), "groups": groups, "losses": base + half * advantage}
        runs.append((encoder, seed))
        for name, value in contents.items():
            path = folder / f"{encoder}-{name}-{seed}{'.parquet' if name == 'points' else '.npz'}"
            save(value, path)
            files[name].append(str(path))
    return Inputs(runs, files)


def analyse(inputs):
    table, rows = analysed("reconstruction", inputs, resamples=100)
    return table, rows.set_index("claim")


OPTIONS = {}


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    made, inputs = Study(folder, "reconstruction"), planted(folder, seeds=seeds)
    made.runs, made.files = list(inputs.runs), dict(inputs.files)
    return made


def part(table, name):
    return table[table["series"] == name].set_index("layer")["value"]


def test_planted_memory_comes_out_as_a_share_of_external_losses(tmp_path):
    inputs = planted(tmp_path, offset=0.02, gain=0.01, agree=2.0)
    table, rows = analyse(inputs)
    assert set(rows["verdict"]) == {"supported"} and set(rows["n"]) == {N}
    crossed = []
    for f, g in zip(inputs.arrays("f", "mae-vit"), inputs.arrays("g", "mae-vit"), strict=True):
        d = g["losses"] - f["losses"]
        scale = (f["losses"][2 * N :].mean() + g["losses"][2 * N :].mean()) / 2
        crossed.append((d[:N].mean() - d[N : 2 * N].mean()) / 2 / scale)
    assert rows["effect"]["reconstruction.crossed"] == pytest.approx(np.mean(crossed))
    got = part(table, "advantage")
    np.testing.assert_allclose(got[["published", "external-corrected", "crossed"]], [0.15, 0.05, 0.05], atol=0.02)
    assert part(table, "f")["candidate"] < part(table, "g")["candidate"]
    assert part(table, "f")["external"] == pytest.approx(
        np.mean([a["losses"][2 * N :].mean() for a in inputs.arrays("f", "mae-vit")])
    )


def test_an_offset_alone_is_no_memory(tmp_path):
    table, rows = analyse(planted(tmp_path, offset=0.02))
    assert set(rows["verdict"]) == {"inconclusive"} and part(table, "advantage")["published"] > 0.08


def test_memory_the_wrong_way_round_refutes(tmp_path):
    _, rows = analyse(planted(tmp_path, gain=-0.02))
    assert rows["verdict"]["reconstruction.crossed"] == "refuted"


def test_what_external_images_show_too_is_no_agreement_about_memory(tmp_path):
    _, rows = analyse(planted(tmp_path, common=2.0))
    assert rows["verdict"]["reconstruction.agrees"] == "supported"
    assert rows["verdict"]["reconstruction.agrees-excess"] == "inconclusive"


def test_the_unit_of_the_loss_does_not_matter(tmp_path):
    inputs = planted(tmp_path, gain=0.01, agree=1.0)
    _, first = analyse(inputs)
    for path in inputs.files["f"] + inputs.files["g"]:
        arrays = load_arrays(path)
        save(arrays | {"losses": 7 * arrays["losses"]}, path)
    _, second = analyse(inputs)
    np.testing.assert_allclose(first[["effect", "low", "high"]], second[["effect", "low", "high"]])


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_figure_is_drawn_from_the_table_as_a_csv_holds_it(tmp_path, seeds):
    table, _ = analyse(planted(tmp_path, seeds=seeds))
    save_table(table, tmp_path / "table.csv")
    draw = experiments.module("reconstruction").draw
    figure = draw(load_table(tmp_path / "table.csv"), np.zeros((1, 1, 2, 2), np.uint8))
    figure.canvas.draw()
    assert len(figure.axes) == 3
    plt.close(figure)
