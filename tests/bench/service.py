"""The running service: jobs through it, reads of one job, scaling; ``ROWS`` names them all.

Reads are asked by a lean process (tests.bench.load) at an even pace: the server is what is
measured, not its client. CPU per request stands beside each, because wall time on a shared machine
says little.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.bench import listeners, listing, load, submitting, uploading
from tests.bench.load import Wish
from tests.bench.measure import Row, bound_row, quantile, ratio_row
from tests.bench.pixels import drawn
from tests.bench.process import cpu_seconds
from tests.bench.stack import Stack

NOOPS = 60
READS, READS_PER_SECOND = 1000, 100
SYNTHETIC = 1280
LARGE_IMAGES, LARGE_SIDE = 64, 1024
"""What is synthesized from: as many pixels an image as most of ISIC 2019 have."""


def noop_job_p50(stack: Stack) -> Row:
    """From POST to succeeded, read until it is seen."""
    stack.workers(1)

    def one() -> float:
        start = time.perf_counter()
        path = stack.new_job()
        while stack.client.get(path).json()["status"] != "succeeded":
            time.sleep(0.005)
        return time.perf_counter() - start

    one()
    seconds = [one() for _ in range(NOOPS)]
    return bound_row("noop_job_p50", 1000 * quantile(seconds, 0.5), "ms", 150)


def get_job_p95(stack: Stack) -> Row:
    """GET /v1/jobs/{id} at 100 requests/s."""
    stack.stop_workers()
    wish = Wish(stack.port, stack.new_job(), stack.key, READS, READS_PER_SECOND)
    load.run(wish)  # warms
    before = cpu_seconds(stack.api.pid)
    seen = load.run(wish)
    cpu = (cpu_seconds(stack.api.pid) - before) / READS * 1000
    if seen.errors():
        raise SystemExit(f"get_job_p95: {seen.statuses}")
    p95 = 1000 * quantile(seen.seconds, 0.95)
    return bound_row("get_job_p95", p95, "ms", 15, note=f"{cpu:.2f} ms CPU a request")


def two_workers(stack: Stack) -> Row:
    """Images a second of two workers against one."""
    _, archive = drawn(stack.folder / "drawn", LARGE_IMAGES, LARGE_SIDE)
    with archive.open("rb") as file:
        answer = stack.client.post(
            "/v1/datasets", files={"file": ("d.zip", file)}, data={"name": "bench"}
        )
    answer.raise_for_status()
    stack.workers(1)
    version = stack.ended(answer.headers["Location"])["result"]["dataset_version_id"]
    _synthesize(stack, version, seed=0)  # warms the caches of the first worker
    one = _synthesize(stack, version, seed=1)
    stack.workers(2)
    _synthesize(stack, version, seed=2)  # warms the second
    two = _synthesize(stack, version, seed=3)
    against = "one worker with one thread:"
    return ratio_row("two_workers", SYNTHETIC / two, SYNTHETIC / one, "images/s", against, 1.7)


def _synthesize(stack: Stack, version: str, seed: int) -> float:
    """Return the seconds that it takes; a seed of its own, for no blob is there already then."""
    body = {
        "dataset_version_id": version,
        "sources": "all",
        "counts": {"mel": SYNTHETIC},
        "generator_params": {"policy": "default"},
        "seed": seed,
    }
    start = time.perf_counter()
    answer = stack.client.post("/v1/jobs/synthesize", json=body)
    answer.raise_for_status()
    stack.ended(answer.headers["Location"], every=0.25)  # asking takes a processor, too
    return time.perf_counter() - start


def rows(full: bool) -> dict[str, Callable[[Stack], Row]]:
    """Return what measures each row, in the order in which they run: the filling ones last."""
    return {
        "noop_job_p50": noop_job_p50,
        "two_workers": two_workers,
        "get_job_p95": get_job_p95,
        "upload": uploading.upload,
        "upload_memory": uploading.upload_memory,
        "sse_delay": listeners.sse_delay,
        "submit_p99": lambda stack: submitting.submit_p99(stack, full),
        "list_p95": listing.list_p95,
    }


ROWS = tuple(rows(full=False))
