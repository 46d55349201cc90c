"""What every job does first: a log file, readable errors, its share of threads, an end when its parent ends."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from memloc import training_log
from memloc.errors import InputError, disk_full, lacking, one_line, out_of_memory, show

log = logging.getLogger("memloc")


class OneLine(logging.Formatter):
    """A line for each message, whatever signs a name in it has; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """The message as one printable line."""
        return show(super().formatMessage(record))


_given: int | None = None


def threads() -> int:
    """Threads that this process may use: those its rule was given, outside a job one for each core."""
    return _given or os.cpu_count() or 1


def start(snakemake: Any) -> None:
    """Open the job's log, turn errors into one line each, and set threads to what the rule was given.

    The log file receives everything, tracebacks included; the terminal receives progress and one line per
    error. A job whose parent was killed ends within a second instead of writing on unattended.
    """
    # Of several processes that train together the first one reports progress, and all of them report errors.
    helper = os.environ.get("LOCAL_RANK", os.environ.get("SLURM_PROCID", "0")) != "0"
    log.setLevel(logging.WARNING if helper else logging.INFO)
    label = " ".join([snakemake.rule, *map(str, snakemake.wildcards)])
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(OneLine(f"[{label}] %(message)s"))
    terminal.addFilter(lambda record: record.exc_info is None)
    Path(snakemake.log[0]).parent.mkdir(parents=True, exist_ok=True)
    file = logging.FileHandler(snakemake.log[0], mode="a" if helper else "w", encoding="utf-8")
    file.setFormatter(OneLine("%(asctime)s %(levelname)s %(message)s"))
    log.handlers = [terminal, file]
    _send_on(snakemake)
    log.propagate = False  # Some libraries have the root logger repeat every line.
    logging.raiseExceptions = False  # On a full disk the log's own tracebacks would bury the line that says so.
    sys.excepthook = _excepthook
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    global _given
    _given = snakemake.threads
    spread(getattr(snakemake, "resources", {}), snakemake.threads)
    keep_memory()
    with contextlib.suppress(ImportError):
        import threadpoolctl

        # numpy's and scikit-learn's threads, which would take all cores beside the jobs that run there.
        threadpoolctl.threadpool_limits(snakemake.threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(snakemake.threads)
        sys.modules["torch"].set_deterministic_debug_mode("warn")
        # Nothing here reads memory before writing it; filling it takes a tenth of a training step.
        sys.modules["torch"].utils.deterministic.fill_uninitialized_memory = False


def _send_on(snakemake: Any) -> None:
    """Have a training's reports sent where the configuration says."""
    kind = getattr(snakemake, "config", {}).get("training_log", training_log.NONE)
    histories = getattr(getattr(snakemake, "output", None), "history", [])
    if histories and kind != training_log.NONE:
        paths = [Path(path) for path in ([histories] if isinstance(histories, str) else histories)]
        names = {path.parts[-3]: "/".join(path.parts[-4:-1]) for path in paths}
        folder = paths[0].parents[4] / "training_logs"
        log.addHandler(training_log.Sender(kind, folder, names, snakemake.params.settings))


def keep_memory() -> None:
    """Let glibc keep the memory of large arrays that are freed, where this is glibc.

    It gives them back to the system at once and has them filled with zeros again when the next step asks for as many,
    which takes a third of a training step on a CPU.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            libc.mallopt(option, 1 << 30)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def announce() -> None:
    """Tell the jobs to come whose they are: they end when this process does. Called while the workflow is read."""
    os.environ["MEMLOC_PID"] = f"{os.getpid()}@{_machine()}"


def spread(resources: Mapping[str, int], threads: int) -> None:
    """Start this job again as the ``tasks`` on ``nodes`` that it asks for, where Slurm has given it them.

    Elsewhere Lightning starts the processes of one machine by itself.

    Raises:
        InputError: it asks for several machines, and these aren't given.
    """
    tasks, nodes = resources.get("tasks", 1), resources.get("nodes", 1)
    if "MEMLOC_SPREAD" in os.environ or "LOCAL_RANK" in os.environ:
        return
    # Snakemake's Slurm jobs don't say how many tasks they have: as many as were asked for. Others, as salloc's, do.
    given = "SLURM_JOB_ID" in os.environ and int(os.environ.get("SLURM_NTASKS", tasks)) == tasks
    if tasks > 1 and given:
        os.environ["MEMLOC_SPREAD"] = str(tasks)
        options = [f"--nodes={nodes}", f"--ntasks={tasks}", f"--ntasks-per-node={tasks // nodes}"]
        options += [f"--cpus-per-task={threads}", "--kill-on-bad-exit=1"]
        os.execvp("srun", ["srun", *options, sys.executable, *sys.argv])
    if nodes > 1:
        raise InputError(f"hardware.nodes: {nodes}, which needs Slurm (docs/cluster.md); lower it")
    # Or else Lightning takes whatever Slurm job this runs in for one of as many processes.
    os.environ.pop("SLURM_NTASKS", None)
    warnings.filterwarnings("ignore", "The `srun` command is available")


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        log.error("interrupted")
        return
    if isinstance(error, InputError):
        log.error("error: %s", one_line(str(error)))
        return
    if disk_full(error):
        log.error("error: the disk is full; free some space and run again, what is finished is kept")
    elif out_of_memory(error):
        log.error("error: memory isn't enough; run again with fewer --cores or more memory, what is finished is kept")
    elif isinstance(error, ModuleNotFoundError):
        log.error("error: %s", lacking(error, "workflow"))
    elif isinstance(error, OSError) and error.filename:
        log.error("error: %s", one_line(f"{error.filename}: {error.strerror}"))
    else:
        log.error("error: %s: %s (the traceback is in this job's log)", kind.__name__, one_line(str(error)))
    log.error("traceback", exc_info=(kind, error, trace))


def _end_with_parent(first: int) -> None:
    """End this process when the workflow that started it (see ``announce``) is gone.

    It may have gone before this process came so far: then its parent is already another one. Of a workflow on another
    machine, whose variables a cluster hands on, nothing can be seen from here: there the parent alone counts.
    """
    pid, _, machine = os.environ.get("MEMLOC_PID", "").partition("@")
    workflow = int(pid) if pid and machine == _machine() else first
    adopted = first == 1 and workflow != 1
    while not adopted and os.getppid() == first and _alive(workflow):
        time.sleep(1)
    log.error("the workflow that started this job is gone: stopping")
    os._exit(1)


def _machine() -> str:
    """Where a process number means the same process: the host, and on Linux the namespace within it."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # Somebody else's, so alive.
    return True
