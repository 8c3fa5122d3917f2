"""SQL of datasets, their versions and the images in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from core.db.models import Dataset, DatasetVersion, Experiment, Image, Job
from core.db.repositories.access import readable
from core.errors import NotFound
from core.jobs.states import TERMINAL
from core.services.principal import Principal

MAX_NAMED = 20


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest version of a dataset, and how many there are."""

    id: str
    image_count: int
    versions: int


def newest_versions(session: Session, dataset_ids: Sequence[str]) -> dict[str, Newest]:
    """Return what the newest version of each dataset is."""
    count = func.count().over(partition_by=DatasetVersion.dataset_id)
    query = (
        select(DatasetVersion.dataset_id, DatasetVersion.id, DatasetVersion.image_count, count)
        .where(DatasetVersion.dataset_id.in_(dataset_ids))
        .order_by(DatasetVersion.dataset_id, DatasetVersion.number.desc())
        .ext(distinct_on(DatasetVersion.dataset_id))
    )
    return {row[0]: Newest(row[1], row[2], row[3]) for row in session.execute(query)}


def versions_of(
    session: Session, principal: Principal, dataset_id: str, before: int | None, limit: int
) -> list[DatasetVersion]:
    """Return the versions of a dataset, newest first, with a number below ``before``."""
    query = (
        readable(principal, DatasetVersion)
        .where(DatasetVersion.dataset_id == dataset_id)
        .order_by(DatasetVersion.number.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(DatasetVersion.number < before)
    return list(session.scalars(query))


def count_groups(session: Session, version_id: str) -> int:
    """Return how many distinct groups the images of a version form."""
    statement = text(
        "SELECT count(DISTINCT g) FROM images, unnest(group_ids) AS g WHERE version_id = :id"
    )
    return int(session.execute(statement, {"id": version_id}).scalar_one())


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """Which images of a version are asked for; None does not restrict."""

    label: str | None = None
    split: str | None = None
    source: str | None = None
    quarantined: bool | None = None


def images_of(
    session: Session,
    principal: Principal,
    version_id: str,
    wanted: ImageFilter,
    after: int | None,
    limit: int,
) -> list[Image]:
    """Return images of a version in the order of its manifest, after position ``after``."""
    query = (
        readable(principal, Image)
        .where(Image.version_id == version_id)
        .order_by(Image.position)
        .limit(limit)
    )
    if after is not None:
        query = query.where(Image.position > after)
    for name in ("label", "split", "source", "quarantined"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(getattr(Image, name) == value)
    return list(session.scalars(query))


def lock_dataset(session: Session, principal: Principal, dataset_id: str) -> Dataset:
    """Lock a dataset and its versions, so that no job can begin to use them."""
    dataset = session.scalar(
        readable(principal, Dataset).where(Dataset.id == dataset_id).with_for_update()
    )
    if dataset is None:
        raise NotFound(f"There is no dataset {dataset_id}", code="dataset_not_found")
    session.scalars(
        select(DatasetVersion.id)
        .where(DatasetVersion.dataset_id == dataset_id)
        .order_by(DatasetVersion.id)
        .with_for_update()
    ).all()
    return dataset


def lock_for_version(session: Session, tenant_id: str, dataset_id: str) -> Dataset | None:
    """Return a tenant's dataset, locked: its versions are numbered one after another."""
    return session.scalar(
        select(Dataset)
        .where(Dataset.id == dataset_id, Dataset.tenant_id == tenant_id)
        .with_for_update()
    )


def next_number(session: Session, dataset_id: str) -> int:
    """Return the number of the next version of a dataset that is locked, from 1."""
    newest = session.scalar(
        select(func.max(DatasetVersion.number)).where(DatasetVersion.dataset_id == dataset_id)
    )
    return (newest or 0) + 1


def dependents(session: Session, dataset: Dataset) -> list[tuple[str, str]]:
    """Return (type, id) of what needs a dataset: unfinished jobs, derived versions, experiments."""
    versions = select(DatasetVersion.id).where(DatasetVersion.dataset_id == dataset.id)
    jobs = select(Job.id).where(
        Job.tenant_id == dataset.tenant_id,
        Job.dataset_ids.contains([dataset.id]),
        Job.status.not_in(TERMINAL),
    )
    derived = select(DatasetVersion.id).where(
        DatasetVersion.tenant_id == dataset.tenant_id,
        DatasetVersion.dataset_id != dataset.id,
        DatasetVersion.parents.overlap(func.array(versions.scalar_subquery())),
    )
    experiments = select(Experiment.id).where(Experiment.dataset_version_id.in_(versions))
    found = []
    for thing, query in (
        ("job", jobs),
        ("dataset_version", derived),
        ("experiment", experiments),
    ):
        found += [(thing, row) for row in session.scalars(query.limit(MAX_NAMED))]
    return found
