"""The index of images: loaded by COPY when a version is published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from psycopg import Cursor
from psycopg.types.json import Jsonb
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.db.models import DatasetVersion, Image
from core.db.repositories.access import readable
from core.errors import NotFound
from core.manifest import ImageRecord, read_manifest
from core.services.principal import Principal

COLUMNS = (
    "tenant_id", "version_id", "image_id", "position", "filename", "label", "sha256", "width",
    "height", "media_type", "modality", "split", "source", "quarantined", "group_ids", "parents",
    "metadata", "provenance",
)  # fmt: skip
COPY = f"COPY images ({', '.join(COLUMNS)}) FROM STDIN"


def copy_manifest(session: Session, version: DatasetVersion, manifest: Path) -> None:
    """Load all images of a manifest into the index, in the caller's transaction."""
    # one statement for all images: it may take longer than others are allowed to
    session.execute(text("SET LOCAL statement_timeout = '15min'"))
    connection: Any = session.connection().connection.driver_connection
    cursor: Cursor[Any]
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        for position, record in enumerate(read_manifest(manifest)):
            copy.write_row(_row(version, position, record))


def _row(version: DatasetVersion, position: int, record: ImageRecord) -> tuple[Any, ...]:
    return (
        version.tenant_id,
        version.id,
        record.image_id,
        position,
        record.filename,
        record.label,
        record.sha256,
        record.width,
        record.height,
        record.media_type,
        record.modality,
        record.split,
        record.source,
        record.quarantined,
        list(record.group_ids),
        list(record.parents),
        Jsonb(record.metadata),
        Jsonb(record.provenance),
    )


def newest(session: Session, principal: Principal, image_id: str) -> Image:
    """Return an image as its newest version has it; NotFound otherwise."""
    row = session.scalar(
        readable(principal, Image)
        .where(Image.image_id == image_id)
        .order_by(Image.version_id.desc())
        .limit(1)
    )
    if row is None:
        raise NotFound(f"There is no image {image_id}", code="image_not_found")
    return row
