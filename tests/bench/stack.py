"""A service to measure: an API process, servers and, when a row wants them, workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from core.embedded.ports import free_port
from tests.integration.harness import Harness, eventually

LIMITS_RAISED = {
    "DERMSYNTH_REQUESTS_PER_MINUTE": "10000000",
    "DERMSYNTH_FAILED_LOGINS_PER_MINUTE": "10000000",
    "DERMSYNTH_MAX_ACTIVE_JOBS": "10000000",
}


class Stack:
    """One API process; workers start when they are first asked for."""

    def __init__(self, database_url: str, redis_url: str, folder: Path) -> None:
        self.harness = Harness(database_url, redis_url, folder)
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = self.harness.environment() | LIMITS_RAISED
        self.key = self._new_key()
        self.api = subprocess.Popen(
            [sys.executable, "-m", "api.main", "--port", str(self.port)],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=60
        )
        eventually(self._is_up)

    def _new_key(self) -> str:
        script = "from core.services.keys import create_admin_key; print(create_admin_key())"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=self.environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    def _is_up(self) -> bool:
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def workers(self, count: int) -> None:
        """See to it that so many workers of one slot run."""
        while len(self.harness.workers) < count:
            self.harness.start_worker(slots=1)
        self.harness.wait_for_workers(count)

    def stop_workers(self) -> None:
        """End all workers: what follows is the API's own speed."""
        self.harness.stop()
        self.harness.workers.clear()

    def new_job(self) -> str:
        """Submit a job that does nothing; returns its path."""
        answer = self.client.post("/v1/jobs/noop", json={})
        answer.raise_for_status()
        return answer.headers["Location"]

    def ended(self, path: str, every: float = 0.02) -> dict[str, Any]:
        """Wait for the success of a job, looking every so many seconds."""

        def read() -> dict[str, Any] | None:
            job: dict[str, Any] = self.client.get(path).json()
            return job if job["status"] in ("succeeded", "failed", "canceled") else None

        job = eventually(read, every=every)
        if job["status"] != "succeeded":
            raise SystemExit(f"{path}: {job['error']}")
        return job

    def close(self) -> None:
        self.client.close()
        self.api.terminate()
        self.api.wait(20)
        self.harness.stop()
