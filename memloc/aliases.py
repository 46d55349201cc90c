"""Types that have no better name, each with its one home. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"
"""An array of any type of number or text."""

Json: TypeAlias = dict[str, Any]
"""An object of a JSON or YAML file: a schema, an entry, a description."""

Options: TypeAlias = Mapping[str, Any]
"""Values by key that a schema has checked: an entry of the configuration, or options in it. Nobody changes them."""
