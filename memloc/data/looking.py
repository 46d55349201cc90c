"""A look at image files before they are used: which can't be read, and what reading changes in the others."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from memloc.data.decoding import read_file
from memloc.data.images import THREADS
from memloc.data.left_out import counted
from memloc.errors import InputError

MOST = 5000
"""Images that are looked at; of more, as many at equal distances."""
ORIENTATION, BITS_PER_SAMPLE = 274, 258
"""Tags of EXIF and of TIFF."""


@dataclass(frozen=True)
class Look:
    """What was seen in one file: why it can't be read, or its sides, and whether each of NOTES applies."""

    reason: str = ""
    sides: tuple[int, int] = (0, 0)
    notes: frozenset[str] = frozenset()
    largest: int = 0


NOTES = {
    "turned": "{} an EXIF orientation, which is not applied: if some lie on their side, turn their pixels"
    " (PIL.ImageOps.exif_transpose) and save them again",
    "flat": "{} of one flat colour: check what was exported",
    "clear": "{} transparent parts, which lie over black: put them on another ground if that hides what they show",
    "see-through": "{} transparent parts, and transparency is ignored: put them on a ground of your choice",
    "frames": "{} several frames or pages: only the first is read",
    "deep": "{} 16 bits a channel, which become 8",
    "cmyk": "{} in CMYK: converted to RGB without its colour profile",
    "profile": "{} a colour profile other than sRGB, which is ignored: convert them to sRGB if colours matter",
}
"""What reading changes, and what to do about it."""
ARE = ("flat", "cmyk")


@dataclass(frozen=True)
class Looks:
    """What was seen in some of ``of`` files."""

    looks: Sequence[Look]
    of: int

    @property
    def whole(self) -> bool:
        """Whether all files were looked at."""
        return len(self.looks) == self.of

    def unreadable(self) -> str:
        """How many can't be read, by reason; empty for none."""
        reasons = Counter(_kind(look.reason) for look in self.looks if look.reason)
        if not reasons:
            return ""
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        return f"{sum(reasons.values())} can't be read ({why}){self._among()}"

    def sides(self, size: int) -> str:
        """Sides in pixels of the smallest and the largest, and how many of them aren't of the form that is read."""
        sides = [look.sides for look in self.looks if not look.reason]
        if not sides:
            return ""
        ends = [min(sides, key=lambda each: each[0] * each[1]), max(sides, key=lambda each: each[0] * each[1])]
        texts = [" to ".join(f"{width} x {height}" for width, height in dict.fromkeys(ends))]
        smaller, oblong = sum(min(each) < size for each in sides), sum(each[0] != each[1] for each in sides)
        done = [f"enlarges {smaller}"] if smaller else []
        done += [f"cuts the middle square out of {oblong}"] if oblong else []
        texts += [f"memloc {' and '.join(done)}"] if done else []
        return "; ".join(texts) + self._among()

    def lines(self) -> list[str]:
        """A line for each thing that reading changes in some image."""
        return [self._line(note) for note in NOTES if any(note in look.notes for look in self.looks)]

    def _line(self, note: str) -> str:
        seen = [look for look in self.looks if note in look.notes]
        verb = ("is", "are") if note in ARE else ("has", "have")
        line = NOTES[note].format(f"{counted(len(seen), 'image')} {verb[len(seen) > 1]}") + self._among()
        hidden = sum("clear" in look.notes for look in seen)
        if note == "flat" and hidden:
            line += f"; {hidden} of them by transparent parts, which lie over black: put those on a white ground"
        largest = max(look.largest for look in seen)
        if note == "deep" and 0 < largest < 65536 // 8:
            line += f"; their largest value is {largest} of 65535, so they become dark: stretch them first"
        return line

    def _among(self) -> str:
        return "" if self.whole else f" among {len(self.looks)} of {self.of} that were looked at"


def look(
    path_of: Callable[[int], str], count: int, decode: Callable[[Image.Image], Image.Image], *, clear: str = "clear"
) -> Looks:
    """Look at image files.

    Args:
        path_of: the path of each of ``count`` files.
        decode: how an image is read; an InputError of it is a reason.
        clear: the note on transparent parts.
    """

    def one(path: str) -> Look:
        def convert(image: Image.Image) -> Look:
            decoded = decode(image)
            sides, notes, largest = image.size, {"flat"} if _flat(decoded) else set(), 0
            try:
                notes |= _notes(image, path, clear)
                largest = int(np.asarray(image).max()) if image.mode.startswith("I") else 0
            except Exception:  # Of damage beside the pixels, which reading doesn't notice.
                pass
            return Look(sides=sides, notes=frozenset(notes), largest=largest)

        try:
            return read_file(path, convert)
        except InputError as error:
            return Look(reason=str(error))

    chosen = np.unique(np.linspace(0, max(0, count - 1), min(MOST, count)).astype(int)).tolist()
    with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as pool:
        warnings.simplefilter("ignore")  # PIL warns of damage that it can read over.
        return Looks([*pool.map(one, map(path_of, chosen))], count)


def _flat(image: Image.Image) -> bool:
    ends = np.array(image.getextrema()).reshape(-1, 2)
    return bool((ends[:, 0] == ends[:, 1]).all())


def _notes(image: Image.Image, path: str, clear: str) -> set[str]:
    notes = set()
    # PIL turns TIFF itself.
    if image.format != "TIFF" and image.getexif().get(ORIENTATION, 1) in range(2, 9):
        notes.add("turned")
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] != 255:
        notes.add(clear)
    if image.mode.startswith("I") or _bits(image, path) > 8:
        notes.add("deep")
    if image.mode == "CMYK":
        notes.add("cmyk")
    profile = image.info.get("icc_profile") or b""
    if profile and image.mode in ("RGB", "RGBA", "P") and not any(n in profile for n in SRGB):
        notes.add("profile")
    if image.format != "MPO" and getattr(image, "is_animated", False):  # Last, as it may read on.
        notes.add("frames")
    return notes


SRGB = (b"sRGB", b"IEC61966", "sRGB".encode("utf-16-be"), "IEC61966".encode("utf-16-be"))
"""What profiles of sRGB are called."""


def _bits(image: Image.Image, path: str) -> int:
    """Bits a channel, of the forms that PIL reduces to 8 in silence."""
    if image.format == "PNG":
        with open(path, "rb") as file:
            return file.read(25)[24]
    tags = getattr(image, "tag_v2", {})
    return int(max(tags.get(BITS_PER_SAMPLE, (8,))))


def _kind(reason: str) -> str:
    return "truncated" if "truncated" in reason else reason.partition(" (")[0].partition(";")[0]
