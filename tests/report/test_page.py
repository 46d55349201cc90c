import math
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from memloc.analysis.claims import COLUMNS
from memloc.experiments import Experiment
from memloc.provenance import ROOT
from memloc.report.page import Figure, claim_rows, number, render

EVIL = "<script>alert(\"x\")</script> & 'co'"
PNG = b"\x89PNG\r\n\x1a\nnot really"


def claims(**changes):
    row = dict.fromkeys(COLUMNS, "text")
    row |= {"experiment": "one", "effect": 0.12345, "low": -0.5, "high": 1.0, "level": 0.95, "z": 1.0, "n": 7}
    row |= {"paper_effect": 0.30812, "paper_scale": "ResNet9 on CIFAR10"}
    row |= {"seeds": 3, "p": np.nan, "verdict": "supported", **changes}
    return pd.DataFrame([row], columns=COLUMNS)


@pytest.fixture
def page(tmp_path):
    """Renders the repository's own template with every text replaced by the one given."""

    def make(text="plain"):
        (tmp_path / "x.png").write_bytes(PNG)
        experiment = Experiment(order=0, theme="layers", title=text, paper=text, asks=text, inputs={}, smallest={})
        settings = {"framework": text, "architecture": text, "network": {text: 0.375}, "recipe": {"epochs": 3}}
        recipe = {"settings": settings, "seed": 0, "images": 9, "threads": 1, "code": "abc", "made_with": {text: text}}
        return render(
            ROOT / "docs" / "report" / "page.html",
            [Figure("one", experiment, text, str(tmp_path / "x.png"))],
            claims(statement=text, subject=text, paper=text, paper_scale=text),
            [recipe],
            {"encoders": {text: {"dataset": text}}},
        )

    return make


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data):
        self.text.append(data)


def test_every_text_is_escaped(page):
    reader = Reader(page(EVIL))
    assert "script" not in reader.tags
    assert "".join(reader.text).count('<script>alert("x")</script>') >= 8
    assert reader.tags == Reader(page()).tags


def test_nothing_is_loaded_from_anywhere(page):
    text = page()
    links = Reader(text).links
    assert links and all(link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"@import|url\(", text)
    assert not {"script", "link", "iframe", "object"} & set(Reader(text).tags)


def test_figures_are_embedded_and_links_lead_somewhere(page):
    text = page()
    assert "data:image/png;base64,iVBORw0KGgpub3QgcmVhbGx5" in text
    targets = set(re.findall(r'id="([^"]+)"', text))
    assert {link[1:] for link in Reader(text).links if link.startswith("#")} <= targets


def test_the_options_of_a_network_are_shown(page):
    assert re.search(r"plain, plain, plain 0\.375<", page())


def test_a_claim_is_shown_with_effect_interval_and_verdict(page):
    text = "".join(Reader(page()).text)
    assert "0.123" in text and "−0.5 to 1" in text and "supported" in text and "7 × 3" in text


def test_claims_of_another_figure_are_not_shown(tmp_path):
    (tmp_path / "t.html").write_text("{% for f in figures %}{{ f.claims | length }}{% endfor %} of {{ total }}")
    (tmp_path / "x.png").write_bytes(PNG)
    experiment = Experiment(order=0, theme="layers", title="t", paper="p", asks="a", inputs={}, smallest={})
    both = pd.concat([claims(), claims(experiment="two")])
    figures = [Figure(name, experiment, "caption", str(tmp_path / "x.png")) for name in ("one", "three")]
    assert render(tmp_path / "t.html", figures, both, [], {}) == "10 of 2"


def test_rows_hold_rounded_numbers():
    (row,) = claim_rows(claims())
    assert (row["effect"], row["interval"], row["n"]) == ("0.123", "−0.5 to 1", 7)
    assert (row["paper_effect"], row["paper_scale"]) == ("0.308", "ResNet9 on CIFAR10")


@pytest.mark.parametrize("scale", ["", math.nan])
def test_a_claim_for_which_the_paper_has_no_number_shows_none(tmp_path, scale):
    """claims.csv holds nothing there, which pandas reads back as nan."""
    empty = claims(paper_effect=math.nan, paper_scale=scale)
    (row,) = claim_rows(empty)
    assert (row["paper_effect"], row["paper_scale"]) == ("", "")
    (tmp_path / "x.png").write_bytes(PNG)
    experiment = Experiment(order=0, theme="layers", title="t", paper="p", asks="a", inputs={}, smallest={})
    figures = [Figure("one", experiment, "caption", str(tmp_path / "x.png"))]
    without = render(ROOT / "docs" / "report" / "page.html", figures, empty, [], {})
    beside = render(ROOT / "docs" / "report" / "page.html", figures, claims(), [], {})
    assert "nan" not in Reader(without).text and "NaN" not in without and "In the paper" in without
    shown = [text for text in Reader(beside).text if text.strip() in ("0.308", "ResNet9 on CIFAR10")]
    assert len(shown) == 2 and not {*map(str.strip, shown)} & {*map(str.strip, Reader(without).text)}
    # What differs is the content of one cell: rows stay as wide as their head.
    assert Reader(without).tags.count("td") == Reader(beside).tags.count("td")
    assert Reader(without).tags.count("td") == Reader(without).tags.count("th") == 7


def test_a_paper_effect_of_zero_is_a_number():
    (row,) = claim_rows(claims(paper_effect=0.0))
    assert row["paper_effect"] == "0"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (-0.5, "−0.5"), (0.0, "0"), (12.345, "12.3"), (123.4, "123"), (1e-4, "0.0001"),
     (1234.5, "1230"), (-12345.0, "−12300")],
)  # fmt: skip
def test_numbers_have_three_digits_and_a_true_minus(value, text):
    assert number(value) == text


@pytest.mark.parametrize("value", [1e-7, -3.21e-6, 4.56e-5, 1e6, 98765.0])
def test_numbers_are_never_in_scientific_notation(value):
    text = number(value)
    assert re.fullmatch("−?[0-9]+(\\.[0-9]+)?", text)
    assert float(text.replace("−", "-")) == pytest.approx(value, rel=0.01, abs=1e-6)


def test_a_verdict_says_the_p_that_it_asks_for():
    (row,) = claim_rows(claims(p=0.1639, verdict="inconclusive"))
    assert row["told"] == "inconclusive (p = 0.16)"
    assert claim_rows(claims())[0]["told"] == "supported"


def test_where_the_paper_gives_no_number_its_scale_says_so():
    assert claim_rows(claims(paper_effect=np.nan))[0]["paper_effect"] == "no number"
    assert claim_rows(claims(paper_effect=np.nan, paper_scale=np.nan))[0]["paper_effect"] == ""
