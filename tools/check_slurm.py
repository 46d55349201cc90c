"""Start a Slurm of three nodes on this machine, compute a little through profiles/slurm, compare with a local run.

    python tools/check_slurm.py

On the way one job is cancelled, one node drained, one encoder trained on two nodes. It needs root and, where Slurm is
missing, apt-get; without them it says in one line that it was skipped. Where a Slurm is configured already it does
nothing. What it started it stops, also when it is interrupted; after a kill -9 the daemons end, the job that ran stays.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
CONFIGURATION = Path("/etc/slurm/slurm.conf"), Path("/etc/slurm/gres.conf")
OTHERS = (*CONFIGURATION, Path("/etc/slurm-llnl/slurm.conf"))
MARK = "# tools/check_slurm.py of memloc wrote this, and removes it when it ends.\n"
PATIENCE = 600.0
"""Seconds after which a run on the cluster is given up."""

SLURM = """ClusterName=memloc
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
AuthType=auth/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
# Nodes say that they have what is written here, whatever the machine has.
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# A job that takes more memory than it asked for is killed, without cgroups too.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=5,bf_interval=5
ReturnToService=2
# All jobs are known to the end.
MinJobAge=3600
KillWait=5
DefMemPerCPU=500
GresTypes=gpu
NodeName=n1 NodeAddr=127.0.0.1 NodeHostname={host} Port=16821 CPUs=4 RealMemory=16000
NodeName=n2 NodeAddr=127.0.0.1 NodeHostname={host} Port=16822 CPUs=4 RealMemory=16000
NodeName=g1 NodeAddr=127.0.0.1 NodeHostname={host} Port=16823 CPUs=4 RealMemory=16000 Gres=gpu:1
PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=1440
PartitionName=gpu Nodes=g1 MaxTime=1440
"""
GPUS = "NodeName=g1 Name=gpu File={folder}/gpu Flags=nvidia_gpu_env\n"
NODES = ("n1", "n2", "g1")

# An encoder in one process and the same in two: here both on this machine, on the cluster each on a node of its own.
ENCODER = """{framework: simclr, architecture: resnet9, network: {width: 0.125}, dataset: fashion, seeds: [0],
    recipe: {epochs: 3, warmup_epochs: 1, batch_size: 12, optimizer: adam, learning_rate: 2.0e-3, weight_decay: 1.0e-6,
             augmentation: mild}"""
CONFIG = f"""encoders:
  simclr: {ENCODER}}}
  supervised: {{seeds: [0]}}
  pair: {ENCODER}, hardware: {{HARDWARE: 2}}}}
experiments:
  layermem: {{encoders: [simclr]}}
"""
TABLE, PAIR = "results/figures/layermem.csv", "results/encoders/pair/f/seed0/training.csv"
CANCELLED = "rule_train_pair_wildcards_simclr_0"
TIGHT = 500
"""Megabytes that a measurement asks for at first; PyTorch alone takes as much, and Snakemake beside it."""


class CheckError(Exception):
    """What the cluster did otherwise than it should."""


class NotStartedError(Exception):
    """Why no Slurm comes up on this machine."""


def main() -> None:
    """Check, and say how it ended in one line."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGHUP, _stop)
    why = not_here() or install()
    if why:
        print(f"memloc: test-slurm was skipped: {why}")
        return
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="memloc-slurm-") as folder:
            check(Path(folder))
    except NotStartedError as error:
        print(f"memloc: test-slurm was skipped: no Slurm comes up here: {error}")
        return
    except CheckError as error:
        sys.exit(f"memloc: error: {error}")
    except KeyboardInterrupt:
        sys.exit("memloc: interrupted")
    print(f"memloc: test-slurm passed in {time.monotonic() - began:.0f} s")


def not_here() -> str | None:
    """Why no Slurm can be started on this machine, if so."""
    if sys.platform != "linux":
        return "it needs Linux"
    if os.geteuid() != 0:
        return "it needs root, to start a Slurm"
    if "SLURM_CONF" in os.environ:
        return "SLURM_CONF is set, so this machine has a Slurm of its own"
    found = next((path for path in OTHERS if path.exists()), None)
    if found is None:
        return None
    if not found.read_text(encoding="utf-8").startswith(MARK):
        return f"{found} is there, so this machine has a Slurm of its own"
    if shutil.which("scontrol") and subprocess.run(["scontrol", "ping"], capture_output=True).returncode == 0:
        return "it runs already"
    _clear()  # Left by one that was killed.
    return None


def install() -> str | None:
    """Install what is missing of Slurm; why that can't be, if so."""
    if all(shutil.which(program) for program in ("slurmctld", "slurmd", "sbatch", "srun", "munged")):
        return None
    if not shutil.which("apt-get"):
        return f"Slurm isn't installed ({', '.join(PACKAGES)}), and here is no apt-get"
    print("memloc: installing Slurm", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(["apt-get", "--quiet", *command], env=environment, capture_output=True, text=True)
        if done.returncode:
            last = [line for line in done.stderr.splitlines() if line.strip()][-1:] or ["it said nothing"]
            return f"apt-get can't install Slurm ({last[0]})"
    return None


def check(folder: Path) -> None:
    """Compute the same here and on the cluster, in two folders.

    Raises:
        CheckError: they differ, or the cluster did not do what was asked of it.
    """
    environment = {**os.environ, "PWD": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    local, cluster = folder / "local", folder / "cluster"

    def command(results: Path, hardware: str, *options: str) -> list[str]:
        config = folder / f"{hardware}.yaml"
        config.write_text(CONFIG.replace("HARDWARE", hardware), encoding="utf-8")
        start = [sys.executable, "-m", "snakemake", "--configfile", "config/smoke.yaml", str(config)]
        return [*start, *options, "--directory", str(results), "--", TABLE, PAIR]

    print("memloc: computing here", flush=True)
    here = command(local, "devices", "--cores", "2")
    done = subprocess.run(here, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise CheckError(f"the local run failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    # The nodes' names mean nothing to the system, so processes find each other by its address.
    environment["MASTER_ADDR"] = "127.0.0.1"
    options = [
        "--slurm-init-seconds-before-status-checks",
        "1",
        "--set-resources",
        "measure_pair:gpu=1",
        f"measure_pair:mem_mb=attempt*{TIGHT}",
    ]
    there = command(cluster, "nodes", "--profile", "profiles/slurm", *options)
    with slurm(folder), open(folder / "cluster.log", "w+", encoding="utf-8") as log:
        print("memloc: computing on nodes n1, n2 and g1", flush=True)
        process = subprocess.Popen(
            there, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, preexec_fn=_end_together
        )
        try:
            drained = disturb(process, cluster)
            if process.wait():
                raise CheckError("the run on the cluster failed")
            finished = jobs()
        except CheckError as error:
            raise CheckError(f"{error}:\n{(folder / 'cluster.log').read_text(encoding='utf-8')[-6000:]}") from None
        finally:
            process.kill()
            process.wait()
    check_jobs(finished, drained)
    check_tables(local, cluster)


def disturb(process: subprocess.Popen[bytes], results: Path) -> str:
    """Cancel a training that runs, and drain a node once the training of two nodes is done; gives when that was."""
    deadline = time.monotonic() + PATIENCE

    def wait_for(what: str, done: Callable[[], bool]) -> None:
        ended = False
        while not done():
            if ended or time.monotonic() > deadline:
                raise CheckError(f"{what} did not come{'' if ended else f' within {PATIENCE:.0f} s'}")
            time.sleep(0.5)
            ended = process.poll() is not None

    def running() -> list[dict[str, str]]:
        return [job for job in jobs() if job["Comment"] == CANCELLED and job["JobState"] == "RUNNING"]

    wait_for("the training of simclr", lambda: bool(running()))
    time.sleep(5)
    for job in running():
        print(f"memloc: cancelling job {job['JobId']}", flush=True)
        _run("scancel", job["JobId"])
    wait_for("the training on two nodes", (results / PAIR).exists)
    print("memloc: draining n2", flush=True)
    _run("scontrol", "update", "nodename=n2", "state=drain", "reason=test")
    now = time.strftime("%Y-%m-%dT%H:%M:%S")
    wait_for("the end", lambda: process.poll() is not None)
    return now


def check_jobs(finished: list[dict[str, str]], drained: str) -> None:
    """What was cancelled was done again with more memory; jobs ran where they should."""
    tries = sorted((job for job in finished if job["Comment"] == CANCELLED), key=lambda job: int(job["JobId"]))
    expect([job["JobState"] for job in tries], ["CANCELLED", "COMPLETED"], "the cancelled job's states")
    first, second = (int(job["MinMemoryNode"].removesuffix("M")) for job in tries)
    expect(second, 2 * first, "megabytes that its second try asked for")
    measured = [job for job in finished if job["Comment"].startswith("rule_measure_")]
    for rule in {job["Comment"] for job in measured}:
        tries = sorted((job for job in measured if job["Comment"] == rule), key=lambda job: int(job["JobId"]))
        expect(
            tries[0]["JobState"] != "COMPLETED" and tries[-1]["JobState"], "COMPLETED", f"{rule}, too large at first"
        )
        asked = [int(job["MinMemoryNode"].removesuffix("M")) for job in tries]
        expect(asked, [TIGHT * k for k in range(1, len(tries) + 1)], f"megabytes that {rule} asked for")
    expect({(job["Partition"], job["NodeList"]) for job in measured}, {("gpu", "g1")}, "where jobs with a GPU ran")
    others = {job["Partition"] for job in finished if job not in measured}
    expect(others, {"cpu"}, "partitions of jobs without one")
    pair = [job["NodeList"] for job in finished if "_wildcards_pair_" in job["Comment"]]
    expect(pair, ["n[1-2]"], "nodes of the encoder that asks for two")
    late = {job["NodeList"] for job in finished if job["StartTime"] > drained and job["Partition"] == "cpu"}
    expect(late, {"n1"}, "nodes in use after n2 was drained")


def check_tables(local: Path, cluster: Path) -> None:
    """Tables are the local run's, byte for byte, that of the training on two nodes too."""
    ours, theirs = ({path.relative_to(folder): path for path in folder.rglob("*.csv")} for folder in (local, cluster))
    expect(sorted(theirs), sorted(ours), "tables of the cluster")
    for name, path in ours.items():
        if theirs[name].read_bytes() != path.read_bytes():
            raise CheckError(f"{name}: the cluster's differs from the local one")
    print(f"memloc: {len(ours)} tables are the same, byte for byte")


def expect(found: object, wanted: object, what: str) -> None:
    """Raise a CheckError where something isn't as it should be."""
    if found != wanted:
        raise CheckError(f"{what}: {found} instead of {wanted}")


def jobs() -> list[dict[str, str]]:
    """Every job the cluster knows of: JobId, JobState, Comment and so on."""
    lines = _run("scontrol", "--oneliner", "show", "jobs").splitlines()
    found = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines if line.startswith("JobId=")]
    return [{"Comment": "", "NodeList": "", **job} for job in found]


@contextmanager
def slurm(folder: Path) -> Iterator[None]:
    """A Slurm of three nodes on this machine's loopback, without a database. It ends with this process."""
    host = socket.gethostname().split(".")[0]
    folder.chmod(0o755)
    for node in NODES:
        (folder / "spool" / node).mkdir(parents=True)
    (folder / "state").mkdir()
    try:
        os.mknod(folder / "gpu", 0o20666, os.makedev(1, 3))  # /dev/null plays the GPU.
    except OSError as error:  # A container may not.
        raise NotStartedError(f"a device can't be made ({error.strerror})") from error
    with ExitStack() as stack:
        stack.callback(_clear)
        CONFIGURATION[0].write_text(MARK + SLURM.format(host=host, folder=folder), encoding="utf-8")
        CONFIGURATION[1].write_text(MARK + GPUS.format(folder=folder), encoding="utf-8")
        if subprocess.run(["munge", "-n"], capture_output=True).returncode:
            for path, mode in (("/run/munge", 0o755), ("/var/lib/munge", 0o700), ("/var/log/munge", 0o700)):
                Path(path).mkdir(exist_ok=True)
                shutil.chown(path, "munge", "munge")
                Path(path).chmod(mode)
            stack.enter_context(_daemon("munged", "--foreground", user="munge"))
            _wait("munged", lambda: not subprocess.run(["munge", "-n"], capture_output=True).returncode)
        stack.enter_context(_daemon("slurmctld", "-D", "-c"))
        for node in NODES:
            stack.enter_context(_daemon("slurmd", "-D", "-N", node))
        # The one that ends first: jobs, while there are still nodes to end them.
        stack.callback(_cancel_all)
        states = ["sinfo", "--noheader", "--Node", "--format", "%T"]
        _wait("the nodes", lambda: set(_output(states).split()) == {"idle"}, folder / "slurmctld.log")
        yield


@contextmanager
def _daemon(*command: str, user: str | None = None) -> Iterator[None]:
    """A program that runs for a while, and gets a SIGTERM when this process ends, even if that is killed."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command,
        stdout=quiet,
        stderr=quiet,
        user=user,
        group=user,
        extra_groups=[] if user else None,
        start_new_session=True,
        preexec_fn=_end_together,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_together() -> None:
    """Have this process, about to become another program, get a SIGTERM when the one that started it is gone."""
    parent_ends = 1
    ctypes.CDLL(None).prctl(parent_ends, signal.SIGTERM)


def _cancel_all() -> None:
    _output(["scancel", "--user", "root"])
    deadline = time.monotonic() + 30
    while _output(["squeue", "--noheader"]).strip() and time.monotonic() < deadline:
        time.sleep(0.5)


def _clear() -> None:
    """Remove the configuration that this wrote, and nobody else's."""
    for path in CONFIGURATION:
        if path.exists() and path.read_text(encoding="utf-8").startswith(MARK):
            path.unlink()


def _wait(what: str, there: Callable[[], bool], log: Path | None = None) -> None:
    deadline = time.monotonic() + 30
    while not there():
        if time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:] if log and log.exists() else []
            raise NotStartedError("; ".join([f"{what} did not start", *said]))
        time.sleep(0.2)


def _output(command: list[str]) -> str:
    """What a program prints; nothing where it fails."""
    return subprocess.run(command, capture_output=True, text=True).stdout


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CheckError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
