"""Guarantee 3: a worker that was stopped past its lease cannot commit; and the control."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass

from tests.chaos import invariants
from tests.chaos.stack import Lab, Loss, Stack
from tests.chaos.workers import WorkerProcess, send
from tests.integration.harness import eventually

FROZEN_AT_ONCE = 5
CONTROL_TRIES = 3
"""A stale worker that wakes too late on a busy host commits nothing, fence or no fence."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """What is stopped (a slot with its job running on, or everything), and when it goes on."""

    what: str
    until: str


def worker_frozen(lab: Lab) -> None:
    """Freeze up to five workers at a time past their leases; others do their jobs meanwhile."""
    count = lab.size.count(50, 5)
    freezes = [
        Freeze(lab.rng.choice(["slot", "all"]), lab.rng.choice(["started", "succeeded"]))
        for _ in range(count)
    ]
    with lab.stack() as stack:
        stack.start_api()
        at_once = min(FROZEN_AT_ONCE, count)
        fleet = [stack.start_worker() for _ in range(at_once)]
        stack.wait_for_workers(at_once)
        while freezes:
            batch, freezes = freezes[:at_once], freezes[at_once:]
            _round(lab, stack, fleet, batch)
            lab.tally.faults["SIGSTOP past the lease"] += len(batch)
        expected = lab.tally.faults["SIGSTOP past the lease"]
        eventually(lambda: stack.count_in_log('"message": "stale: ') >= expected)


def unfenced_control(lab: Lab) -> None:
    """Take the fence out: the same check must find a stale commit."""
    with lab.stack() as stack:
        stack.start_api()
        worker = stack.start_worker(CHAOS_UNFENCED="1")
        stack.wait_for_workers(1)
        lab.tally.control_caught = False
        for _ in range(CONTROL_TRIES):
            _round(lab, stack, [worker], [Freeze("slot", "started")], CHAOS_UNFENCED="1")
            lab.tally.faults["SIGSTOP without a fence"] += 1
            found = invariants.check(stack.read(invariants.read), stack.store, stack.accepted)
            if caught := found.stale_commits + found.doubled:
                lab.tally.control_caught = True
                lab.tally.notes["found"] = caught
                break
        stack.forgive()  # the damage is the point: what follows must not count it


def _round(
    lab: Lab, stack: Stack, fleet: list[WorkerProcess], batch: list[Freeze], **extra: str
) -> None:
    """Give each worker a job, freeze them all, let a helper do the jobs, wake them."""
    # long enough that whoever is woken at the second start has time to do harm
    seconds = 3.0 if lab.size.name == "small" else 10.0
    waiting: dict[int, tuple[WorkerProcess, str, Freeze]] = {}
    with stack.caller() as caller:
        for freeze in batch:
            job_id = caller.submit("sleep", {"seconds": seconds})
            free = [worker for worker in fleet if worker.pid not in waiting]
            worker = eventually(lambda job=job_id, of=free: _runs(stack, of, job))
            _stop(worker, freeze)
            stack.losses.append(Loss(job_id, stack.now()))
            waiting[worker.pid] = (worker, job_id, freeze)
    helper = stack.start_worker(slots=len(batch), **extra)
    # wake each at its moment, whichever comes first
    until = time.monotonic() + stack.size.patience + stack.size.formula
    while waiting and time.monotonic() < until:
        for pid, (worker, job_id, freeze) in list(waiting.items()):
            job = stack.job(job_id)
            taken_over = job.claims > 1 and not (freeze.what == "slot" and worker.tree()["job"])
            if (taken_over and freeze.until == "started") or job.finished_at is not None:
                worker.signal_all(signal.SIGCONT)
                del waiting[pid]
        time.sleep(0.02)
    lab.tally.expect(not waiting, f"{len(waiting)} frozen jobs were never taken over")
    stack.wait_for_all()
    helper.process.terminate()
    helper.process.wait(120)


def _runs(stack: Stack, workers: list[WorkerProcess], job_id: str) -> WorkerProcess | None:
    """Return the worker that runs a job, once its process is there."""
    for worker in workers:
        mine = [job.id for job in stack.running(worker.slot_names())]
        if job_id in mine and worker.tree()["job"]:
            return worker
    return None


def _stop(worker: WorkerProcess, freeze: Freeze) -> None:
    if freeze.what == "all":
        worker.signal_all(signal.SIGSTOP)
        return
    for pid in worker.tree()["slot"]:
        send(pid, signal.SIGSTOP)
