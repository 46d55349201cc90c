"""The page and its files: the run's numbers beside the paper's, and what a run lacks said in its place."""

import csv
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from snakemake.utils import update_config

from memloc.config import complete
from memloc.errors import InputError
from memloc.paper import drawing, page
from memloc.paper.exhibits import EXHIBITS
from memloc.paper.readings import Plot, Point
from memloc.paper.sources import scale

ROOT = Path(__file__).resolve().parents[2]
BY_NAME = {exhibit.name: exhibit for exhibit in EXHIBITS}
EVIL = "<script>alert('x')</script>"


@cache
def config(*files):
    loaded = yaml.safe_load((ROOT / "config.yaml").read_text())
    for name in files:
        update_config(loaded, yaml.safe_load((ROOT / name).read_text()))
    complete(loaded)
    return loaded


GROUPS = "config/groups.yaml"
LAYERS = ("1", "2", "3", "4", "res2", "5", "6", "7", "8", "res6", "output")


def layermem(encoder="simclr-groups"):
    return [
        {
            "encoder": encoder,
            "series": series,
            "layer": layer,
            "value": f"{0.01 * place:.9g}",
            "low": "-0.5",
            "high": "0.5",
        }
        for series in ("published", "crossed", "most memorized", "least memorized")
        for place, layer in enumerate(LAYERS)
    ]


def claim(**changes):
    return {"statement": EVIL, "paper": "Table 1", "subject": "s", "effect": 0.1, "low": 0.0, "high": 0.2} | {
        "verdict": "supported",
        "paper_effect": np.nan,
        **changes,
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    counts = page.write(folder, config(GROUPS), {"layermem": layermem()}, [claim(), claim(paper="Tables 3 and 5")], {})
    return folder, counts


def table(folder, name):
    with open(folder / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_the_papers_rows_and_columns_with_ours_beside_them(written):
    folder, counts = written
    rows = table(folder, "table-1")
    assert [row["row"] for row in rows] == ["1", "2", "3", "4", "Res2", "5", "6", "7", "8", "Res6", "output"]
    eight = rows[8]
    assert (eight["LayerMem, paper"], eight["LayerMem, here"]) == ("0.308", "0.08")
    assert (eight["LayerMem, here, low"], eight["LayerMem, here, high"]) == ("-0.5", "0.5")
    assert (eight["ΔLM, paper"], eight["ΔLM, here"]) == ("0.032", "0.01")
    assert (rows[-1]["LayerMem, paper"], rows[-1]["LayerMem, here"]) == ("", "0.1")
    assert counts == {"whole": 1, "part": 0, "none": len(EXHIBITS) - 1}


def test_what_a_run_lacks_is_said_in_its_place(written):
    folder, _ = written
    for exhibit in EXHIBITS:
        rows = table(folder, exhibit.name)
        assert rows
        if exhibit.name != "table-1":
            assert all(re.search("Needs an experiment of kind|No configuration", row["note"]) for row in rows)
    assert (
        "kind attention: add --configfile config/layers.yaml or config/paper.yaml"
        in table(folder, "table-2")[0]["note"]
    )
    assert table(folder, "table-33")[-2]["CIFAR10, paper"] == "50.48"


def test_the_page_has_every_table_and_figure_by_its_number_and_makes_no_request(written):
    text = (written[0] / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'<h2 id="([^"]+)">', text) == [exhibit.name for exhibit in EXHIBITS]
    assert '<h2 id="table-21">Table 21. ' in text
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert all(re.fullmatch(r"#[a-z]+-\d+|[a-z]+-\d+\.(csv|png)|data:.*", link) for link in links)
    assert EVIL not in text
    assert text.count("&lt;script&gt;") == 3


def test_digits_of_the_paper_stay_as_printed(written):
    text = (written[0] / "index.html").read_text(encoding="utf-8")
    assert ">0.120<" in text
    assert ">4.07e−29<" in text or ">4.07e-29<" in text


def test_layers_that_arent_the_papers_stand_below_its_own():
    both = {"encoder": "mae-vit", "series": "published"}
    rows = [
        {**both, "layer": f"{block}.{place}", "value": "0.5"}
        for block in (1, 2)
        for place in ("att", "res-att", "fc", "res-fc")
    ]
    (one,) = page.shown(BY_NAME["table-10"], config("config/layers.yaml"), {"attention": rows}, page.published())
    assert [(line.title, line.own) for line in one.lines[-3:]] == [("12", False), ("1", True), ("2", True)]
    assert all(np.isnan(ours.value) for line in one.lines[:12] for _, ours in line.cells)
    assert "other layers" in one.lacks[-1]


def test_the_scale_says_whose_images_how_many_and_how_many_pairs():
    (groups,) = page.shown(BY_NAME["table-1"], config(GROUPS), {"layermem": layermem()}, page.published())
    (halves,) = page.shown(BY_NAME["table-1"], config(), {"layermem": layermem("simclr")}, page.published())
    (told,) = scale(groups.run)
    assert told.startswith(
        "simclr-groups (mild augmentation): ResNet9 (width 0.5) by SimCLR, 250 epochs on 400 images, 200 of"
    )
    assert told.endswith("3 pairs")
    (told,) = scale(halves.run)
    assert "100 images, half of a pool of 200 (Fashion-MNIST" in told
    assert told.endswith("10 pairs on complementary halves")


def test_a_damaged_table_is_one_line(tmp_path):
    broken = [{**row, "value": "high"} for row in layermem()]
    with pytest.raises(
        InputError, match=r"^figures/layermem\.csv: Table 1 can't be read .*delete it and run snakemake again$"
    ):
        page.write(tmp_path, config(GROUPS), {"layermem": broken}, [], {})
    assert not list(tmp_path.iterdir())


def test_figures_hold_their_points():
    lines = Plot("lines", "layer", "UnitMem", {"a": [Point("1", 0.2, 0.1, 0.3), Point("2", 0.4, 0.3, 0.6)]})
    cloud = Plot("scatter", "UnitMem", "ClassMem", {"units": [Point(0.1, 0.5), Point(0.3, 0.7)]})
    shares = Plot("histogram", "UnitMem", "share of units", {"a": [Point(0, 0.05), Point(1, 0.05), Point(2, 0.95)]})
    figure = drawing.draw({"l": lines, "s": cloud, "h": shares})
    axes = {axis.get_title(loc="left"): axis for axis in figure.axes}
    np.testing.assert_allclose(axes["l"].lines[0].get_ydata().astype(float), [0.2, 0.4])
    np.testing.assert_allclose(axes["s"].collections[0].get_offsets(), [[0.1, 0.5], [0.3, 0.7]])
    np.testing.assert_allclose(sorted(axes["h"].patches[0].get_data().values)[-2:], [1 / 3, 2 / 3])


def test_the_most_memorized_images_are_shown():
    images = np.stack([np.full((1, 4, 4), value, np.uint8) for value in (10, 20, 30)])
    plot = Plot("images", "place", "layer", {"1": [Point(2, 0.9), Point(0, 0.8)], "8": [Point(1, 0.7)]})
    shown = [axis.images[0].get_array()[0, 0] for axis in drawing.draw({"": plot}, images).axes if axis.images]
    assert shown == [30, 10, 20]
