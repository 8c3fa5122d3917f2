"""``python -m tests.chaos.soak``: mixed load and faults for half an hour; writes build/soak.json.

``MINUTES`` says how long, ``SEED`` repeats the schedule. The timings are those of production. At
the end the check of the campaign runs: nothing lost, nothing doubled, no stale commit. Memory is
the proportional set size of each kind of process, sampled every few seconds; it is flat when its
median in the last quarter is no more than FLAT times that in the second one. When a promise is
broken, the logs of the processes lie beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

from tests.chaos.caller import Caller
from tests.chaos.cases.deaths import ROLES, kill
from tests.chaos.cases.servers import break_broker, load, restart_database
from tests.chaos.cases.shards import imported
from tests.chaos.schedule import Fault, draw
from tests.chaos.sizes import FULL
from tests.chaos.stack import Lab, Loss, Stack, laboratory
from tests.chaos.tally import Tally
from tests.chaos.workers import WorkerProcess, send

CHECKOUT = Path(__file__).parents[2]
FAULTS = (
    *(f"kill {role}" for role in ROLES),
    "kill api",
    "FLUSHALL",
    "restart broker",
    "stop database",
    "kill database",
    "SIGSTOP past the lease",
)
PAUSES = (15.0, 35.0)
"""Seconds from one fault to the next."""
SAMPLE_SECONDS = 5.0
FLAT = 1.15
SLACK_MIB = 20.0
"""What a process may take more, whatever share of its size that is."""
MIB = 1024**2


@dataclass
class Memory:
    """Samples of memory by kind of process: the moment, and MiB of the largest of the kind."""

    api: list[tuple[float, float]] = field(default_factory=list)
    worker: list[tuple[float, float]] = field(default_factory=list)
    slot: list[tuple[float, float]] = field(default_factory=list)
    zygote: list[tuple[float, float]] = field(default_factory=list)

    def sample(self, stack: Stack, fleet: list[WorkerProcess]) -> None:
        now = time.monotonic()
        found: dict[str, list[int]] = {"api": [api.pid for api in stack.apis]}
        for worker in list(fleet):
            for role, pids in worker.tree().items():
                found.setdefault(role, []).extend(pids)
        for role in ("api", "worker", "slot", "zygote"):
            sizes = [size for pid in found.get(role, []) if (size := _proportional(pid))]
            if sizes:
                getattr(self, role).append((now, max(sizes)))

    def quarters(self, began: float, ended: float) -> dict[str, tuple[float, float]]:
        """Return the medians of the second and of the last quarter, MiB, by kind of process."""
        span = (ended - began) / 4
        found = {}
        for role, samples in vars(self).items():
            second = [mib for at, mib in samples if began + span <= at < began + 2 * span]
            last = [mib for at, mib in samples if began + 3 * span <= at <= ended]
            if second and last:
                found[role] = (statistics.median(second), statistics.median(last))
        return found


def _proportional(pid: int) -> float:
    """Return the proportional set size of a process in MiB; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def soak(lab: Lab, minutes: float) -> None:
    """Load a service of one API process and two workers, and break it again and again."""
    memory, stop = Memory(), threading.Event()
    with lab.stack() as stack, ExitStack() as loads:
        stack.start_api()
        fleet = [stack.start_worker(slots=2) for _ in range(2)]
        stack.wait_for_workers(2)
        with stack.caller() as caller:
            version = imported(stack, caller)
        began = time.monotonic()
        until = began + 60 * minutes
        watching = threading.Thread(target=_watch, args=(memory, stack, fleet, stop), daemon=True)
        watching.start()
        callers: list[Caller] = []
        for work in (_small_jobs(lab), _reads, _science(lab, stack, version)):
            callers += loads.enter_context(load(stack, 1, work))
        schedule: list[str] = []
        faults = draw(lab.rng, int(60 * minutes / PAUSES[0]) + 1, FAULTS, PAUSES)
        for fault in faults:
            if time.monotonic() + fault.pause > until:
                break
            time.sleep(fault.pause)
            schedule.append(f"{time.monotonic() - began:.0f} s {fault.kind}")
            _break(stack, fleet, fault)
            lab.tally.faults[fault.kind] += 1
        time.sleep(max(0.0, until - time.monotonic()))
        loads.close()
        ended = time.monotonic()
        stop.set()
        watching.join()
        stack.wait_for_all()
        lab.tally.notes["schedule"] = schedule
        _judge(lab, stack, callers, memory.quarters(began, ended))


def _watch(memory: Memory, stack: Stack, fleet: list[WorkerProcess], stop: threading.Event) -> None:
    while not stop.wait(SAMPLE_SECONDS):
        memory.sample(stack, fleet)


# The load


def _small_jobs(lab: Lab) -> Callable[[Caller, int], None]:
    """Submit sleeping, empty and parent jobs; cancel one of ten."""
    rng = Random(lab.rng.random())

    def work(caller: Caller, number: int) -> None:
        wishes: list[tuple[str, dict[str, Any]]] = [
            ("sleep", {"seconds": round(rng.uniform(0.2, 4.0), 2)}),
            ("noop", {}),
            ("noop", {"children": rng.randint(1, 4)}),
        ]
        kind, params = rng.choice(wishes)
        job_id = caller.submit(kind, params)
        if number % 10 == 0:
            caller.cancel(job_id)
        time.sleep(rng.uniform(0.5, 2.5))

    return work


def _reads(caller: Caller, number: int) -> None:
    """Ask what a page and a service ask."""
    paths = (
        "/v1/jobs?limit=50",
        "/v1/jobs?status=running",
        "/v1/datasets",
        "/v1/catalog",
        "/v1/audit?limit=20",
        "/readyz",
        "/metrics",
    )
    path = paths[number % len(paths)]
    answer = caller.get(path)
    if answer.status_code not in (200, 503):
        caller.broken.append(f"GET {path}: {answer.status_code}")
    time.sleep(0.1)


def _science(lab: Lab, stack: Stack, version: str) -> Callable[[Caller, int], None]:
    """Import, synthesize, extract and train in turn, as users do."""
    rng = Random(lab.rng.random())

    def work(caller: Caller, number: int) -> None:
        seed = rng.randint(0, 2**31)
        steps: list[tuple[str, dict[str, Any]]] = [
            ("synthesize", {
                "dataset_version_id": version, "counts": {"mel": 200}, "sources": "all",
                "seed": seed,
            }),
            ("extract_features", {"dataset_version_ids": [version]}),
            ("train", {"dataset_version_ids": [version], "seed": seed}),
        ]  # fmt: skip
        if number % 4 == 3:
            imported(stack, caller)
        kind, params = steps[number % len(steps)]
        job = stack.wait_for(caller.submit(kind, params), "succeeded", "failed", "canceled")
        code = (job.error or {}).get("code")
        if job.status != "succeeded" and code != "worker_lost":
            caller.broken.append(f"{kind} {job.id} is {job.status}: {job.error}")

    return work


# The faults


def _break(stack: Stack, fleet: list[WorkerProcess], fault: Fault) -> None:
    action, _, role = fault.kind.partition(" ")
    match action, role:
        case "kill", "api":
            send(stack.apis[-1].pid, signal.SIGKILL)
            stack.apis.pop().wait()
            stack.start_api()
        case "kill", "database":
            restart_database(stack, "kill database")
        case "stop", "database":
            restart_database(stack, "stop database")
        case (("FLUSHALL" | "restart"), _):
            break_broker(stack, fault.kind)
        case "SIGSTOP", _:
            _freeze(stack, fault.choose(fleet))
        case _:
            kill(stack, fleet, Fault(fault.pause, role, fault.pick), lambda: None)
    for place, worker in enumerate(fleet):
        if worker.process.poll() is not None:
            fleet[place] = stack.start_worker(slots=2)


def _freeze(stack: Stack, worker: WorkerProcess) -> None:
    """Stop a whole worker until its leases have run out and others have its jobs."""
    lost, at = stack.running(worker.slot_names()), stack.now()
    stack.losses += [Loss(job.id, at) for job in lost]
    worker.signal_all(signal.SIGSTOP)
    time.sleep(stack.size.lease + float(stack.size.settings["DERMSYNTH_REAPER_SECONDS"]) + 2)
    worker.signal_all(signal.SIGCONT)


# The verdict


def _judge(
    lab: Lab, stack: Stack, callers: list[Caller], memory: dict[str, tuple[float, float]]
) -> None:
    answers: Counter[int] = Counter()
    for caller in callers:
        answers += caller.answers
        lab.tally.problems += caller.broken
    lab.tally.notes["answers"] = dict(sorted(answers.items()))
    lab.tally.notes["dropped"] = sum(len(caller.drops) for caller in callers)
    ends = Counter((job.kind, job.status) for job in stack.jobs(stack.accepted))
    lab.tally.notes["ends"] = {f"{kind} {end}": n for (kind, end), n in sorted(ends.items())}
    lab.tally.notes["memory_mib"] = {
        role: [round(second, 1), round(last, 1)] for role, (second, last) in memory.items()
    }
    lab.tally.expect({"api", "slot", "zygote"} <= set(memory), f"memory seen: {sorted(memory)}")
    for role, (second, last) in memory.items():
        flat = last <= max(FLAT * second, second + SLACK_MIB)
        lab.tally.expect(flat, f"{role} grew from {second:.0f} to {last:.0f} MiB")


def main() -> int:
    seed = int(os.environ.get("SEED") or SystemRandom().randrange(2**31))
    minutes = float(os.environ.get("MINUTES") or 30)
    print(f"SEED={seed} MINUTES={minutes:g}", flush=True)
    tally, began = Tally(), time.monotonic()
    path = CHECKOUT / "build" / "soak.json"
    path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dermsynth-soak-") as folder:
        with laboratory(Path(folder) / "soak", FULL, seed, "soak", tally) as lab:
            soak(lab, minutes)
        if not tally.ok:
            for log in Path(folder).rglob("*.log"):
                shutil.copy(log, path.with_name(f"soak-{log.name}"))
    tally.seconds = time.monotonic() - began
    row = tally.row()
    path.write_text(json.dumps({"seed": seed, "minutes": minutes} | row, indent=2))
    for name, value in row.items():
        print(f"{name}: {value}")
    return 0 if tally.ok else 1


if __name__ == "__main__":
    sys.exit(main())
