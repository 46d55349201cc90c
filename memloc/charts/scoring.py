"""Whether an answer is right: a stand-in until the suite's own scorers are here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Score:
    """Whether an answer is right, None where it can't be read, and why."""

    right: bool | None
    reason: str


def score(item: Mapping[str, Any], text: str) -> Score:
    """An answer against those that an item accepts, but for blanks and case."""
    said = "".join(text.lower().split())
    if not said:
        return Score(None, "no answer")
    accepted = ["".join(str(one).lower().split()) for one in item["accepted"]]
    return Score(said in accepted, f"{text!r} is{'' if said in accepted else ' not'} among the accepted")
