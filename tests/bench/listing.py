"""The list of jobs of a tenant that has 100,000 of them."""

from __future__ import annotations

import json

from sqlalchemy import text

from api.pagination import encode_cursor
from core.ids import new_id
from tests.bench import load
from tests.bench.load import Wish
from tests.bench.measure import Row, bound_row, quantile
from tests.bench.stack import Stack

JOBS = 100_000
READS = 40
WAITING = 10_000
COLUMNS = (
    "id, tenant_id, kind, status, queue, params, inputs, labels, max_attempts, timeout_seconds"
)


def list_p95(stack: Stack) -> Row:
    """The slowest of all forms of the list, each read 40 times, 50 and 200 jobs a page."""
    stack.stop_workers()
    ids = _fill(stack)
    slow = ("", 0.0)
    for query in _queries(ids):
        wish = Wish(stack.port, f"/v1/jobs?{query}", stack.key, READS, 0)
        load.run(wish)
        seen = load.run(wish)
        if seen.errors():
            raise SystemExit(f"list_p95 {query}: {seen.statuses}")
        slow = max(slow, (query, 1000 * quantile(seen.seconds, 0.95)), key=lambda one: one[1])
    note = f"{JOBS} jobs, slowest form: {slow[0][:60]}"
    return bound_row("list_p95", slow[1], "ms", 100, note=note)


def _queries(ids: list[str]) -> list[str]:
    middle, old = encode_cursor(ids[JOBS // 2]), encode_cursor(ids[2000])
    return [
        "limit=50",
        "limit=200",
        f"limit=50&cursor={middle}",
        "kind=synthesize",
        "kind=train",
        "status=queued&limit=200",
        "status=failed",
        "status=running&limit=200",
        "kind=noop&status=failed",
        "label=batch-7",
        "label=rare",
        f"label=batch-7&cursor={old}",
        f"status=succeeded&kind=noop&label=batch-7&cursor={middle}",
        "parent_id=none&created_after=2020-01-01T00:00:00Z",
    ]


def _fill(stack: Stack) -> list[str]:
    """Write the jobs by COPY: most have succeeded, 10,000 wait, few are of the rare forms."""
    tenant = stack.harness.principal.tenant_id
    ids = [new_id("job") for _ in range(JOBS)]
    with stack.harness.engine.connect() as connection:
        driver = connection.connection.cursor()
        with driver.copy(f"COPY jobs ({COLUMNS}) FROM STDIN") as rows:
            for number, job_id in enumerate(ids):
                rows.write_row(_job(number, job_id, tenant))
        connection.execute(text("ANALYZE jobs"))
        connection.commit()
    return ids


def _job(number: int, job_id: str, tenant: str) -> tuple[object, ...]:
    kind = "train" if number % 5000 == 0 else "synthesize" if number % 10 == 0 else "noop"
    labels = [f"batch-{number % 100}"] + (["rare"] if number % 5000 == 1 else [])
    params = json.dumps({"number": number, "text": "x" * 200})
    queue = "io" if number % 2 else "cpu"
    return (job_id, tenant, kind, _status(number), queue, params, "{}", labels, 3, 60.0)


def _status(number: int) -> str:
    if number >= JOBS - WAITING:
        return "queued"
    return "failed" if number % 1000 == 3 else "running" if number % 1000 == 4 else "succeeded"
