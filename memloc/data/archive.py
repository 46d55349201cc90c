"""Archives and files that are held against their MD5 sums before anything in them is read."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from memloc.errors import InputError

T = TypeVar("T")


@contextmanager
def unpacked(archive: Path, md5: str) -> Iterator[Path]:
    """A temporary folder with what is in an archive; it goes when the block ends.

    Raises:
        InputError: another MD5 sum, or a member that would land outside.
    """
    verify(archive.parent, [(archive.name, md5)])
    with tempfile.TemporaryDirectory(prefix="memloc-") as folder:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, members=_inside(tar, Path(folder)))
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise InputError(
                f"{archive}: can't be unpacked into {tempfile.gettempdir()} ({' '.join(str(error).split())}); "
                "see that there is room, or get it again"
            ) from error
        try:
            yield Path(folder)
        except InputError as error:  # The temporary folder says nothing to a user.
            raise InputError(str(error).replace(folder, str(archive))) from error


def _inside(tar: tarfile.TarFile, folder: Path) -> Iterator[tarfile.TarInfo]:
    """Members that are plain files and folders below ``folder``. Python's own filter came with 3.11.4 only."""
    for member in tar:
        if not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name} is neither a file nor a folder")
        if member.name.startswith(("/", "\\")) or not (folder / member.name).resolve().is_relative_to(folder.resolve()):
            raise tarfile.TarError(f"{member.name} would land outside")
        member.mode = 0o755 if member.isdir() else 0o644
        yield member


def verify(folder: Path, sums: Iterable[tuple[str, str] | list[str]]) -> None:
    """Raise an InputError for the first file (name, MD5 sum) that is missing or altered."""
    for name, md5 in sums:
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: missing; get it again (docs/data.md)")
        with open(folder / name, "rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != md5:
            raise InputError(f"{folder / name}: altered or truncated (its MD5 sum isn't {md5}); get it again")


def verified(make: Callable[[], T], folder: Path, sums: Iterable[tuple[str, str] | list[str]]) -> T:
    """What ``make`` gives, a dataset of torchvision that checks its files' sums; if it objects, which file it is."""
    try:
        return make()
    except RuntimeError as error:
        verify(folder, sums)
        raise InputError(f"{folder}: can't be read ({' '.join(str(error).split())}); get it again") from error
