"""Every table and figure is there once, and some configuration answers it: the one that the page names."""

from functools import cache
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from memloc.config import check, complete
from memloc.paper.exhibits import EXHIBITS, TABLES, named, read_from
from memloc.paper.page import published
from memloc.paper.sources import Source, found

ROOT = Path(__file__).resolve().parents[2]
PARTS = [(exhibit.name, part) for exhibit in EXHIBITS for part in exhibit.parts]


@cache
def overlaid(*files):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    for name in files:
        update_config(config, yaml.safe_load((ROOT / name).read_text()))
    check(config)
    complete(config)
    return config


def test_every_table_and_figure_with_results_is_there_once_and_in_order():
    tables = [f"table-{n}" for n in (*range(1, 7), *range(10, 35))]
    assert [exhibit.name for exhibit in EXHIBITS] == tables + [f"figure-{n}" for n in range(1, 14)]


def test_the_papers_numbers_are_each_shown_once_and_whole():
    numbers, paper = [part.numbers for exhibit in TABLES for part in exhibit.parts], published()
    assert sorted(numbers) == sorted(paper)
    for table in paper.values():
        for cells in table["rows"].values():
            assert len(cells) == len(table["columns"])
            for cell in cells:
                assert all(
                    digits == "~" or float(digits) > -1 for digits in (cell if isinstance(cell, list) else [cell])
                )


@pytest.mark.parametrize(("name", "part"), PARTS, ids=[f"{name} {part.label}" for name, part in PARTS])
def test_the_configurations_that_a_page_names_have_what_it_needs(name, part):
    needs = part.sources[0].needs()
    for file in part.sources[0].files:
        chosen = part.chosen(overlaid(file))
        assert bool(part.none) != bool(chosen)
        assert file in needs
    if not part.sources[0].files:
        assert part.chosen(overlaid()) is not None


def test_the_paper_s_own_encoder_comes_before_another():
    """config/paper.yaml has several of a kind: Table 4 is of ImageNet, Tables 22 and 23 have two donors."""
    config = overlaid("config/paper.yaml")
    chosen = {name: [part.chosen(config) for part in exhibit.parts] for exhibit in EXHIBITS for name in [exhibit.name]}
    assert chosen["table-1"] == [("layermem", "simclr")]
    assert chosen["table-4"] == [
        ("frameworks-resnet50", "simclr-imagenet"),
        ("frameworks-vit-base", "mae-vit-base-imagenet"),
    ]
    assert chosen["table-16"] == [("sublayers", "simclr-resnet34-sublayers")]
    assert [one[0] for one in chosen["table-22"]] == ["replacement-stl10", "replacement-svhn"]
    assert chosen["table-24"][1] is None
    assert chosen["figure-9"][1] == ("unit-augmentations-supervised", "supervised-weak-views")


def test_only_what_is_strict_refuses_another_encoder():
    config = overlaid("config/groups.yaml")
    wanted = {"architecture": "resnet50"}
    assert found(Source("layermem", wanted), config) == ("layermem", "simclr-groups")
    assert found(Source("layermem", wanted, strict=True), config) is None
    assert read_from(config) == ["layermem"]


def test_claims_name_their_tables_and_figures():
    assert named("Tables 30, 32 and 33") == {"table-30", "table-32", "table-33"}
    assert named("Tables 21 to 23 and 25") == {"table-21", "table-22", "table-23", "table-25"}
    assert named("Figure 1, Table 12") == {"figure-1", "table-12"}
    assert named("Section 4.1, with a null") == named("beyond the paper") == set()
