"""The one line that a call says about bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memloc.errors import InputError


def complaint(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """The message of the InputError that the call raises."""
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message
