"""Files that lie among images and are left out, and what is said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from memloc.errors import show

SYSTEM = frozenset(
    {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "lost+found"}
    | {"system volume information"}
)
"""Files and folders that operating systems leave behind, some of them with small copies of images."""
CONVERTIBLE = frozenset(
    {".avif", ".heic", ".heif", ".jp2", ".j2k", ".jpx", ".jxl", ".svg", ".psd", ".exr", ".hdr", ".tga", ".ico", ".pcx"}
    | {".eps", ".pdf", ".dcm", ".npy", ".npz", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".apng"}
    | {".mpo", ".pbm", ".pnm", ".jpe", ".dds", ".gif"}
)
"""Endings of images that aren't read."""
NAMED = ("of the system", "outside class folders")
"""Reasons for which files are named."""
FEW = 5
"""Names, endings and classes that are spelled out."""


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that isn't read: its path relative to the images, and why."""

    name: str
    why: str


def aside(name: str) -> str | None:
    """Why a file or folder of this name is left out whatever it holds; None if it isn't."""
    if name.lower() in SYSTEM:
        return "of the system"
    return "hidden" if name.startswith(".") else None


def ending(name: str) -> str:
    """The ending of a file that isn't read, as it is said."""
    return show(PurePosixPath(name).suffix.lower())[:12] or "without an ending"


def told(left: Collection[LeftOut]) -> str:
    """How many were left out for each reason, and what to do; empty for none."""
    counts = Counter(each.why for each in left)
    texts = []
    for why, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        names = {each.name for each in left if each.why == why and why in NAMED}
        if why == "of the system":
            names = {name.rpartition("/")[2] for name in names}
        texts.append(f"{count} {why}" + (f" ({some(sorted(names))})" if names else ""))
    convert = _convertible(counts)
    return some(texts, 2 * FEW) + (f"; convert {convert} to PNG or JPEG to have them read" if convert else "")


def about_lost(lost: Mapping[str, Collection[LeftOut]]) -> str:
    """Folders that may be classes and hold no image, and what they hold."""
    texts = [f"{name} ({told(left).partition(';')[0] or 'empty'})" for name, left in lost.items()]
    convert = _convertible(each.why for left in lost.values() for each in left)
    return f"no images in {some(texts)}{f': convert {convert} to PNG or JPEG' if convert else ''}"


def _convertible(reasons: Iterable[str]) -> str:
    """The endings of images among reasons."""
    return some(sorted(CONVERTIBLE & {*reasons}))


def some(texts: Iterable[str], most: int = FEW) -> str:
    """The first of some texts, and how many more there are."""
    texts = [*texts]
    more = [f"{len(texts) - most} more"] if len(texts) > most else []
    return ", ".join([*map(show, texts[:most]), *more])


def counted(count: int, noun: str, *, plural: str | None = None) -> str:
    """1 image, 2 images."""
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"
