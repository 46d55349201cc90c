"""memloc: where does a self-supervised vision encoder memorize its training images?

``memloc.score`` scores an encoder, ``memloc.value`` values the rows and cells of a table.
"""

from importlib import import_module as _module

__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    """The two functions, whose libraries are imported when they are first asked for.

    Not by import statements: jobs are run again where what they import has changed (``memloc.provenance``), and all of
    them import this module.
    """
    if name not in ("score", "value"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(_module(f"memloc.live.{name}"), name)
    except ModuleNotFoundError as error:
        lacking = _module("memloc.errors").lacking(error, "score" if name == "score" else "")
        raise ModuleNotFoundError(f"memloc.{name} {lacking}", name=error.name) from None


def __dir__() -> list[str]:
    """Names to complete."""
    return [*globals(), "score", "value"]
