"""The one exception a user is meant to see."""

from __future__ import annotations


class InputError(ValueError):
    """Something a user handed in can't be used. The message is one line: the key, the value, what to do."""
