"""Datasets by name: what planning must know of each. Standard library only.

The code is in the module of a dataset's family, whose ``read(folder, part, image_size, **fixed)`` returns a
``memloc.data.preparing.Raw``. What changes its result reaches the job as a parameter: see ``Source.reading``.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from memloc.provenance import ROOT


@dataclass(frozen=True)
class File:
    """A file, or folder, that a source is read from; one without addresses can't be fetched."""

    name: str
    md5: str = ""
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """An entry of SOURCES.

    Attributes:
        title: its name in prose.
        module: the module in memloc.data.sources with its ``read``.
        files: what the folder must hold.
        folder: where the files lie unless ``path`` names another folder; None makes ``path`` compulsory.
        hint: what a user can do when a file is missing.
        terms: its licence, or what is known of it.
        size: what the raw files take on disk.
        inner: the folder inside the archive; where it lies beside the archive, it is read instead.
        fixed: arguments of ``read`` that tell this entry from others of its module.
        unlabeled: whether training images have no labels.
        classes: how many it has; None where the folders of its training images are its classes.
    """

    title: str
    module: str
    files: tuple[File, ...]
    folder: Path | None
    hint: str
    terms: str
    size: str
    inner: str | None = None
    fixed: Mapping[str, object] = field(default_factory=dict)
    unlabeled: bool = False
    classes: int | None = None

    @property
    def reading(self) -> dict[str, object]:
        """What changes the prepared images, beside the code."""
        return {"module": self.module, "fixed": dict(self.fixed), "unlabeled": self.unlabeled}


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
_SVHN = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}
_FOLDER = Source(
    "a folder of images",
    module="folder",
    files=(File("train"), File("test")),
    folder=None,
    hint="put images into <path>/train/<class>/ and <path>/test/<class>/",
    terms="your own",
    size="your own",
)
_STL10 = Source(
    "STL-10, labelled",
    module="stl10",
    files=(
        File(
            "stl10_binary.tar.gz",
            "91f7769df0f17e558f3565bffb0c7dfb",
            ("http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",),
        ),
    ),
    folder=_DATA / "stl10",
    hint=_FETCHED,
    terms="images from ImageNet, whose terms of non-commercial research apply",
    size="2.6 GB, 3.2 GB more for a while",
    inner="stl10_binary",
    classes=10,
)


def _cifar(classes: int, archive: str, md5: str, *, size: str, inner: str) -> Source:
    return Source(
        f"CIFAR-{classes}",
        module="cifar",
        files=(File(archive, md5, (f"https://www.cs.toronto.edu/~kriz/{archive}",)),),
        folder=_DATA / f"cifar{classes}",
        hint=_FETCHED,
        terms="none stated; cite Krizhevsky (2009)",
        size=size,
        inner=inner,
        fixed={"classes": classes},
        classes=classes,
    )


def _bundled(package: str, folder: str) -> Path | None:
    """A folder inside an installed package, which isn't imported for it."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent / folder if spec and spec.origin else None


SOURCES: dict[str, Source] = {
    "fashion-mnist-12k": Source(
        "Fashion-MNIST, 12,000 images of it",
        module="fashion_mnist",
        files=(*map(File, _IDX), File("SHA256SUMS")),
        folder=_DATA / "fashion-mnist-12k",
        hint="it has four idx .gz files and SHA256SUMS, as data/fashion-mnist-12k in the repository",
        terms="MIT",
        size="5 MB, in the repository",
        classes=10,
    ),
    "fashion-mnist": Source(
        "Fashion-MNIST",
        module="fashion_mnist",
        files=tuple(File(name, md5, tuple(mirror + name for mirror in _MIRRORS)) for name, md5 in _IDX.items()),
        folder=_DATA / "fashion-mnist",
        hint=_FETCHED,
        terms="MIT",
        size="31 MB",
        classes=10,
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
        classes=10,
    ),
    "cifar10": _cifar(
        10,
        "cifar-10-python.tar.gz",
        "c58f30108f718f92721af3b95e74349a",
        size="170 MB",
        inner="cifar-10-batches-py",
    ),
    "cifar100": _cifar(
        100,
        "cifar-100-python.tar.gz",
        "eb9058c3a382ffc7106e4002c42a8d85",
        size="169 MB",
        inner="cifar-100-python",
    ),
    "svhn": Source(
        "Street View House Numbers, cropped digits",
        module="svhn",
        files=tuple(
            File(name, md5, (f"http://ufldl.stanford.edu/housenumbers/{name}",)) for name, md5 in _SVHN.items()
        ),
        folder=_DATA / "svhn",
        hint=_FETCHED,
        terms="non-commercial use",
        size="246 MB",
        classes=10,
    ),
    "stl10": _STL10,
    "stl10-unlabeled": replace(
        _STL10, title="STL-10, unlabelled training images", fixed={"train": "unlabeled"}, unlabeled=True, classes=0
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
    "charts": Source(
        "charts",
        module="charts",
        files=(File("manifest.json"),),
        folder=None,
        hint="make the suite with memloc charts make --out <path>",
        terms="your own",
        size="2 kB a chart of 72 pixels",
    ),
    "folder": _FOLDER,
    "folder-unlabeled": replace(
        _FOLDER,
        title="a folder of images without labels",
        hint="put images into <path>/train/<any name>/ and labelled ones into <path>/test/<class>/",
        fixed={"labels": False},
        unlabeled=True,
        classes=0,
    ),
}


def number_of_classes(dataset: Mapping[str, Any]) -> float:
    """How many classes a dataset of the configuration has; infinity where its files aren't there yet to tell.

    Args:
        dataset: its entry, complete.
    """
    source = SOURCES[dataset["source"]]
    known = len(dataset["classes"]) if "classes" in dataset else source.classes
    if known is not None:
        return known
    folder = Path(dataset["path"]) if "path" in dataset else source.folder
    train = folder / "train" if folder else None
    if train is None or not train.is_dir():
        return math.inf
    return sum(child.is_dir() and not child.name.startswith(".") for child in train.iterdir())


def module_path(name: str) -> str:
    """The file that holds a source's code, from the repository's root."""
    return f"memloc/data/sources/{SOURCES[name].module}.py"
