"""Erasure of a patient or lesion, images and assets: one transaction decides, the files follow.

This is the one exception to the immutability of versions: each version that held such an image gets
a manifest without it, and says so (``erased_images`` in its info).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from core.db.models import DatasetVersion, Erasure
from core.db.repositories import blob_references, erasures, removals, usage
from core.errors import Conflict, JobFailed, NotFound
from core.ids import new_id
from core.ingest.balance import summarise
from core.ingest.groups import largest_group
from core.manifest import ImageRecord, manifest_sha256, read_manifest
from core.services.audit import record
from core.services.commit import logical_bytes
from core.services.erasure_plan import ErasurePlan, make_plan
from core.services.keys import digest
from core.services.principal import Principal
from core.services.publishing import publish_manifest
from core.services.removal import finish
from core.services.transaction import transaction
from core.storage.blobs import BlobStore

_NAMED_IN_JOBS = 20
_OF_PERSONS = ("large_group", "near_label_conflict")
"""Warnings that name groups or files."""


def group_hash(group_id: str) -> str:
    """Return what is kept of the id of an erased group: a keyed hash, which leads nowhere."""
    return digest(f"erased group:{group_id}")


def erase(
    factory: sessionmaker[Session], principal: Principal, group_id: str, store: BlobStore
) -> Erasure:
    """Remove a group and everything derived from it; a second time tells of the first.

    Conflict ``group_in_use`` names unfinished jobs that use it. When this process dies after the
    decision, or a file cannot be removed now, housekeeping removes the rest.
    """
    with transaction(factory) as session:
        blob_references.share(session)  # manifests are published, and referred to
        erasures.take_time(session)
        try:
            plan = make_plan(session, principal, group_id, store, lock=True)
        except NotFound:
            erasure = removals.of_group(session, principal, group_hash(group_id))
            if erasure is None:
                raise
        else:
            erasure = decide(session, principal, plan, store)
    if erasure.completed_at is None:
        finish(factory, store, erasure.id)
    with factory() as session:
        return session.get_one(Erasure, erasure.id)


def decide(session: Session, principal: Principal, plan: ErasurePlan, store: BlobStore) -> Erasure:
    """Take everything out of the tables and write down which files are to go."""
    _refuse_unfinished(plan)
    erasure = Erasure(
        id=new_id("ers"),
        tenant_id=principal.tenant_id,
        group_hashes=[group_hash(group) for group in sorted(plan.groups)],
        counts=plan.counts(),
        actor_id=principal.key_id,
        request_id=principal.request_id,
    )
    session.add(erasure)
    session.flush()
    kept = sum(version.bytes for version in plan.versions)
    manifests = [_rewrite(session, version, plan, store) for version in plan.versions]
    jobs = sorted(plan.jobs)
    erasures.drop_products(session, jobs)
    erasures.drop_assets(session, [asset.id for asset in plan.assets])
    erasures.drop_uploads(session, plan.uploads)
    erasures.empty_jobs(session, jobs, _ERASED.as_problem())
    versions = [version.id for version in plan.versions]
    messages = erasures.drop_deliveries(session, jobs)
    told_of = [*jobs, *versions, *plan.uploads, *messages]
    erasures.empty_answers(session, principal, told_of)
    removals.add(
        session,
        erasure.id,
        {
            "image": plan.image_bytes,
            "blob": plan.other_bytes - plan.image_bytes,
            "upload": plan.uploads,
            "job": plan.jobs,
        },
    )
    details = {
        "group_hashes": erasure.group_hashes,
        "counts": erasure.counts,
        "manifests": manifests,
    }
    record(session, principal, "group.erase_planned", "erasure", erasure.id, details)
    # not charge(): who is beyond the limit may erase; rows that were deleted gave theirs back
    usage.add(session, principal.tenant_id, sum(v.bytes for v in plan.versions) - kept)
    session.flush()
    session.refresh(erasure)
    return erasure


_ERASED = JobFailed(
    "A person's images that this job was given were erased, and with them what it made",
    code="data_erased",
)


def _refuse_unfinished(plan: ErasurePlan) -> None:
    if plan.unfinished:
        named = ", ".join(plan.unfinished[:5])
        raise Conflict(
            f"Jobs that use the group are unfinished: {named}"
            f"{' and more' if len(plan.unfinished) > 5 else ''}; cancel them, or wait",
            code="group_in_use",
            extra={"jobs": plan.unfinished[:_NAMED_IN_JOBS]},
        )


def _rewrite(
    session: Session, version: DatasetVersion, plan: ErasurePlan, store: BlobStore
) -> dict[str, Any]:
    """Give a version a manifest without the images; returns what the audit log says of it."""
    records = read_manifest(store.find(version.manifest_blob))
    gone = [r for r in records if r.image_id in plan.all_images]
    left = [r for r in records if r.image_id not in plan.all_images]
    old = version.manifest_sha256
    version.manifest_blob = publish_manifest(left, store)
    version.manifest_sha256 = manifest_sha256(left)
    version.image_count = len(left)
    version.classes = [summary.model_dump() for summary in summarise(left)]
    version.info = _info(version.info, left, gone, plan.groups)
    version.bytes = logical_bytes(store, version.manifest_blob, version.info)
    session.flush()
    erasures.drop_images(session, version.id, [r.image_id for r in gone])
    return {
        "version_id": version.id,
        "erased_images": len(gone),
        "old_manifest_sha256": old,
        "new_manifest_sha256": version.manifest_sha256,
    }


def _info(
    info: dict[str, Any],
    left: Sequence[ImageRecord],
    gone: Sequence[ImageRecord],
    groups: Collection[str],
) -> dict[str, Any]:
    """Return a version's info without the person; names of rejected files go as a whole."""
    kept = {name: value for name, value in info.items() if name != "rejects_blob"}
    kept["erased_images"] = int(info.get("erased_images", 0)) + len(gone)
    if "groups" in info:
        kept["groups"] = len({group for r in left for group in r.group_ids[:1]})
    if "largest_group" in info:
        largest = largest_group([r.group_ids[0] for r in left], [r.label for r in left])
        kept["largest_group"] = largest.as_dict() if largest else None
    ids = {r.image_id for r in gone}
    if "near_label_conflicts" in info:
        conflicts = info["near_label_conflicts"]
        kept["near_label_conflicts"] = [c for c in conflicts if not ids & set(c["images"])]
    if "warnings" in info:
        names = {r.filename for r in gone} | set(groups)
        kept["warnings"] = [
            warning
            for warning in info["warnings"]
            if not warning.startswith(_OF_PERSONS) and not any(name in warning for name in names)
        ]
    return kept
