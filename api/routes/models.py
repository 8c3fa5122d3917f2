"""``/v1/models``: trained classifiers, and predictions in one call."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.answers import answered, json_response, tagged
from api.deps import ApiRoute, ModelsRead, ModelsWrite
from api.idempotency import MAX_LENGTH, keyed
from api.ids import ModelIdPath
from api.job_links import accepted
from api.multipart import FilePart, Form, FormLimits
from api.pagination import PageDep, paged
from api.problem import problem_response
from api.schemas import jobs as job_schemas
from api.schemas import products as schemas
from api.waiting import outcome
from core.config import get_settings
from core.db.models import TrainedModel
from core.db.repositories import job_queries
from core.db.repositories.access import newest_first, owned
from core.db.session import sessions
from core.errors import FieldError, InvalidInput, Unavailable
from core.ids import new_id
from core.jobs.spec import JOB_KINDS
from core.jobs.states import TERMINAL, JobStatus
from core.pointers import invalid
from core.services import job_view, predictions, sent_images
from core.services.idempotency import Answer, Once, once, repeated
from core.services.principal import Principal
from core.services.quota import check_quota, require_room
from core.services.transaction import transaction
from core.storage.blobs import BlobStore

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=ApiRoute)

WAIT_SECONDS = 30.0
MAX_IMAGE_BYTES = 64 * 1024**2


@router.get("", operation_id="models_list", response_model=schemas.ModelPage)
def list_models(principal: ModelsRead, page: PageDep) -> Response:
    """List models, newest first."""
    with sessions()() as session:
        rows = newest_first(session, principal, TrainedModel, page.text(), page.limit + 1)
    return json_response(paged(rows, page, predictions.model_view, lambda row: row.id))


@router.get("/{model_id}", operation_id="models_get", response_model=schemas.Model)
def get_model(request: Request, principal: ModelsRead, model_id: ModelIdPath) -> Response:
    """Return a model: its classes, what it was trained on, its scores."""
    with sessions()() as session:
        row = owned(session, principal, TrainedModel, model_id, "model")
    return tagged(request, predictions.model_view(row))


@router.post(
    "/{model_id}/predict",
    operation_id="models_predict",
    response_model=schemas.Predictions,
    responses={202: {"model": job_schemas.Job, "description": "It takes longer: look there."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["images"],
                        "properties": {
                            "images": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 32,
                                "items": {"type": "string", "format": "binary"},
                            }
                        },
                    },
                    "example": {"images": ["lesion.jpg"]},
                }
            },
        }
    },
)
async def predict(
    request: Request,
    principal: ModelsWrite,
    model_id: ModelIdPath,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=MAX_LENGTH)] = None,
) -> Response:
    """Classify up to 32 images; research only, not for diagnosis."""
    length = request.headers.get("content-length", "")
    await run_in_threadpool(
        _check_possible, principal, model_id, int(length) if length.isdigit() else 0
    )
    settings = get_settings()
    folder = settings.data_dir / "staging" / "direct" / new_id("req")
    limits = FormLimits(("images",), settings.max_predict_images, MAX_IMAGE_BYTES)
    try:
        with Form(limits, lambda: folder / new_id("req")) as form:
            await form.read(request)
            _check_form(form)
            wish = keyed(request, idempotency_key, form.fingerprint())
            for part in form.files:
                form.keep(part)
            answer = await run_in_threadpool(_submit, principal, model_id, form.files, folder, wish)
    finally:
        await run_in_threadpool(shutil.rmtree, folder, True)
    job = await outcome(request, principal, str(answer.body["id"]), WAIT_SECONDS)
    return _answer(request, answer, job)


def _check_possible(principal: Principal, model_id: str, length: int) -> None:
    """Refuse before the images are read."""
    require_room(length)
    with sessions()() as session:
        owned(session, principal, TrainedModel, model_id, "model")
        check_quota(session, principal.tenant_id)
        queue = JOB_KINDS.get(predictions.KIND).queue
        if queue not in job_queries.live_queues(session, job_view.silence_seconds()):
            raise Unavailable(
                f"No worker serves the queue {queue!r} now", code="no_worker", retry_after=10
            )


def _check_form(form: Form) -> None:
    if form.fields:
        errors = [FieldError(f"/{name[:80]}", "There is no such field") for name in form.fields]
        raise InvalidInput("The only field is images", errors=errors)
    if not form.files:
        raise invalid("/images", "At least one image is needed")


def _submit(
    principal: Principal, model_id: str, files: list[FilePart], folder: Path, wish: Once | None
) -> Answer:
    sizes = {part.sha256: part.size for part in files}
    images = [{"filename": part.filename[:255], "sha256": part.sha256} for part in files]
    raw: dict[str, Any] = {"model_id": model_id, "images": images}
    with sessions()() as session:
        if (known := repeated(session, principal, wish)) is not None:
            return known
        sent_images.check_sent(session, principal, raw, sizes)
    for part in files:
        part.path.replace(folder / part.sha256)
    store = BlobStore(get_settings().data_dir)
    sent_images.put_on_disk(folder, sizes)
    with transaction(sessions()) as session:

        def make() -> Answer:
            job = sent_images.submit_sent(session, principal, store, folder, raw, sizes)
            return accepted(job_view.written(job))

        answer, _ = once(session, principal, wish, make)
    return answer


def _answer(request: Request, answer: Answer, job: dict[str, Any]) -> Response:
    if job["status"] == JobStatus.SUCCEEDED:
        return json_response(job["result"], 200, {"Location": answer.headers["Location"]})
    if job["status"] in TERMINAL:
        problem = job["error"] or {}
        members = {**problem, "job_id": job["id"], "status": problem.get("status", 500)}
        return problem_response(request.scope, members)
    return answered(Answer(202, answer.headers, job))
