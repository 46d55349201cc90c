"""Datasets by name. An entry is what planning must know; the code is in the module of the set's family.

A family's module has ``read(folder, part, image_size, **fixed)``, which gives a ``memloc.data.preparing.Raw``.
"""

from __future__ import annotations

import http.client
import importlib
import importlib.util
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from memloc import io
from memloc.data.prepared import Part
from memloc.data.preparing import IMAGE_TYPES, PARTS, Keep, in_memory, into_files, preparation
from memloc.errors import InputError
from memloc.provenance import ROOT

__all__ = [
    "IMAGE_TYPES",
    "PARTS",
    "SOURCES",
    "File",
    "Source",
    "fetch",
    "fetched",
    "files",
    "get",
    "missing",
    "module_path",
    "prepare",
    "write",
]

TIMEOUT = 60
"""Seconds that a server may be silent."""
MANY = 10_000
"""Images of a folder that planning looks at one by one; it takes a second and 25 MB for so many."""


@dataclass(frozen=True)
class File:
    """A file, or folder, that a source is read from; without addresses nobody may fetch it unasked."""

    name: str
    md5: str = ""
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """An entry of SOURCES.

    Attributes:
        title: its name in prose.
        module: the module below memloc.datasets with its ``read``.
        files: what the folder must hold.
        folder: where the files lie unless ``path`` says otherwise; None makes ``path`` compulsory.
        hint: what a user can do when a file is missing.
        terms: its licence, or what is known of it.
        size: what it takes on disk as it comes.
        unpacked: the folder that is inside the one archive, and is taken in its place where it lies beside it.
        fixed: arguments of ``read`` that tell this entry from others of its module.
        unlabeled: whether training images have no labels.
    """

    title: str
    module: str
    files: tuple[File, ...]
    folder: Path | None
    hint: str
    terms: str
    size: str
    unpacked: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    unlabeled: bool = False


_DATA = ROOT / "data"
_FETCHED = "it is fetched where no path is given; docs/data.md says where it comes from"
_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)
_IDX = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
_STL10: dict[str, Any] = {
    "module": "stl10",
    "files": (
        File(
            "stl10_binary.tar.gz",
            "91f7769df0f17e558f3565bffb0c7dfb",
            ("http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",),
        ),
    ),
    "folder": _DATA / "stl10",
    "hint": _FETCHED,
    "terms": "images from ImageNet, whose terms of non-commercial research apply",
    "size": "2.6 GB, 3.2 GB more for a while",
    "unpacked": "stl10_binary",
}


def _bundled(package: str, folder: str) -> Path | None:
    """A folder inside an installed package, which isn't imported for it."""
    found = importlib.util.find_spec(package)
    return Path(found.origin).parent / folder if found and found.origin else None


SOURCES: dict[str, Source] = {
    "fashion-mnist-12k": Source(
        "Fashion-MNIST, 12,000 images of it",
        module="fashion_mnist",
        files=(*map(File, _IDX), File("SHA256SUMS")),
        folder=_DATA / "fashion-mnist-12k",
        hint="it has four idx .gz files and SHA256SUMS, as data/fashion-mnist-12k in the repository",
        terms="MIT",
        size="5 MB, in the repository",
    ),
    "fashion-mnist": Source(
        "Fashion-MNIST",
        module="fashion_mnist",
        files=tuple(File(name, md5, tuple(mirror + name for mirror in _MIRRORS)) for name, md5 in _IDX.items()),
        folder=_DATA / "fashion-mnist",
        hint=_FETCHED,
        terms="MIT",
        size="31 MB",
    ),
    "digits": Source(
        "handwritten digits",
        module="digits",
        files=(File("digits.csv.gz"),),
        # A planning environment may lack scikit-learn; the job's has it.
        folder=_bundled("sklearn", "datasets/data") or _DATA / "digits",
        hint="it comes with scikit-learn: install that again",
        terms="CC BY 4.0",
        size="57 kB, in scikit-learn",
    ),
    "cifar10": Source(
        "CIFAR-10",
        module="cifar",
        files=(
            File(
                "cifar-10-python.tar.gz",
                "c58f30108f718f92721af3b95e74349a",
                ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
            ),
        ),
        folder=_DATA / "cifar10",
        hint=_FETCHED,
        terms="none stated; cite Krizhevsky (2009)",
        size="170 MB",
        unpacked="cifar-10-batches-py",
        fixed={"classes": 10},
    ),
    "cifar100": Source(
        "CIFAR-100",
        module="cifar",
        files=(
            File(
                "cifar-100-python.tar.gz",
                "eb9058c3a382ffc7106e4002c42a8d85",
                ("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",),
            ),
        ),
        folder=_DATA / "cifar100",
        hint=_FETCHED,
        terms="none stated; cite Krizhevsky (2009)",
        size="169 MB",
        unpacked="cifar-100-python",
        fixed={"classes": 100},
    ),
    "svhn": Source(
        "Street View House Numbers, cropped digits",
        module="svhn",
        files=tuple(
            File(name, md5, (f"http://ufldl.stanford.edu/housenumbers/{name}",))
            for name, md5 in {
                "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
                "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
            }.items()
        ),
        folder=_DATA / "svhn",
        hint=_FETCHED,
        terms="non-commercial use",
        size="246 MB",
    ),
    "stl10": Source("STL-10, labelled", **_STL10),
    "stl10-unlabeled": Source(
        "STL-10, unlabelled training images", **_STL10, fixed={"train": "unlabeled"}, unlabeled=True
    ),
    "imagenet": Source(
        "ImageNet (ILSVRC 2012)",
        module="imagenet",
        files=(File("train"), File("val")),
        folder=_DATA / "imagenet",
        hint="put its images into train/<wnid>/*.JPEG and val/<wnid>/*.JPEG; image-net.org has them, on registering",
        terms="non-commercial research; access is granted person by person",
        size="145 GB",
    ),
    "folder": Source(
        "a folder of images",
        module="folder",
        files=(File("train"), File("test")),
        folder=None,
        hint="put images into <path>/train/<class>/ and <path>/test/<class>/",
        terms="your own",
        size="your own",
    ),
}


def prepare(
    source: str, *, path: str | None, classes: Sequence[int] | None, image_size: int, images: int | None = None
) -> tuple[dict[str, Part], dict[str, Any]]:
    """Read a source, verify it and keep the chosen classes, relabelled 0, 1, 2, ... in the order given.

    Args:
        source: a key of SOURCES.
        path: folder of the raw files; None takes the source's own.
        classes: labels to keep; None keeps all.
        image_size: side of the square images that come out.
        images: how many training images to draw, always the same ones; None keeps all.

    Returns:
        The parts by name and a description: class names (none without labels), sizes, hashes, per-channel mean and
        standard deviation. Labels of a training part without labels are -1.

    Raises:
        InputError: a file is missing, altered or unreadable, or a class doesn't exist.
    """
    return _prepare(source, in_memory, path=path, classes=classes, image_size=image_size, images=images)


def write(
    source: str,
    into: Mapping[str, str | Path],
    *,
    path: str | None,
    classes: Sequence[int] | None,
    image_size: int,
    images: int | None = None,
) -> tuple[dict[str, Part], dict[str, Any]]:
    """As ``prepare``, with each part's images written to a .npy file as they are read, complete or not at all.

    Memory holds the labels, the names of the files and 64 MiB of images, however many there are.

    Args:
        into: the file of each of PARTS.

    Returns:
        As ``prepare``, the images mapped into memory.
    """
    with ExitStack() as stack:
        temporary = {part: stack.enter_context(io.atomic(into[part])) for part in PARTS}
        return _prepare(source, into_files(temporary), path=path, classes=classes, image_size=image_size, images=images)


def _prepare(
    source: str, keep: Keep, *, path: str | None, classes: Sequence[int] | None, image_size: int, images: int | None
) -> tuple[dict[str, Part], dict[str, Any]]:
    entry = SOURCES[source]
    folder = Path(path) if path is not None else entry.folder
    if folder is None:
        raise InputError(f"datasets: source {source} needs a path: name the folder of the raw files")
    for name in _absent(entry, folder):
        raise InputError(_wanted(entry, name, folder, "missing"))
    read = importlib.import_module(f"memloc.data.sources.{entry.module}").read
    with _readable(entry, folder) as place:
        return preparation(
            lambda part: read(place, part, image_size, **entry.fixed),
            keep,
            source=source,
            folder=folder,
            image_size=image_size,
            required=[file.name for file in entry.files],
            classes=classes,
            images=images,
            unlabeled=entry.unlabeled,
        )


def missing(source: str, path: str | None) -> list[str]:
    """Names of the files that the folder given lacks; without one, a job gets them or says what to do."""
    try:
        return _absent(SOURCES[source], Path(path)) if path is not None else []
    except OSError:  # A name too long to be one.
        return ["."]


def files(source: str, path: str | None) -> list[Path]:
    """Every file that a source is read from, there or not.

    Two kinds are an exception: ImageNet's folders stand for their million files, and a folder of images has the files
    that are there, or where they are more than MANY the folders of its classes, in which files that are added, taken
    away or renamed are noticed, but not those written over in place.
    """
    entry = SOURCES[source]
    folder = Path(path) if path is not None else entry.folder
    if folder is None:
        return []
    if entry.unpacked and not _archived(entry, folder):
        return sorted(file for file in (folder / entry.unpacked).iterdir() if file.is_file())
    named = [folder / file.name for file in entry.files]
    if entry.module != "folder":
        return named
    folders = [child for part in named for child in sorted(part.glob("*/")) if not child.name.startswith(".")]
    with suppress(OSError):  # A folder that may not be read: the job says so.
        if sum(1 for _ in islice((file for child in folders for file in child.iterdir()), MANY + 1)) > MANY:
            return folders
    return [image for part in named for image in sorted(part.glob("*/*")) if _is_image(image.relative_to(part))]


def fetched(source: str, path: str | None) -> bool:
    """Whether a source's files come from elsewhere: they aren't in the repository, nor is there a path to them."""
    entry = SOURCES[source]
    return path is None and entry.folder is not None and entry.folder != SOURCES["fashion-mnist-12k"].folder


def fetch(source: str) -> dict[str, Any]:
    """Get those files of a source that its own folder lacks; returns what is there then.

    Raises:
        InputError: one can't be had; the message says which file from which address to put where.
    """
    entry = SOURCES[source]
    assert entry.folder is not None
    for name in _absent(entry, entry.folder):
        get(source, name, entry.folder)
    return {"source": source, "files": [file.name for file in entry.files]}


def get(source: str, file: str, folder: str | Path) -> None:
    """Fetch one file of a source into a folder, where it appears complete and verified or not at all.

    Raises:
        KeyError: the source has no such file.
        InputError: it can't be had; the message says which file from which address to put where.
    """
    entry = SOURCES[source]
    wanted = {known.name: known for known in entry.files}[file]
    if not wanted.addresses:
        raise InputError(_wanted(entry, file, Path(folder), "missing"))
    from torchvision.datasets.utils import download_url

    before, reason = socket.getdefaulttimeout(), ""
    socket.setdefaulttimeout(TIMEOUT)
    try:
        for address in wanted.addresses:
            try:
                with io.atomic(Path(folder) / file) as temporary:
                    download_url(address, temporary.parent, temporary.name, wanted.md5)
                return
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                reason = "the MD5 sum differs" if isinstance(error, RuntimeError) else " ".join(str(error).split())
    finally:
        socket.setdefaulttimeout(before)
    raise InputError(_wanted(entry, file, Path(folder), f"can't be fetched ({reason})"))


def module_path(name: str) -> str:
    """The file that holds a source's code, from the repository's root."""
    return f"memloc/data/sources/{SOURCES[name].module}.py"


def _wanted(entry: Source, name: str, folder: Path, state: str) -> str:
    """What to do about a file."""
    for file in entry.files:
        if file.name == name and file.addresses:
            return (
                f"{folder / name}: {state}; get {name} (MD5 {file.md5}) from {' or '.join(file.addresses)} "
                f"and put it into {folder}"
            )
    return f"{folder / name}: {state}; {entry.hint}"


def _absent(entry: Source, folder: Path) -> list[str]:
    if not folder.is_dir():
        return [entry.files[0].name] if folder == entry.folder else ["."]
    if entry.unpacked and not _archived(entry, folder):
        return []
    return [file.name for file in entry.files if not (folder / file.name).exists()]


def _archived(entry: Source, folder: Path) -> bool:
    """Whether a source with an archive is read from that, as it is without its unpacked folder."""
    return entry.unpacked is not None and not (folder / entry.unpacked).is_dir()


@contextmanager
def _readable(entry: Source, folder: Path) -> Iterator[Path]:
    """The folder, or a temporary one with what is in its archive."""
    if not _archived(entry, folder):
        yield folder
        return
    from memloc.data.archive import unpacked

    (archive,) = entry.files
    with unpacked(folder / archive.name, archive.md5) as place:
        yield place


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_TYPES and not any(part.startswith(".") for part in file.parts)
