"""Whether an answer is right, by rules alone: a closed vocabulary, no model that judges.

An answer is read first. What can't be read, because it names nothing of what was asked for or several things, is
neither right nor wrong. Of a long answer the part behind the word "answer" is read, or all of it, or its last sentence:
the first of these that can be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memloc.charts.marks import BAR, listed, number, pair

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Score:
    """What became of an answer.

    Attributes:
        right: None where it can't be read.
        reason: why, in words.
        read: what was read, as an answer should be given.
    """

    right: bool | None
    reason: str
    read: str | None = None


class UnreadableError(Exception):
    """A text has no answer, or several."""


def score(item: Row, text: str) -> Score:
    """Whether a text answers an item.

    Args:
        item: a line of items.jsonl.
        text: all that a model said, with the words that were put into its mouth.
    """
    reader = READERS[item["metadata"]["kind"]]
    whole = re.sub(r"[*_`$\\]", " ", text).replace("−", "-").lower().strip()
    reasons = {}
    for part in _parts(whole):
        try:
            return reader(item, part)
        except UnreadableError as reason:
            reasons[part] = str(reason)
    return Score(None, reasons.get(whole, "no answer"))


def missing(item: Row) -> str | None:
    """What an item lacks to be asked and scored; None where nothing is."""
    about = item["metadata"]
    if not isinstance(about, Mapping) or about.get("kind") not in [*READERS]:
        return f"a metadata.kind of {listed(READERS)}"
    if lacking := [key for key in ("asked", "wording", *SCORED[about["kind"]]) if key not in about]:
        return f"metadata.{lacking[0]}"
    if about["kind"] == "choice" and not any(item["answer"] in [*words] for words in CHOICES):
        return "an answer that scorers know"
    return "answer_set" if about["kind"] == "choice" and not item.get("answer_set") else None


def _parts(text: str) -> Iterator[str]:
    """What of a text may be the answer, the likeliest first."""
    if not text:
        return
    for found in (*re.finditer(r"\banswer\b(?:\s+is\b|\s+would be\b)?\s*[:=]?|\bboxed\b", text),)[-1:]:
        if behind := text[found.end() :].strip(" .:\n{}"):
            yield from dict.fromkeys((behind.splitlines()[0], behind))
    yield text
    sentences = [part for part in re.split(r"\n+|(?<=[.!?])\s+", text) if part.strip(" .!?")]
    if len(sentences) > 1:
        yield sentences[-1]


def _verdict(item: Row, read: str, right: bool, wrong: str = "") -> Score:
    """That a text was read and is right, or why it is wrong."""
    if right:
        return Score(
            True, f"{read} is {'the answer' if read == item['answer'] else 'as good as ' + item['answer']}", read
        )
    return Score(False, f"{read} is wrong{wrong}; the answer is {item['answer']}", read)


# --- Numbers ----------------------------------------------------------------------------------------------------------

WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
NUMBER = r"(?<![\w.])-?(?:\d+(?:\.\d+)?|\.\d+)(?!\d|st\b|nd\b|rd\b|th\b)"
THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!\d|,\d)")
NEGATED = r"(?:\bnot|n['’]t|\bnon|\bthan|\binstead of)[\s-]+(?:to\s+)?(?:(?:the|an?)\s+)?"
"""That what follows is not the answer."""
Pair = tuple[float, float]


def _number(item: Row, text: str) -> Score:
    values = _distinct(_numbers(_joined(text)))
    if not values:
        raise UnreadableError("no number in it")
    if len(values) > 1 and not all(_within(item, [value]) for value in values):
        raise UnreadableError(f"several numbers: {listed(map(number, values))}")
    return _verdict(item, listed(map(number, values)), _within(item, values[:1]))


def _pair(item: Row, text: str) -> Score:
    values = _distinct(_coordinates(text) or _coordinates(_joined(text)))
    if not values:
        raise UnreadableError("several numbers" if len(_numbers(text)) > 2 else "no coordinates in it")
    read = listed(pair(*each) for each in values)
    if len(values) > 1 and not all(_within(item, each) for each in values):
        raise UnreadableError(f"several coordinates: {read}")
    swapped = _within(item, values[0][::-1])
    return _verdict(item, read, _within(item, values[0]), ", x and y are swapped" if swapped else "")


def _joined(text: str) -> str:
    """A text without commas that part thousands."""
    return THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)


def _numbers(text: str) -> list[float]:
    """The numbers of a text, in digits or in words."""
    text = re.sub(rf"\b({'|'.join(WORDS)})\b", lambda word: str(WORDS.index(word[0])), text)
    return [float(found) for found in re.findall(NUMBER, re.sub(NEGATED + NUMBER, " ", text))]


def _coordinates(text: str) -> list[Pair]:
    """The pairs of a text: those in brackets, or the one behind the names x and y, or the one of all its numbers."""
    inside = [_numbers(each) for each in re.findall(r"[(\[]([\s\d.,;-]+)", text)]
    turned = re.search(r"\(\s*y\s*,\s*x\s*\)", text)
    if bracketed := [(each[1], each[0]) if turned else (each[0], each[1]) for each in inside if len(each) == 2]:
        return bracketed
    _, *parts = re.split(r"\b([xy])\b", text)
    named = {
        axis: _distinct(v for a, part in zip(parts[::2], parts[1::2], strict=True) if a == axis for v in _numbers(part))
        for axis in "xy"
    }
    if all(len(values) == 1 for values in named.values()):
        return [(named["x"][0], named["y"][0])]
    values = _numbers(text)
    return [(values[0], values[1])] if len(values) == 2 else []


def _within(item: Row, values: Sequence[float]) -> bool:
    """Whether numbers lie between the multiples of the step on either side of the true ones."""
    about = item["metadata"]
    slack = about["tolerance"]
    return all(
        low - slack <= value <= high + slack
        for value, low, high in zip(values, about["low"], about["high"], strict=True)
    )


# --- Names ------------------------------------------------------------------------------------------------------------


def _words(**others: str) -> Mapping[str, str]:
    """What each word means: a name itself, and the words that stand for it."""
    return {word: name for name, words in others.items() for word in (name, *words.split())}


COLOURS = _words(
    red="crimson scarlet",
    blue="navy",
    green="lime",
    orange="amber yellow",
    purple="violet",
    brown="",
    pink="",
    grey="gray silver",
)
"""Of marks that may be an answer. No suite has yellow, so it is orange that looks like it."""
MARKERS = _words(circle="circles dot disc disk", triangle="triangles", star="stars asterisk", square="squares box")
FAMILIES = _words(
    linear="straight",
    quadratic="parabola parabolic",
    exponential="exponentially",
    logarithmic="logarithm log",
)
YES_NO = _words(yes="true", no="false")
CHOICES = (YES_NO, FAMILIES, COLOURS)
Look = tuple[str | None, str | None]
"""Colour and marker of a mark, as far as a text says them."""


def _object(item: Row, text: str) -> Score:
    looks = [(colour, None if marker == BAR else marker) for colour, marker in item["metadata"]["objects"]]
    right = [looks[k] for k in item["metadata"]["marks"]]
    named = _looks(text)
    if not named:
        raise UnreadableError("no colour or shape in it")
    fitting = [
        [look for look in looks if all(a in (None, b) for a, b in zip(name, look, strict=True))] for name in named
    ]
    read = listed(" ".join(part for part in name if part) for name in named)
    if all(fits and all(look in right for look in fits) for fits in fitting):
        return _verdict(item, read, True)
    if len(named) > 1:
        raise UnreadableError(f"several marks: {read}")
    several = ", which several marks are" if len(fitting[0]) > 1 else "" if fitting[0] else ", which no mark is"
    return _verdict(item, read, False, several)


def _looks(text: str) -> list[Look]:
    """The marks that a text names, each once."""
    words, shapes = "|".join(COLOURS), "|".join(MARKERS)
    text = re.sub(rf"{NEGATED}(?:{words}|{shapes})(?:\s+(?:{shapes}))?\b", " ", text)
    found: list[Look] = []
    colour: str | None = None
    for word in re.findall(rf"\b(?:{words}|{shapes})\b", text):
        if word in MARKERS:
            found.append((colour, MARKERS[word]))
            colour = None
        else:
            if colour is not None:
                found.append((colour, None))
            colour = COLOURS[word]
    if colour is not None:
        found.append((colour, None))
    colours, markers = ({look[k] for look in found} - {None} for k in (0, 1))
    if len(colours) <= 1 and len(markers) <= 1:  # "A circle, and it is red."
        found = [(next(iter(colours), None), next(iter(markers), None))] if found else []
    return _distinct(found)


def _choice(item: Row, text: str) -> Score:
    known = next(words for words in CHOICES if item["answer"] in words)
    if known is YES_NO:
        # Of "no doubt" and "no image is shown" none is a no.
        first = re.match(r"\W*(yes|no)\s*(?:[,.:;!-]|$|(?:correlation|it|the|this|they|x|r|because|since)\b)", text)
        words = [first[1]] if first else re.findall(r"\b(?:yes|true|false)\b|\bno\b(?!\s+[a-z])", text)
    else:
        either = "|".join(known)
        words = re.findall(rf"\b(?:{either})\b", re.sub(rf"{NEGATED}(?:{either})\b|\bnonlinear\b", " ", text))
    said = _distinct(known[word] for word in words)
    if len(said) != 1:
        asked = listed(item["answer_set"])
        raise UnreadableError(f"several answers: {listed(said)}" if said else f"none of {asked} in it")
    outside = "" if said[0] in item["answer_set"] else ", and wasn't asked about"
    return _verdict(item, said[0], said[0] == item["answer"], outside)


def _distinct(found: Any) -> list[Any]:
    return list(dict.fromkeys(found))


READERS: Mapping[str, Callable[[Row, str], Score]] = {
    "number": _number,
    "pair": _pair,
    "object": _object,
    "choice": _choice,
}
"""By kind of task."""
SCORED = {
    "number": ("low", "high", "tolerance"),
    "pair": ("low", "high", "tolerance"),
    "object": ("objects", "marks"),
    "choice": (),
}
"""What of an item's metadata they need."""
