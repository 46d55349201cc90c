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
    digests = {}
    for group, (images, rows) in groups.items():
        others = [each for other, each in sizes.items() if other != group]
        digests[group] = images.digests(rows[np.isin(sizes[group], np.concatenate(others))]) if others else rows
    lines = []
    for one, other in combinations(groups, 2):
        known = digests[one][digests[one] > 0]
        count = int(np.isin(digests[other], known).sum())
        if count:
            are, them = ("is", "it") if count == 1 else ("are", "them")
            lines.append(
                f"{counted(count, 'image')} {are} in both {one} and {other}; remove {them} from one of the two"
            )
    return lines
