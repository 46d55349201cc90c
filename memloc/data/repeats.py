"""Images that are byte for byte in two groups, whose comparison they put off."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from memloc.data.images import Images
from memloc.data.left_out import counted
from memloc.data.prepared import Rows


def repeats(groups: Mapping[str, tuple[Images, Rows]]) -> list[str]:
    """A line for each two groups that have images in common.

    Args:
        groups: images and their rows, by name.
    """
    # Only files of one size can be equal, so that few of them are read.
    sizes = {group: images.sizes(rows) for group, (images, rows) in groups.items()}
    lines = []
    digests: dict[str, dict[int, bytes]] = {group: {} for group in groups}
    for one, other in combinations(groups, 2):
        both = np.intersect1d(sizes[one], sizes[other])
        for group in (one, other):
            images, rows = groups[group]
            wanted = [row for row in rows[np.isin(sizes[group], both)].tolist() if row not in digests[group]]
            digests[group] |= images.digests(np.array(wanted, dtype=np.int64))
        known = {*digests[one].values()}
        count = sum(digest in known for digest in digests[other].values())
        if count:
            are = "is" if count == 1 else "are"
            lines.append(
                f"{counted(count, 'image')} of {other} {are} byte for byte one of {one}: take what"
                " both have out of one, as only what was seen should tell them apart"
            )
    return lines
