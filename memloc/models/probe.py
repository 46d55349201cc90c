"""Linear probes: how well classes can be told apart by a frozen encoder's features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from memloc.data.prepared import Part, load
from memloc.errors import InputError
from memloc.models.network import Normalise
from memloc.streams import generator


def batches(images: NDArray[np.uint8], normalise: Normalise, *, size: int, device: str) -> Iterator[torch.Tensor]:
    """Normalised batches of images as they are."""
    for start in range(0, len(images), size):
        yield normalise(torch.from_numpy(np.array(images[start : start + size])).to(device).float().div_(255))


def features(
    encoder: nn.Module, images: NDArray[np.uint8], normalise: Normalise, *, device: str = "cpu"
) -> NDArray[np.float32]:
    """Output [n, dim] of an encoder in eval mode on images [n, c, h, w] as they are."""
    encoder.to(device).eval()
    with torch.no_grad():
        parts = [encoder(batch).cpu() for batch in batches(images, normalise, size=250, device=device)]
    joined: NDArray[np.float32] = torch.cat(parts).numpy()
    return joined


def correct(
    train: NDArray[np.float32], labels: NDArray[np.int64], test: NDArray[np.float32], expected: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which test points a linear probe gets right, [n].

    The probe is a logistic regression fitted to its optimum on standardised features, so no comparison of encoders
    depends on a schedule or a seed.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = train.mean(axis=0), train.std(axis=0)
    scale = np.where(scale > 0, scale, 1)
    model = LogisticRegression(max_iter=2000).fit((train - mean) / scale, labels)
    return np.asarray(model.predict((test - mean) / scale) == expected)


def draw_training(part: Part, *, images: int, exclude: NDArray[np.int64], dataset: str, seed: int) -> Part:
    """Labelled images for a probe, drawn from the points outside ``exclude``.

    Raises:
        InputError: there are too few, or all of one class.
    """
    free = np.setdiff1d(np.arange(len(part.labels)), exclude)
    if images > len(free):
        raise InputError(
            f"{images} labelled images are too many: {len(free)} of {dataset} are in no group; "
            f"lower images in the experiment or datasets.{dataset}.split"
        )
    rows = np.sort(generator("probe", dataset, seed).choice(free, size=images, replace=False))
    if len(np.unique(part.labels[rows])) < 2:
        raise InputError(f"{images} labelled images of {dataset} have one class; raise images in the experiment")
    return Part(np.asarray(part.images[rows]), part.labels[rows])


def task(
    folder: Path, split: Mapping[str, NDArray[np.int64]], *, images: int, dataset: str, seed: int
) -> tuple[Part, Part]:
    """Labelled images of a prepared dataset to fit a probe on, none of them in the split, and all test images.

    Raises:
        InputError: too few training images are outside the split, or all that are drawn have one class.
    """
    exclude = np.concatenate([np.empty(0, dtype=np.int64), *split.values()])
    train = draw_training(load(folder, "train"), images=images, exclude=exclude, dataset=dataset, seed=seed)
    return train, load(folder, "test")


def describe(
    arms: Sequence[Mapping[str, object]], correct: Sequence[NDArray[np.bool_]]
) -> dict[str, NDArray[np.generic]]:
    """Arrays of one outcome file: every setting of the arms [arms], and ``correct`` [arms, test points]."""
    settings = {key: np.array([arm[key] for arm in arms]) for key in arms[0]}
    return {**settings, "correct": np.stack(correct)}
