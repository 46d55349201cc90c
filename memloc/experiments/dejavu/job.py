"""Labels of images, inferred from their corners alone (Meehan et al., 2023)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from memloc.data.augment import resized_crop
from memloc.data.groups import UNSHARED
from memloc.data.prepared import Part
from memloc.experiments.desk import Desk, Outcomes
from memloc.models import probe

CORNERS = 4


def corners(images: Tensor, *, crop: float) -> Tensor:
    """The four corners of each image, enlarged bilinearly to its size: [n, c, h, w] to [n, CORNERS, c, h, w].

    Args:
        crop: side of a corner as a share of the image's; the object is seldom there.
    """
    n, _, height, width = images.shape
    h, w = max(1, round(crop * height)), max(1, round(crop * width))
    boxes = [[top, left, h, w] for top in (0, height - h) for left in (0, width - w)]
    box = torch.tensor(boxes, dtype=images.dtype, device=images.device).repeat(n, 1)
    upright = torch.zeros(len(box), dtype=torch.bool, device=images.device)
    views = resized_crop(images.repeat_interleave(CORNERS, dim=0), box, flip=upright)
    return views.view(n, CORNERS, *views.shape[1:])


def votes(features: Tensor, reference: Tensor, labels: Tensor, *, neighbours: int, classes: int) -> Tensor:
    """Votes of the most similar reference points (by cosine) for each class, [n, classes].

    Args:
        features: [n, dim] of what they vote on.
        reference, labels: [m, dim] and [m] of those that vote.

    Raises:
        ValueError: fewer reference points than neighbours.
    """
    if neighbours > len(reference):
        raise ValueError(f"{neighbours} neighbours are more than {len(reference)} reference points")
    # In double precision: which of two neighbours is nearer must not depend on how a product was split up.
    similarity = normalize(features.double()) @ normalize(reference.double()).T
    nearest = similarity.topk(neighbours, dim=1).indices
    return one_hot(labels[nearest], classes).sum(dim=1)


def infer(
    desk: Desk, points: NDArray[np.int64], public: Part, *, batch: int = 100
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How well labels are inferred from corners, by the public images whose features are nearest.

        votes(x) = mean over corners c and neighbours j of [label(j) = label(x)]

    Args:
        points: [n] whose labels are inferred.
        public: labelled images, seen as they are, none of them among the points.

    Returns:
        Share of votes for a point's own label [n]; and whether that label has most votes [n], a tie between k labels
        counting 1 / k.
    """
    device, crop, neighbours = desk.device, desk.options["crop"], desk.options["neighbours"]
    reference = torch.from_numpy(probe.features(desk.encoder, public.images, desk.normalise, device=device)).to(device)
    labels, public_labels = desk.part.labels[points], torch.from_numpy(public.labels).to(device)
    classes = 1 + int(max(labels.max(), public.labels.max()))
    shares, right = [], []
    for start in range(0, len(points), batch):
        rows = slice(start, start + batch)
        whole = torch.from_numpy(np.array(desk.part.images[points[rows]])).to(device).float().div_(255)
        with torch.no_grad():
            features = desk.encoder(desk.normalise(corners(whole, crop=crop).flatten(0, 1)))
        cast = votes(features, reference, public_labels, neighbours=neighbours, classes=classes)
        count = cast.view(-1, CORNERS, classes).sum(dim=1)
        own = count.gather(1, torch.from_numpy(labels[rows]).to(device)[:, None])
        leading = count == count.amax(dim=1, keepdim=True)
        shares.append(own[:, 0].double() / (CORNERS * neighbours))
        right.append((own == count.amax(dim=1, keepdim=True))[:, 0].double() / leading.sum(dim=1))
    return torch.cat(shares).cpu().numpy(), torch.cat(right).cpu().numpy()


def run(desk: Desk) -> Outcomes:
    """Infer labels of points from the corners of their images."""
    points, groups = desk.points(*UNSHARED)
    # Neither f nor g was trained on a public image.
    public = probe.draw_training(
        desk.part,
        images=desk.options["public"],
        exclude=np.concatenate([*desk.split.values()]),
        dataset=desk.settings["encoder"]["dataset"],
        seed=desk.seed,
    )
    labels = desk.part.labels[points]
    shares, correct = infer(desk, points, public)
    chance = (public.labels == labels[:, None]).mean(axis=1)
    about = {"points": points, "groups": groups, "labels": labels, "chance": chance}
    return {**about, "votes": shares, "correct": correct}
