"""Labels inferred from corners: the witness itself, and its experiment on planted votes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from memloc import experiments
from memloc.analysis.inputs import Inputs
from memloc.analysis.tables import load_table, save_table
from memloc.data.groups import UNSHARED as GROUPS
from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments.dejavu import job as dejavu
from tests.builders.study import Study, analysed, save

# --- Corners and votes ------------------------------------------------------------------------------------------------


def test_corners_of_half_a_side_show_one_quarter_each():
    """Four quarters of one colour each: every corner is that colour all over."""
    image = torch.zeros(1, 1, 8, 8)
    image[:, :, :4, 4:], image[:, :, 4:, :4], image[:, :, 4:, 4:] = 1, 2, 3
    got = dejavu.corners(image, crop=0.5)
    assert got.shape == (1, dejavu.CORNERS, 1, 8, 8)
    for number in range(4):
        torch.testing.assert_close(got[0, number], torch.full((1, 8, 8), float(number)))


@pytest.mark.parametrize("crop", [0.25, 0.3, 0.5, 0.75])
def test_corners_are_cut_out_and_resized(crop):
    images = torch.rand(3, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    side = round(16 * crop)
    got = dejavu.corners(images, crop=crop)
    for n in range(3):
        corners = [(0, 0), (0, 16 - side), (16 - side, 0), (16 - side, 16 - side)]
        for number, (top, left) in enumerate(corners):
            cut = images[n : n + 1, :, top : top + side, left : left + side]
            expected = nn.functional.interpolate(cut, size=(16, 16), mode="bilinear", align_corners=False)[0]
            torch.testing.assert_close(got[n, number], expected, rtol=0, atol=1e-5)


def test_a_corner_is_never_empty():
    assert torch.isfinite(dejavu.corners(torch.ones(1, 1, 16, 16), crop=0.001)).all()


def by_hand(features, reference, labels, neighbours, classes):
    out = np.zeros((len(features), classes), dtype=int)
    for i, x in enumerate(features):
        cosine = [x @ r / np.linalg.norm(x) / np.linalg.norm(r) for r in reference]
        for j in sorted(range(len(reference)), key=lambda j: -cosine[j])[:neighbours]:
            out[i, labels[j]] += 1
    return out


def test_votes_are_those_of_a_literal_search():
    rng = np.random.default_rng(0)
    features, reference, labels = rng.normal(size=(9, 5)), rng.normal(size=(40, 5)), rng.integers(3, size=40)
    got = dejavu.votes(*map(torch.from_numpy, (features, reference, labels)), neighbours=7, classes=3).numpy()
    assert np.array_equal(got, by_hand(features, reference, labels, 7, 3))
    # Only directions count.
    scaled = torch.from_numpy(reference * rng.uniform(0.1, 10, size=(40, 1)))
    again = dejavu.votes(torch.from_numpy(3 * features), scaled, torch.from_numpy(labels), neighbours=7, classes=3)
    assert np.array_equal(again.numpy(), got)


def test_more_neighbours_than_public_images_are_an_error():
    with pytest.raises(ValueError, match="5 neighbours asked for among 4"):
        dejavu.votes(torch.rand(2, 3), torch.rand(4, 3), torch.zeros(4, dtype=torch.long), neighbours=5, classes=1)


class Mean(nn.Module):
    """Two numbers of an image: its mean and one minus it."""

    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3))
        return torch.stack([mean, 1 - mean], dim=1)


def plain(images):
    return images.expand(-1, 3, -1, -1)


def flat(*values):
    """Images of one grey each."""
    return np.stack([np.full((1, 8, 8), value, dtype=np.uint8) for value in values])


def infer(images, labels, public, **settings):
    settings = {"crop": 0.5, "neighbours": 2, "normalise": plain, **settings}
    return dejavu.infer(Mean(), images, np.array(labels), public, **settings)


PUBLIC = Part(flat(5, 10, 245, 250), np.array([0, 0, 1, 1]))


def test_votes_of_four_corners_are_averaged():
    image = flat(0)
    image[0, 0, 4:, 4:] = 255
    votes, correct = infer(np.concatenate([image, image, flat(0, 255)]), [0, 1, 1, 1], PUBLIC)
    np.testing.assert_allclose(votes, [0.75, 0.25, 0, 1])
    np.testing.assert_allclose(correct, [1, 0, 0, 1])


def test_a_tie_counts_as_a_share():
    image = flat(0)
    image[0, 0, :, 4:] = 255
    votes, correct = infer(np.concatenate([image, image]), [0, 1], PUBLIC)
    np.testing.assert_allclose(votes, [0.5, 0.5])
    np.testing.assert_allclose(correct, [0.5, 0.5])


def test_a_label_no_public_image_has_gets_no_votes():
    votes, correct = infer(flat(3), [7], PUBLIC)
    assert votes[0] == correct[0] == 0


def test_the_batch_does_not_matter(toy, network, normalise):
    images, labels = toy(23)
    public = Part(*toy(40, seed=1))
    settings = {"crop": 0.4, "neighbours": 5, "normalise": normalise}
    whole, part = (dejavu.infer(network(), images, labels, public, batch=b, **settings) for b in (100, 7))
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_allclose(a, b)
    assert ((whole[0] >= 0) & (whole[0] <= 1)).all() and 0 < whole[0].mean() < 1


# --- The experiment ---------------------------------------------------------------------------------------------------

N = 60


def planted(folder, *, seeds=3, offset=0.0, gain=0.0, agree=0.0, common=0.0, encoder="simclr"):
    """Files of planted votes.

    Args:
        offset: f's advantage on every point, gain: on those it was trained on (and g's on its own).
        agree: how much votes and SSLMem of candidates share (of independent points, with f and g in turned roles).
        common: what they share on every point.
    """
    runs, files = [], {name: [] for name in ("points", "f", "g")}
    for seed in range(seeds):
        rng = np.random.default_rng([3, seed])
        groups = np.repeat(GROUPS, N)
        sign = np.repeat([1, -1, 0], N)
        trait, noise = rng.normal(size=(2, 3 * N))
        shared = agree * np.abs(sign) + common
        advantage = offset + sign * gain + 0.1 * (shared * trait + noise)
        sslmem = 0.1 + 0.2 * sign + 0.1 * (shared * trait + rng.normal(size=3 * N))
        base = rng.uniform(0.4, 0.6, size=3 * N)
        points = pd.DataFrame({"point": np.arange(3 * N), "group": groups})
        table = pd.concat(
            [
                points.assign(layer="8", kind="convolution", own=True, sslmem=rng.normal(size=3 * N)),
                points.assign(layer="output", kind="output", own=False, sslmem=sslmem),
                points.assign(layer="head", kind="head", own=False, sslmem=rng.normal(size=3 * N)),
            ]
        )
        about = {"points": np.arange(3 * N), "groups": groups, "labels": np.arange(3 * N) % 4}
        about["chance"] = np.full(3 * N, 0.25)
        contents = {"points": table}
        for role, half in (("f", 0.5), ("g", -0.5)):
            contents[role] = about | {
                "votes": base + half * advantage,
                "correct": (base + half * advantage > 0.5) * 1.0,
            }
        runs.append((encoder, seed))
        for name, value in contents.items():
            path = folder / f"{encoder}-{name}-{seed}{'.parquet' if name == 'points' else '.npz'}"
            save(value, path)
            files[name].append(str(path))
    return Inputs(runs, files)


def analyse(inputs):
    table, rows = analysed("dejavu", inputs, resamples=100)
    return table, rows.set_index("claim")


OPTIONS = {}


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    made, inputs = Study(folder, "dejavu"), planted(folder, seeds=seeds)
    made.runs, made.files = list(inputs.runs), dict(inputs.files)
    return made


def part(table, name):
    return table[table["series"] == name].set_index("layer")["value"]


def test_an_offset_is_in_the_published_form_alone(tmp_path):
    table, rows = analyse(planted(tmp_path, offset=0.1))
    got = part(table, "advantage")
    np.testing.assert_allclose(got[["published", "external-corrected", "crossed"]], [0.1, 0, 0], atol=0.03)
    assert set(rows["verdict"]) == {"inconclusive"}


def test_planted_memory_comes_out(tmp_path):
    inputs = planted(tmp_path, offset=0.1, gain=0.15, agree=2.0)
    table, rows = analyse(inputs)
    np.testing.assert_allclose(part(table, "advantage")[["external-corrected", "crossed"]], 0.15, atol=0.04)
    assert set(rows["verdict"]) == {"supported"} and set(rows["n"]) == {N} and set(rows["seeds"]) == {3}
    # The crossed form and the shares, from the files.
    values = {role: np.stack([a["votes"] for a in inputs.arrays(role, "simclr")]) for role in "fg"}
    d = values["f"] - values["g"]
    assert rows["effect"]["dejavu.crossed"] == pytest.approx((d[:, :N].mean() - d[:, N : 2 * N].mean()) / 2)
    for role in "fg":
        expected = [values[role][:, g * N : (g + 1) * N].mean() for g in range(3)]
        np.testing.assert_allclose(part(table, role)[list(GROUPS)], expected)
    right = {role: np.stack([a["correct"] for a in inputs.arrays(role, "simclr")]) for role in "fg"}
    assert part(table, "advantage, majority")["published"] == pytest.approx((right["f"] - right["g"])[:, :N].mean())
    np.testing.assert_allclose(part(table, "chance"), 0.25)
    rho = part(table, "correlation")
    assert rho["candidate"] > 0.6 and rho["independent"] > 0.6 and abs(rho["external"]) < 0.2


def test_memory_the_wrong_way_round_refutes(tmp_path):
    _, rows = analyse(planted(tmp_path, gain=-0.15))
    assert rows["verdict"]["dejavu.crossed"] == "refuted"


def test_what_external_images_show_too_is_no_agreement_about_memory(tmp_path):
    _, rows = analyse(planted(tmp_path, common=2.0))
    assert rows["verdict"]["dejavu.agrees"] == "supported" and rows["verdict"]["dejavu.agrees-excess"] == "inconclusive"


def test_points_may_come_in_any_order(tmp_path):
    inputs = planted(tmp_path, gain=0.1, agree=1.0)
    _, first = analyse(inputs)
    for path in inputs.files["points"]:
        save(load_table(path).sample(frac=1, random_state=0), path)
    _, second = analyse(inputs)
    np.testing.assert_allclose(first["effect"], second["effect"])


def test_f_and_g_of_different_points_are_told(tmp_path):
    inputs = planted(tmp_path)
    arrays = inputs.arrays("f", "simclr")[0]
    save(arrays | {"points": arrays["points"] + 1}, inputs.files["f"][0])
    with pytest.raises(InputError, match="f and g differ in points"):
        analyse(inputs)


def test_an_output_that_was_not_measured_is_told(tmp_path):
    inputs = planted(tmp_path)
    table = load_table(inputs.files["points"][0])
    save(table[table["layer"] != "output"], inputs.files["points"][0])
    with pytest.raises(InputError, match=r"measure\.layers: lack output"):
        analyse(inputs)


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_figure_is_drawn_from_the_table_as_a_csv_holds_it(tmp_path, seeds):
    (tmp_path / "b").mkdir()
    one, other = planted(tmp_path, seeds=seeds), planted(tmp_path / "b", seeds=seeds, encoder="simclr-vit")
    both = Inputs([*one.runs, *other.runs], {name: [*one.files[name], *other.files[name]] for name in one.files})
    table, _ = analysed("dejavu", both, resamples=30)
    save_table(table, tmp_path / "table.csv")
    figure = experiments.module("dejavu").draw(load_table(tmp_path / "table.csv"), np.zeros((1, 1, 2, 2), np.uint8))
    figure.canvas.draw()
    assert len(figure.axes) == 6
    plt.close(figure)
