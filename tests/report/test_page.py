import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from memloc.analysis.claims import COLUMNS, JOINT
from memloc.experiments import Experiment
from memloc.report.page import Figure, places, render
from memloc.report.reference import Reference

EVIL = "<script>alert(\"x\")</script> & 'co'"
PNG = b"\x89PNG\r\n\x1a\nnot really"
CONFIG = {
    "encoders": {
        "simclr": {"framework": "simclr", "architecture": "resnet9", "network": {"width": 0.5}, "dataset": "d"}
    },
    "datasets": {"d": {"source": "digits", "split": {"shared": 0, "candidate": 9}}},
    "experiments": {"one": {"kind": "layermem", "encoders": ["simclr"]}},
}


def claims(**changes):
    row = dict.fromkeys([*COLUMNS, *JOINT], "text")
    row |= {"experiment": "one", "effect": 0.12345, "low": -0.5, "high": 1.0, "level": 0.95, "z": 1.0, "n": 7}
    row |= {"paper_effect": 0.30812, "paper_scale": "ResNet9 on CIFAR10", "least": 0.1, "pairs_needed": np.nan}
    row |= {"seeds": 3, "p": np.nan, "holm": np.nan, "q": np.nan, "primary": False, "verdict": "supported", **changes}
    return pd.DataFrame([row])


@pytest.fixture
def page(tmp_path):
    """Renders claims of experiment ``one`` with every text replaced by the one given."""

    def make(text="plain", table=None, config=None, reference=None):
        (tmp_path / "x.png").write_bytes(PNG)
        experiment = Experiment(order=0, theme="layers", title=text, paper=text, asks=text, inputs={}, smallest={})
        settings = {"framework": text, "architecture": text, "network": {text: 0.375}, "recipe": {"epochs": 3}}
        recipe = {"settings": settings, "seed": 0, "images": 9, "threads": 1, "code": "abc", "made_with": {text: text}}
        table = claims(statement=text, subject=text, paper=text, paper_scale=text) if table is None else table
        figure = Figure("one", experiment, text, str(tmp_path / "x.png"), {"CSV": "../figures/one.csv"})
        config = config or {"encoders": {}, "datasets": {}, "experiments": {}, "of": text}
        return render([figure], table, [recipe], config, reference=reference)

    return make


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.rows, self.text = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]
        if tag == "tr" and dict(attributes).get("id"):
            self.rows.append(dict(attributes))

    def handle_data(self, data):
        self.text.append(data)


def test_every_text_is_escaped(page):
    reader = Reader(page(EVIL))
    assert reader.tags.count("script") == 1
    assert "".join(reader.text).count('<script>alert("x")</script>') >= 8
    assert reader.tags == Reader(page()).tags


def test_nothing_is_loaded_from_anywhere(page):
    text = page()
    links = Reader(text).links
    assert links and all(link.startswith(("#", "data:", "../figures/")) for link in links)
    assert not re.search(r"@import|url\(", text)
    assert not {"link", "iframe", "object"} & set(Reader(text).tags)


def test_figures_are_embedded_and_links_lead_somewhere(page):
    text = page()
    assert "data:image/png;base64,iVBORw0KGgpub3QgcmVhbGx5" in text
    targets = set(re.findall(r'id="([^"]+)"', text))
    assert {link[1:] for link in Reader(text).links if link.startswith("#")} <= targets


def test_the_first_screen_says_what_was_found_with_its_interval(page):
    told = claims(claim="losses.gap", experiment="one", subject="simclr", verdict="refuted")
    first = "".join(Reader(page(table=told).split('id="claims"')[0]).text)
    assert "higher on images that an encoder was trained on" in first and "0.123 (−0.5 to 1)" in first
    assert "What this can’t tell" in first


def test_primary_claims_come_first_and_every_claim_stands_in_the_table_once(page):
    both = pd.concat([claims(), claims(experiment="two", primary=True, p=0.01, holm=0.04)], ignore_index=True)
    rows = Reader(page(table=both)).rows
    assert [(row["data-experiment"], row["id"]) for row in rows] == [("two", "claim-1"), ("one", "claim-0")]
    assert "by Holm = 0.04" in page(table=both)


def test_an_open_claim_below_the_paper_names_both_scales(page):
    below = claims(high=0.2, low=-0.1, verdict="inconclusive", subject="simclr, layer 1")
    text = "".join(Reader(page(table=below, config=CONFIG)).text)
    assert "Wholly below the paper's 0.308 (ResNet9 on CIFAR10)" in text
    assert "here resnet9 of width 0.5, simclr, 9 images of digits" in text
    for change in ({"high": 0.4}, {"verdict": "negligible"}, {"paper_effect": np.nan}):
        assert "Wholly below" not in page(table=below.assign(**change), config=CONFIG)


def test_where_the_paper_has_no_number_nothing_stands_for_it(page):
    text = page(table=claims(paper_effect=np.nan, paper_scale=np.nan))
    assert "nan" not in "".join(Reader(text).text) and 'class="reference"' not in text
    assert 'class="reference"' in page()


def test_marks_of_an_interval_are_where_its_numbers_are():
    (row,) = claims(effect=0.1, low=-0.1, high=0.2, paper_effect=0.4, least=0.05).to_dict("records")
    assert places(row) == {"value": 62, "low": 38, "high": 74, "reference": 98, "least": 56, "zero": 50}


def test_claims_that_came_out_otherwise_in_the_published_run_are_marked(page):
    other = claims(verdict="inconclusive")
    same = Reference(other, CONFIG)
    assert "otherwise in the published run: inconclusive" in page(table=claims(), config=CONFIG, reference=same)
    assert "all came out alike" in page(table=other, config=CONFIG, reference=same)
    for part, change in (("datasets", {"d": {"source": "svhn"}}), ("encoders", {"simclr": {"dataset": "d"}})):
        text = page(table=claims(), config=CONFIG, reference=Reference(other, CONFIG | {part: change}))
        assert "published run" not in text
