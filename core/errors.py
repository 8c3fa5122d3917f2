"""The one tree of errors.

Every failure that a user can meet is one of these; the API turns them into RFC 9457 problems and
the job engine writes them as a job's ``error``, both with the same stable ``code``.

    DermSynthError
    ├── InvalidInput            422  invalid_input (or a narrower code)
    │   └── UnknownName         422  unknown_<thing>, lists the close matches
    ├── Unauthorized            401
    ├── Forbidden               403
    ├── NotFound                404
    ├── RequestTimeout          408
    ├── Conflict                409
    ├── PayloadTooLarge         413
    ├── UnsupportedMedia        415
    ├── TooManyRequests         429
    ├── Unavailable             503
    │   └── BlobVanished        503  blob_vanished, collected as garbage meanwhile
    ├── StorageFull             507
    │   └── QuotaExceeded       507  quota_exceeded, the tenant's limit
    └── JobFailed               a job ended without a result
        ├── LeakDetected        leak_detected, names the images
        ├── WeightsMissing      weights_missing, names the command that mends it
        ├── DeviceMissing       device_missing, a GPU was asked for
        ├── WorkerLost, JobTimeout, OutOfMemory, ChildFailed
        └── JobCancelled        raised inside a job by check_cancelled()
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One invalid field: a JSON pointer (RFC 6901) and what is wrong there."""

    pointer: str
    detail: str


class DermSynthError(Exception):
    """Base of all errors that are the service's word to its user."""

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self.extra = dict(extra or {})

    def as_problem(self) -> dict[str, Any]:
        """Return the members of an RFC 9457 problem, without request-specific ones."""
        problem: dict[str, Any] = {
            "type": f"urn:dermsynth3d:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.errors:
            problem["errors"] = [{"pointer": e.pointer, "detail": e.detail} for e in self.errors]
        return problem | self.extra


class InvalidInput(DermSynthError):
    status = 422
    default_code = "invalid_input"
    title = "Invalid input"


class UnknownName(InvalidInput):
    """A name that no registry entry carries."""

    title = "Unknown name"

    def __init__(self, thing: str, name: str, known: Iterable[str], pointer: str = "") -> None:
        names = sorted(known)
        close = get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(names)}"
        detail = f"There is no {thing.replace('_', ' ')} {name!r}; {hint}"
        super().__init__(
            detail,
            code=f"unknown_{thing}",
            errors=[FieldError(pointer, detail)] if pointer else (),
            extra={"close_matches": close},
        )


class Unauthorized(DermSynthError):
    status = 401
    default_code = "unauthorized"
    title = "Unauthorized"


class Forbidden(DermSynthError):
    status = 403
    default_code = "forbidden"
    title = "Forbidden"


class NotFound(DermSynthError):
    status = 404
    default_code = "not_found"
    title = "Not found"


class RequestTimeout(DermSynthError):
    """A request whose body stopped coming; the connection is closed."""

    status = 408
    default_code = "request_timeout"
    title = "Request timeout"


class Conflict(DermSynthError):
    status = 409
    default_code = "conflict"
    title = "Conflict"


class PayloadTooLarge(DermSynthError):
    status = 413
    default_code = "payload_too_large"
    title = "Payload too large"


class UnsupportedMedia(DermSynthError):
    status = 415
    default_code = "unsupported_media_type"
    title = "Unsupported media type"


class TooManyRequests(DermSynthError):
    status = 429
    default_code = "too_many_requests"
    title = "Too many requests"


class Unavailable(DermSynthError):
    status = 503
    default_code = "unavailable"
    title = "Service unavailable"


class BlobVanished(Unavailable):
    """A blob was collected as garbage before anything referred to it; the same again mends it."""

    default_code = "blob_vanished"


class StorageFull(DermSynthError):
    status = 507
    default_code = "storage_full"
    title = "Insufficient storage"


class QuotaExceeded(StorageFull):
    """The tenant keeps as many bytes as it may."""

    default_code = "quota_exceeded"
    title = "Quota exceeded"


class JobFailed(DermSynthError):
    """A job ended without a result."""

    default_code = "job_failed"
    title = "Job failed"


class LeakDetected(JobFailed):
    """Test and training side of a split share a group."""

    default_code = "leak_detected"
    title = "Leak detected"

    def __init__(self, detail: str, image_ids: Sequence[str]) -> None:
        super().__init__(detail, extra={"image_ids": list(image_ids)[:100]})
        self.image_ids = tuple(image_ids)


class WeightsMissing(JobFailed):
    """Pretrained weights are not on this machine; ``fix`` is the command that brings them."""

    status = 422
    default_code = "weights_missing"
    title = "Weights missing"

    def __init__(self, detail: str, *, fix: str) -> None:
        super().__init__(f"{detail} Fix: {fix}", extra={"fix": fix})
        self.fix = fix


class DeviceMissing(JobFailed):
    """A device (GPU) that was asked for is not on this machine."""

    status = 422
    default_code = "device_missing"
    title = "Device missing"


class WorkerLost(JobFailed):
    default_code = "worker_lost"
    title = "Worker lost"


class JobTimeout(JobFailed):
    default_code = "timeout"
    title = "Timeout"


class OutOfMemory(JobFailed):
    default_code = "out_of_memory"
    title = "Out of memory"


class ChildFailed(JobFailed):
    default_code = "child_failed"
    title = "A child job failed"


class JobCancelled(JobFailed):
    default_code = "canceled"
    title = "Canceled"
