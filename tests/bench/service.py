"""The running service: how long a job takes that does nothing, how fast a job is read, scaling."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from sqlalchemy.orm import sessionmaker

from core.db.session import make_engine
from core.embedded.ports import free_port
from core.services import keys
from tests.bench.measure import Row, bound_row, quantile, ratio_row
from tests.integration.harness import Harness, eventually

NOOPS = 60
READS_PER_SECOND, READ_SECONDS, READERS = 100, 10, 4
SYNTHETIC = 4000


class Service:
    """An API process and workers beside it."""

    def __init__(self, database_url: str, redis_url: str, folder: Path) -> None:
        self.stack = Harness(database_url, redis_url, folder)
        factory = sessionmaker(make_engine(database_url))
        with factory.begin() as session:
            tenant = keys.ensure_tenant(session)
        self._key_from_server()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.api = subprocess.Popen(
            [sys.executable, "-m", "api.main", "--host", "127.0.0.1", "--port", str(port)],
            env=self.stack.environment() | {"DERMSYNTH_REQUESTS_PER_MINUTE": "1000000"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        del tenant
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=60
        )
        eventually(self._is_up)

    def _key_from_server(self) -> None:
        script = "from core.services.keys import create_admin_key; print(create_admin_key())"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=self.stack.environment(), check=True, capture_output=True, text=True,
        )  # fmt: skip
        self.key = done.stdout.strip()

    def _is_up(self) -> bool:
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def close(self) -> None:
        self.client.close()
        self.api.terminate()
        self.api.wait(20)
        self.stack.stop()

    def rows(self, archive: Path) -> Iterator[Row]:
        self.stack.start_worker(slots=1)
        self.stack.wait_for_workers(1)
        yield self.noop_job_p50()
        yield self.get_job_p95()
        yield self.two_workers(archive)

    def noop_job_p50(self) -> Row:
        self._noop()
        seconds = [self._noop() for _ in range(NOOPS)]
        return bound_row("noop_job_p50", 1000 * quantile(seconds, 0.5), "ms", 150)

    def _noop(self) -> float:
        start = time.perf_counter()
        answer = self.client.post("/v1/jobs/noop", json={})
        answer.raise_for_status()
        address = answer.headers["Location"]
        while self.client.get(address).json()["status"] != "succeeded":
            time.sleep(0.002)
        return time.perf_counter() - start

    def get_job_p95(self) -> Row:
        address = self.client.post("/v1/jobs/noop", json={}).headers["Location"]
        times: list[float] = []
        threads = [
            threading.Thread(target=self._read, args=(address, times, number))
            for number in range(READERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return bound_row("get_job_p95", 1000 * quantile(times, 0.95), "ms", 15)

    def _read(self, address: str, times: list[float], number: int) -> None:
        """Read at an even pace, in turn with the other readers."""
        gap = READERS / READS_PER_SECOND
        with httpx.Client(base_url=self.url, headers=self.client.headers) as client:
            due = time.perf_counter() + number / READS_PER_SECOND
            for _ in range(READS_PER_SECOND * READ_SECONDS // READERS):
                time.sleep(max(0.0, due - time.perf_counter()))
                start = time.perf_counter()
                client.get(address).raise_for_status()
                times.append(time.perf_counter() - start)
                due += gap

    def two_workers(self, archive: Path) -> Row:
        with archive.open("rb") as file:
            answer = self.client.post(
                "/v1/datasets", files={"file": ("d.zip", file)}, data={"name": "bench"}
            )
        answer.raise_for_status()
        version = self._ended(answer.headers["Location"])["result"]["dataset_version_id"]
        self._synthesize(version)  # warms the caches of the first worker
        one = self._synthesize(version)
        self.stack.start_worker(slots=1)
        self.stack.wait_for_workers(2)
        self._synthesize(version)  # warms the second
        two = self._synthesize(version)
        against = "one worker with one thread:"
        return ratio_row("two_workers", SYNTHETIC / two, SYNTHETIC / one, "images/s", against, 1.7)

    def _synthesize(self, version: str) -> float:
        body = {
            "dataset_version_id": version,
            "sources": "all",
            "counts": {"mel": SYNTHETIC},
            "generator_params": {"policy": "default"},
        }
        start = time.perf_counter()
        answer = self.client.post("/v1/jobs/synthesize", json=body)
        answer.raise_for_status()
        self._ended(answer.headers["Location"])
        return time.perf_counter() - start

    def _ended(self, address: str) -> dict[str, dict[str, str]]:
        def read() -> dict[str, dict[str, str]] | None:
            job: dict[str, dict[str, str]] = self.client.get(address).json()
            return job if job["status"] in ("succeeded", "failed", "canceled") else None

        job = eventually(read)
        if job["status"] != "succeeded":
            raise SystemExit(f"{address}: {job['error']}")
        return job
