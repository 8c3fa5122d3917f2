"""Submitting at a rate: no worker runs, so that only the way into the queue is measured."""

from __future__ import annotations

from tests.bench import load
from tests.bench.load import Wish
from tests.bench.measure import Row, bound_row, quantile
from tests.bench.process import cpu_seconds
from tests.bench.stack import Stack

PER_SECOND = 200
SECONDS, FULL_SECONDS = 10, 60
WARM = 400


def submit_p99(stack: Stack, full: bool) -> Row:
    """200 POST/s of a job that does nothing, for 60 s (``--full``) or 10 s; errors fail the row."""
    stack.stop_workers()
    seconds = FULL_SECONDS if full else SECONDS
    wish = Wish(
        stack.port, "/v1/jobs/noop", stack.key, WARM, PER_SECOND,
        method="POST", body="{}", connections=64,
    )  # fmt: skip
    load.run(wish)
    count = PER_SECOND * seconds
    before = cpu_seconds(stack.api.pid)
    seen = load.run(wish.repeated(count))
    cpu = (cpu_seconds(stack.api.pid) - before) / count * 1000
    p99 = 1000 * quantile(seen.seconds, 0.99)
    note = f"{PER_SECOND}/s for {seconds} s, {seen.errors()} errors, {cpu:.2f} ms CPU a request"
    return bound_row("submit_p99", p99, "ms", 250, note=note, also=seen.errors() == 0)
