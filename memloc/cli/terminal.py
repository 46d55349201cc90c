"""What both commands do first, and what they show and hear at a terminal."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator

from PIL import Image
from tqdm import tqdm

from memloc.errors import InputError


class Bar:
    """A progress bar on a terminal that may go away."""

    def __init__(self, total: int, *, quiet: bool, unit: str = "images") -> None:
        # In a log file, a line now and then is enough.
        every = 0.5 if sys.stderr.isatty() else 30.0
        with contextlib.suppress(OSError):
            self.bar = tqdm(total=total, unit=f" {unit}", disable=quiet, smoothing=0.05, mininterval=every)

    def update(self, n: float | None = 1) -> None:
        """``n`` more are done."""
        with contextlib.suppress(OSError, AttributeError):
            self.bar.update(n)

    def name(self, text: str) -> None:
        """Say what is being done."""
        with contextlib.suppress(OSError, AttributeError):
            self.bar.set_description(text, refresh=False)

    def more(self, n: float) -> None:
        """``n`` more are to be done than was known."""
        with contextlib.suppress(OSError, AttributeError):
            self.bar.total = (self.bar.total or 0) + n
            self.bar.refresh()

    def close(self) -> None:
        """Leave the terminal as it is."""
        with contextlib.suppress(OSError, AttributeError):
            self.bar.close()


def say(text: str) -> None:
    """Print an answer on a terminal that may go away or not know a sign."""
    try:
        print(text, flush=True)
    except (OSError, UnicodeError):  # At Python's end it would fail again.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or a scheduler's SIGTERM requested a stop; the second request stops at once."""
    requests: list[int] = []

    def request(number: int, frame: object) -> None:
        if requests:
            raise KeyboardInterrupt
        requests.append(number)

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(requests)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def prepare(options: argparse.Namespace, *ranges: tuple[str, int, int]) -> None:
    """What both commands do first: check numbers, keep Pillow quiet.

    Args:
        ranges: option, lowest and highest value; an option that isn't given is in every range.

    Raises:
        InputError: an option is out of its range.
    """
    # Images that are too large are refused and listed anyway.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    for option, lowest, highest in (*ranges, ("seed", 0, 2**63 - 1)):
        value = getattr(options, option)
        if value is not None and not lowest <= value <= highest:
            raise InputError(f"{option}: {value}; give {lowest} to {highest}")
