import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memloc import io
from memloc.data import splits
from memloc.data.groups import GROUPS, REPEATED
from memloc.data.prepared import array_sha256
from memloc.data.splits import doses, draw, draw_halves, manifest, measured_points, training_points
from tests.builders.complaints import complaint

SIZES = {"shared": 20, "candidate": 10, "independent": 10, "external": 5}


def test_groups_are_disjoint_sorted_points_of_the_requested_sizes():
    groups = draw(100, SIZES, dataset="d", seed=0)
    assert tuple(groups) == GROUPS
    assert {name: len(points) for name, points in groups.items()} == SIZES
    everything = np.concatenate(list(groups.values()))
    assert len(set(everything.tolist())) == 45 and set(everything.tolist()) <= set(range(100))
    assert all((np.diff(points) > 0).all() for points in groups.values())


def test_groups_may_use_up_every_point():
    groups = draw(45, SIZES, dataset="d", seed=0)
    assert sorted(np.concatenate(list(groups.values())).tolist()) == list(range(45))


def test_more_images_than_there_are_is_an_error_that_names_key_and_numbers():
    message = complaint(draw, 44, SIZES, dataset="d", seed=0)
    assert "datasets.d.split" in message and "45" in message and "44" in message


def test_a_split_depends_on_dataset_and_seed_alone():
    a, b, c, d = (draw(100, SIZES, dataset=n, seed=s) for n, s in (("d", 0), ("d", 0), ("d", 1), ("e", 0)))
    assert all(np.array_equal(a[g], b[g]) for g in GROUPS)
    assert not np.array_equal(a["candidate"], c["candidate"])
    assert not np.array_equal(a["candidate"], d["candidate"])


def test_every_point_is_equally_likely_in_every_group():
    counts = {group: np.zeros(45) for group in GROUPS}
    for seed in range(300):
        for group, points in draw(45, SIZES, dataset="d", seed=seed).items():
            counts[group][points] += 1
    for group, count in counts.items():
        p = SIZES[group] / 45
        assert np.abs(count - 300 * p).max() < 4.5 * np.sqrt(300 * p * (1 - p))


def test_f_and_g_share_the_shared_points_and_nothing_else():
    groups = draw(100, SIZES, dataset="d", seed=0)
    f, g, untrained = (training_points(groups, role) for role in ("f", "g", "untrained"))
    assert np.array_equal(np.intersect1d(f, g), groups["shared"])
    assert np.array_equal(np.setdiff1d(f, g), groups["candidate"])
    assert np.array_equal(np.setdiff1d(g, f), groups["independent"])
    assert not set(groups["external"].tolist()) & set(f.tolist()) | set(groups["external"].tolist()) & set(g.tolist())
    assert np.array_equal(untrained, f) and (np.diff(f) > 0).all()


def test_all_groups_are_measured_with_their_names():
    groups = draw(100, SIZES, dataset="d", seed=0)
    points, names = measured_points(groups)
    assert len(points) == len(names) == 45
    for group in GROUPS:
        assert np.array_equal(points[names == group], groups[group])


def test_the_manifest_identifies_a_split():
    groups = draw(100, SIZES, dataset="d", seed=3)
    about = manifest(groups, dataset="d", seed=3, images=100)
    assert (about["dataset"], about["seed"], about["sizes"]) == ("d", 3, SIZES)
    assert about["sha256"]["shared"] == array_sha256(groups["shared"])
    assert about["sha256"] != manifest(draw(100, SIZES, dataset="d", seed=4), dataset="d", seed=4, images=100)["sha256"]


# Reading a split

DESCRIPTION = {"sizes": {"train": 100, "test": 7}}


def kept(folder, groups, *, images=100):
    path = folder / "indices.npz"
    splits.save(groups, manifest(groups, dataset="d", seed=0, images=images), path)
    return path


def test_a_split_is_read_as_it_was_drawn(tmp_path):
    groups = draw(100, SIZES, dataset="d", seed=0)
    read = splits.load(kept(tmp_path, groups), DESCRIPTION)
    assert list(read) == list(groups) and all(np.array_equal(read[g], groups[g]) for g in groups)


def test_a_split_of_another_size_place_or_without_a_record_is_told(tmp_path):
    groups = draw(90, SIZES, dataset="d", seed=0)
    assert "made with other images" in complaint(splits.load, kept(tmp_path, groups, images=90), DESCRIPTION)
    (tmp_path / "other").mkdir()
    there = tmp_path / "other" / "indices.npz"
    there.write_bytes(kept(tmp_path, groups).read_bytes())
    message = complaint(splits.load, there, DESCRIPTION)
    assert str(there) in message and "is in the place of another file" in message and "delete it" in message
    io.save_arrays(groups, there)
    assert "doesn't say what it was made with; delete it" in complaint(splits.load, there, DESCRIPTION)


def test_points_that_were_exchanged_are_told(tmp_path):
    """The groups are still disjoint, in range and of their sizes."""
    groups = draw(100, SIZES, dataset="d", seed=0)
    path = kept(tmp_path, groups)
    free = np.setdiff1d(np.arange(100), np.concatenate(list(groups.values())))[0]
    io.save_arrays(io.load_arrays(path) | {"shared": np.array([free, *groups["shared"][1:]])}, path)
    assert "holds other points than were drawn; delete it" in complaint(splits.load, path, DESCRIPTION)


SIZE = st.integers(0, 8)


@given(sizes=st.tuples(SIZE, SIZE, SIZE, SIZE), free=SIZE, seed=st.integers(0, 99))
def test_whatever_is_drawn_has_no_fault(sizes, free, seed):
    images = sum(sizes) + free
    groups = draw(images, dict(zip(GROUPS, sizes, strict=True)), dataset="d", seed=seed)
    assert splits.fault_of(groups, images=images) is None


@given(data=st.data(), seed=st.integers(0, 99))
def test_any_point_twice_or_outside_is_a_fault(data, seed):
    groups = draw(60, SIZES, dataset="d", seed=seed)
    group = data.draw(st.sampled_from(GROUPS))
    every = np.concatenate(list(groups.values())).tolist()
    point = data.draw(st.one_of(st.sampled_from(every), st.integers(60, 99), st.integers(-99, -1)))
    fault = splits.fault_of(groups | {group: np.append(groups[group], point)}, images=60)
    outside = not 0 <= point < 60
    assert fault.startswith(f"{group} has a point outside the 60" if outside else f"point {point} is there twice")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"external": None}, "not a split"),
        ({"more": np.arange(2)}, "not a split"),
        ({"external": np.array([0.5])}, "external is no list of points"),
        ({"external": np.array([[99]])}, "external is no list of points"),
    ],
)
def test_other_arrays_are_no_split(change, message):
    made = {**draw(60, SIZES, dataset="d", seed=0), **change}
    fault = splits.fault_of({name: value for name, value in made.items() if value is not None}, images=100)
    assert message in fault


# --- Halves of a pool -------------------------------------------------------------------------------------------------

LABELS = np.repeat([3, 5, 8], [50, 31, 19])


def test_halves_share_a_pool_and_nothing_else():
    pairs = [draw_halves(LABELS, {"pool": 40, "external": 21}, dataset="d", seed=seed) for seed in range(20)]
    for groups in pairs:
        assert tuple(groups) == GROUPS and len(groups["shared"]) == 0
        assert [len(groups[group]) for group in GROUPS[1:]] == [20, 20, 21]
        assert len(set(np.concatenate(list(groups.values())).tolist())) == 61
        assert all((np.diff(points) > 0).all() for points in groups.values())
        np.testing.assert_array_equal(groups["external"], pairs[0]["external"])
    pools = {tuple(sorted([*groups["candidate"], *groups["independent"]])) for groups in pairs}
    assert len(pools) == 1 and len({tuple(groups["candidate"]) for groups in pairs}) == 20


def test_pool_halves_and_external_have_the_classes_of_the_dataset():
    for dataset in "abcdef":
        groups = draw_halves(LABELS, {"pool": 40, "external": 20}, dataset=dataset, seed=0)
        pool = np.concatenate([groups["candidate"], groups["independent"]])
        for points in (pool, groups["external"]):
            shares = np.array([np.mean(LABELS[points] == label) for label in (3, 5, 8)])
            assert np.abs(shares * len(points) - np.array([0.5, 0.31, 0.19]) * len(points)).max() <= 1.5
        for label in (3, 5, 8):
            counts = [int((LABELS[groups[half]] == label).sum()) for half in ("candidate", "independent")]
            assert abs(counts[0] - counts[1]) <= 1


def test_an_image_is_in_either_half_as_often():
    pairs = [draw_halves(LABELS, {"pool": 40, "external": 20}, dataset="d", seed=seed) for seed in range(400)]
    of_f = np.bincount(np.concatenate([groups["candidate"] for groups in pairs]), minlength=100)
    pool = np.concatenate([pairs[0]["candidate"], pairs[0]["independent"]])
    # Binomial(400, 1/2): standard deviation 10.
    assert np.abs(of_f[pool] - 200).max() < 45 and of_f[pool].std() < 14


def test_halves_that_can_not_be_drawn_are_told():
    few = complaint(draw_halves, LABELS, {"pool": 90, "external": 20}, dataset="d", seed=0)
    assert few == "datasets.d.split: pool and external need 110 images, but there are 100; lower them"
    lacking = complaint(draw_halves, np.arange(10) % 5, {"pool": 6, "external": 2}, dataset="d", seed=0)
    assert "datasets.d.split.pool: 6 has one image of class" in lacking and lacking.endswith("raise it")


# --- A dose -----------------------------------------------------------------------------------------------------------

DOSED = {"pool": 60, "external": 20, "dose": {"images": 3, "times": [2, 4, 8]}}


def test_so_many_images_of_each_half_stand_so_often_and_all_others_once():
    for seed in range(20):
        groups = draw_halves(LABELS, DOSED, dataset="d", seed=seed)
        for role, half in (("f", "candidate"), ("g", "independent")):
            points, times = np.unique(training_points(groups, role), return_counts=True)
            np.testing.assert_array_equal(points, groups[half])
            np.testing.assert_array_equal(times, doses(groups, points))
            assert np.bincount(times).tolist() == [0, 21, 3, 0, 3, 0, 0, 0, 3]
        assert set(doses(groups, groups["external"]).tolist()) == {1}


def test_doses_have_the_classes_of_the_half_and_are_the_same_in_both():
    large = np.repeat([3, 5, 8], [500, 310, 190])
    for seed in range(20):
        groups = draw_halves(
            large, {"pool": 200, "external": 20, "dose": {"images": 20, "times": [2, 3]}}, dataset="d", seed=seed
        )
        made = []
        for half in ("candidate", "independent"):
            times = doses(groups, groups[half])
            made.append([[int((large[groups[half][times == t]] == c).sum()) for c in (3, 5, 8)] for t in (2, 3)])
        assert made[0] == made[1]
        assert np.abs(np.array(made[0]) - 20 * np.array([0.5, 0.31, 0.19])).max() <= 1.5


def test_a_dose_leaves_pool_and_halves_and_is_dealt_anew_with_every_pair():
    plain = {key: DOSED[key] for key in ("pool", "external")}
    count = np.zeros(100)
    for seed in range(300):
        groups = draw_halves(LABELS, DOSED, dataset="d", seed=seed)
        for group, points in draw_halves(LABELS, plain, dataset="d", seed=seed).items():
            np.testing.assert_array_equal(points, groups[group])
        count[np.unique(groups[REPEATED])] += 1
    pool = np.concatenate([groups["candidate"], groups["independent"]])
    # 18 of the 60 in each pair: Binomial(300, .3) has a standard deviation of 8.
    assert np.abs(count[pool] - 90).max() < 36 and count.sum() == 300 * 18


def test_a_split_with_a_dose_is_read_as_it_was_drawn(tmp_path):
    groups = draw_halves(LABELS, DOSED, dataset="d", seed=0)
    read = splits.load(kept(tmp_path, groups), DESCRIPTION)
    np.testing.assert_array_equal(training_points(read, "g"), training_points(groups, "g"))
    assert not np.array_equal(training_points(read, "g"), groups["independent"])


def test_a_dose_for_a_whole_half_is_told():
    whole = {"pool": 60, "external": 20, "dose": {"images": 10, "times": [2, 4, 8]}}
    told = complaint(draw_halves, LABELS, whole, dataset="d", seed=0)
    assert told.startswith("datasets.d.split.dose: repeats 30 of the 30 images of a half, ")
    assert told.endswith(" of which have one of their class in the other half; lower images")
