"""Guarantee 2: kill -9 of a worker, a slot, a zygote, a job process or all of them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.chaos.caller import Caller
from tests.chaos.schedule import Fault, draw
from tests.chaos.stack import Lab, Loss, Stack
from tests.chaos.workers import WorkerProcess, send, slot_name, slot_of
from tests.integration.harness import eventually

ROLES = ("worker", "slot", "zygote", "job", "group")
FLEET = 3


def worker_killed(lab: Lab) -> None:
    """Kill at random points under a steady load; a fleet that is completed again each time."""
    faults = draw(lab.rng, lab.size.count(100, 10), ROLES, _pauses(lab))
    count = lab.size.count(200, 20)
    with lab.stack() as stack:
        stack.start_api()
        fleet = [stack.start_worker(slots=2) for _ in range(FLEET)]
        stack.wait_for_workers(FLEET)
        with stack.caller() as caller:
            for fault in faults:
                time.sleep(fault.pause)
                kill(stack, fleet, fault, lambda: _top_up(lab, stack, caller))
                lab.tally.faults[f"kill {fault.kind}"] += 1
                fleet = [_living(stack, worker) for worker in fleet]
            while len(stack.accepted) < count:  # no rush: what was lost would wait behind it
                _top_up(lab, stack, caller)
                time.sleep(0.1)


def _top_up(lab: Lab, stack: Stack, caller: Caller) -> None:
    """Keep every worker busy and half of the slots free for what must be repeated."""
    while stack.unfinished() < FLEET:
        kind, params = _job(lab)
        caller.submit(kind, params)


def _pauses(lab: Lab) -> tuple[float, float]:
    return (0.1, 1.0) if lab.size.name == "small" else (2.0, 8.0)


def _job(lab: Lab) -> tuple[str, dict[str, float]]:
    seconds = lab.rng.uniform(0.3, 1.5) * (1 if lab.size.name == "small" else 10)
    if lab.rng.random() < 0.15:
        return "noop", {"children": lab.rng.randint(1, 4)}
    return "sleep", {"seconds": round(seconds, 2)}


def kill(stack: Stack, fleet: list[WorkerProcess], fault: Fault, feed: Callable[[], None]) -> None:
    """Kill one process of a role, or a whole worker; note whose jobs are hit."""

    def found() -> tuple[list[int], list[str]] | None:
        feed()
        return _victims(stack, fleet, fault)

    pids, slots = eventually(found, stack.size.patience)
    lost, at = stack.running(slots), stack.now()
    for pid in pids:
        send(pid, signal.SIGKILL)
    stack.losses += [Loss(job.id, at) for job in lost]


def _victims(
    stack: Stack, fleet: list[WorkerProcess], fault: Fault
) -> tuple[list[int], list[str]] | None:
    """Return the processes to kill and the slots that lose their jobs by it, busy ones first."""
    busy = [worker for worker in fleet if stack.running(worker.slot_names())]
    worker = fault.choose(busy or fleet)
    tree, slots = worker.tree(), worker.slot_names()
    if fault.kind == "group":
        return [pid for pids in tree.values() for pid in pids], slots
    if not busy or not tree[fault.kind]:
        return None
    victim = fault.choose(tree[fault.kind])
    return [victim], slots if fault.kind == "worker" else [slot_name(slot_of(victim))]


def _living(stack: Stack, worker: WorkerProcess) -> WorkerProcess:
    """Return the worker, or one in its place: a service manager starts what has ended."""
    if worker.process.poll() is None:
        return worker
    return stack.start_worker(slots=2)
