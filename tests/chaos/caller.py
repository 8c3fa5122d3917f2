"""A client as callers should be: it repeats what was not answered, with the same key."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Self

import httpx

from core.ids import new_id


class Caller:
    """Counts every answer; ``broken`` are answers and errors that nothing excuses.

    ``drops``: how often a connection broke before an answer. ``fresh``: a connection a request.
    """

    def __init__(
        self, url: str, key: str, accepted: list[str], patience: float, fresh: bool = False
    ) -> None:
        limits = httpx.Limits(max_keepalive_connections=0) if fresh else httpx.Limits()
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
            limits=limits,
        )
        self._accepted = accepted
        self._patience = patience
        self.answers: Counter[int] = Counter()
        self.drops: list[str] = []
        self.broken: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send until it is answered with something else than 503."""
        until = time.monotonic() + self._patience
        while True:
            answer = self._once(method, path, options)
            if answer is not None and answer.status_code != 503:
                return answer
            if time.monotonic() > until:
                raise AssertionError(f"{method} {path} was not answered in {self._patience:g} s")
            time.sleep(0.05)

    def _once(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response | None:
        try:
            answer = self._client.request(method, path, **options)
        except httpx.TransportError as error:
            self.drops.append(f"{method} {path}: {error!r}")
            return None
        self.answers[answer.status_code] += 1
        if answer.status_code == 503 and not answer.headers.get("Retry-After", "").isdigit():
            self.broken.append(f"{method} {path}: 503 without Retry-After")
        elif answer.status_code >= 500 and answer.status_code not in (503, 507):
            self.broken.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def submit(self, kind: str, params: dict[str, Any], key: str | None = None) -> str:
        """Submit a job, however often that takes; returns its id."""
        answer = self.request(
            "POST",
            f"/v1/jobs/{kind}",
            json=params,
            headers={"Idempotency-Key": key or new_id("req")},
        )
        while answer.status_code == 409:  # the lost first request is still at it
            time.sleep(0.05)
            answer = self.request(
                "POST", f"/v1/jobs/{kind}", json=params, headers=answer.request.headers
            )
        assert answer.status_code == 202, answer.text
        job_id = str(answer.json()["id"])
        self._accepted.append(job_id)
        return job_id

    def cancel(self, job_id: str) -> int:
        return self.request("POST", f"/v1/jobs/{job_id}/cancel").status_code
