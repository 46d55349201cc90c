"""Planted tables give the expected cells; the paper's own numbers obey the definitions that ours are read by."""

import math

import pytest

from memloc.models.architectures import ARCHITECTURES
from memloc.paper import readings
from memloc.paper.page import published
from memloc.paper.readings import Cell, Choice, Of, Run, Step

SIMCLR = {
    **{"framework": "simclr", "architecture": "resnet9", "network": {"residual": True}},
    **{"measure": {"distance": "l2"}, "recipe": {"privacy": None}},
}
RESNET50 = {**SIMCLR, "architecture": "resnet50", "network": {"stem": "imagenet"}}


def run(rows, experiment=None, encoders=None, datasets=None):
    texts = [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
    encoders = encoders or {"simclr": SIMCLR}
    return Run("mine", texts, experiment or {}, encoders, next(iter(encoders)), datasets or {})


def rows(series, values, encoder="simclr", **about):
    return [
        {
            "encoder": encoder,
            "series": series,
            "layer": layer,
            "value": value,
            "low": value - 1,
            "high": value + 1,
            **about,
        }
        for layer, value in values.items()
    ]


def values(reading):
    return {row: {column: cell.value for column, cell in cells.items()} for row, cells in reading.cells.items()}


def close(cells, expected):
    found = values(cells)
    assert found.keys() == expected.keys()
    for row, by_column in expected.items():
        assert found[row] == pytest.approx(by_column)


def test_a_row_a_layer_with_what_each_adds_to_the_one_before():
    read = readings.by_layer({"LM": Of("published"), "ΔLM": Step("LM")})
    reading = read(run(rows("published", {"1": 0.1, "1.norm": 0.6, "2": 0.4}) + rows("crossed", {"1": 9.0})))
    close(reading, {"1": {"LM": 0.1}, "1.norm": {"LM": 0.6, "ΔLM": 0.5}, "2": {"LM": 0.4, "ΔLM": 0.3}})
    assert reading.cells["2"]["LM"] == Cell(0.4, -0.6, 1.4)
    assert reading.lacks == []


def test_a_step_is_over_the_layer_before_or_not_at_all():
    read = readings.by_layer({"LM": Of("published"), "ΔLM": Step("LM")})
    reading = read(run(rows("published", {"1": 0.1, "4": 0.4, "res2": 0.35, "6": 0.5})))
    close(reading, {"1": {"LM": 0.1}, "4": {"LM": 0.4}, "Res2": {"LM": 0.35, "ΔLM": -0.05}, "6": {"LM": 0.5}})
    assert reading.lacks == ["ΔLM: only where the layer before was measured, too (measure.layers)."]
    # The paper's Table 18 has no normalisation of layer 3.
    read = readings.by_layer({"LM": Of("published"), "ΔLM": Step("LM")}, readings.with_sublayers)
    reading = read(run(rows("published", {"3": 0.1, "3.norm": 0.7, "4": 0.4})))
    assert values(reading)["4 Conv2-2"] == pytest.approx({"LM": 0.4, "ΔLM": 0.3})


@pytest.mark.parametrize(("names", "place"), [(readings.convolutions, "conv4-7"), (readings.counted, "29")])
def test_layers_keep_their_numbers_where_others_were_not_measured(names, place):
    read = readings.by_layer({"LM": Of("published")}, names)
    close(read(run(rows("published", {"layer3.2.conv1": 0.1}), encoders={"e": RESNET50})), {})
    only = rows("published", {"layer3.2.conv1": 0.1}, encoder="e")
    close(read(run(only, encoders={"e": RESNET50})), {place: {"LM": 0.1}})


def of_100(table, **experiment):
    """A run of an encoder with 100 candidates."""
    return run(table, experiment, {"simclr": {**SIMCLR, "dataset": "its"}}, {"its": {"split": {"candidate": 100}}})


def test_groups_say_how_many_of_the_candidates_they_hold_and_what_chance_gives():
    read = readings.groups(readings.by_layer({"Top": Of("most")}), "size", ["Top"], chance=True)
    assert read(of_100(rows("most", {"1": 0.1}), size=20)).columns == {"Top": "20 of 100; 20 % by chance"}


def test_a_set_of_all_candidates_has_no_spread():
    table = [row for size in (20, 100) for row in rows("published", {"1": 0.1}, size=size, sd=0.5 * (size < 100))]
    reading = readings.by_size(of_100(table))
    assert reading.columns == {"100 samples": "20 images", "500 samples": "100 images, all"}
    assert reading.cells["1"]["100 samples"].spread == 0.5 and math.isnan(reading.cells["1"]["500 samples"].spread)


def test_a_column_of_an_encoder_that_isnt_there_is_named():
    read = readings.by_layer(readings.pair_of("DINO", {"framework": "dino"}))
    assert read(run(rows("published", {"1": 0.1}))).lacks == [
        "DINO LM: experiment mine has no encoder of framework dino."
    ]


def paper_column(key, column):
    table = published()[key]
    at = table["columns"].index(column)
    texts = {row: cells[at] for row, cells in table["rows"].items()}
    return {row: float(text[0] if isinstance(text, list) else text) for row, text in texts.items() if text != "~"}


@pytest.mark.parametrize(
    ("key", "of", "steps", "names", "entry"),
    [
        ("1", "LayerMem", "ΔLM", readings.as_they_are, SIMCLR),
        ("1", "LayerMem Top50", "ΔLM Top50", readings.as_they_are, SIMCLR),
        ("18", "LayerMem", "ΔLM", readings.with_sublayers, SIMCLR),
        ("26", "cosine LM", "cosine ΔLM", readings.as_they_are, SIMCLR),
        ("27", "strong LM", "strong ΔLM", readings.as_they_are, SIMCLR),
        ("29", "DINO LM", "DINO ΔLM", readings.convolutions, RESNET50),
    ],
)
def test_the_papers_increments_are_differences_of_its_rows(key, of, steps, names, entry):
    """Each number is rounded to three decimals, so differences of two are off by .001 at most, and by a sign's slip."""
    column = paper_column(key, of)
    layers = [layer.name for layer in ARCHITECTURES[entry["architecture"]].layers(entry["network"])]
    column = {layer: column[name] for layer, name in names(layers).items() if name in column}
    read = readings.by_layer({of: Of("published"), steps: Step(of)}, names)
    ours = values(read(run(rows("published", column, "e"), encoders={"e": entry})))
    theirs = paper_column(key, steps)
    # The paper's last pool is behind the head, ours before it; its classifier we lack.
    off = [
        row for row, step in theirs.items() if steps not in ours.get(row, {}) or abs(ours[row][steps] - step) > 0.0011
    ]
    assert [row for row in off if row not in ("head", "MaxPool", "FC")] == []


def test_the_papers_increments_of_blocks_are_those_of_its_table_10():
    places = {
        "att": "Attention LayerMem",
        "res-att": "Attention ResBlock",
        "fc": "FC LayerMem",
        "res-fc": "FC ResBlock",
    }
    columns = {place: paper_column("10", column) for place, column in places.items()}
    layers = {f"{block}.{place}": columns[place][block] for block in columns["fc"] for place in places}
    ours = values(readings.sublayers_of_blocks(run(rows("published", layers))))
    for column in ("FC ΔLayerMem", "ΔBlockMem"):
        for block, value in paper_column("10", column).items():
            assert ours[block][column] == pytest.approx(value, abs=0.0031)
    assert ours["12"]["Attention ΔLayerMem"] == pytest.approx(0.280 - 0.271)
    assert "Attention ΔLayerMem" not in ours["1"]


def test_layers_by_the_papers_names():
    blocks = [f"layer{s}.{b}.conv{c}" for s in (1, 2) for b in (0, 1) for c in (1, 2)]
    layers = ["conv1", "conv1.norm", "conv1.pool", *blocks, "layer2.1", "output", "head"]
    names = readings.convolutions(layers)
    assert list(names.values())[:3] == ["conv1", "max pool", "conv2-1"]
    assert names["layer2.1.conv2"] == "conv3-4"
    assert names["output"] == "average pool"
    assert not {"conv1.norm", "layer2.1", "head"} & names.keys()
    assert readings.counted(layers)["layer1.0.conv1"] == "2"
    assert readings.with_sublayers(["3", "2.norm", "6.pool", "res6"]) == {
        "3": "3 Conv2-1",
        "2.norm": "BN2-0",
        "6.pool": "MaxPool4-0",
        "res6": "Residual6",
    }


def subset(layers, accuracy, increment, layermem, task="base"):
    about = {"norms": "with", "count": len(layers.split()), "increment": increment, "layermem": layermem}
    return {
        "encoder": "simclr",
        "series": "subset",
        "task": task,
        "layers": f"layers {layers}",
        "value": accuracy,
        **about,
    }


REPLACED = [
    {"encoder": "simclr", "series": "base alone", "task": "base", "value": 0.9},
    subset("1", 0.5, None, 0.1),
    subset("2", 0.6, 0.3, 0.4),
    subset("3", 0.8, -0.1, 0.3),
    subset("2 3", 0.1, 0.2, 0.7),
    {**subset("3", 0.2, -0.1, 0.3), "norms": "without"},
    subset("2", 0.7, 0.3, 0.4, "donor"),
]
TASKS = {"tasks": ["fashion", "unseen"], "counts": [1]}


def test_replaced_layers_are_those_of_highest_and_of_lowest_sum():
    choices = [Choice("most", "increment"), Choice("least", "layermem", highest=False), Choice("any")]
    reading = readings.replaced(choices, "STL10", 1)(run(REPLACED, TASKS))
    expected = {
        "None (baseline)": {"CIFAR10": 90},
        "most": {"CIFAR10": 60, "STL10": 70},
        "least": {"CIFAR10": 50, "STL10": 70},
    }
    close(reading, expected | {"any": {"CIFAR10": 190 / 3, "STL10": 70}})
    assert reading.rows["most"] == "2"
    assert reading.columns == {"CIFAR10": "fashion", "STL10": "unseen"}


def test_every_subset_with_the_largest_and_the_smallest():
    reading = readings.every_subset("STL10", 1)(run(REPLACED, TASKS))
    assert {row: cells["CIFAR10"].value for row, cells in reading.cells.items()} == pytest.approx(
        {"None": 90, "1": 50, "2": 60, "3": 80, "max": 80, "min": 50}
    )
    assert reading.rows["max"] == "fashion: 3; unseen: 2"
    three = readings.every_subset("STL10", 3)(run(REPLACED, TASKS))
    assert three.cells == {}
    assert "replaces 1 at once, not 3" in three.lacks[0]


def test_pruned_tasks_stand_for_the_papers_of_the_same_name_or_else_in_turn():
    datasets = {"first": {"source": "fashion-mnist"}, "svhn-like": {"source": "svhn"}}
    about = {"encoder": "simclr", "series": "top", "scope": "layer", "fraction": 0.1, "low": 0.1, "high": 0.5}
    table = [{**about, "task": "first", "value": 0.3}, {**about, "task": "svhn-like", "value": 0.4, "scope": "total"}]
    reading = readings.pruned(run(table, {"tasks": ["first", "svhn-like"]}, datasets=datasets))
    assert reading.cells["Top UnitMem per layer, 10 %"]["CIFAR10"] == Cell(30, 10, 50)
    assert reading.cells["Top UnitMem total, 10 %"]["SVHN"].value == pytest.approx(40)


def test_pairs_of_layers_in_percent_without_a_layer_and_itself():
    table = [
        {
            "encoder": "simclr",
            "series": "candidate, same draws",
            "part": "layers",
            "layer": "1",
            "other": "2",
            "value": 0.3,
        },
        {"encoder": "simclr", "series": "candidate, tau", "part": "layers", "layer": "1", "other": "2", "value": 0.5},
        {
            "encoder": "simclr",
            "series": "candidate, same draws",
            "part": "layers",
            "layer": "1",
            "other": "1",
            "value": 1,
        },
    ]
    close(readings.between_layers(run(table)), {"1 2": {"Overlap %": 30, "τ": 0.5}})
    assert "split_seed" in readings.between_seeds(run(table)).lacks[0]


def test_distributions_are_of_the_last_layer_and_named_by_what_differs():
    decayed = {**SIMCLR, "recipe": {"weight_decay": 1e-2}}
    encoders = {"a": {**SIMCLR, "recipe": {"weight_decay": 1e-6}}, "b": decayed}
    table = [
        {"encoder": encoder, "series": "unit", "layer": layer, "value": value}
        for encoder, layer, value in (("a", "1", 0.9), ("a", "8", 0.2), ("b", "8", 0.1), ("b", "8", 0.3))
    ]
    plot = readings.distribution("recipe.weight_decay")(run(table, encoders=encoders))
    assert {name: [point.value for point in points] for name, points in plot.series.items()} == {
        "weight decay 1e-06": [0.2],
        "weight decay 0.01": [0.1, 0.3],
    }


def test_units_owned():
    table = [{"encoder": "simclr", "series": "owners, candidate", "owns": 2, "points": 7, "value": 0.25}]
    cells = readings.owners_of_units(run(table)).cells
    assert (cells["Average SSLMem"]["2"].value, cells["Number of samples"]["2"].value) == (0.25, 7)
    assert math.isnan(cells["Average SSLMem"]["2"].low)
