"""``/v1/uploads``: resumable uploads."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from api.answers import answered
from api.deps import ApiRoute, DatasetsRead, DatasetsWrite
from api.idempotency import OnceDep
from api.ids import UploadIdPath
from api.schemas import datasets as schemas
from api.write_behind import WriteBehind
from core.db.models import Upload
from core.db.repositories import uploads as rows
from core.db.session import sessions
from core.errors import PayloadTooLarge, RequestTimeout, UnsupportedMedia
from core.services import uploads
from core.services.idempotency import Answer, once
from core.services.job_view import stamp
from core.services.principal import Principal
from core.services.transaction import transaction

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=ApiRoute)

CHUNK_TYPE = "application/offset+octet-stream"
BATCH_BYTES = 4 * 1024**2
SAVE_BYTES = 256 * 1024**2
"""A long request records its progress at least so often."""

_OFFSETS = {
    "Upload-Offset": {"schema": {"type": "integer"}, "description": "Bytes that are there."},
    "Upload-Length": {"schema": {"type": "integer"}, "description": "Bytes in all."},
}


@router.post("", operation_id="uploads_create", response_model=schemas.Upload, status_code=201)
def create_upload(principal: DatasetsWrite, wish: OnceDep, body: schemas.NewUpload) -> Response:
    """Announce an upload; send its bytes with PATCH within 24 hours."""
    with transaction(sessions()) as session:

        def make() -> Answer:
            row = uploads.begin(session, principal, **body.model_dump())
            headers = {"Location": f"/v1/uploads/{row.id}", **uploads.position(row)}
            return Answer(201, headers, _view(row))

        answer, _ = once(session, principal, wish, make)
    return answered(answer)


def _view(row: Upload) -> dict[str, Any]:
    return {
        "id": row.id,
        "length": row.length,
        "offset": row.received,
        "sha256": row.sha256,
        "filename": row.filename,
        "created_at": stamp(row.created_at),
        "expires_at": stamp(row.expires_at),
        "completed_at": stamp(row.completed_at),
    }


@router.head(
    "/{upload_id}",
    operation_id="uploads_get",
    response_class=Response,
    responses={200: {"headers": _OFFSETS, "description": "How far the upload is."}},
)
def head_upload(principal: DatasetsRead, upload_id: UploadIdPath) -> Response:
    """Tell how many bytes have arrived."""
    with sessions()() as session:
        row = rows.live(session, principal, upload_id)
    return Response(headers={**uploads.position(row), "Cache-Control": "no-store"})


@router.patch(
    "/{upload_id}",
    operation_id="uploads_append",
    status_code=204,
    response_class=Response,
    responses={204: {"headers": _OFFSETS, "description": "The bytes have been taken."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                CHUNK_TYPE: {
                    "schema": {"type": "string", "format": "binary"},
                    "example": "the next bytes",
                }
            },
        }
    },
)
async def append_upload(
    request: Request,
    principal: DatasetsWrite,
    upload_id: UploadIdPath,
    upload_offset: Annotated[
        int, Header(ge=0, lt=2**63, description="Where these bytes begin: all that has arrived.")
    ],
) -> Response:
    """Append bytes; 409 tells the right offset; the last chunk is answered after the hash check."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != CHUNK_TYPE:
        raise UnsupportedMedia(f"The body must be {CHUNK_TYPE}")
    stack = ExitStack()
    try:
        part = await run_in_threadpool(
            stack.enter_context, uploads.chunk(sessions(), principal, upload_id, upload_offset)
        )
        _check_length(request, part)
        upload = await _receive(request, principal, part)
    finally:
        await run_in_threadpool(stack.close)
    return Response(status_code=204, headers=uploads.position(upload))


def _check_length(request: Request, part: uploads.Chunk) -> None:
    text = request.headers.get("content-length", "")
    if text.isdigit() and part.offset + int(text) > part.upload.length:
        raise PayloadTooLarge(
            f"The upload was announced with {part.upload.length} bytes", code="upload_too_long"
        )


async def _receive(request: Request, principal: Principal, part: uploads.Chunk) -> Upload:
    """Write the body; what has arrived when the client goes away is kept."""
    saved = part.offset

    def append(pieces: list[uploads.Buffer]) -> None:
        nonlocal saved
        part.write(pieces)
        if part.offset - saved >= SAVE_BYTES and part.offset < part.upload.length:
            uploads.save(sessions(), principal, part)
            saved = part.offset

    async with WriteBehind(append, BATCH_BYTES) as body:
        try:
            async for data in request.stream():
                await body.take(data)
        except (ClientDisconnect, RequestTimeout):
            await body.flush()
            await run_in_threadpool(uploads.save, sessions(), principal, part)
            raise
        await body.flush()
    return await run_in_threadpool(uploads.save, sessions(), principal, part)
