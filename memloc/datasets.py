"""Datasets by name: raw files in, verified uint8 arrays out.

``SOURCES`` is the registry: a name, the files it needs, the function that reads them. Nothing here imports
torch until a source is read, so the workflow can look names and files up while it plans.
"""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.errors import InputError
from memloc.prepared import Part, array_sha256
from memloc.provenance import ROOT, file_sha256

PARTS = ("train", "test")
IMAGE_TYPES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Source:
    """Where images come from.

    Attributes:
        read: (folder, part, image size) to a Part and its class names.
        files: the files the folder must hold; empty where that depends on the user.
        folder: where the files lie unless ``path`` says otherwise; None makes ``path`` compulsory.
        hint: what a user can do when a file is missing.
    """

    read: Callable[[Path, str, int], tuple[Part, list[str]]]
    files: tuple[str, ...]
    folder: Path | None
    hint: str


def prepare(
    source: str, *, path: str | None, classes: Sequence[int] | None, image_size: int
) -> tuple[dict[str, Part], dict[str, Any]]:
    """Read a source, verify it and keep the chosen classes, relabelled 0, 1, 2, ... in the order given.

    Args:
        source: a name in SOURCES.
        path: folder of the raw files; None takes the source's own.
        classes: labels to keep; None keeps all.
        image_size: side of the square images that come out; smaller images are padded with black, others resized.

    Returns:
        The parts by name and a description: class names, sizes, hashes, per-channel mean and standard deviation.

    Raises:
        InputError: a file is missing, altered or unreadable, or a class doesn't exist.
    """
    entry = SOURCES[source]
    folder = Path(path) if path is not None else entry.folder
    if folder is None:
        raise InputError(f"datasets: source {source} needs a path: name the folder of the raw files")
    for name in missing(source, path):
        raise InputError(f"{folder / name}: missing; {entry.hint}")
    _verify(folder, entry.files if "SHA256SUMS" in entry.files else ())
    parts: dict[str, Part] = {}
    names: list[str] = []
    for part in PARTS:
        parts[part], names = entry.read(folder, part, image_size)
        if classes is not None:
            absent = [c for c in classes if not 0 <= c < len(names)]
            if absent:
                raise InputError(f"datasets: classes {absent} don't exist in {source}, which has 0 to {len(names) - 1}")
            parts[part] = _keep(parts[part], classes)
    if classes is not None:
        names = [names[c] for c in classes]
    if len(names) < 2:
        raise InputError(f"{folder}: {len(names)} class only; two or more are needed")
    for name, images in parts.items():
        empty = [label for k, label in enumerate(names) if not (images.labels == k).any()]
        if empty:
            raise InputError(f"{folder}: no {name} images of {', '.join(empty)}; every class needs some")
    pixels = parts["train"].images.reshape(*parts["train"].images.shape[:2], -1)
    if (pixels.std(axis=(0, 2)) == 0).all():
        raise InputError(f"{folder}: all training images are one flat colour; check what was exported")
    description = {
        "source": source,
        "folder": str(folder),
        "classes": names,
        "image_size": image_size,
        "channels": int(pixels.shape[1]),
        "mean": [round(float(v), 6) for v in pixels.mean(axis=(0, 2)) / 255],
        "std": [round(float(v), 6) for v in pixels.std(axis=(0, 2)) / 255],
        "sizes": {name: len(part.labels) for name, part in parts.items()},
        "sha256": {name: array_sha256(part.images, part.labels) for name, part in parts.items()},
    }
    return parts, description


def missing(source: str, path: str | None) -> list[str]:
    """Names of the files a source lacks."""
    entry = SOURCES[source]
    folder = Path(path) if path is not None else entry.folder
    if folder is None:
        return []
    try:
        if not folder.is_dir():
            return ["."]
        return [name for name in entry.files if not (folder / name).exists()]
    except OSError:  # A name too long to be one.
        return ["."]


def raw(source: str, path: str | None) -> list[Path]:
    """Every file that a source is read from."""
    entry = SOURCES[source]
    folder = Path(path) if path is not None else entry.folder
    if folder is None:
        return []
    named = [folder / name for name in entry.files]
    return [file for item in named for file in ([item] if item.is_file() else sorted(_images(item, "*/*")))]


def _images(folder: Path, pattern: str) -> Iterator[Path]:
    """Image files, hidden ones left out."""
    for file in folder.glob(pattern):
        if file.suffix.lower() in IMAGE_TYPES and not any(p.startswith(".") for p in file.relative_to(folder).parts):
            yield file


def _keep(part: Part, classes: Sequence[int]) -> Part:
    rows = np.flatnonzero(np.isin(part.labels, classes))
    relabel = {label: new for new, label in enumerate(classes)}
    return Part(part.images[rows], np.array([relabel[int(label)] for label in part.labels[rows]], dtype=np.int64))


def _verify(folder: Path, required: Sequence[str]) -> None:
    """Hold every file named in the folder's SHA256SUMS, where there is one, against its hash."""
    sums = folder / "SHA256SUMS"
    if not sums.exists():
        return
    try:
        listed = [line.split(maxsplit=1) for line in sums.read_text().splitlines() if line.strip()]
        hashes = {name.lstrip("*"): expected for expected, name in listed}
    except (OSError, ValueError) as error:
        raise InputError(f"{sums}: not a list of SHA-256 sums; restore it (git checkout)") from error
    for name in required:
        if name != sums.name and name not in hashes:
            raise InputError(f"{sums}: doesn't list {name}; restore it (git checkout)")
    for name, expected in hashes.items():
        if not (folder / name).exists():
            raise InputError(f"{folder / name}: missing, though SHA256SUMS lists it; restore it (git checkout)")
        if file_sha256(folder / name) != expected:
            raise InputError(f"{folder / name}: altered or truncated (SHA-256 differs from SHA256SUMS); restore it")


_FASHION = [
    "T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
_IDX = tuple(f"{part}-{kind}.gz" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"))


def _fashion_mnist(folder: Path, part: str, image_size: int) -> tuple[Part, list[str]]:
    """Unpack the idx files into a temporary folder and let torchvision's own dataset read them."""
    from torchvision.datasets import FashionMNIST

    with tempfile.TemporaryDirectory() as root:
        raw = Path(root) / "FashionMNIST" / "raw"
        raw.mkdir(parents=True)
        for name in _IDX:
            try:
                (raw / name.removesuffix(".gz")).write_bytes(gzip.decompress((folder / name).read_bytes()))
            except (OSError, EOFError, zlib.error) as error:
                raise InputError(f"{folder / name}: not a complete gzip file ({error}); get it again") from error
        try:
            dataset = FashionMNIST(root, train=part == "train")
        except (AssertionError, ValueError, RuntimeError) as error:
            raise InputError(f"{folder}: not Fashion-MNIST's idx files ({error}); get them again") from error
        images, labels = dataset.data.numpy(), dataset.targets.numpy().astype(np.int64)
    if labels.max(initial=0) >= len(_FASHION):
        raise InputError(f"{folder}: a {part} label of {labels.max()}, but there are ten classes; get the files again")
    if len(images) != len(labels):
        raise InputError(f"{folder}: {len(images)} {part} images but {len(labels)} labels; get the files again")
    return Part(_fit(images[:, None], image_size), labels), _FASHION


def _fit(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    before = size - images.shape[-1]
    if before < 0:
        raise InputError(f"datasets: image_size {size} is smaller than the {images.shape[-1]} pixels of the images")
    pad = (before // 2, before - before // 2)
    return np.pad(images, ((0, 0), (0, 0), pad, pad))


def _folder(folder: Path, part: str, image_size: int) -> tuple[Part, list[str]]:
    """Images in ``<folder>/<train|test>/<class>/``, resized to a square, as three channels."""
    from PIL import Image, UnidentifiedImageError

    classes = sorted(c.name for c in (folder / "train").iterdir() if c.is_dir() and not c.name.startswith("."))
    if not classes:
        raise InputError(f"{folder / 'train'}: no class folders; put images into {folder / 'train'}/<class>/")
    extra = sorted(
        {c.name for c in (folder / part).iterdir() if c.is_dir() and not c.name.startswith(".")} - {*classes}
    )
    if extra:
        raise InputError(
            f"{folder / part}: {', '.join(extra)} isn't among the classes of {folder / 'train'}; rename it"
        )
    images, labels = [], []
    for label, name in enumerate(classes):
        for file in sorted(_images(folder / part / name, "*")):
            try:
                with Image.open(file) as image:
                    if image.mode.startswith(("I", "F")):
                        raise InputError(f"{file}: more than 8 bits a channel ({image.mode}); save it with 8")
                    resized = image.convert("RGB").resize((image_size, image_size), Image.Resampling.BILINEAR)
            except InputError:
                raise
            except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                raise InputError(f"{file}: not a readable image ({error}); repair or remove it") from error
            images.append(np.asarray(resized, dtype=np.uint8).transpose(2, 0, 1))
            labels.append(label)
    if not images:
        raise InputError(f"{folder / part}: no images ({', '.join(IMAGE_TYPES)}) in its class folders")
    return Part(np.stack(images), np.array(labels, dtype=np.int64)), classes


SOURCES: dict[str, Source] = {
    "fashion-mnist-12k": Source(
        read=_fashion_mnist,
        files=(*_IDX, "SHA256SUMS"),
        folder=ROOT / "data" / "fashion-mnist-12k",
        hint="it has four idx .gz files and SHA256SUMS, as data/fashion-mnist-12k in the repository",
    ),
    "fashion-mnist": Source(
        read=_fashion_mnist,
        files=_IDX,
        folder=None,
        hint="torchvision.datasets.FashionMNIST(root, download=True) puts it into <root>/FashionMNIST/raw",
    ),
    "folder": Source(
        read=_folder,
        files=("train", "test"),
        folder=None,
        hint="put images into <path>/train/<class>/ and <path>/test/<class>/",
    ),
}
