"""SQL of what a job's parameters name; rows are locked, so that they stay until it is submitted."""

from __future__ import annotations

from sqlalchemy import any_, exists, func, select
from sqlalchemy.orm import Session

from core.db.models import Asset, Dataset, DatasetVersion, Image, TrainedModel, Upload
from core.db.repositories.jobs import NOW


def version(session: Session, tenant_id: str, version_id: str) -> tuple[DatasetVersion, str] | None:
    """Return a version and the name of its dataset; a deletion of it waits."""
    row = session.execute(
        select(DatasetVersion, Dataset.name)
        .join(Dataset, Dataset.id == DatasetVersion.dataset_id)
        .where(DatasetVersion.id == version_id, DatasetVersion.tenant_id == tenant_id)
        .with_for_update(read=True, of=DatasetVersion)
    ).first()
    return None if row is None else (row[0], row[1])


def made_of(session: Session, version: DatasetVersion) -> tuple[str, ...]:
    """Return the real versions nearest above a synthetic one; those that were deleted are not."""
    if version.kind == "real":
        return ()
    own = select(DatasetVersion.id, DatasetVersion.kind, DatasetVersion.parents)
    above = own.where(
        DatasetVersion.id == version.id, DatasetVersion.tenant_id == version.tenant_id
    ).cte(recursive=True)
    above = above.union(
        own.join(above, DatasetVersion.id == any_(above.c.parents)).where(
            above.c.kind == "synthetic", DatasetVersion.tenant_id == version.tenant_id
        )
    )
    found = select(above.c.id).where(above.c.kind == "real").order_by(above.c.id)
    return tuple(session.scalars(found))


def masks(session: Session, version_id: str) -> int:
    """Count the images of a version that have a mask of their lesion."""
    annotated = Image.provenance["annotations"].has_key("mask")
    query = select(func.count()).where(Image.version_id == version_id, annotated)
    return session.scalar(query) or 0


def model(session: Session, tenant_id: str, model_id: str) -> TrainedModel | None:
    """Return a model; a deletion of it, or an erasure of what it was made from, waits."""
    return session.scalar(
        select(TrainedModel)
        .where(TrainedModel.id == model_id, TrainedModel.tenant_id == tenant_id)
        .with_for_update(read=True, key_share=True)
    )


def asset(session: Session, tenant_id: str, asset_id: str) -> Asset | None:
    """Return an asset; a deletion of it waits."""
    return session.scalar(
        select(Asset)
        .where(Asset.id == asset_id, Asset.tenant_id == tenant_id)
        .with_for_update(read=True, key_share=True)
    )


def group(session: Session, tenant_id: str, group_id: str) -> bool:
    """Tell whether there is a group of real images or of an asset; its erasure waits."""
    image = (
        Image.tenant_id == tenant_id,
        Image.source == "real",
        Image.group_ids.contains([group_id]),
    )
    found = select(DatasetVersion.id).where(
        DatasetVersion.id.in_(select(Image.version_id).where(*image))
    )
    asset_of = Asset.tenant_id == tenant_id, Asset.group_ids.contains([group_id])
    lock = select(Asset.id).where(*asset_of).order_by(Asset.id).limit(1)
    session.execute(found.order_by(DatasetVersion.id).limit(1).with_for_update(read=True))
    session.execute(lock.with_for_update(read=True, key_share=True))
    # anew: an erasure may have been waited for
    return bool(session.scalar(select(exists().where(*image) | exists().where(*asset_of))))


def upload(session: Session, tenant_id: str, upload_id: str) -> Upload | None:
    """Return an upload that has not expired; its removal waits."""
    return session.scalar(
        select(Upload)
        .where(Upload.id == upload_id, Upload.tenant_id == tenant_id, Upload.expires_at > NOW)
        .with_for_update(read=True)
    )
