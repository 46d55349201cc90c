"""Files and archives, checked against their published sums before anything in them is read."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from memloc.errors import InputError
from memloc.provenance import file_sha256

T = TypeVar("T")


@contextmanager
def extracted(archive: Path, md5: str) -> Iterator[Path]:
    """A temporary folder with the content of an archive; it is removed when the block ends.

    Raises:
        InputError: another MD5 sum, or a member that would land outside.
    """
    check_md5(archive.parent, [(archive.name, md5)])
    with tempfile.TemporaryDirectory(prefix="memloc-") as folder:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, members=_inside(tar, Path(folder)))
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise InputError(
                f"{archive}: can't be unpacked into {tempfile.gettempdir()} ({' '.join(str(error).split())}); "
                "make room there, or get it again"
            ) from error
        try:
            yield Path(folder)
        except InputError as error:  # A temporary folder's name tells a user nothing.
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


def check_md5(folder: Path, sums: Iterable[tuple[str, str] | list[str]]) -> None:
    """Raise an InputError for the first file (name, MD5 sum) that is missing or altered."""
    for name, md5 in sums:
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: missing; get it again (docs/data.md)")
        with open(folder / name, "rb") as file:
            actual = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if actual != md5:
            raise InputError(f"{folder / name}: altered or truncated (its MD5 sum isn't {md5}); get it again")


def check_sha256sums(folder: Path, required: Sequence[str]) -> None:
    """Check every file named in the folder's SHA256SUMS, where it has one.

    Args:
        required: files of the source; if SHA256SUMS is one of them, it must list the others.

    Raises:
        InputError: a file is altered, missing or not listed.
    """
    sums = folder / "SHA256SUMS"
    if not sums.exists():
        return
    try:
        lines = [line.split(maxsplit=1) for line in sums.read_text(encoding="utf-8").splitlines() if line.strip()]
        hashes = {name.lstrip("*"): expected for expected, name in lines}
    except (OSError, ValueError) as error:
        raise InputError(f"{sums}: not a list of SHA-256 sums; restore it (git checkout)") from error
    for name in required if sums.name in required else ():
        if name != sums.name and name not in hashes:
            raise InputError(f"{sums}: doesn't list {name}; restore it (git checkout)")
    for name, expected in hashes.items():
        if not (folder / name).exists():
            raise InputError(f"{folder / name}: missing, though SHA256SUMS lists it; restore it (git checkout)")
        if file_sha256(folder / name) != expected:
            raise InputError(f"{folder / name}: altered or truncated (SHA-256 differs from SHA256SUMS); restore it")


def verified(make: Callable[[], T], folder: Path, sums: Iterable[tuple[str, str] | list[str]]) -> T:
    """The result of ``make``, a torchvision dataset that checks its files' sums.

    Raises:
        InputError: torchvision refuses the files; the message names the altered one.
    """
    try:
        return make()
    except RuntimeError as error:
        check_md5(folder, sums)
        raise InputError(f"{folder}: can't be read ({' '.join(str(error).split())}); get it again") from error
