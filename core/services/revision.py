"""New versions out of old ones: images relabelled, dropped, quarantined, released or appended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from core.config import get_settings
from core.db.models import Dataset, DatasetVersion
from core.db.repositories import datasets
from core.db.repositories.access import owned
from core.db.repositories.new_jobs import Written
from core.errors import InvalidInput
from core.ids import new_id
from core.ingest.balance import summarise
from core.ingest.revise import Changes, revise
from core.jobs.context import VersionDraft
from core.jobs.spec import JOB_KINDS
from core.manifest import ImageRecord, manifest_sha256, read_manifest
from core.pointers import invalid
from core.services.commit import add_version
from core.services.principal import Principal
from core.services.publishing import publish_manifest
from core.services.quota import require_room
from core.services.submit import submit
from core.storage.blobs import BlobStore

_CHANGES = ("relabel", "drop", "quarantine", "release")
_OF_IMAGES = ("duplicates", "groups", "largest_group")
"""What of an old version's info is no longer true of the new one."""


def base_version(
    session: Session, principal: Principal, dataset_id: str, wanted: str | None
) -> DatasetVersion:
    """Return the version to start from: the one named, or the newest."""
    if wanted is not None:
        version = owned(session, principal, DatasetVersion, wanted, "dataset_version")
        if version.dataset_id != dataset_id:
            raise invalid("/base", f"{wanted} is a version of {version.dataset_id}")
        return version
    newest = datasets.versions_of(session, principal, dataset_id, None, 1)
    if not newest:
        raise InvalidInput("The dataset has no version yet", code="no_version")
    return newest[0]


def append(
    session: Session, principal: Principal, dataset_id: str, wanted: Mapping[str, Any]
) -> Written:
    """Submit the import that appends an upload to a version."""
    if any(wanted[name] for name in _CHANGES):
        raise invalid("/upload_id", "Either changes of images or upload_id, not both")
    base = base_version(session, principal, dataset_id, wanted["base"])
    dataset = owned(session, principal, Dataset, dataset_id, "dataset")
    columns = ("layout", "label_column", "group_column", "upload_id")
    raw = {name: wanted[name] for name in columns if wanted[name] is not None}
    raw |= {"name": dataset.name, "append_to": base.id, "licence": base.licence or "unknown"}
    return submit(session, principal, JOB_KINDS.get("import"), raw)


def change(
    session: Session, principal: Principal, dataset_id: str, wanted: Mapping[str, Any]
) -> DatasetVersion:
    """Write the version that the changes make of the base version."""
    if not any(wanted[name] for name in _CHANGES):
        raise InvalidInput(
            f"Nothing is to be changed; name {', '.join(_CHANGES)} or upload_id", code="no_changes"
        )
    require_room()
    # locked first: of two changes at once, the second starts from what the first made
    dataset = datasets.lock_dataset(session, principal, dataset_id)
    base = base_version(session, principal, dataset_id, wanted["base"])
    store = BlobStore(get_settings().data_dir)
    records = read_manifest(store.find(base.manifest_blob))
    revised = revise(records, Changes(**{name: wanted[name] for name in _CHANGES}))
    draft = _draft(base, dataset, revised, store)
    return add_version(session, principal.tenant_id, draft, store, job_id=None, by=principal)


def _draft(
    base: DatasetVersion, dataset: Dataset, records: Sequence[ImageRecord], store: BlobStore
) -> VersionDraft:
    blob = publish_manifest(records, store)
    info = {name: value for name, value in base.info.items() if name not in _OF_IMAGES}
    # a real image has one group, a synthetic one those of its parents
    groups = {group for record in records for group in record.group_ids}
    return VersionDraft(
        id=new_id("dsv"),
        dataset_id=dataset.id,
        new_dataset=False,
        name=dataset.name,
        kind="real" if base.kind == "real" else "synthetic",
        parents=(base.id,),
        licence=base.licence,
        manifest_blob=blob,
        manifest_sha256=manifest_sha256(records),
        image_count=len(records),
        classes=summarise(records),
        info={**info, "groups": len(groups)},
    )
