"""Guarantees 7 and 8, and draining: how jobs are called off, fail for good, and are given back."""

from __future__ import annotations

import signal
import time

from core.db.repositories import jobs
from core.jobs.context import Children, ChildSpec
from core.services.submit import submit_children
from tests.chaos.caller import Caller
from tests.chaos.stack import Lab, Stack
from tests.integration.harness import eventually


def canceled(lab: Lab) -> None:
    """Cancel queued, running, stubborn and waiting jobs; the others know nothing of it."""
    rounds = lab.size.count(20, 2)
    with lab.stack() as stack, stack.caller() as caller:
        stack.start_api()
        stack.start_worker(slots=4)
        stack.wait_for_workers(1)
        for _ in range(rounds):
            parent = caller.submit("sleep", {"seconds": 3600})
            _give_children(stack, parent, 2)
            stubborn = caller.submit("sleep", {"seconds": 3600, "ignore_stop": True})
            plain = caller.submit("sleep", {"seconds": 3600})
            for job_id in (stubborn, plain):
                stack.wait_for(job_id, "running")
            bystander = caller.submit("sleep", {"seconds": 0.5})
            queued = [caller.submit("sleep", {"seconds": 3600}) for _ in range(3)]
            lab.rng.shuffle(queued)
            for job_id in queued:
                lab.tally.expect(_cancel(stack, caller, job_id) <= 1, "a queued cancel took > 1 s")
            order = [parent, stubborn, plain]
            lab.rng.shuffle(order)
            for job_id in order:
                took = _cancel(stack, caller, job_id)
                lab.tally.expect(took <= 10, f"a running cancel took {took:.1f} s")
            lab.tally.faults["cancel"] += len(queued) + 3
            done = stack.wait_for(bystander, "succeeded", "failed", "canceled")
            lab.tally.expect(done.status == "succeeded", f"a bystander {done.status}")
        children = [j for j in stack.jobs(_children(stack)) if j.status != "canceled"]
        lab.tally.expect(not children, f"{len(children)} children outlive their parent")


def _cancel(stack: Stack, caller: Caller, job_id: str) -> float:
    began = time.monotonic()
    caller.cancel(job_id)
    stack.wait_for(job_id, "canceled")
    return time.monotonic() - began


def _children(stack: Stack) -> list[str]:
    from sqlalchemy import select

    from core.db.models import Job

    rows = select(Job.id).where(Job.parent_id.is_not(None))
    return stack.read(lambda session: list(session.scalars(rows)))


def _give_children(stack: Stack, parent_id: str, count: int) -> None:
    """Have a job wait for long children, as a kind with shards does; they get slots."""
    stack.wait_for(parent_id, "running")
    child = ChildSpec(kind="sleep", params={"seconds": 3600})
    with stack.sessions.begin() as session:
        parent = jobs.lock_with_ancestors(session, parent_id)
        assert parent is not None
        ids = [job.id for job in submit_children(session, parent, _wanted(child, count))]
    eventually(lambda: stack.job(ids[0]).status == "running", stack.size.patience)


def _wanted(child: ChildSpec, count: int) -> Children:
    return Children(phase="children", children=(child,) * count)


def poisoned(lab: Lab) -> None:
    """Jobs that end their process: exactly max_attempts, then failed; others go on."""
    with lab.stack() as stack, stack.caller() as caller:
        stack.start_api()
        stack.start_worker(slots=2)
        stack.wait_for_workers(1)
        poison, others = [], []
        for _ in range(lab.size.count(20, 2)):
            poison.append(caller.submit("crash", {"how": lab.rng.choice(["exit", "signal"])}))
            others += [caller.submit("sleep", {"seconds": 0.2}) for _ in range(3)]
        stack.wait_for_all()
        lab.tally.faults["poison job"] += len(poison)
        for job in stack.jobs(poison):
            code = (job.error or {}).get("code")
            wrong = (job.status, job.attempt, code) != ("failed", job.max_attempts, "worker_lost")
            lab.tally.expect(not wrong, f"poison {job.status} {code} after {job.attempt} attempts")
        for job in stack.jobs(others):
            fine = (job.status, job.attempt, job.claims) == ("succeeded", 1, 1)
            lab.tally.expect(fine, f"a bystander {job.status} after {job.attempt} attempts")


def drained(lab: Lab) -> None:
    """SIGTERM to a worker, alone or to all its processes: checkpoint, release, no attempt used."""
    with lab.stack() as stack, stack.caller() as caller:
        stack.start_api()
        for number in range(lab.size.count(10, 2)):
            worker = stack.start_worker(slots=2)
            ids = [caller.submit("sleep", {"seconds": 4}) for _ in range(2)]
            eventually(
                lambda ids=ids: all(job.checkpoint for job in stack.jobs(ids)), stack.size.patience
            )
            began = time.monotonic()
            if number % 2:  # as init systems do it
                worker.signal_all(signal.SIGTERM)
            else:
                worker.process.terminate()
            code = worker.process.wait(120)
            lab.tally.faults["SIGTERM"] += 1
            took = time.monotonic() - began
            lab.tally.expect(code == 0, f"a drained worker left with {code}")
            lab.tally.notes["worst_exit_s"] = round(
                max(took, float(lab.tally.notes.get("worst_exit_s", 0))), 1
            )
            back = [(job.status, job.uncounted) for job in stack.jobs(ids)]
            lab.tally.expect(back == [("queued", True)] * 2, f"after a drain: {back}")
            successor = stack.start_worker(slots=2)
            stack.wait_for_all()
            for job in stack.jobs(ids):
                resumed = (job.result or {}).get("resumed_at", 0)
                fine = job.status == "succeeded" and job.attempt == 1 and resumed > 0
                lab.tally.expect(fine, f"{job.status}, attempt {job.attempt}, resumed at {resumed}")
            successor.process.terminate()
            successor.process.wait(120)
