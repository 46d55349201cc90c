"""What an encoder tells about an image from its periphery alone (Meehan et al., 2023)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from memloc.data.augment import resized_crop
from memloc.data.groups import UNSHARED
from memloc.data.prepared import Part
from memloc.experiments.desk import Desk, Outcomes
from memloc.models import probe
from memloc.models.network import Normalise

CORNERS = 4


def corners(images: Tensor, *, crop: float) -> Tensor:
    """The four corners of each image, enlarged bilinearly to its size: [n, c, h, w] to [n, CORNERS, c, h, w].

    Args:
        crop: side of a corner as a share of the image's; what shows the object is seldom there.
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
        features: [n, dim] of what is judged.
        reference, labels: [m, dim] and [m] of those that vote.

    Raises:
        ValueError: fewer reference points than neighbours.
    """
    if neighbours > len(reference):
        raise ValueError(f"{neighbours} neighbours asked for among {len(reference)} reference points")
    # In double precision: which of two neighbours is nearer must not hang on how a product was split up.
    similarity = normalize(features.double()) @ normalize(reference.double()).T
    nearest = similarity.topk(neighbours, dim=1).indices
    return one_hot(labels[nearest], classes).sum(dim=1)


def infer(
    encoder: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    public: Part,
    *,
    crop: float,
    neighbours: int,
    normalise: Normalise,
    batch: int = 100,
    device: str = "cpu",
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How well labels are inferred from corners, by the public images whose features are nearest.

        votes(x) = mean over corners c and neighbours j of [label(j) = label(x)]

    Args:
        images, labels: [n, c, h, w] and [n] of the points whose labels are inferred.
        public: labelled images, seen as they are, none of them among the points.

    Returns:
        Share of votes for a point's own label [n]; and whether that label has most votes [n], a tie between k labels
        counting 1 / k.
    """
    reference = torch.from_numpy(probe.features(encoder, public.images, normalise, device=device)).to(device)
    known = torch.from_numpy(public.labels).to(device)
    classes = 1 + int(max(labels.max(), public.labels.max()))
    shares, right = [], []
    for start in range(0, len(images), batch):
        rows = slice(start, start + batch)
        whole = torch.from_numpy(np.array(images[rows])).to(device).float().div_(255)
        with torch.no_grad():
            features = encoder(normalise(corners(whole, crop=crop).flatten(0, 1)))
        cast = votes(features, reference, known, neighbours=neighbours, classes=classes)
        count = cast.view(-1, CORNERS, classes).sum(dim=1)
        own = count.gather(1, torch.from_numpy(labels[rows]).to(device)[:, None])
        leading = count == count.amax(dim=1, keepdim=True)
        shares.append(own[:, 0].double() / (CORNERS * neighbours))
        right.append((own == count.amax(dim=1, keepdim=True))[:, 0].double() / leading.sum(dim=1))
    return torch.cat(shares).cpu().numpy(), torch.cat(right).cpu().numpy()


def run(desk: Desk) -> Outcomes:
    """Infer labels of points from the corners of their images."""
    options, part = desk.options, desk.part
    points, groups = desk.points(*UNSHARED)
    # Public images are labelled ones that neither f nor g was trained on.
    public = probe.draw_training(
        part,
        images=options["public"],
        exclude=np.concatenate([*desk.split.values()]),
        dataset=desk.settings["dataset"],
        seed=desk.seed,
    )
    labels = part.labels[points]
    votes, correct = infer(
        desk.encoder,
        part.images[points],
        labels,
        public,
        crop=options["crop"],
        neighbours=options["neighbours"],
        normalise=desk.normalise,
        device=desk.device,
    )
    chance = (public.labels == labels[:, None]).mean(axis=1)
    about = {"points": points, "groups": groups, "labels": labels, "chance": chance}
    return {**about, "votes": votes, "correct": correct}
