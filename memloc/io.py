"""The only reader and writer of result files. A file is either complete or not there."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import glob
import json
import math
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from memloc import provenance
from memloc.errors import AGAIN, InputError, out_of_memory
from memloc.provenance import RECORD, Record

Array = NDArray[Any]
T = TypeVar("T")


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place, flushed to disk, when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.stem}.{OURS}"
    for left in path.parent.glob(f"{glob.escape(prefix)}????????{glob.escape(path.suffix)}"):
        _remove_if_left(left)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
    temporary = Path(name)
    try:
        with contextlib.suppress(OSError):  # A file system without locks.
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


@contextmanager
def scratch(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside ``path`` that goes when the block ends, or is removed by the next after a kill."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.stem}.{OURS}"
    for left in path.parent.glob(f"{glob.escape(prefix)}????????{SCRATCH}"):
        _remove_if_left(left)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix, suffix=SCRATCH) as folder:
        handle = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # A file system without locks.
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield Path(folder)
        finally:
            os.close(handle)


OURS, SCRATCH = "memloc-", ".parts"
"""What the names of all that is temporary have, so that nobody else's file is taken for it, and how folders' end."""


def _remove_if_left(temporary: Path) -> None:
    """Remove what a killed process left half written, a file or a folder; the lock on it went with the process."""
    with contextlib.suppress(OSError):
        handle = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                shutil.rmtree(temporary)
            else:
                temporary.unlink()
        finally:
            os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save_json(value: Any, path: str | Path) -> None:
    """Write a JSON file, keys in the order given."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def load_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return readable(path, lambda file: json.load(file))


def save_array(array: Array, path: str | Path) -> None:
    """Write one array as .npy, readable as a memory map."""
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array, allow_pickle=False)


def load_array(path: str | Path) -> Array:
    """Map one .npy array into memory, read-only."""
    try:
        check_regular(path)
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except (ValueError, EOFError, OSError) as error:
        if out_of_memory(error):
            raise
        raise unreadable(path, error) from error


def save_arrays(arrays: Mapping[str, Array], path: str | Path, record: Record | None = None) -> None:
    """Write named arrays as an uncompressed .npz, before them the record of who made them."""
    arrays = {**recorded(record), **arrays}
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_arrays(path: str | Path) -> dict[str, Array]:
    """Read the named arrays of an .npz."""

    def read(file: IO[bytes]) -> dict[str, Array]:
        with np.load(file, allow_pickle=False) as archive:
            refuse_compressed(archive.zip.infolist())
            _refuse_longer(archive.zip, os.fstat(file.fileno()).st_size)
            return {name: archive[name] for name in archive.files}

    return readable(path, read)


def recorded(record: Record | None) -> dict[str, Array]:
    """A record as an array of a file."""
    return {} if record is None else {RECORD: np.array(provenance.text(record))}


def load_made(path: str | Path, **expected: Any) -> tuple[dict[str, Array], Record]:
    """Read the named arrays of an .npz that a rule made, and the record of who made them.

    Args:
        expected: what the record must say (see ``provenance.check``).

    Raises:
        InputError: the file can't be read, isn't the one that is expected, or a number in it isn't finite.
    """
    arrays = load_arrays(path)
    record = provenance.check(path, as_text(arrays.pop(RECORD, None)), **expected)
    for name, array in arrays.items():
        finite(path, name, array)
    return arrays, record


def as_text(array: Array | None) -> str | None:
    """The text of a record's array; None where it is none."""
    return str(array) if array is not None and array.dtype.kind == "U" and array.ndim == 0 else None


def finite(path: str | Path, name: str, array: Array) -> None:
    """Raise an InputError where a number of an array isn't finite."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{path}: {name} isn't finite; {AGAIN}")


def refuse_compressed(members: Iterable[zipfile.ZipInfo]) -> None:
    """Raise a ValueError where something in a .zip is compressed: a small one may unpack to terabytes."""
    if any(member.compress_type for member in members):
        raise ValueError("compressed, as no file of memloc is")


def _refuse_longer(archive: zipfile.ZipFile, size: int) -> None:
    """Raise a ValueError where an array claims more bytes than its file has: that would read as a lack of memory."""
    for member in archive.infolist():
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, kind = header(file)
        if math.prod(shape) * kind.itemsize > size:
            raise ValueError(f"{member.filename} is cut off")


def readable(path: str | Path, read: Callable[[IO[bytes]], T]) -> T:
    """What ``read`` gives of the open file.

    Raises:
        InputError: it can't be opened, or ``read`` fails.
    """
    try:
        check_regular(path)
        with open(path, "rb") as file:
            return read(file)
    except Exception as error:
        if out_of_memory(error):  # That says nothing of the file.
            raise
        raise unreadable(path, error) from error


def check_regular(path: str | Path) -> None:
    """Raise a ValueError for a pipe, which would be waited for, or a device, which has no end."""
    mode = Path(path).stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError("not a regular file")


def unreadable(path: str | Path, error: Exception) -> InputError:
    """The one line about a result that can't be read."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(f"{path}: can't be read ({reason}); delete it and run snakemake again to make it anew")


def save_text(text: str, path: str | Path) -> None:
    """Write a text file."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], path: str | Path) -> None:
    """Write records as CSV, with its header even where there are none."""
    with atomic(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
