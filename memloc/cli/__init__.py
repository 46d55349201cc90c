"""The ``memloc`` command: what it may be asked (``parser``), and a module for what each subcommand does."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from memloc import job
from memloc.cli.parser import build_parser
from memloc.errors import InputError, disk_full, lacking, one_line, out_of_memory


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, 1 for bad input or a failure, 2 for a usage error, 130 if interrupted."""
    if sys.stderr is None:  # Closed by the process that started this one.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    logging.raiseExceptions = False  # A message that can't be written stops nothing.
    options = build_parser().parse_args(arguments)
    log = logging.getLogger("memloc")
    log.setLevel(logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(job.OneLine("memloc: %(message)s"))
    log.handlers = [handler]
    job.keep_memory()
    try:
        # Its libraries are heavy: --help and usage errors don't wait for them.
        return int(importlib.import_module(f"memloc.cli.{options.command}").run(options))
    except KeyboardInterrupt:
        print(f"memloc: interrupted; {options.if_interrupted}", file=sys.stderr)
        return 130
    except Exception as error:
        if out_of_memory(error):
            return _fail(f"not enough memory; {options.if_out_of_memory}, or use a machine with more")
        if isinstance(error, InputError):
            return _fail(str(error))
        if disk_full(error):
            return _fail(f"the disk is full; free some space and {options.if_disk_full}")
        if isinstance(error, ModuleNotFoundError):
            return _fail(f"memloc {options.command.partition('_')[0]} {lacking(error, options.extra)}")
        if isinstance(error, OSError):
            return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        if options.traceback:
            raise
        reason = (str(error).splitlines() or [""])[0]
        return _fail(f"{type(error).__name__}: {reason} (a fault in {options.faulty}; --traceback shows where)")
    finally:
        # What a broken terminal didn't take would fail again when Python ends, and the command with it.
        try:
            sys.stderr.flush()
        except (OSError, ValueError):
            sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _fail(message: str) -> int:
    with contextlib.suppress(OSError):
        print(f"memloc: error: {one_line(message)}", file=sys.stderr)
    return 1
