import hashlib

import numpy as np

from memloc.streams import generator, stream, uniforms


def test_a_stream_is_63_bits_of_its_names_hash_on_every_machine():
    digest = hashlib.sha256(b"epoch\x1f3\x1ff").digest()
    assert stream("epoch", 3, "f") == int.from_bytes(digest[:8], "little") // 2
    assert 0 <= stream("x") < 2**63


def test_other_names_in_any_place_give_another_stream():
    names = [("a", 1), ("a", 2), ("b", 1), (1, "a"), ("a", 1, 1), ("a1",), ("a", 11), ("a",), ("1", "a", "")]
    assert len({stream(*n) for n in names}) == len(names)


def test_a_generator_repeats_itself_and_nobody_else():
    a, b, c = (generator(*n).random(5) for n in (("split", 0), ("split", 0), ("split", 1)))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_a_points_numbers_do_not_depend_on_its_batch_or_place():
    points = np.array([5, 0, 77, 12])
    whole = uniforms(9, points, (3, 2))
    assert whole.shape == (4, 3, 2) and whole.dtype == np.float32
    for row, point in enumerate(points):
        assert np.array_equal(uniforms(9, np.array([point]), (3, 2))[0], whole[row])
    assert np.array_equal(uniforms(9, points[::-1], (3, 2)), whole[::-1])


def test_fewer_draws_are_the_first_of_more():
    points = np.array([3])
    assert np.array_equal(uniforms(1, points, (4, 10))[0, :2], uniforms(1, points, (2, 10))[0])


def test_points_and_seeds_have_unrelated_numbers():
    drawn = np.stack([uniforms(s, np.array([p]), (2000,))[0] for s in (0, 1, stream("x")) for p in (0, 1, 10**6)])
    correlation = np.corrcoef(drawn)[np.triu_indices(9, 1)]
    assert np.abs(correlation).max() < 0.1


def test_numbers_are_uniform():
    drawn = uniforms(stream("measure", 0), np.arange(200), (250,)).ravel()
    assert drawn.min() >= 0 and drawn.max() < 1
    counts = np.bincount((drawn * 20).astype(int), minlength=20)
    assert ((counts - 2500) ** 2 / 2500).sum() < 45  # chi-squared with 19 degrees of freedom, p = .0007
