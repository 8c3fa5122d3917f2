"""Removes from the volume what erasures have written down; every step can be repeated."""

from __future__ import annotations

import logging

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from core.db.repositories import removals
from core.services import garbage, staging
from core.services.audit import record
from core.services.inputs import upload_path
from core.services.principal import Principal
from core.storage.blobs import BlobStore

log = logging.getLogger(__name__)

BATCH = 5000


def finish_all(factory: sessionmaker[Session], store: BlobStore) -> int:
    """Go on with every erasure of which something is left; returns how many came to their end."""
    with factory() as session:
        waiting = removals.unfinished(session)
    return sum(finish(factory, store, erasure_id) for erasure_id in waiting)


def finish(factory: sessionmaker[Session], store: BlobStore, erasure_id: str) -> bool:
    """Remove what is left of an erasure; False when something must wait for a later round."""
    try:
        _forget_features(factory, store, erasure_id)
        while _remove_some(factory, store, erasure_id):
            pass
        with factory.begin() as session:
            if erasure := removals.complete(session, erasure_id):
                by = Principal(erasure.tenant_id, erasure.actor_id, frozenset(), erasure.request_id)
                details = {"group_hashes": erasure.group_hashes, "counts": erasure.counts}
                record(session, by, "group.erase_done", "erasure", erasure.id, details)
    except (OSError, OperationalError) as error:
        log.warning("the files of erasure %s are not all removed yet: %s", erasure_id, error)
        return False
    return True


def _forget_features(factory: sessionmaker[Session], store: BlobStore, erasure_id: str) -> None:
    """Rewrite feature packs; nothing is locked meanwhile, features can always be computed anew."""
    with factory() as session:
        left = removals.images_left(session, erasure_id)
    if images := garbage.unreferenced(factory, left):
        from core.features.forgetting import forget

        forget(store.root / "features", images)


def _remove_some(factory: sessionmaker[Session], store: BlobStore, erasure_id: str) -> bool:
    """Remove a batch; False when there was nothing left."""
    with factory() as session:
        taken = removals.left(session, erasure_id, BATCH)
    blobs = sorted({name for kind, name in taken if kind in ("image", "blob")})
    for some in garbage.batches(blobs, garbage.REMOVE):
        garbage.remove(factory, store, some, garbage.AT_ONCE)
    for kind, name in taken:
        if kind == "upload":
            upload_path(name).unlink(missing_ok=True)
        elif kind == "job":
            store.log(name).unlink(missing_ok=True)
            staging.remove(store.root / "staging" / name)
    # last: who is killed before it finds them again
    with factory.begin() as session:
        removals.done(session, erasure_id, taken)
    return bool(taken)
