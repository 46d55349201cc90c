"""What all pages share: how texts and numbers get into them, and the one script that may run."""

import base64
import hashlib
import re

import numpy as np
import pytest

from memloc import page
from memloc.page import decimal, number, short


@pytest.fixture
def shown(monkeypatch):
    """A page with one template in the place of all packages' own."""
    frame = page._read

    def make(template, **values):
        page._environment.cache_clear()
        monkeypatch.setattr(page, "_read", lambda package, name: template if name == "mine" else frame(package, name))
        text = page.render("memloc.page", "mine", **values)
        page._environment.cache_clear()
        return text

    return make


def test_the_script_of_the_frame_runs_and_no_other(shown):
    text = shown('{% extends "frame.html" %}{% block title %}t{% endblock %}')
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in text and "default-src 'none'" in text


def test_texts_are_escaped_and_their_invisible_signs_spelled_out(shown):
    assert shown("{{ x }}", x="<b>\n\u202e") == "&lt;b&gt;\\n\\u202e"
    assert shown("{{ x | lines }}", x="a: <b>\nc: \u202e") == "a: &lt;b&gt;\nc: \\u202e"


def test_a_long_text_loses_its_middle():
    assert short("abcdef", 6) == "abcdef"
    assert short("abcdefg", 6) == "abc…fg"


def test_missing_numbers_are_dashes():
    assert [decimal(x) for x in (None, np.nan, "", 0.12345, -1.0, -1e-9)] == ["–", "–", "–", "0.123", "−1.000", "0.000"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (-0.5, "−0.5"), (0.0, "0"), (12.345, "12.3"), (123.4, "123"), (1e-4, "0.0001"),
     (1234.5, "1230"), (-12345.0, "−12300"), (1e-15, "0")],
)  # fmt: skip
def test_numbers_have_three_digits_and_a_true_minus(value, text):
    assert number(value) == text


@pytest.mark.parametrize("value", [1e-7, -3.21e-6, 4.56e-5, 1e6, 98765.0])
def test_numbers_are_never_in_scientific_notation(value):
    text = number(value)
    assert re.fullmatch("−?[0-9]+(\\.[0-9]+)?", text)
    assert float(text.replace("−", "-")) == pytest.approx(value, rel=0.01, abs=1e-6)
