"""Guarantees 1 and 10, and the rolling restart: what callers see while the API comes and goes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count as counter

import httpx
from sqlalchemy.orm import Session

from core.ids import new_id
from core.jobs.states import TERMINAL
from tests.chaos.caller import Caller
from tests.chaos.cases.servers import load
from tests.chaos.nest import Started
from tests.chaos.stack import Lab, Stack

AT_ONCE = 4


def api_killed(lab: Lab) -> None:
    """Kill the API within its answer to POSTs that are repeated with their keys."""
    kills = [lab.rng.uniform(0.0, 0.04) for _ in range(lab.size.count(100, 10))]
    with lab.stack() as stack:
        api, standby = stack.start_api(), stack.start_api()
        stack.wait_for_api()
        stack.start_worker(slots=2)
        made: dict[str, str] = {}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for moment in kills:
                keys = [new_id("req") for _ in range(AT_ONCE)]
                futures = [pool.submit(_post, stack, key) for key in keys]
                time.sleep(moment)
                api.kill()
                api.wait()
                lab.tally.faults["kill API"] += 1
                api, standby = standby, stack.start_api()
                made |= {k: f.result() for k, f in zip(keys, futures, strict=True)}
        again = {key: _post(stack, key) for key in list(made)[:: max(1, len(made) // 20)]}
        changed = [key for key, job_id in again.items() if made[key] != job_id]
        lab.tally.expect(not changed, f"{len(changed)} keys gave another job the second time")
        lab.tally.expect(len(set(made.values())) == len(made), "two keys share a job")
        stack.wait_for_all()
        total = len(stack.read(_all_ids))
        lab.tally.expect(total == len(made), f"{len(made)} keys made {total} jobs")


def _all_ids(session: Session) -> list[str]:
    from sqlalchemy import select

    from core.db.models import Job

    return list(session.scalars(select(Job.id)))


def _post(stack: Stack, key: str) -> str:
    with stack.caller(fresh=True) as caller:
        job_id = caller.submit("noop", {}, key=key)
        assert not caller.broken, caller.broken
        return job_id


def events_dropped(lab: Lab) -> None:
    """Drop event streams again and again and resume them: no event is missing or comes twice."""
    drops, streams = lab.size.count(200, 20), 4
    with lab.stack() as stack, stack.caller() as caller:
        stack.start_api()
        stack.start_worker(slots=streams)
        stack.wait_for_workers(1)
        takes = [[lab.rng.randint(0, 2) for _ in range(drops // streams)] for _ in range(streams)]
        seconds = 4 if lab.size.name == "small" else 60
        ids = [caller.submit("sleep", {"seconds": seconds}) for _ in range(streams)]
        with ThreadPoolExecutor(streams) as pool:
            seen = list(pool.map(lambda pair: _follow(stack, *pair), zip(ids, takes, strict=True)))
        dropped = sum(one[1] for one in seen)
        lab.tally.expect(dropped >= drops // 2, f"only {dropped} streams could be dropped")
        for job_id, (numbers, dropped) in zip(ids, seen, strict=True):
            lab.tally.faults["dropped stream"] += dropped
            expected = [event.seq for event in stack.events(job_id)]
            lab.tally.expect(numbers == expected, f"a listener saw {numbers} of {expected}")


def _follow(stack: Stack, job_id: str, takes: list[int]) -> tuple[list[int], int]:
    """Read a stream to its end; drop it after each of ``takes`` messages, also within none."""
    numbers: list[int] = []
    dropped = 0
    headers = {"Authorization": f"Bearer {stack.key}", "Accept": "text/event-stream"}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=60) as client:
        for attempt in counter():
            last = {"Last-Event-ID": str(numbers[-1])} if numbers else {}
            with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=last) as answer:
                if answer.status_code == 204:
                    return numbers, dropped
                most = takes[attempt] if attempt < len(takes) else 1_000_000
                kinds = _read(answer, numbers, most)
            if kinds and kinds[-1] in TERMINAL:
                return numbers, dropped
            dropped += 1
    raise AssertionError("not reached")


def _read(answer: httpx.Response, numbers: list[int], most: int) -> list[str]:
    kinds: list[str] = []
    if not most:
        return kinds
    for line in answer.iter_lines():
        if line.startswith("id: "):
            numbers.append(int(line[4:]))
        elif line.startswith("event: "):
            kinds.append(line[7:])
            if len(kinds) >= most:
                break
    return kinds


def rolling_restart(lab: Lab) -> None:
    """Restart API and workers one after the other under load: no request fails, no job is lost."""
    rounds = lab.size.count(10, 2)
    with lab.stack() as stack:
        api = stack.start_api()
        workers = [stack.start_worker() for _ in range(2)]
        stack.wait_for_workers(2)
        with load(stack, 4, _submit_and_read, fresh=True) as callers:
            for _ in range(rounds):
                time.sleep(lab.rng.uniform(0.2, 1.0))
                api = _restarted_api(stack, api)
                lab.tally.faults["restart API"] += 1
                stack.wait_for_api()
                for index, worker in enumerate(workers):
                    worker.process.terminate()
                    worker.process.wait(120)
                    workers[index] = stack.start_worker()
                    lab.tally.faults["restart worker"] += 1
        stack.wait_for_all()
        for caller in callers:
            lab.tally.problems += caller.broken + caller.drops
        requests = sum(sum(caller.answers.values()) for caller in callers)
        lab.tally.notes["requests"] = requests
        counted = [job.id for job in stack.jobs(stack.accepted) if job.attempt != 1]
        lab.tally.expect(not counted, f"{len(counted)} jobs used an attempt")


def _restarted_api(stack: Stack, api: Started) -> Started:
    """Restart as the embedded parent does: it keeps the socket, callers wait in its queue."""
    api.terminate()
    api.wait(60)
    return stack.start_api()


def _submit_and_read(caller: Caller, number: int) -> None:
    job_id = caller.submit("sleep", {"seconds": 0.3})
    for _ in range(5):
        caller.get(f"/v1/jobs/{job_id}")
        time.sleep(0.05)
