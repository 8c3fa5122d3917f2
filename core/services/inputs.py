"""Resolves the ids in a job's parameters to a snapshot of what they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from core.config import get_settings
from core.db.repositories import inputs as rows
from core.errors import Conflict, FieldError, InvalidInput, NotFound
from core.jobs.context import AssetInput, Inputs, ModelInput, UploadInput, VersionInput
from core.jobs.spec import JobKind, Params, Reference, references
from core.pointers import field_errors


def upload_path(upload_id: str) -> Path:
    """Return where the bytes of an upload lie."""
    return get_settings().data_dir / "uploads" / upload_id


def parse(kind: JobKind[Any, Any], raw: dict[str, Any] | Params) -> Params:
    """Validate raw parameters, once; InvalidInput lists every field at fault."""
    if isinstance(raw, Params):
        return raw
    try:
        params: Params = kind.params.model_validate(raw)
    except ValidationError as error:
        raise InvalidInput(
            f"The parameters of {kind.name!r} are not valid", errors=field_errors(error)
        ) from None
    return params


def resolve(session: Session, tenant_id: str, params: Params) -> Inputs:
    """Return the snapshot of everything that ``params`` refers to; NotFound names the field."""
    versions: dict[str, VersionInput] = {}
    models: dict[str, ModelInput] = {}
    uploads: dict[str, UploadInput] = {}
    assets: dict[str, AssetInput] = {}
    groups: set[str] = set()
    for reference in references(params):
        match reference.kind:
            case "version":
                versions[reference.id] = _version(session, tenant_id, reference)
            case "model":
                models[reference.id] = _model(session, tenant_id, reference)
            case "upload":
                uploads[reference.id] = _upload(session, tenant_id, reference)
            case "asset":
                assets[reference.id] = _asset(session, tenant_id, reference)
            case "group":
                groups.add(_group(session, tenant_id, reference))
    return Inputs(
        versions=versions,
        models=models,
        uploads=uploads,
        assets=assets,
        groups=tuple(sorted(groups)),
    )


def _version(session: Session, tenant_id: str, reference: Reference) -> VersionInput:
    found = rows.version(session, tenant_id, reference.id)
    if found is None:
        raise _missing("dataset_version", reference)
    version, name = found
    return VersionInput(
        id=version.id,
        dataset_id=version.dataset_id,
        dataset_name=name,
        kind=version.kind,
        manifest_sha256=version.manifest_sha256,
        manifest_blob=version.manifest_blob,
        image_count=version.image_count,
        bytes=version.bytes,
        classes=version.classes,
        licence=version.licence,
        group_basis=version.info.get("group_basis", "image"),
        generator=version.info.get("generator"),
        created_at=version.created_at.isoformat(),
        made_of=rows.made_of(session, version),
        masks=rows.masks(session, version.id) if reference.masks else None,
    )


def _model(session: Session, tenant_id: str, reference: Reference) -> ModelInput:
    row = rows.model(session, tenant_id, reference.id)
    if row is None:
        raise _missing("model", reference)
    return ModelInput(id=row.id, files=row.files, info=row.info)


def _asset(session: Session, tenant_id: str, reference: Reference) -> AssetInput:
    row = rows.asset(session, tenant_id, reference.id)
    if row is None:
        raise _missing("asset", reference)
    return AssetInput.model_validate({name: getattr(row, name) for name in AssetInput.model_fields})


def _group(session: Session, tenant_id: str, reference: Reference) -> str:
    if not rows.group(session, tenant_id, reference.id):
        raise _missing("group", reference)
    return reference.id


def _upload(session: Session, tenant_id: str, reference: Reference) -> UploadInput:
    row = rows.upload(session, tenant_id, reference.id)
    if row is None:
        raise _missing("upload", reference)
    if row.completed_at is None:
        raise Conflict(
            f"Upload {row.id} has {row.received} of {row.length} bytes", code="upload_incomplete"
        )
    path = upload_path(row.id)
    return UploadInput(id=row.id, path=str(path), filename=row.filename, length=row.length)


def _missing(thing: str, reference: Reference) -> NotFound:
    detail = f"There is no {thing.replace('_', ' ')} {reference.id}"
    return NotFound(
        detail, code=f"{thing}_not_found", errors=[FieldError(reference.pointer, detail)]
    )
