"""``/v1/jobs``: one POST route per job kind, made from the registry."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from api.answers import answered, json_response, tagged
from api.deps import ApiRoute, JobsRead, JobsWrite, Requires, require, still_allowed
from api.events import Caller, as_sse
from api.idempotency import OnceDep
from api.ids import JobId
from api.instants import Instant
from api.job_links import accepted, linked
from api.log_content import log_response
from api.pagination import Page, PageDep, encode_cursor, paged
from api.schemas import jobs as schemas
from api.submissions import Submission
from api.waiting import answer_job
from core.config import get_settings
from core.db.models import Job
from core.db.repositories import job_rows, jobs
from core.db.repositories.access import owned
from core.db.repositories.job_rows import JobFilter
from core.db.session import reading, reads, sessions
from core.errors import Conflict, InvalidInput, NotFound
from core.jobs.spec import JOB_KINDS, JobKind, Params
from core.jobs.states import TERMINAL, JobStatus
from core.services import job_view, lifecycle, predictions
from core.services.audit import record
from core.services.idempotency import Answer, once
from core.services.principal import Principal
from core.services.submit import check, public_kind, submit
from core.services.transaction import transaction
from core.storage.blobs import BlobStore

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=ApiRoute)

Label = Annotated[str, Field(min_length=1, max_length=100)]
LabelsQuery = Annotated[
    list[Label], Query(max_length=20, description="Labels of the job; repeat for several.")
]
ValidateOnly = Annotated[bool, Query(description="Check and estimate; create nothing.")]


def _creator(kind: JobKind[Any, Any]) -> Callable[..., Coroutine[Any, Any, Response]]:
    async def create(
        request: Request,
        principal: JobsWrite,
        wish: OnceDep,
        params: Any,
        label: LabelsQuery = [],  # noqa: B006 - FastAPI copies it
        validate_only: ValidateOnly = False,
    ) -> Response:
        if kind.diagnostic:
            public_kind(kind.name)  # NotFound when the settings do not offer it
        if validate_only:
            return json_response(await run_in_threadpool(_validate, principal, kind, params))
        size = len(await request.body())  # read before
        wanted = Submission(principal, kind, params, label, wish, size)
        answer = await request.app.state.submissions.answer(wanted)
        return await answer_job(request, principal, answer)

    create.__annotations__["params"] = kind.params
    return create


def _validate(principal: Principal, kind: JobKind[Any, Any], params: Params) -> dict[str, Any]:
    with sessions()() as session:
        checked = check(session, principal.tenant_id, kind, params)
        predictions.check_visible(session, principal, kind.name, params)
        cost = checked.estimate()
        session.rollback()
    estimate = None if cost is None else cost.model_dump()
    return {"valid": True, "queue": kind.queue_of(checked.params), "estimate": estimate}


class KindInPath(Convertor[str]):
    """Matches the name of a public kind where an id could stand."""

    regex = "|".join(re.escape(name) for name, kind in JOB_KINDS if kind.public)

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("job_kind", KindInPath())


@router.api_route(
    "/{kind:job_kind}", methods=["GET", "PUT", "PATCH", "DELETE"], include_in_schema=False
)
def only_post() -> Response:
    """Refuse to read a kind, which else GET /{job_id} would answer with 404."""
    raise HTTPException(405, "Method Not Allowed")


@router.get("", operation_id="jobs_list", response_model=schemas.JobPage)
def list_jobs(
    principal: JobsRead,
    page: PageDep,
    kind: Annotated[str | None, Query(max_length=80)] = None,
    status: schemas.Status | None = None,
    label: Annotated[str | None, Query(max_length=100)] = None,
    dataset_id: Annotated[str | None, Query(max_length=80)] = None,
    parent_id: Annotated[
        str | None, Query(max_length=80, description="A job, or `none`: those without a parent.")
    ] = None,
    created_after: Annotated[Instant | None, Query()] = None,
) -> Response:
    """List jobs, newest first, children included."""
    wanted = JobFilter(kind, status, label, dataset_id, parent_id, created_after)
    with reads()() as session:
        rows = job_rows.newest_jobs(session, principal, wanted, page.text(), page.limit + 1)
        shown = {one["id"]: one for one in job_view.views(session, rows[: page.limit])}
    return json_response(paged(rows, page, lambda row: linked(shown[row.id]), lambda row: row.id))


@router.get("/{job_id}", operation_id="jobs_get", response_model=schemas.Job)
def get_job(request: Request, principal: JobsRead, job_id: JobId) -> Response:
    """Return a job."""
    with reading() as connection:
        job = job_view.current(connection, principal, job_id)
    return tagged(request, linked(job))


@router.get(
    "/{job_id}/events",
    operation_id="jobs_list_events",
    response_model=schemas.EventPage,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "A page, or with `Accept: text/event-stream` a stream to the job's end.",
        }
    },
)
async def list_events(
    request: Request,
    principal: JobsRead,
    job_id: JobId,
    page: PageDep,
    after: Annotated[int, Query(ge=0, lt=2**31, description="Only events above this seq.")] = 0,
) -> Response:
    """List the events of a job, oldest first; or stream them (`Last-Event-ID` resumes)."""
    if "text/event-stream" not in request.headers.get("accept", ""):
        return await run_in_threadpool(_event_page, principal, job_id, page, after)
    status, newest = await run_in_threadpool(_state, principal, job_id)
    start = min(newest, _last_event_id(request, after))
    if status in TERMINAL and start >= newest:
        # 204 tells an EventSource not to come back (WHATWG HTML, 9.2.3)
        return Response(status_code=204)

    caller = Caller(principal.key_id, lambda: still_allowed(request, ["jobs:read"]))

    async def messages() -> Any:
        yield "retry: 1000\n\n"
        async for event in request.app.state.events.stream(job_id, start, caller):
            yield as_sse(event)

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(messages(), media_type="text/event-stream", headers=headers)


def _last_event_id(request: Request, after: int) -> int:
    text = request.headers.get("last-event-id")
    if not text:
        return after
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise InvalidInput("Last-Event-ID is not the number of an event", code="invalid_event_id")
    return int(text)


def _state(principal: Principal, job_id: str) -> tuple[str, int]:
    with reading() as connection:
        return job_rows.state(connection, principal, job_id)


def _event_page(principal: Principal, job_id: str, page: Page, after: int) -> Response:
    start = page.number()
    with sessions()() as session:
        owned(session, principal, Job, job_id, "job")
        rows = jobs.events_after(
            session, job_id, start if start is not None else after, page.limit + 1
        )
    shown = rows[: page.limit]
    return json_response(
        {
            "items": [
                {"seq": row.seq, "type": row.type, "data": row.data, "at": job_view.stamp(row.at)}
                for row in shown
            ],
            "next_cursor": encode_cursor(shown[-1].seq) if len(rows) > page.limit else None,
        }
    )


@router.get(
    "/{job_id}/logs",
    operation_id="jobs_get_logs",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        206: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "A part."},
    },
)
def get_logs(request: Request, principal: JobsRead, job_id: JobId) -> Response:
    """Return the log of all attempts so far; `Range` returns a part of it."""
    with sessions()() as session:
        owned(session, principal, Job, job_id, "job")
    return log_response(request, BlobStore(get_settings().data_dir).log(job_id))


@router.post(
    "/{job_id}/cancel",
    operation_id="jobs_cancel",
    response_model=schemas.Job,
    status_code=202,
    responses={200: {"model": schemas.Job, "description": "It is canceled already."}},
)
def cancel_job(principal: JobsWrite, job_id: JobId) -> Response:
    """Call off a job and its children; 409 when it has succeeded or failed."""
    with transaction(sessions()) as session:
        owned(session, principal, Job, job_id, "job")
        job = lifecycle.cancel(session, job_id)
        record(session, principal, "job.cancel", "job", job_id, {"kind": job.kind})
        status = 200 if job.status in TERMINAL else 202
        body = linked(job_view.view(session, job))
    return json_response(body, status, {"Location": f"/v1/jobs/{job_id}"})


@router.post(
    "/{job_id}/retry", operation_id="jobs_retry", response_model=schemas.Job, status_code=202
)
def retry_job(principal: JobsWrite, job_id: JobId, wish: OnceDep) -> Response:
    """Create a new job with the parameters of a failed or canceled one."""
    with transaction(sessions()) as session:
        old = owned(session, principal, Job, job_id, "job")
        require(principal, JOB_KINDS.get(old.kind).scopes)

        def make() -> Answer:
            _check_retry(old)
            job = submit(session, principal, JOB_KINDS.get(old.kind), old.params, old.labels)
            return accepted(job_view.written(job))

        answer, _ = once(session, principal, wish, make)
    return answered(answer)


def _check_retry(job: Job) -> None:
    if job.parent_id is not None:
        raise Conflict(f"{job.id} is part of {job.parent_id}: retry that", code="job_has_a_parent")
    if job.status not in (JobStatus.FAILED, JobStatus.CANCELED):
        raise Conflict(
            f"The job is {job.status}: there is nothing to retry", code="nothing_to_retry"
        )


ENDED = "The ended job (`Prefer: wait`), or the estimate (`validate_only`)."


def add_kind_routes() -> None:
    """Add ``POST /v1/jobs/{kind}`` for every public kind, and 404 for every other name.

    Diagnostic kinds have a route when the settings offer them, but never stand in openapi.json.
    """
    for name, kind in JOB_KINDS:
        if kind.public:
            router.add_api_route(
                f"/{name}",
                _creator(kind),
                methods=["POST"],
                status_code=202,
                response_model=schemas.Job,
                responses={200: {"model": schemas.Job | schemas.Validity, "description": ENDED}},
                operation_id=f"jobs_create_{name}",
                summary=kind.summary,
                include_in_schema=not kind.diagnostic,
                dependencies=[Depends(Requires(scope)) for scope in kind.scopes],
            )
    router.add_api_route(
        "/{kind}",
        unknown_kind,
        methods=["POST"],
        include_in_schema=False,
        dependencies=[Depends(Requires("jobs:write"))],
    )


def unknown_kind(kind: str) -> Response:
    """Say which kinds there are."""
    public_kind(kind[:80])
    raise NotFound(f"There is no job kind {kind[:80]!r}", code="unknown_job_kind")


add_kind_routes()  # last: what is asked for most is found first
