"""Every link of every Markdown file leads to a file, and to a heading of it, that are there."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Folders of our own; what is beside them (environments, sites that were built) belongs to others.
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(p for top in ("docs", "config", "profiles", "examples") for p in ROOT.glob(f"{top}/**/*.md")),
    ]
)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?:src|href)=\"([^\"]+)\"")


def prose(text: str) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]*`", "`", re.sub(r"(?ms)^```.*?^```$", "", text))


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it and the site is told to."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"(?m)^#{1,6} +(.+?)\s*#*$", re.sub(r"(?ms)^```.*?^```$", "", page.read_text())):
        name = slug(heading)
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return frozenset(found)


def leads(page: Path, target: str) -> bool:
    """Whether a link of a page leads somewhere. Nothing here asks a network: what lies elsewhere is taken as it is."""
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return True
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    there = file.exists() and file.is_relative_to(ROOT)
    return there and (not anchor or (file.suffix == ".md" and anchor in anchors(file)))


def broken(page: Path) -> list[str]:
    """Links of a page that lead nowhere."""
    targets = (first or second for first, second in LINK.findall(prose(page.read_text())))
    return [target for target in targets if not leads(page, target)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_links_that_lead_nowhere_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# Déjà vu, `twice`?\n\n## Twice\n\n## Twice\n\n```\n# no heading\n```\n")
    page = tmp_path / "page.md"
    good = (
        "[a](other.md) [b](other.md#déjà-vu-twice) [c](other.md#twice-1) [d](#here) `[e](none.md)` [f](https://x.y/z)"
    )
    page.write_text(f'# Here\n\n{good} <img src="other.md">\n\n```\n[g](none.md)\n```\n')
    assert broken(page) == []
    bad = ["none.md", "other.md#twice-2", "other.md#no-heading", "#there", "../outside.md", "none.png"]
    page.write_text("# Here\n\n" + " ".join(f"[a]({link})" for link in bad[:-1]) + f' <img src="{bad[-1]}">\n')
    assert broken(page) == bad
