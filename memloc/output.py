"""The folder that a command writes its results to, which is the user's: nothing but its own files in it is touched.

A record, the last file that is written, lists the others by size and SHA-256 and holds a hash of itself. A file is the
command's own where it is as a record lists it. All work goes on in ``unfinished/``, and finished files are renamed from
there, so a killed run leaves nothing else in the folder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from memloc import io
from memloc.errors import InputError, show
from memloc.job import log
from memloc.provenance import file_sha256

Entry: TypeAlias = dict[str, Any]
"""SHA-256 of a file, and mostly its size."""

UNFINISHED, LOCK = "unfinished", "lock"
"""The folder of all unfinished work, and the file in it that a run locks."""
OWN, RESULTS = "work.json", "results"
"""In the folder of one unfinished work: what says whose it is, and the results before they are in their place."""
CHECKSUM = "checksum"
"""Key of the hash of a record in itself."""


@dataclass(frozen=True)
class Output:
    """A folder of a command's results.

    Args:
        folder: the folder, which need not exist.
        command: who writes, as in ``memloc score``.
        record: name of the file that lists the others.
        names: of all other files that the command may write.
        parts: pattern of the names of files of unfinished work.
        replace: whether a result of other settings or input may be replaced.
        sizes: whether the record has the size of a file beside its hash, or the hash alone.
    """

    folder: Path
    command: str
    record: str
    names: tuple[str, ...]
    parts: str = "(?!)"
    replace: bool = False
    sizes: bool = True

    @property
    def _place(self) -> Path:
        return self.folder / UNFINISHED

    def check(self, *inputs: str | Path | None) -> None:
        """Refuse a folder in which something would have to give way that isn't the command's own.

        Args:
            inputs: files that are read; none of them may be one that is written.

        Raises:
            InputError: there is such a file, or this is not a folder.
        """
        own = {os.path.realpath(self.folder / name) for name in (*self.names, self.record)}
        for path in inputs:
            if path is not None and os.path.realpath(path) in own:
                raise self._refused(f": {path} is read and would be replaced; choose another folder")
        self._look()

    @contextmanager
    def writing(self, identity: str, *, share: str | None = None) -> Iterator[Path | None]:
        """Lock the folder and give that of unfinished work; None where the result of ``identity`` is finished.

        Args:
            identity: of the result: hexadecimal, a hash of all that it depends on.
            share: names a part of the work, which others may do their parts beside.

        Raises:
            InputError: the folder can't be written to, another run writes to it, or something in it would have to
                give way.
        """
        # A run that was killed after it finished left its lock, and may be work.
        if self._finished(identity) and not os.path.lexists(self._place / LOCK):
            with contextlib.suppress(OSError):
                self._place.rmdir()
            yield None
            return
        with self._lock(shared=share is not None):
            if self._finished(identity):
                self._discard(self._place / identity)
                yield None
                return
            work = self._work(identity)
            if share is not None:
                with self._lock_part(work, share):
                    yield work
                return
            try:
                yield work
            finally:
                shutil.rmtree(work / RESULTS, ignore_errors=True)
                if {path.name for path in work.glob("*")} <= {OWN}:
                    self._discard(work)

    def staged(self, work: Path) -> Path:
        """An empty folder for the results, until ``publish`` puts them in their place."""
        folder = work / RESULTS
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def publish(self, work: Path, about: Mapping[str, object]) -> None:
        """Put the staged files and a record of them in their place, and remove what they replace and the work.

        At every moment the record lists whatever of the command's files is in the folder, old or new.

        Args:
            about: what else the record says.

        Raises:
            InputError: something in the folder would have to give way, put there meanwhile.
        """
        staged = work / RESULTS
        files = {name: _entry(staged / name) for name in self.names if (staged / name).exists()}
        _, present = self._look()
        record = {"command": self.command, "identity": work.name, **about, "files": files}
        self._save(record | {"replaced": present, "unfinished": True}, staged)
        for name in self.names:
            if name in files:
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                (staged / name).replace(self.folder / name)
            elif name in present:
                (self.folder / name).unlink()
        for part in self._folders():
            with contextlib.suppress(OSError):  # Files are in it.
                (self.folder / part).rmdir()
        self._save(record, staged)
        self._discard(work)

    # --- Whose a file is ---------------------------------------------------------------------------------------------

    def _look(self) -> tuple[dict[str, Any] | None, dict[str, Entry]]:
        """The record, and those of the other files that are there.

        Raises:
            InputError: one of them isn't as the record lists it.
        """
        before: object = self
        while True:
            record = self._load()
            present = {}
            for part in self._folders():
                if os.path.lexists(self.folder / part) and not (self.folder / part).is_dir():
                    raise self._foreign(part)
            for name in self.names:
                if os.path.lexists(self.folder / name):
                    present[name] = self._own(record, name)
            foreign = [name for name, entry in present.items() if entry is None]
            if not foreign:
                return record, {name: entry for name, entry in present.items() if entry is not None}
            if record == before:  # Or else another run has replaced files meanwhile.
                break
            before = record
        name = foreign[0]
        if record is not None and any(name in record.get(part, {}) for part in ("files", "replaced")):
            raise self._refused(f": {name} was changed since memloc wrote it; move it away, or choose another folder")
        raise self._foreign(name)

    def _folders(self) -> set[str]:
        """Folders in the folder that files may be in."""
        return {str(Path(name).parent) for name in self.names} - {"."}

    def _own(self, record: Mapping[str, Any] | None, name: str) -> Entry | None:
        """What the record says of a file that is there; None if it isn't the command's, or was changed."""
        path = self.folder / name
        parts = [(record or {}).get(part, {}) for part in ("files", "replaced")]
        listed = [part[name] for part in parts if name in part]
        with contextlib.suppress(OSError):
            size = path.stat().st_size if listed and path.is_file() else None
            likely = [entry for entry in listed if size is not None and entry.get("size", size) == size]
            sha256 = file_sha256(path) if likely else None
            return next((entry for entry in likely if entry["sha256"] == sha256), None)
        return None

    def _load(self) -> dict[str, Any] | None:
        """The record; None if there is none.

        Raises:
            InputError: it isn't the command's, or was changed, or lists no files.
        """
        path = self.folder / self.record
        try:
            if not stat.S_ISDIR(self.folder.stat().st_mode):
                raise self._refused(" is a file; name a folder")
            if not os.path.lexists(path):
                return None
        except FileNotFoundError:
            if self.folder.is_symlink():
                raise self._refused(" is a link to nothing; name a folder") from None
            return None
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            # Anything else than a file might never end.
            record = io.load_json(path) if path.is_file() else None
        except InputError:
            record = None
        if not isinstance(record, dict) or "identity" not in record:
            raise self._foreign(self.record)
        if "files" not in record:
            raise self._refused(
                f" has a {self.record} of an earlier version, which listed no files; move its files away,"
                " or choose another folder"
            )
        whole = record.pop(CHECKSUM, None) == _signature(record)
        if (command := record.get("command")) != self.command:
            if not whole or command is None:
                raise self._foreign(self.record)
            raise self._refused(f" has a {self.record} of {show(command)}; choose another folder")
        if not whole or not {*record["files"]} <= {*self.names}:
            raise self._refused(
                f": {self.record} was changed since memloc wrote it; move it and its files away,"
                " or choose another folder"
            )
        for part in {"files", "replaced"} & {*record}:
            record[part] = {name: e if self.sizes else {"sha256": e} for name, e in record[part].items()}
        return record

    def _finished(self, identity: str) -> bool:
        """Whether a folder holds every file of a result, each as it was written.

        Raises:
            InputError: there is a result of something else, or a file that isn't the command's.
        """
        record, present = self._look()
        if record is None:
            return False
        if record["identity"] != identity:
            if not self.replace:
                raise self._refused(
                    " holds the result of other settings, input or version; add --replace to replace it,"
                    " or choose another folder"
                )
            return False
        return "unfinished" not in record and all(present.get(name) == entry for name, entry in record["files"].items())

    def _save(self, record: Mapping[str, object], staged: Path) -> None:
        content = json.loads(json.dumps(record))
        if not self.sizes:
            for part in {"files", "replaced"} & {*content}:
                content[part] = {name: entry["sha256"] for name, entry in content[part].items()}
        io.save_json(content | {CHECKSUM: _signature(content)}, staged / self.record)
        (staged / self.record).replace(self.folder / self.record)

    # --- Work under way ----------------------------------------------------------------------------------------------

    @contextmanager
    def _lock(self, *, shared: bool) -> Iterator[None]:
        """Be the only run that writes to the folder, or one of those that share it.

        The lock is the system's: it ends with the process, however that ends.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = self._locked(self._place, shared=shared)
            if not os.access(self.folder, os.W_OK | os.X_OK):
                os.close(handle)
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise self._unwritable(error) from error
        try:
            yield
        finally:
            if not shared:
                with contextlib.suppress(OSError):
                    (self._place / LOCK).unlink()
                    self._place.rmdir()
            os.close(handle)

    def _locked(self, place: Path, *, shared: bool) -> int:
        """The open and locked file ``lock`` of a folder, which another run may remove while this one waits for it."""
        while True:
            if place.is_symlink() or (place.exists() and not place.is_dir()):
                raise self._foreign(place.name)
            place.mkdir(exist_ok=True)
            try:
                handle = os.open(place / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
            except FileNotFoundError:
                continue
            try:
                status = os.fstat(handle)
                if not stat.S_ISREG(status.st_mode) or status.st_size:
                    raise self._foreign(f"{place.name}/{LOCK}")
                _flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
                if os.path.samestat(status, (place / LOCK).lstat()):
                    return handle
            except FileNotFoundError:
                pass
            except BlockingIOError as error:
                os.close(handle)
                raise self._refused(": another run writes there; wait until it ends") from error
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)

    @contextmanager
    def _lock_part(self, work: Path, share: str) -> Iterator[None]:
        handle = os.open(work / f"{share}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            try:
                _flock(handle, fcntl.LOCK_EX)
            except BlockingIOError as error:
                raise self._refused(f": another run does {share} there; wait until it ends") from error
            yield
        finally:
            os.close(handle)

    def _work(self, identity: str) -> Path:
        """The folder of the unfinished work of an identity."""
        work = self._place / identity
        if work.is_symlink() or (work.exists() and not work.is_dir()):
            raise self._foreign(f"{UNFINISHED}/{identity}")
        work.mkdir(exist_ok=True)
        if self._is_own(work):
            return work
        # A run that was killed may have made it, and written none or a part of the few bytes.
        if not all(path.name == OWN or path.suffix == ".lock" for path in work.iterdir()):
            raise self._foreign(f"{UNFINISHED}/{identity}")
        handle = os.open(work / OWN, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            os.write(handle, self._whose(work))  # Not cut first: a run beside may read it.
        finally:
            os.close(handle)
        return work

    def _discard(self, work: Path) -> None:
        """Remove the work of an identity; what else is in its folder stays, and the folder with it."""
        if self._is_own(work):
            shutil.rmtree(work / RESULTS, ignore_errors=True)
            names = [path.name for path in work.iterdir()]
            own = [name for name in names if re.fullmatch(rf"{self.parts}|{re.escape(OWN)}|[\w-]+\.lock", name)]
            if len(own) < len(names):
                log.info("%s has a file that isn't memloc's, and is left", work)
            for name in sorted(own, key=OWN.__eq__):  # What says whose it is goes last.
                with contextlib.suppress(OSError):
                    (work / name).unlink()
        with contextlib.suppress(OSError):
            work.rmdir()

    def _is_own(self, work: Path) -> bool:
        """Whether a folder of unfinished work is the command's, as it says itself."""
        own = work / OWN
        return not work.is_symlink() and own.is_file() and own.read_bytes() == self._whose(work)

    def _whose(self, work: Path) -> bytes:
        return json.dumps({"command": self.command, "identity": work.name}).encode()

    # --- Messages ----------------------------------------------------------------------------------------------------

    def _refused(self, what: str) -> InputError:
        return InputError(f"out: {self.folder}{what}")

    def _foreign(self, name: str) -> InputError:
        return self._refused(f" has a {name} that isn't memloc's; choose another folder")

    def _unwritable(self, error: OSError) -> InputError:
        return self._refused(f": can't be written to ({error.strerror}); choose another folder")


def _entry(path: Path) -> Entry:
    return {"size": path.stat().st_size, "sha256": file_sha256(path)}


def _signature(record: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _flock(handle: int, operation: int) -> None:
    """Lock a file.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    try:
        fcntl.flock(handle, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        log.warning("this file system has no locks: don't start a second run with this --out")
