"""Draw the embedded dataset from the original Fashion-MNIST files.

    python tools/build_embedded_dataset.py DIRECTORY

DIRECTORY holds the four original idx .gz files (torchvision's FashionMNIST downloads them into
<root>/FashionMNIST/raw). 1,000 training and 200 test images of each class are drawn without replacement
with a fixed seed and keep their original order: the same images on every machine, and the same bytes where
zlib compresses alike.
"""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from memloc.provenance import file_sha256

SEED = 20240923
PER_CLASS = {"train": 1000, "t10k": 200}
ORIGINAL_SHA256 = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}
TARGET = Path(__file__).resolve().parent.parent / "data" / "fashion-mnist-12k"


def main(source: Path) -> None:
    """Write the drawn idx files and SHA256SUMS into data/fashion-mnist-12k."""
    for name, expected in ORIGINAL_SHA256.items():
        if not (source / name).exists():
            sys.exit(f"{source / name}: missing; give the folder of the four original Fashion-MNIST files")
        if file_sha256(source / name) != expected:
            sys.exit(f"{source / name}: not the original file (SHA-256 differs); download it again")
    TARGET.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    names = []
    for part, per_class in PER_CLASS.items():
        images, labels = f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz"
        pixels = np.frombuffer(gzip.decompress((source / images).read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)
        classes = np.frombuffer(gzip.decompress((source / labels).read_bytes()), np.uint8, offset=8)
        drawn = np.sort(
            np.concatenate([rng.choice(np.flatnonzero(classes == c), per_class, replace=False) for c in range(10)])
        )
        _write(TARGET / images, struct.pack(">IIII", 0x803, len(drawn), 28, 28) + pixels[drawn].tobytes())
        _write(TARGET / labels, struct.pack(">II", 0x801, len(drawn)) + classes[drawn].tobytes())
        names += [images, labels]
    sums = "".join(f"{file_sha256(TARGET / name)}  {name}\n" for name in sorted(names))
    (TARGET / "SHA256SUMS").write_text(sums, encoding="utf-8")
    print(sums, end="")


def _write(path: Path, content: bytes) -> None:
    # Without time and name in the header, the bytes depend on the content alone.
    with open(path, "wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(content)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
