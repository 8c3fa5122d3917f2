"""Deleting a dataset that nothing depends on."""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.db.repositories import datasets
from core.errors import Conflict
from core.services.audit import record
from core.services.principal import Principal


def delete_dataset(session: Session, principal: Principal, dataset_id: str) -> None:
    """Delete a dataset, its versions and their index; Conflict ``dataset_in_use`` names dependents.

    Its bytes no longer count at once; blobs that nothing else refers to go with the next garbage.
    Models that were trained on it stay as they are: they need none of its files.
    """
    dataset = datasets.lock_dataset(session, principal, dataset_id)
    if found := datasets.dependents(session, dataset):
        named = ", ".join(f"{thing} {row_id}" for thing, row_id in found[:5])
        raise Conflict(
            f"The dataset is in use by {named}{' and more' if len(found) > 5 else ''}",
            code="dataset_in_use",
            extra={"dependents": [{"type": thing, "id": row_id} for thing, row_id in found]},
        )
    record(session, principal, "dataset.delete", "dataset", dataset.id)
    session.delete(dataset)
    session.flush()
