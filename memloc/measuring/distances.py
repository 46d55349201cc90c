"""Distances between views: alignment (paper, Eq. 1) from inner products."""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations

import torch
from torch import Tensor

from memloc.measuring.batches import at_once
from memloc.measuring.protocol import HALVES, Protocol

_BLOCK = 1024
"""Columns of a matrix that are multiplied at a time."""
_NEAR = 0.01
"""Squared distance, between vectors of unit length, below which inner products lose too many digits."""
_MANY = 256
"""Matrices that keep a GPU busy side by side."""


def alignments(representations: Tensor, protocol: Protocol, *, plain: bool) -> Tensor:
    """Mean distance over the pairs within each half of the draws, [images, HALVES].

    All distances but l1 follow from inner products, |a - b|^2 = 2 - 2 a.b, in one pass over memory. The difference
    loses digits where views are close together, so images with a pair closer than 0.1 are computed again from
    differences of vectors.

    Args:
        representations: [images, views, ...].
        plain: whether the first view is the image as it is.
    """
    vectors = representations.flatten(2)
    i, j = _pairs(protocol.pairs, protocol.draws, plain, vectors.device)
    if protocol.distance == "l1":
        distances = _l1(vectors, i, j)
    else:
        distances = _l2(vectors, i, j)
        if protocol.distance == "cosine":
            distances = distances.square() / 2
        elif protocol.distance == "angular":
            distances = 2 / math.pi * torch.asin((distances / 2).clamp(max=1))
    return torch.stack([part.mean(dim=1) for part in distances.chunk(HALVES, dim=1)], dim=1)


@cache
def _pairs(kind: str, draws: int, plain: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """First and second view of every pair that is compared, the pairs of the first half of the draws first."""
    half = draws // HALVES
    starts = [plain + h * half for h in range(HALVES)]
    if kind == "image-aug":
        pairs = [(0, start + k) for start in starts for k in range(half)]
    else:
        pairs = [(start + i, start + j) for start in starts for i, j in combinations(range(half), 2)]
    first, second = zip(*pairs, strict=True)
    return torch.tensor(first, device=device), torch.tensor(second, device=device)


def _l2(vectors: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """l2 distances of the pairs, scaled to unit length: [images, pairs]."""
    gram = _gram(vectors)
    squared = gram.diagonal(dim1=1, dim2=2)
    inverse = squared.rsqrt()
    cosine = (gram * inverse[:, :, None] * inverse[:, None]).flatten(1)[:, i * gram.shape[1] + j]
    distances = (2 - 2 * cosine).sqrt()
    # A squared length may be 0, or underflow or overflow.
    odd = ~((squared > 1e-30) & (squared < 1e30)).all(dim=1)
    near = odd | (cosine > 1 - _NEAR / 2).any(dim=1)
    rows = near.nonzero()[:, 0]
    if len(rows):
        distances[rows] = _near(vectors, rows, inverse, odd, i, j)
    return distances


def _gram(vectors: Tensor) -> Tensor:
    """Inner products between the rows of each matrix of [n, rows, length]."""
    n, _, length = vectors.shape
    if vectors.device.type != "cpu":
        # A GPU multiplies many matrices side by side; a few long ones keep it busy only in blocks.
        return _squared(vectors) if n >= _MANY else _in_blocks(vectors, 4 * _BLOCK)
    if length <= 32 * _BLOCK:
        return _squared(vectors)
    # A long thin matrix doesn't fit the cache; its blocks do.
    return torch.cat([_in_blocks(matrix, _BLOCK) for matrix in torch.split(vectors, 1)])


def _squared(matrices: Tensor) -> Tensor:
    """Every matrix [n, rows, length] times its own transpose."""
    return torch.bmm(matrices, matrices.transpose(1, 2))


def _in_blocks(matrices: Tensor, block: int) -> Tensor:
    """The same, summed over blocks of columns."""
    n, rows, length = matrices.shape
    whole = length // block * block
    blocks = matrices[:, :, :whole].unflatten(2, (-1, block)).transpose(1, 2).flatten(0, 1)  # type: ignore[no-untyped-call]
    return _squared(blocks).view(n, whole // block, rows, rows).sum(dim=1) + _squared(matrices[:, :, whole:])


def _near(vectors: Tensor, rows: Tensor, inverse: Tensor, odd: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """l2 distances in the matrices ``rows``, exact for close pairs: from differences to the first view."""
    out = []
    # As many as stay in the cache at a time, a long one alone.
    for some in torch.split(rows, at_once(2, vectors[0].numel(), vectors.device)):
        unit = vectors[some] * inverse[some][:, :, None] if not odd[some].any() else _unit(vectors[some])
        gram = _gram(unit - unit[:, :1])
        squared = gram.diagonal(dim1=1, dim2=2)
        both = squared[:, i] + squared[:, j]
        distances = both - 2 * gram[:, i, j]
        # This in turn loses digits where a pair is much closer together than to the first view.
        again = (distances < _NEAR * both).nonzero()
        for row, pair in map(torch.unbind, torch.split(again.T, at_once(1, unit[0, 0].numel(), unit.device), dim=1)):
            distances[row, pair] = (unit[row, i[pair]] - unit[row, j[pair]]).square().sum(dim=1)
        out.append(distances.clamp(min=0).sqrt())
    return torch.cat(out)


def _unit(vectors: Tensor) -> Tensor:
    """The vectors along the last dimension scaled to unit length, however short or long; zeros stay zeros."""
    largest = vectors.abs().amax(dim=-1, keepdim=True)
    scaled = vectors / torch.where(largest > 0, largest, 1)
    length = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
    return scaled / torch.where(length > 0, length, 1)


def _l1(vectors: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """l1 distances of the pairs, scaled to unit length: [images, pairs]."""
    unit = _unit(vectors)
    pairs = zip(i.tolist(), j.tolist(), strict=True)
    return torch.stack([(unit[:, a] - unit[:, b]).abs().sum(dim=1) for a, b in pairs], dim=1)
