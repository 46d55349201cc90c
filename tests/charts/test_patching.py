"""Patching on a model that answers: what must give the other chart's answer, what must not, and a literal reference."""

import numpy as np
import pytest
import torch

from memloc.charts import ask, locate, patching
from memloc.charts.models.stages import editing
from memloc.charts.models.tokens import layout, units


@pytest.fixture(scope="module")
def chosen(trained, single):
    items = single.choose(tasks=["position"], split="test")
    answers = ask.answers(trained, single, items, ["free"])
    return locate.chosen_pairs(trained, single, items, answers, "free", most=12, seed=0, batch=24)


@pytest.fixture(scope="module")
def cells(trained, single, chosen):
    table = locate.patch(trained, layout(trained, single), single, chosen, "free", batch=12)
    return patching.cells(table)


def test_pairs_have_one_question_and_two_answers(chosen, single):
    assert len(chosen) == 12
    for pair in chosen:
        assert pair.base["question"] == pair.source["question"] and pair.base["answer"] != pair.source["answer"]
        point = single.charts[pair.source["chart"]]["points"][0]
        assert pair.source["answer"] == f"({point['x']}, {point['y']})"


def test_the_whole_image_moves_the_answer_and_what_shows_nothing_does_not(trained, cells):
    moved = cells[cells["n"].isna()].set_index(["stage", "unit"])["moved"]
    assert (
        moved[[(stage, "image") for stage in ("patch embedding", "tower 2", "connector", "decoder input")]] >= 0.99
    ).all()
    # Before the tower's attention, the marks of both charts are all that differs, and paper nothing.
    assert moved["patch embedding", "marks"] >= 0.99
    assert (moved[[("patch embedding", "background"), ("patch embedding", "axes")]] == 0).all()
    # The last token knows nothing yet where it enters, and no token but the last matters at the end.
    assert moved["decoder input", "last token"] == 0 and moved["decoder 2", "image"] == 0
    shift = cells[cells["n"].isna()].set_index(["stage", "unit"])["shift"]
    assert shift["decoder 2", "last token"] == pytest.approx(1, abs=1e-4)
    assert shift["tower 2", "image"] == pytest.approx(1, abs=1e-4)


def test_both_checks_of_patching_hold(trained, cells):
    found = locate.sanity(cells, crosses=False)
    assert found["itself"] <= patching.ALIKE and found["entry_moved"] >= 0.99 and found["entry_pairs"] == 12
    assert cells["few"].all() and cells["pairs"].eq(12).all()


def test_a_check_that_fails_is_said(cells, caplog):
    worse = cells.assign(itself=1e-3, moved=0.5)
    with caplog.at_level("WARNING", logger="memloc"):
        locate.sanity(worse, crosses=False)
    assert "a run patched into itself changes a logit by 0.001" in caplog.text
    assert "gives the source's answer in 0.500 of pairs only" in caplog.text


def test_a_patch_is_what_comes_of_the_same_states_by_hand(trained, single, chosen):
    pair, module = chosen[0], trained.module
    base, source = (ask.inputs_of(trained, single, [item], "free")[0] for item in (pair.base, pair.source))
    shown = units(trained, layout(trained, single), single, [str(pair.base["chart"])])[str(pair.base["chart"])]
    stage = trained.stage("decoder input")
    states = trained.states(source, [stage])[stage]
    mask = patching.masks(trained, layout(trained, single), stage, base, states.shape[1], [shown])["marks"]
    with editing(module, 1, {stage: patching.replaced(states, mask)}):
        patched = trained.logits(base)
    # By hand: words and image features of both runs, one token exchanged.
    entries = []
    for inputs in (base, source):
        features = torch.cat(module.model.get_image_features(inputs["pixel_values"]).pooler_output)
        words = module.get_input_embeddings()(inputs["input_ids"])
        entries.append(words.masked_scatter(trained.places(inputs)[..., None], features))
    token = int(trained.places(base)[0].nonzero()[np.flatnonzero(shown["marks"])[0]])
    entries[0][0, token] = entries[1][0, token]
    by_hand = module(inputs_embeds=entries[0], attention_mask=base["attention_mask"]).logits[:, -1]
    assert shown["marks"].sum() == 1 and patched == pytest.approx(by_hand, abs=1e-5)
    assert (patched - trained.logits(base)).abs().max() > 1e-3


def test_a_patch_agrees_with_nnsight(trained, single, chosen):
    nnsight = pytest.importorskip("nnsight", reason="nnsight isn't installed: no cross-check of patching against it")
    base, source = (ask.inputs_of(trained, single, [item], "free")[0] for item in (chosen[0].base, chosen[0].source))
    stage = trained.stage("decoder 1")
    states = trained.states(source, [stage])[stage]
    mask = trained.places(base)
    with editing(trained.module, 1, {stage: patching.replaced(states, mask)}):
        ours = trained.logits(base)
    assert (trained.logits(base) - ours).abs().max() > 1e-3
    wrapped = nnsight.NNsight(trained.module)
    with wrapped.trace(**base):
        output = wrapped.model.language_model.layers[0].output
        output[:] = torch.where(mask[..., None], states, output)
        theirs = wrapped.output.logits[:, -1].save()
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_answers_part_at_the_first_token_that_differs():
    one, other = torch.tensor([5, 6, 7]), torch.tensor([5, 8, 7, 9])
    assert patching.parting(one, other) == 1 and patching.parting(one, one) is None


def test_without_a_pair_there_are_no_cells(trained, single):
    table = locate.patch(trained, layout(trained, single), single, [], "free", batch=4)
    assert patching.cells(table).empty and locate.sanity(patching.cells(table), crosses=False)["itself"] is None
