"""What is read at every stage, on planted predictions."""

import numpy as np
import pytest

from memloc.errors import InputError
from tests.builders.charted import STAGES, predicted
from tests.builders.study import Study

OPTIONS = {}
PROBE = dict(zip(STAGES, (0.5, 0.8, 0.9, 0.85, 0.8, 0.7, 0.6), strict=True))


def world(folder, seeds=3, *, probe=PROBE, answer=0.5):
    """A tower that knows nearly all places, a decoder that knows fewer, answers that tell half of them."""
    kept = Study(folder, "chart_probes")
    for seed in range(seeds):
        kept.add("plain", seed, predictions=predicted(probe, answer, seed=seed))
    return kept


def test_planted_stages_gap_and_drops_come_out(tmp_path):
    table, rows = world(tmp_path).analyse()
    mine = table[(table["series"] == "all") & (table["representation"] == "flattened")].set_index("stage")["value"]
    assert mine.round(6).to_dict() == PROBE
    gap = rows[rows["claim"] == "chart_probes.gap"].set_index("subject")["effect"]
    for probe in ("single tokens", "all tokens"):
        assert gap[f"plain, {probe}, 4 marks"] == gap[f"plain, {probe}, 8 marks"] == pytest.approx(0.9 - 0.5 - 0.2)
    effects = rows.set_index(["claim", "subject"])["effect"]
    # What the last layer of the decoder gives to image tokens is read by nothing, so it doesn't count.
    expected = {"handoff": 0.9 - 0.8, "decoder": 0.8 - 0.7}
    for claim, effect in expected.items():
        assert effects[f"chart_probes.{claim}", "plain, single tokens"] == pytest.approx(effect, abs=1e-9), claim
    assert effects["chart_probes.control", "plain"] == pytest.approx(0.03)
    assert effects["chart_probes.last-token", "plain"] == pytest.approx(0.05)
    # Which marks are told is dealt apart from which are read.
    assert effects["chart_probes.wrong", "plain, single tokens"] == pytest.approx(0.4, abs=0.08)


def test_answers_are_told_by_places(tmp_path):
    kept = Study(tmp_path, "chart_probes")
    for seed in range(3):
        parts = [predicted(PROBE, share, seed=seed, held_out=place) for place, share in ((0, 0.9), (1, 0.3))]
        kept.add("plain", seed, predictions={name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    table, _ = kept.analyse()
    answer = table[table["stage"] == "answer"].set_index("held_out")["value"]
    assert answer.to_dict() == {0: pytest.approx(0.9), 1: pytest.approx(0.3)}
    by_n = table[table["series"] == "answers by n"].set_index(["held_out", "n"])["value"]
    assert by_n[0, 4] == pytest.approx(0.9) and by_n[1, 8] == pytest.approx(0.3)


def test_where_nothing_is_lost_no_handoff_is_found(tmp_path):
    _, rows = world(tmp_path, probe=dict.fromkeys(STAGES, 0.9), answer=0.9).analyse()
    effects = rows.groupby("claim")["effect"].first()
    assert np.isclose(effects["chart_probes.gap"], -0.2)
    assert abs(effects["chart_probes.handoff"]) < 0.05 and abs(effects["chart_probes.decoder"]) < 0.05


def test_probes_that_learned_nothing_are_one_line(tmp_path):
    kept = Study(tmp_path, "chart_probes")
    predictions = {name: values[:0] for name, values in predicted(PROBE, 0.5, seed=0).items()}
    kept.add("plain", 0, predictions=predictions)
    with pytest.raises(InputError, match="plain: too few training charts have marks of one kind for a probe to learn"):
        kept.analyse()
