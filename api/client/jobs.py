"""Jobs: submitting, watching, stopping."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from api.client.failures import ApiProblem, JobNotSucceeded
from api.client.records import Event, Job, parse
from api.client.transport import Transport, decoded, path_of
from api.client.watching import follow_events, watch

LOG_POLL_SECONDS = 1.0


class Jobs:
    """``/v1/jobs``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def submit(
        self,
        kind: str,
        params: Mapping[str, Any],
        *,
        labels: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> Job:
        """Create a job; the same key never creates a second one."""
        answer = self._transport.create(
            path_of("jobs", kind),
            dict(params),
            key=idempotency_key,
            params={"label": list(labels)} if labels else None,
        )
        return parse(Job, decoded(answer))

    def validate(self, kind: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Check parameters and estimate their cost; creates nothing."""
        answer = self._transport.send(
            "POST", path_of("jobs", kind), json=dict(params), params={"validate_only": "true"}
        )
        estimate: dict[str, Any] = decoded(answer)
        return estimate

    def get(self, job_id: str) -> Job:
        return parse(Job, self._transport.get(path_of("jobs", job_id)))

    def list(
        self,
        *,
        kind: str | None = None,
        status: str | None = None,
        label: str | None = None,
        dataset_id: str | None = None,
        parent_id: str | None = None,
        created_after: str | None = None,
    ) -> Iterator[Job]:
        """Yield jobs, newest first."""
        items = self._transport.pages(
            path_of("jobs"),
            kind=kind,
            status=status,
            label=label,
            dataset_id=dataset_id,
            parent_id=parent_id,
            created_after=created_after,
            limit=100,
        )
        return (parse(Job, item) for item in items)

    def running_children(self, job: Job) -> Sequence[Job]:
        """Return the jobs that ``job`` waits for right now, oldest first."""
        return list(self.list(status="running", parent_id=job.id))[::-1]

    def watch(self, job_id: str, *, timeout: float | None = None) -> Iterator[Job]:
        """Yield the job now, at each change, and once ended; WaitTimeout after ``timeout`` s."""
        return watch(self._transport, self.get, job_id, timeout=timeout)

    def wait(
        self,
        job_id: str,
        *,
        timeout: float | None = None,
        tell: Callable[[Job], None] | None = None,
    ) -> Job:
        """Return the job once it has succeeded; JobNotSucceeded when it failed or was canceled."""
        for job in self.watch(job_id, timeout=timeout):
            if tell is not None:
                tell(job)
            if job.ended and not job.succeeded:
                raise JobNotSucceeded(job)
        return job

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop; ApiProblem 409 when it has succeeded or failed already."""
        return parse(Job, decoded(self._transport.send("POST", path_of("jobs", job_id, "cancel"))))

    def retry(self, job_id: str, *, idempotency_key: str | None = None) -> Job:
        """Create a new job with the parameters of a failed or canceled one."""
        path = path_of("jobs", job_id, "retry")
        return parse(Job, decoded(self._transport.create(path, key=idempotency_key)))

    def events(self, job_id: str) -> Iterator[Event]:
        """Yield the events so far, in the order in which the server lists them."""
        items = self._transport.pages(path_of("jobs", job_id, "events"), limit=200)
        return (parse(Event, item) for item in items)

    def follow_events(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """Yield the events after number ``after`` as they happen, until the job has ended."""
        return follow_events(self._transport, self.get, job_id, after=after)

    def logs(self, job_id: str, *, follow: bool = False) -> Iterator[str]:
        """Yield pieces of the log; with ``follow`` until the job has ended."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        offset = 0
        ended = not follow
        while True:
            data = self._log_from(job_id, offset)
            offset += len(data)
            text = decoder.decode(data)
            if text:
                yield text
            if ended and not (follow and data):
                break
            if not ended and not data:
                self._transport.sleep(LOG_POLL_SECONDS)
            if not ended:
                ended = self.get(job_id).ended
        tail = decoder.decode(b"", final=True)
        if tail:
            yield tail

    def _log_from(self, job_id: str, offset: int) -> bytes:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        path = path_of("jobs", job_id, "logs")
        try:
            answer = self._transport.send("GET", path, headers=headers)
        except ApiProblem as problem:
            if problem.status == 416:  # nothing new
                return b""
            raise
        whole = offset and answer.status_code == 200  # Range was not honoured
        return answer.content[offset:] if whole else answer.content
