"""Published sets in their real formats on disk, with a few images and torchvision's MD5 lists made to fit."""

import dataclasses
import hashlib
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image
from torchvision import datasets as published

from memloc.data.preparing import prepare as prepare_source
from memloc.data.sources import SOURCES

CIFAR10_BATCHES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
STL10_NAMES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]


def prepare(source, folder, image_size=32, **options):
    return prepare_source(source, path=str(folder), **{"classes": None, "image_size": image_size} | options)


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def python2_pickle(value):
    """Protocol 2 as Python 2 and its numpy wrote it: byte strings, and booleans in a dtype's arguments as integers."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value):
    if isinstance(value, dict):
        return b"}(" + b"".join(_python2(k) + _python2(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, str):
        return b"T" + struct.pack("<i", len(value)) + value.encode("latin1")
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    shape = b"(" + b"".join(map(_python2, value.shape)) + b"t"
    return empty + b"(K\x01" + shape + dtype + b"\x89" + _python2(value.tobytes().decode("latin1")) + b"tb"


def pack(path, folder, members):
    """A .tar.gz of a folder's files."""
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(f"{folder}/{name}" if folder else name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def declare(monkeypatch, source, folder):
    """Let the files of a folder be what the source's MD5 sums say."""
    entry = SOURCES[source]
    files = tuple(
        dataclasses.replace(file, md5=md5((folder / file.name).read_bytes())) if (folder / file.name).exists() else file
        for file in entry.files
    )
    monkeypatch.setitem(SOURCES, source, dataclasses.replace(entry, files=files))


@dataclasses.dataclass(frozen=True)
class Packed:
    """A small set in its archive, and the pixels and labels that were put in."""

    folder: Path
    kind: type
    members: dict[str, bytes]
    images: dict[str, np.ndarray]
    labels: dict[str, list[int]]

    @property
    def archive(self):
        return self.folder / self.kind.filename

    @property
    def inner(self):
        """The folder inside the archive, where it is unpacked."""
        return self.folder / self.kind.base_folder

    def unpack(self):
        with tarfile.open(self.archive) as tar:
            tar.extractall(self.folder)


def _packed(monkeypatch, source, kind, folder, members, images, labels):
    pack(folder / kind.filename, kind.base_folder, members)
    declare(monkeypatch, source, folder)
    for listed in ("train_list", "test_list"):
        sums = [[name, md5(members[name])] for name, _ in getattr(kind, listed)]
        monkeypatch.setattr(kind, listed, sums)
    if hasattr(kind, "meta"):
        monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(members[kind.meta["filename"]])})
    return Packed(folder, kind, members, images, labels)


def cifar(monkeypatch, folder, source):
    kind, fine = (published.CIFAR10, False) if source == "cifar10" else (published.CIFAR100, True)
    names = CIFAR10_NAMES if not fine else [f"kind {i}" for i in range(100)]
    batches = CIFAR10_BATCHES if not fine else ["train", "test"]
    size, rng = 2 * len(names) if fine else 10, np.random.default_rng(0)
    members, images, labels = {}, {}, {}
    for batch in batches:
        pixels = rng.integers(0, 256, size=(size, 3072), dtype=np.uint8)
        classes = [int(c) for c in rng.permutation(size) % len(names)]
        key = {"fine_labels": classes, "coarse_labels": [c % 20 for c in classes]} if fine else {"labels": classes}
        members[batch] = python2_pickle({"data": pixels, "batch_label": batch, **key})
        images[batch], labels[batch] = pixels, classes
    meta = {"fine_label_names": names, "coarse_label_names": ["x"] * 20} if fine else {"label_names": names}
    members[kind.meta["filename"]] = python2_pickle(meta)
    members["readme.html"] = b"<p>hello"
    return _packed(monkeypatch, source, kind, folder, members, images, labels)


def stl10(monkeypatch, folder, source):
    kind, members, images, rng = published.STL10, {}, {}, np.random.default_rng(0)
    for split, n in (("train", 20), ("test", 30), ("unlabeled", 12)):
        images[split] = rng.integers(0, 256, size=(n, 3, 96, 96), dtype=np.uint8)
        members[f"{split}_X.bin"] = images[split].transpose(0, 1, 3, 2).tobytes()  # column by column
        if split != "unlabeled":
            members[f"{split}_y.bin"] = bytes(i % 10 + 1 for i in range(n))  # from 1
    members["class_names.txt"] = "".join(name + "\n" for name in STL10_NAMES).encode()
    members["fold_indices.txt"] = b"0 1 2 3 \n" * 10
    return _packed(monkeypatch, source, kind, folder, members, images, {})


ARCHIVED = {"cifar10": cifar, "cifar100": cifar, "stl10": stl10, "stl10-unlabeled": stl10}
"""Makers of the sets that come as an archive: of a monkeypatch, a folder and the source's name."""


def svhn(monkeypatch, folder):
    """SVHN's two files; returns the images by part."""
    images_of, rng = {}, np.random.default_rng(0)
    for part, n in (("train", 20), ("test", 10)):
        images, digits = rng.integers(0, 256, size=(32, 32, 3, n), dtype=np.uint8), np.arange(n) % 10 + 1
        scipy.io.savemat(folder / f"{part}_32x32.mat", {"X": images, "y": digits[:, None].astype(np.uint8)})
        images_of[part] = images
    sums = {
        part: [url, file, md5((folder / file).read_bytes()) if part in images_of else listed]
        for part, (url, file, listed) in published.SVHN.split_list.items()
    }
    monkeypatch.setattr(published.SVHN, "split_list", sums)
    return images_of


def imagenet(root):
    """Two classes of JPEGs, each of one colour."""
    for part, n in (("train", 3), ("val", 2)):
        for name, colour in (("n02084071", (0, 0, 200)), ("n01440764", (100, 0, 0))):
            (root / part / name).mkdir(parents=True)
            for i in range(n):
                file = root / part / name / (f"{name}_{i}.JPEG" if part == "train" else f"ILSVRC2012_val_{i}.JPEG")
                Image.new("RGB", (60 + i, 40), colour).save(file, format="JPEG")
    return root
