"""Files of measures: written part by part, joined from shards, read array by array. Memory never holds a whole file."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from memloc import io, provenance
from memloc.data.groups import GROUPS
from memloc.errors import AGAIN, InputError
from memloc.measuring.protocol import LARGEST
from memloc.provenance import RECORD, Record

Array = NDArray[Any]
NamedArrays = Mapping[str, Array]

ABOUT_LAYERS = ("layers", "own", "kinds", "parameters")
"""Arrays that describe an encoder's layers, and so are the same in all parts of its measures."""

ABOUT_POINTS = ("points", "groups", "labels", "alignment", "features")
"""Arrays that all measures of an encoder have, a row for each point."""

BUFFER = 1 << 22
"""Bytes that wait in memory before they are written, or are copied at a time."""


def save(path: str | Path, arrays: NamedArrays, parts: Iterable[NamedArrays], record: Record | None = None) -> None:
    """Write a record, ``arrays``, and the arrays of the parts joined by name, as an uncompressed .npz.

    The bytes are those that ``memloc.io.save_arrays`` writes for parts joined in memory. Until the file is complete,
    the parts are in a temporary folder beside it, so writing takes twice its size on disk.

    Args:
        record: of who made the arrays.
        parts: each has some of the names, and arrays [rows, ...] whose rows have one shape.

    Raises:
        ValueError: rows of one name differ in type or shape.
    """
    with io.scratch(path) as folder:
        columns: dict[str, _Column] = {}
        for part in parts:
            for name, array in part.items():
                if name not in columns:
                    columns[name] = _Column(folder / str(len(columns)), array)
                columns[name].add(array)
            if sum(len(column.waiting) for column in columns.values()) >= BUFFER:
                for column in columns.values():
                    column.flush()
        for column in columns.values():
            column.flush()
        with io.atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name, array in {**io.recorded(record), **arrays}.items():
                _put(archive, name, array.dtype, array.shape, [np.ascontiguousarray(array).tobytes()])
            for name, column in columns.items():
                with open(column.path, "rb") as file:
                    _put(archive, name, column.dtype, (column.rows, *column.shape), _pieces(file))


def join(
    path: str | Path,
    shards: Sequence[str | Path],
    *,
    common: Sequence[str],
    rows: str,
    record: Record | None = None,
) -> None:
    """Write one .npz with the arrays of all shards joined by name, in the shards' order.

    Args:
        common: names of arrays that are the same in all shards and are written once.
        rows: an array that is missing or empty in shards that hold nothing.
        record: of who made them.

    Raises:
        InputError: a shard can't be read, or its arrays can't be joined with those of the first.
    """
    opened = [Arrays(shard) for shard in shards]
    filled = [shard for shard in opened if rows in shard and shard.header(rows)[0][0]] or opened[:1]
    with io.atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in io.recorded(record).items():
            _put(archive, name, array.dtype, array.shape, [array.tobytes()])
        for name in filled[0]:
            sources = filled[:1] if name in common else filled
            headers = [shard.header(name) for shard in sources]
            first, kind = headers[0]
            for shard, (shape, dtype) in zip(sources[1:], headers[1:], strict=True):
                if not shape or (shape[1:], dtype) != (first[1:], kind):
                    difference = f"{name}: {dtype} {list(shape)} can't be joined with {sources[0].path.name}"
                    raise io.unreadable(shard.path, ValueError(difference))
            joined = first if name in common else (sum(shape[0] for shape, _ in headers), *first[1:])
            _put(archive, name, kind, joined, (piece for shard in sources for piece in shard.pieces(name)))


def common_record(path: str | Path, shards: Sequence[str | Path], **expected: Any) -> Record:
    """The record of a file that is joined from shards: theirs, with its own place.

    Args:
        expected: what their records must say (see ``provenance.check``).

    Raises:
        InputError: a shard isn't the one that is expected, or was made with something else than the first.
    """
    records = [provenance.check(shard, Arrays(shard).text, **expected) for shard in shards]
    common = {key: value for key, value in records[0].items() if key != "file"}
    for shard, record in zip(shards, records, strict=True):
        for key, value in common.items():
            if record.get(key) != value:
                raise InputError(f"{shard}: was made with other {key} than {Path(shards[0]).name}; {AGAIN}")
    return provenance.record(path, **common)


def made(path: str | Path, **expected: Any) -> Arrays:
    """The arrays of a file that a rule made.

    Args:
        expected: what its record must say (see ``provenance.check``).

    Raises:
        InputError: the file can't be read, or isn't the one that is expected.
    """
    arrays = Arrays(path)
    provenance.check(path, arrays.text, **expected)
    return arrays


def of_encoder(path: str | Path, **expected: Any) -> Arrays:
    """The measures of one encoder that a rule made.

    Raises:
        InputError: the file can't be read or isn't the one that is expected; a point is there twice or in no group, an
            array has not as many rows as there are points, or an alignment is out of range.
    """
    arrays = made(path, **expected)
    if lacking := [name for name in (*ABOUT_LAYERS, *ABOUT_POINTS) if name not in arrays]:
        raise InputError(f"{path}: lacks {', '.join(lacking)}; {AGAIN}")
    points, groups = arrays["points"], arrays["groups"]
    if points.dtype.kind != "i" or points.ndim != 1 or (points < 0).any() or len(np.unique(points)) < len(points):
        raise InputError(f"{path}: a point is there twice, or isn't one; {AGAIN}")
    for name in arrays:
        if name not in ABOUT_LAYERS and (shape := arrays.header(name)[0])[:1] != (len(points),):
            raise InputError(f"{path}: {name} is {list(shape)}, not a row for each of {len(points)} points; {AGAIN}")
    if not np.isin(groups, GROUPS).all():
        raise InputError(f"{path}: groups are none of {', '.join(GROUPS)}; {AGAIN}")
    alignment, distance = arrays["alignment"], arrays.record.get("settings", {}).get("distance", "")
    largest = LARGEST.get(distance, np.inf)
    if alignment.min(initial=0) < 0 or alignment.max(initial=0) > largest:
        raise InputError(f"{path}: alignment isn't between 0 and {largest:.3g} everywhere; {AGAIN}")
    return arrays


class Arrays(Mapping[str, Array]):
    """The arrays of an .npz by name, each read from disk whenever it is looked up, and checked against its checksum.

    Attributes:
        text: the record of who made them, as the file holds it; None where it has none.

    Raises:
        InputError: the file can't be read, or a number isn't finite.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

        def read(file: IO[bytes]) -> list[str]:
            members = zipfile.ZipFile(file).infolist()
            io.refuse_compressed(members)
            return [member.filename.removesuffix(".npy") for member in members]

        self.names = io.readable(path, read)
        self.text = io.as_text(self._read(RECORD)) if RECORD in self.names else None
        self.names = [name for name in self.names if name != RECORD]

    @property
    def record(self) -> Record:
        """Who made the arrays.

        Raises:
            InputError: the file has no record, or belongs elsewhere.
        """
        return provenance.check(self.path, self.text)

    def __getitem__(self, name: str) -> Array:
        if name not in self.names:
            raise KeyError(name)
        array = self._read(name)
        io.finite(self.path, name, array)
        return array

    def _read(self, name: str) -> Array:
        def read(file: IO[bytes]) -> Array:
            with np.load(file, allow_pickle=False) as archive:
                array: Array = archive[name]
                return array

        return io.readable(self.path, read)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type of an array."""

        def read(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
            with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as member:
                shape, dtype = _header(member)
                if archive.getinfo(f"{name}.npy").file_size - member.tell() != math.prod(shape) * dtype.itemsize:
                    raise ValueError(f"the size of {name} is not the one in its header")
                return shape, dtype

        return io.readable(self.path, read)

    def pieces(self, name: str) -> Iterator[bytes]:
        """An array's bytes, BUFFER at a time."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{name}.npy") as member:
                _header(member)
                yield from _pieces(member)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise io.unreadable(self.path, error) from error


class _Column:
    """The rows of one name, of all parts, on their way to a file."""

    def __init__(self, path: Path, first: Array) -> None:
        self.path, self.dtype, self.shape = path, first.dtype, first.shape[1:]
        self.rows = 0
        self.waiting = bytearray()

    def add(self, array: Array) -> None:
        if array.dtype != self.dtype or array.shape[1:] != self.shape:
            raise ValueError(f"{array.dtype} {array.shape} can't be joined with rows of {self.dtype} {self.shape}")
        self.waiting += array.tobytes()  # The array may be a view of a much larger one.
        self.rows += len(array)

    def flush(self) -> None:
        with open(self.path, "ab") as file:
            file.write(self.waiting)
        self.waiting.clear()


def _put(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], pieces: Iterable[bytes]
) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            file.write(piece)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    np.lib.format.read_magic(file)
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if fortran and len(shape) > 1:
        raise ValueError("columns, not rows, are contiguous")
    return shape, dtype


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(BUFFER):
        yield piece
