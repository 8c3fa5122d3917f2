"""Guarantees 4, 5 and 6: the broker may die, the database may restart, hints may repeat."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.services import hints
from tests.chaos.caller import Caller
from tests.chaos.schedule import draw
from tests.chaos.stack import Lab, Stack


def broker_lost(lab: Lab) -> None:
    """Kill, restart and empty the broker under load; submit and cancel while it is away."""
    small = lab.size.name == "small"
    kinds = ("kill broker", "restart broker", "FLUSHALL")
    faults = draw(lab.rng, lab.size.count(20, 3), kinds, (0.5, 1.0) if small else (5.0, 15.0))
    with lab.stack() as stack, stack.caller() as caller:
        stack.start_api()
        stack.start_worker(slots=2)
        stack.wait_for_workers(1)
        for fault in faults:
            long = caller.submit("sleep", {"seconds": 3600})
            stack.wait_for(long, "running")
            for _ in range(4):
                caller.submit("sleep", {"seconds": 0.3})
            time.sleep(fault.pause)
            break_broker(stack, fault.kind)
            lab.tally.faults[fault.kind] += 1
            caller.submit("noop", {})
            began = time.monotonic()
            caller.cancel(long)
            stack.wait_for(long, "canceled")
            took = time.monotonic() - began
            lab.tally.expect(took <= 10, f"a cancel took {took:.1f} s after {fault.kind}")
            if not stack.servers.valkey.alive():
                stack.servers.valkey.start()
        stack.wait_for_all()
        lab.tally.problems += caller.broken + caller.drops


def break_broker(stack: Stack, kind: str) -> None:
    """Kill, restart or empty the broker; one that was killed stays away."""
    valkey = stack.servers.valkey
    match kind:
        case "kill broker":
            valkey.kill()  # it stays away until the cancel is through
        case "restart broker":
            valkey.stop()
            valkey.start()
        case _:
            stack.broker.flushall()


def database_restarted(lab: Lab) -> None:
    """Restart the database again and again under requests and jobs."""
    small = lab.size.name == "small"
    count = 3 if small else 27
    faults = draw(
        lab.rng, count, ("stop database", "kill database"), (1.5, 3.0) if small else (5.0, 40.0)
    )
    with lab.stack() as stack:
        stack.start_api()
        stack.start_worker(slots=2)
        stack.wait_for_workers(1)
        with load(stack, 2, _submit_and_read) as callers:
            for fault in faults:
                time.sleep(fault.pause)
                restart_database(stack, fault.kind)
                lab.tally.faults[fault.kind] += 1
        for caller in callers:
            lab.tally.problems += caller.broken + caller.drops
        lab.tally.notes["answers"] = _answers(callers)


def restart_database(stack: Stack, kind: str) -> None:
    """Stop or kill the database and start it again."""
    if kind == "kill database":
        stack.servers.postgres.kill()
    else:
        stack.servers.postgres.stop()
    time.sleep(0.3)
    stack.servers.postgres.start()


def _submit_and_read(caller: Caller, number: int) -> None:
    job_id = caller.submit("sleep", {"seconds": 0.2})
    for _ in range(5):
        caller.get(f"/v1/jobs/{job_id}")
        time.sleep(0.1)
    caller.get("/v1/jobs?limit=20")


@contextmanager
def load(
    stack: Stack, threads: int, work: Callable[[Caller, int], None], fresh: bool = False
) -> Iterator[list[Caller]]:
    """Repeat ``work`` in threads while the block runs; an error in one is raised at the end."""
    stop = threading.Event()
    errors: list[BaseException] = []
    callers = [stack.caller(fresh=fresh) for _ in range(threads)]

    def run(caller: Caller) -> None:
        number = 0
        try:
            while not stop.is_set():
                work(caller, number)
                number += 1
        except BaseException as error:
            errors.append(error)

    running = [threading.Thread(target=run, args=(caller,), daemon=True) for caller in callers]
    for thread in running:
        thread.start()
    try:
        yield callers
    finally:
        stop.set()
        for thread in running:
            thread.join(stack.size.patience)
    if errors:
        raise errors[0]


def _answers(callers: list[Caller]) -> dict[int, int]:
    total: dict[int, int] = {}
    for caller in callers:
        for status, count in caller.answers.items():
            total[status] = total.get(status, 0) + count
    return dict(sorted(total.items()))


def hints_tripled(lab: Lab) -> None:
    """Send every hint three times, shuffled: every job runs once."""
    with lab.stack() as stack:
        stack.start_api()
        ids = stack.submit_many(lab.size.count(1000, 100), "noop")
        stack.broker.flushall()
        wanted = [(job_id, "cpu") for job_id in ids] * 3
        lab.rng.shuffle(wanted)
        _send(stack, wanted)
        lab.tally.faults["repeated hint"] += 2 * len(ids)
        stack.start_worker(slots=2)
        stack.wait_for_all()
        odd = [
            j.id for j in stack.jobs(ids) if (j.status, j.attempt, j.claims) != ("succeeded", 1, 1)
        ]
        lab.tally.expect(not odd, f"{len(odd)} jobs did not run exactly once")


def _send(stack: Stack, wanted: list[tuple[str, str]]) -> None:
    from celery import Celery

    app = Celery("chaos", broker=stack.servers.redis_url, set_as_current=False)
    app.conf.update(task_serializer="json", task_ignore_result=True)
    with app.connection_for_write() as connection:
        for job_id, queue in wanted:
            app.send_task(hints.TASK, args=[job_id], queue=queue, connection=connection)
