"""SQL of an erasure: what is derived from the images of a group, and how it leaves the tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Text, case, delete, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Session

from core.db.models import (
    Artifact,
    Asset,
    Dataset,
    DatasetVersion,
    Experiment,
    IdempotencyKey,
    Image,
    Job,
    JobBlob,
    JobEvent,
    TrainedModel,
    Upload,
    WebhookDelivery,
)
from core.db.repositories.access import readable
from core.services.principal import Principal


def take_time(session: Session) -> None:
    """Let statements and pauses of this transaction last: manifests are rewritten in it."""
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
        session.execute(text(f"SET LOCAL {setting} = '30min'"))


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a group means: the ids of their groups, real images and assets."""

    groups: set[str]
    images: set[str]
    assets: set[str]


def one_person(session: Session, principal: Principal, group_id: str) -> Person:
    """Return what belongs to a group and to all that was ever merged with it.

    A later version may have joined groups: its images then carry the ids of all parts.
    """
    groups, images, assets = {group_id}, set[str](), set[str]()
    while True:
        query = (
            select(Image.image_id, Image.group_ids)
            .where(
                Image.tenant_id == principal.tenant_id,
                Image.source == "real",
                or_(Image.group_ids.overlap(list(groups)), Image.image_id.in_(images)),
            )
            .distinct()
        )
        before = len(groups), len(images)
        for image_id, own in session.execute(query):
            images.add(image_id)
            groups.update(own)
        shown = select(Asset.id, Asset.group_ids).where(
            Asset.tenant_id == principal.tenant_id, Asset.group_ids.overlap(list(groups))
        )
        for asset_id, own in session.execute(shown):
            assets.add(asset_id)
            groups.update(own)
        if (len(groups), len(images)) == before:
            return Person(groups, images, assets)


def derived_images(
    session: Session, principal: Principal, groups: Collection[str], images: Collection[str]
) -> set[str]:
    """Return the ids of images made from the given ones, through any number of steps."""
    found: set[str] = set()
    frontier = set(images)
    own = select(Image.image_id).where(Image.tenant_id == principal.tenant_id).distinct()
    of_groups = own.where(Image.source == "synthetic", Image.group_ids.overlap(list(groups)))
    fresh = set(session.scalars(of_groups))
    while frontier := (fresh | frontier) - found:
        found |= frontier
        fresh = set(session.scalars(own.where(Image.parents.overlap(list(frontier)))))
    return found - set(images)


def versions_with(session: Session, principal: Principal, images: Collection[str]) -> set[str]:
    """Return the ids of the versions in which the images stand."""
    query = select(Image.version_id).where(
        Image.tenant_id == principal.tenant_id, Image.image_id.in_(images)
    )
    return set(session.scalars(query.distinct()))


def lock_versions(
    session: Session, principal: Principal, ids: Collection[str]
) -> list[DatasetVersion]:
    """Lock versions after their datasets, so that nothing begins to use or to revise them."""
    datasets = select(DatasetVersion.dataset_id).where(DatasetVersion.id.in_(ids))
    session.scalars(
        readable(principal, Dataset)
        .where(Dataset.id.in_(datasets))
        .order_by(Dataset.id)
        .with_for_update()
    ).all()
    return versions(session, principal, ids, lock=True)


def versions(
    session: Session, principal: Principal, ids: Collection[str], *, lock: bool = False
) -> list[DatasetVersion]:
    """Return versions by id."""
    query = (
        readable(principal, DatasetVersion)
        .where(DatasetVersion.id.in_(ids))
        .order_by(DatasetVersion.id)
    )
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return list(session.scalars(query))


def assets(
    session: Session, principal: Principal, ids: Collection[str], *, lock: bool = False
) -> list[Asset]:
    """Return assets by id; locked, no job can begin to render with them."""
    query = readable(principal, Asset).where(Asset.id.in_(ids)).order_by(Asset.id)
    return list(session.scalars(query.with_for_update() if lock else query))


def uploads_of(session: Session, makers: Collection[str]) -> set[str]:
    """Return the ids of the uploads that jobs were given, removed ones included."""
    query = select(func.jsonb_object_keys(Job.inputs["uploads"])).where(
        Job.id.in_(makers), func.jsonb_typeof(Job.inputs["uploads"]) == "object"
    )
    return set(session.scalars(query))


@dataclass(frozen=True, slots=True)
class Used:
    """What jobs may have been given of a person."""

    versions: Collection[str]
    models: Collection[str]
    uploads: Collection[str]
    assets: Collection[str]
    groups: Collection[str]
    makers: Collection[str]
    """Jobs that published one of the versions or assets."""
    blobs: Collection[str]
    """Bytes that were sent for a prediction."""


_JOBS = text("""
    WITH RECURSIVE used AS (
        SELECT id, parent_id FROM jobs
        WHERE tenant_id = :tenant AND (
            id = ANY(:makers)
            OR jsonb_exists_any(inputs->'versions', :versions)
            OR jsonb_exists_any(inputs->'models', :models)
            OR jsonb_exists_any(inputs->'uploads', :uploads)
            OR jsonb_exists_any(inputs->'assets', :assets)
            OR jsonb_exists_any(inputs->'groups', :groups)
            OR CASE WHEN kind = 'predict' AND jsonb_typeof(params->'images') = 'array' THEN EXISTS (
                   SELECT FROM jsonb_array_elements(params->'images') AS image
                   WHERE image->>'sha256' = ANY(:blobs))
               ELSE false END)
    ), upwards AS (
        SELECT id, parent_id FROM used
        UNION
        SELECT j.id, j.parent_id FROM jobs j JOIN upwards u ON j.id = u.parent_id
    ), tree AS (
        SELECT id FROM upwards WHERE parent_id IS NULL
        UNION
        SELECT j.id FROM jobs j JOIN tree t ON j.parent_id = t.id
    )
    SELECT id FROM tree
""")


def jobs_with(session: Session, principal: Principal, used: Used) -> set[str]:
    """Return the ids of the jobs that were given any of it, with their whole trees."""
    values: dict[str, Any] = {one.name: list(getattr(used, one.name)) for one in fields(Used)}
    return set(session.scalars(_JOBS, values | {"tenant": principal.tenant_id}))


def job_rows(session: Session, ids: Collection[str]) -> list[Any]:
    """Return (id, kind, status, params) of jobs."""
    query = select(Job.id, Job.kind, Job.status, Job.params).where(Job.id.in_(ids))
    return list(session.execute(query.order_by(Job.id)))


def models_of(session: Session, job_ids: Collection[str], *, lock: bool) -> list[TrainedModel]:
    """Return the models that jobs published; locked, no prediction can begin with them."""
    query = select(TrainedModel).where(TrainedModel.job_id.in_(job_ids)).order_by(TrainedModel.id)
    return list(session.scalars(query.with_for_update() if lock else query))


def artifacts_of(session: Session, job_ids: Collection[str]) -> list[Artifact]:
    """Return the artifacts that jobs published."""
    return list(session.scalars(select(Artifact).where(Artifact.job_id.in_(job_ids))))


def experiments_of(session: Session, job_ids: Collection[str]) -> list[str]:
    """Return the ids of the experiments that jobs published."""
    query = select(Experiment.id).where(Experiment.job_id.in_(job_ids)).order_by(Experiment.id)
    return list(session.scalars(query))


def living_uploads(
    session: Session, principal: Principal, ids: Collection[str], *, lock: bool
) -> list[str]:
    """Return those of the uploads that are there; locked, no import can begin with them."""
    query = readable(principal, Upload).where(Upload.id.in_(ids)).order_by(Upload.id)
    return [row.id for row in session.scalars(query.with_for_update() if lock else query)]


def groups_sharing(
    session: Session, principal: Principal, images: Collection[str], groups: Collection[str]
) -> list[str]:
    """Return other groups of the tenant that hold the very bytes of one of the images."""
    blobs = select(Image.sha256).where(
        Image.tenant_id == principal.tenant_id, Image.image_id.in_(images)
    )
    query = select(func.unnest(Image.group_ids)).where(
        Image.tenant_id == principal.tenant_id,
        Image.sha256.in_(blobs),
        Image.image_id.not_in(images),
    )
    return sorted(set(session.scalars(query)) - set(groups))


def assets_sharing(
    session: Session, principal: Principal, own: Sequence[Asset], groups: Collection[str]
) -> list[str]:
    """Return other groups of the tenant whose assets hold a file of one of the assets."""
    blobs = sorted({str(sha256) for asset in own for sha256 in asset.files.values()})
    files = func.jsonb_path_query_array(Asset.files, text("'$.*'::jsonpath"))
    query = select(func.unnest(Asset.group_ids)).where(
        Asset.tenant_id == principal.tenant_id,
        Asset.id.not_in([asset.id for asset in own]),
        func.jsonb_exists_any(files, blobs),
    )
    return sorted(set(session.scalars(query)) - set(groups))


def blobs_of(session: Session, job_ids: Collection[str]) -> set[str]:
    """Return the blobs that were kept for trees of jobs: what shards and attempts have made."""
    return set(session.scalars(select(JobBlob.sha256).where(JobBlob.job_id.in_(job_ids))))


def drop_products(session: Session, job_ids: Collection[str]) -> None:
    """Delete experiments, models and artifacts of jobs, and what was kept for them."""
    for model in (Experiment, TrainedModel, Artifact, JobBlob):
        session.execute(delete(model).where(model.job_id.in_(job_ids)))


def drop_deliveries(session: Session, job_ids: Collection[str]) -> list[str]:
    """Delete what web hooks were, or were to be, told of jobs; returns the ids of the messages."""
    gone = delete(WebhookDelivery).where(WebhookDelivery.job_id.in_(job_ids))
    return list(session.scalars(gone.returning(WebhookDelivery.id)))


def drop_uploads(session: Session, ids: Collection[str]) -> None:
    session.execute(delete(Upload).where(Upload.id.in_(ids)))


def drop_assets(session: Session, ids: Collection[str]) -> None:
    session.execute(delete(Asset).where(Asset.id.in_(ids)))


def drop_images(session: Session, version_id: str, images: Collection[str]) -> None:
    """Take images out of the index of a version."""
    session.execute(delete(Image).where(Image.version_id == version_id, Image.image_id.in_(images)))


def empty_jobs(session: Session, ids: Sequence[str], error: dict[str, Any]) -> None:
    """Take out of ended jobs what they were given, made and said; that they were stays."""
    asset = literal(["name", "group_id"], ARRAY(Text()))
    given = case((Job.kind == "import_asset", asset), else_=literal(["images"], ARRAY(Text())))
    kept: Any = Job.params.op("-")(given)
    session.execute(
        update(Job)
        .where(Job.id.in_(ids))
        .values(
            params=kept,
            inputs={},
            labels=[],
            result=None,
            error=error,
            checkpoint=None,
            metrics={},
        )
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(JobEvent)
        .where(JobEvent.job_id.in_(ids), func.jsonb_exists(JobEvent.data, "error"))
        .values(data={"error": error})
        .execution_options(synchronize_session=False)
    )


def empty_answers(session: Session, principal: Principal, ids: Collection[str]) -> None:
    """Take names and numbers out of the kept answers about jobs, versions, uploads, messages."""
    gone: dict[str, Any] = {
        "params": {},
        "labels": [],
        "payload": {},
        "result": None,
        "error": None,
        "largest_group": None,
        "filename": "",
    }
    for name, value in gone.items():
        session.execute(
            update(IdempotencyKey)
            .where(
                IdempotencyKey.tenant_id == principal.tenant_id,
                IdempotencyKey.body["id"].astext.in_(ids),
                func.jsonb_exists(IdempotencyKey.body, name),
            )
            .values(body=IdempotencyKey.body.op("||")(literal({name: value}, JSONB())))
            .execution_options(synchronize_session=False)
        )
