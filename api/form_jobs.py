"""Forms whose files become uploads and whose texts the parameters of a job: a route for each."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.deps import DatasetsWrite
from api.idempotency import MAX_LENGTH, keyed
from api.job_links import accepted
from api.multipart import FilePart, Form, FormLimits
from api.schemas import jobs as job_schemas
from api.waiting import answer_job
from core.config import get_settings
from core.db.session import sessions
from core.errors import FieldError, InvalidInput
from core.ids import new_id
from core.jobs.spec import JOB_KINDS
from core.pointers import invalid
from core.services import job_view, uploads
from core.services.idempotency import Answer, Once, once
from core.services.inputs import upload_path
from core.services.principal import Principal
from core.services.submit import submit
from core.services.transaction import transaction

FILE = "file"
"""The file that every form needs."""


@dataclass(frozen=True, slots=True)
class FormJob:
    """A form: its texts, its files and the parameters that they become.

    ``lists`` are the texts that hold several, separated by commas. ``needed`` says what the file
    is; ``schema`` is the name of the form's schema in the document.
    """

    kind: str
    fields: tuple[str, ...]
    files: Mapping[str, str]
    needed: str
    schema: str
    summary: str
    description: str
    example: Mapping[str, str]
    lists: tuple[str, ...] = ()

    def check(self, form: Form) -> None:
        """Raise InvalidInput for a field that there is not, and without the file."""
        if not any(part.field == FILE for part in form.files):
            raise invalid(f"/{FILE}", f"A file is needed: {self.needed}")
        for part in form.files:
            if part.size == 0:
                raise invalid(f"/{part.field}", "The file is empty", "empty_upload")
        if unknown := sorted(set(form.fields) - set(self.fields)):
            errors = [FieldError(f"/{name[:80]}", "There is no such field") for name in unknown]
            known = ", ".join((*self.fields, *self.files))
            raise InvalidInput(f"Fields are {known}", errors=errors)

    def params(self, form: Form) -> dict[str, Any]:
        """Return the raw parameters of the job."""
        raw: dict[str, Any] = {**form.fields}
        for name in set(self.lists) & set(raw):
            raw[name] = [one for one in raw[name].split(",") if one.strip()]
        return raw | {self.files[part.field]: part.path.name for part in form.files}


def add_form_job(router: APIRouter, form_job: FormJob, operation_id: str) -> None:
    """Add the route ``POST`` of the router's own path: 202 with the job that the form became."""
    content = {
        "schema": {"$ref": f"#/components/schemas/{form_job.schema}"},
        "example": dict(form_job.example),
    }
    body = {"required": True, "content": {"multipart/form-data": content}}

    @router.post(
        "",
        operation_id=operation_id,
        summary=form_job.summary,
        description=form_job.description,
        response_model=job_schemas.Job,
        status_code=202,
        openapi_extra={"requestBody": body},
    )
    async def create(
        request: Request,
        principal: DatasetsWrite,
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=MAX_LENGTH)] = None,
    ) -> Response:
        limits = FormLimits(tuple(form_job.files), 1, get_settings().max_upload_bytes)
        with Form(limits, lambda: upload_path(new_id("upl"))) as form:
            await form.read(request)
            form_job.check(form)
            wish = keyed(request, idempotency_key, form.fingerprint())
            raw = form_job.params(form)
            # from here on the thread decides: it goes on where this request is cancelled
            for part in form.files:
                form.keep(part)
            answer = await run_in_threadpool(
                _submit, principal, form_job.kind, form.files, raw, wish
            )
        return await answer_job(request, principal, answer)


def _submit(
    principal: Principal, kind: str, files: list[FilePart], raw: dict[str, Any], wish: Once | None
) -> Answer:
    with ExitStack() as stack:
        arrivals = [stack.enter_context(uploads.arrival(part.path)) for part in files]
        session = stack.enter_context(transaction(sessions()))

        def make() -> Answer:
            for part in files:
                name = part.filename[:255] or part.field
                uploads.record_whole(
                    session, principal, part.path.name, length=part.size, filename=name
                )
            job = submit(session, principal, JOB_KINDS.get(kind), raw)
            return accepted(job_view.written(job))

        answer, repeated = once(session, principal, wish, make)
        for arrival in arrivals:
            arrival.wanted = not repeated
        return answer
