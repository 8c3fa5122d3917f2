"""The processes of a service and how they are started: the one place that says so."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.embedded import paths
from core.embedded.leftovers import MARK

MOST_SLOTS = 4
_THREAD_VARIABLES = (
    "DERMSYNTH_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process that is kept running; ``stop_seconds`` from SIGTERM to SIGKILL of its group."""

    name: str
    command: tuple[str, ...]
    stop_seconds: float
    descriptors: tuple[int, ...] = ()
    """Open files that it inherits."""


@dataclass(frozen=True, slots=True)
class Slots:
    """How many jobs run at once on this machine, and with how many compute threads each."""

    jobs: int
    threads: int


def slots(cores: int, threads: int = 0) -> Slots:
    """Share the cores: a slot a core up to four, the cores divided among them.

    ``threads`` > 0 settles the threads of a job instead (DERMSYNTH_THREADS).
    """
    jobs = max(1, min(cores, MOST_SLOTS))
    return Slots(jobs, threads or max(1, cores // jobs))


def service(listener: int, jobs: int) -> tuple[ProcessSpec, ...]:
    """Return the API and the two workers; the interactive queue has a slot of its own.

    ``listener``: descriptor of the socket on which the API serves.
    """
    api = (sys.executable, "-m", "api.main", "--fd", str(listener))
    return (
        ProcessSpec("api", api, stop_seconds=15.0, descriptors=(listener,)),
        ProcessSpec("worker", worker("gpu,cpu,io", jobs, "main"), stop_seconds=30.0),
        ProcessSpec("worker-interactive", worker("interactive", 1, "interactive"), 30.0),
    )


def worker(queues: str, jobs: int, name: str) -> tuple[str, ...]:
    """Return the command of a Celery worker."""
    celery = (sys.executable, "-m", "celery", "-A", "worker.app", "worker")
    options = ("-n", f"{name}@%h", "--loglevel", "INFO", "--without-gossip", "--without-mingle")
    return (*celery, "-Q", queues, "-c", str(jobs), *options)


def environment(home: Path, servers: Mapping[str, str], shares: Slots) -> dict[str, str]:
    """Return what the processes need beyond this process's environment.

    ``servers``: DATABASE_URL and REDIS_URL. What the user has set stays, thread counts included.
    """
    defaults = {
        "DERMSYNTH_DATA_DIR": str(home / "data"),
        "DERMSYNTH_WEIGHTS_DIR": str(home / "weights"),
        "DERMSYNTH_COOKIE_LOGIN": "true",
        "MPLCONFIGDIR": str(home / "cache" / "matplotlib"),
        "NUMBA_CACHE_DIR": str(home / "cache" / "numba"),
    } | dict.fromkeys(_THREAD_VARIABLES, str(shares.threads))
    chosen = {name: os.environ.get(name, value) for name, value in defaults.items()}
    for name in ("DERMSYNTH_DATA_DIR", "DERMSYNTH_WEIGHTS_DIR"):
        chosen[name] = str(Path(chosen[name]).expanduser().absolute())
    python_path = os.pathsep.join(
        part for part in (str(paths.checkout()), os.environ.get("PYTHONPATH", "")) if part
    )
    always = {MARK: str(home), "PYTHONUNBUFFERED": "1", "PYTHONPATH": python_path}
    return chosen | dict(servers) | always
