"""Stand-ins for the datasets and tables of config/paper.yaml: what config/rehearsal.yaml reads.

    python tools/make_stand_ins.py FOLDER

Colour images of 32 and 224 pixels are the clothes of data/fashion-mnist-12k on pieces of scikit-learn's two
photographs. Tables are scikit-learn's breast cancer, mixed to as many columns as OpenML's have, in the files that
``fetch_openml`` keeps. No network is used. A folder that is there is left as it is.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from memloc import io
from memloc.data.preparing import prepare
from memloc.streams import generator
from memloc.valuation.tables import TABLES

# Side, training and test images of each class, the part besides train, and what classes and images are called.
IMAGES = {
    "cifar10": (32, 30, 4, "test", "class{}", "png"),
    "cifar100": (32, 32, 4, "test", "class{}", "png"),
    "svhn": (32, 16, 4, "test", "class{}", "png"),
    "stl10": (96, 10, 4, "test", "class{}", "png"),
    "stl10-unlabeled": (96, 12, 4, "test", "class{}", "png"),
    "imagenet": (256, 4, 1, "val", "n0000000{}", "JPEG"),
}
# Columns of numbers of OpenML's sets; of nomao more are of words.
COLUMNS = {
    "pol": 48,
    "jannis": 54,
    "lawschool": 6,
    "fried-openml": 10,
    "vehicle": 18,
    "electricity": 7,
    "2dplanes-openml": 10,
    "credit-card": 23,
    "gas-drift": 128,
    "nomao": 89,
    "musk": 166,
    "miniboone": 50,
}
ROWS = 240
Array = NDArray[Any]


def main(folder: Path) -> None:
    """Write all of it, or nothing."""
    if folder.is_dir():
        return
    with io.scratch(folder) as temporary:
        made = temporary / "made"
        write_images(made)
        for name, columns in COLUMNS.items():
            write_table(made / "openml" / "openml" / "openml.org", name, columns)
        made.rename(folder)


def write_images(folder: Path) -> None:
    """Folders of classes; no image of a dataset is one of another."""
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    parts, _ = prepare("fashion-mnist-12k", path=None, classes=None, image_size=28)
    clothes = {label: iter(parts["train"].images[parts["train"].labels == label]) for label in range(10)}
    for name, (side, train, test, other, called, ending) in IMAGES.items():
        rng = generator("stand-in", name)
        for part, number in (("train", train), (other, test)):
            for label in range(10):
                place = folder / name / part / called.format(label)
                place.mkdir(parents=True)
                for i in range(number):
                    picture = on_photograph(next(clothes[label])[0], photographs, side, rng)
                    Image.fromarray(picture).save(place / f"{i}.{ending}")


def on_photograph(cloth: Array, photographs: list[Array], side: int, rng: np.random.Generator) -> Array:
    """[side, side, 3]: a piece of clothing [28, 28], tinted, over a piece of a photograph."""
    photograph = photographs[rng.integers(len(photographs))]
    top, left = (rng.integers(length - 256 + 1) for length in photograph.shape[:2])
    piece = Image.fromarray(photograph[top : top + 256, left : left + 256]).resize((side, side))
    cover = np.asarray(Image.fromarray(cloth).resize((side, side)))[..., None] / 255
    blend: Array = (1 - cover) * np.asarray(piece) + cover * rng.integers(64, 256, size=3)
    return blend.astype(np.uint8)


def write_table(folder: Path, name: str, columns: int) -> None:
    """The four files of one of OpenML's sets: what it is, its columns, how many rows, and the rows themselves."""
    from sklearn.datasets import load_breast_cancer

    (number, *among), rng = TABLES[name].arguments, generator("stand-in", name)
    x, y = load_breast_cancer(return_X_y=True)
    x, y = x[:ROWS], y[:ROWS]
    x = (x - x.mean(axis=0)) / x.std(axis=0) @ rng.normal(size=(x.shape[1], columns))
    # A set of which two classes are taken has six.
    classes = [*map(str, range(1, 7))] if among else ["0", "1"]
    of = np.array(among)[y] if among else y.astype(str)
    of = np.where(rng.random(ROWS) < 0.1, rng.choice(classes, ROWS), of)
    lines = [",".join([*(f"{value:.4f}" for value in row), rng.choice(["low", "high"])]) for row in x]
    lines[0] = "?" + lines[0][lines[0].index(",") :]  # A gap.
    kinds = {f"V{i}": "NUMERIC" for i in range(columns)} | {
        "word": "{low,high}",
        "class": "{" + ",".join(classes) + "}",
    }
    head = [f"@RELATION {name}", *(f"@ATTRIBUTE {column} {kind}" for column, kind in kinds.items()), "@DATA"]
    arff = "\n".join([*head, *(f"{line},{label}" for line, label in zip(lines, of, strict=True))]) + "\n"
    sent = f"data/v1/download/{number}/{name}.arff"
    about = {
        "id": str(number),
        "name": name,
        "format": "ARFF",
        "status": "active",
        "description": f"stand-in of {name}",
        "url": f"https://www.openml.org/{sent}",
        "md5_checksum": hashlib.md5(arff.encode(), usedforsecurity=False).hexdigest(),
    }
    features = [
        {
            "index": str(i),
            "name": column,
            "data_type": "numeric" if kind == "NUMERIC" else "nominal",
            "is_target": str(column == "class").lower(),
            "is_ignore": "false",
            "is_row_identifier": "false",
            "number_of_missing_values": str(int(i == 0)),
        }
        for i, (column, kind) in enumerate(kinds.items())
    ]
    api = f"api/v1/json/data/{{}}{number}"
    answers = {
        api.format(""): {"data_set_description": about},
        api.format("features/"): {"data_features": {"feature": features}},
        api.format("qualities/"): {
            "data_qualities": {"quality": [{"name": "NumberOfInstances", "value": f"{ROWS}.0"}]}
        },
    }
    for path, content in {sent: arff, **{path: json.dumps(answer) for path, answer in answers.items()}}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{path}.gz").write_bytes(gzip.compress(content.encode(), mtime=0))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/make_stand_ins.py FOLDER")
    main(Path(sys.argv[1]))
