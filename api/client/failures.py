"""The errors of the client.

ClientError
├── InvalidAddress      the base URL is not an http(s) address
├── ServerUnreachable   no answer, after all tries
├── ApiProblem          the server refused (RFC 9457); carries status and code
├── UnexpectedAnswer    an answer that is not what the contract says
├── SourceRefused       a file or folder that cannot be sent
├── UploadFailed        an upload stopped; carries its id, so that it can be resumed
├── IncompleteImport    accepted + rejected is not what was sent
├── DownloadRefused     a file exists already, or what arrived has the wrong hash
├── JobNotSucceeded     a job that was waited for failed or was canceled; carries the job
└── WaitTimeout         a job was still not done after the time given
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from api.client.records import Job


class ClientError(Exception):
    """Base of everything that the client raises on purpose."""


class InvalidAddress(ClientError):
    """The base URL is not an http(s) address."""


class ServerUnreachable(ClientError):
    """No answer from the server, after all tries."""


class UnexpectedAnswer(ClientError):
    """The answer is not what the HTTP contract says."""


class NoSuchDataset(ClientError):
    """No dataset, or more than one, carries the name; or it has no version yet."""


class SourceRefused(ClientError):
    """A file or folder that cannot be sent: missing, empty, or changed while being sent."""


class DownloadRefused(ClientError):
    """A target exists already, or the bytes that arrived do not have the published hash."""


class WaitTimeout(ClientError):
    """The job was still not done after the time given; it goes on running."""


class UploadFailed(ClientError):
    """An upload stopped before its end; ``upload_id`` resumes it."""

    def __init__(self, detail: str, upload_id: str) -> None:
        super().__init__(detail)
        self.upload_id = upload_id


class IncompleteImport(ClientError):
    """accepted + rejected is not the number of files that were sent."""

    def __init__(self, sent: int, accepted: int, rejected: int) -> None:
        super().__init__(
            f"{sent} files were sent, but {accepted} accepted and {rejected} rejected "
            f"make {accepted + rejected}."
        )
        self.sent, self.accepted, self.rejected = sent, accepted, rejected


class JobNotSucceeded(ClientError):
    """A job failed or was canceled."""

    def __init__(self, job: Job) -> None:
        problem = job.error or {}
        reason = problem.get("detail") or problem.get("code") or job.status
        super().__init__(f"Job {job.id} ({job.kind}) {job.status}: {reason}")
        self.job = job


class ApiProblem(ClientError):
    """The server's refusal, as in RFC 9457; ``errors`` are ``{pointer, detail}`` of fields."""

    def __init__(
        self,
        *,
        status: int,
        code: str,
        detail: str,
        errors: tuple[dict[str, str], ...] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
        members: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{detail} ({code}, HTTP {status})")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.request_id = request_id
        self.retry_after = retry_after
        self.members = members or {}

    @classmethod
    def from_response(
        cls, response: httpx.Response, *, retry_after: float | None = None
    ) -> ApiProblem:
        """Read a problem from a response whose body has been read; proxies' HTML included."""
        body = _json_object(response)
        status = response.status_code
        detail = body.get("detail") or body.get("title") or response.reason_phrase or "Refused"
        return cls(
            status=status,
            code=str(body.get("code") or f"http_{status}"),
            detail=detail if isinstance(detail, str) else str(detail),
            errors=tuple(_field_errors(body.get("errors"))),
            request_id=body.get("request_id") or response.headers.get("x-request-id"),
            retry_after=retry_after,
            members=body,
        )

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "errors": list(self.errors),
            "request_id": self.request_id,
        }


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _field_errors(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list):
        return []
    return [
        {"pointer": str(item.get("pointer", "")), "detail": str(item.get("detail", ""))}
        for item in value
        if isinstance(item, dict)
    ]
