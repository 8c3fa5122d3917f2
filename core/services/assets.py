"""Assets as callers see them, and their deletion."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from core.db.models import Asset
from core.db.repositories import assets
from core.errors import Conflict
from core.services.audit import record
from core.services.job_view import stamp
from core.services.principal import Principal


def asset_view(asset: Asset) -> dict[str, Any]:
    """Return an asset as a JSON object."""
    return {
        "id": asset.id,
        "kind": asset.kind,
        "name": asset.name,
        "licence": asset.licence,
        "group_ids": asset.group_ids,
        "job_id": asset.job_id,
        "created_by": asset.created_by,
        "created_at": stamp(asset.created_at),
        "bytes": asset.bytes,
        "info": asset.info,
        "files": asset.files,
        "links": {"self": f"/v1/assets/{asset.id}", "job": f"/v1/jobs/{asset.job_id}"},
    }


def delete_asset(session: Session, principal: Principal, asset_id: str) -> None:
    """Delete an asset; Conflict ``asset_in_use`` names what was, or is being, rendered with it.

    Its bytes no longer count at once; blobs that nothing else refers to go with the next garbage.
    """
    asset = assets.lock_asset(session, principal, asset_id)
    if found := assets.dependents(session, asset):
        named = ", ".join(f"{thing} {row_id}" for thing, row_id in found[:5])
        raise Conflict(
            f"The asset is in use by {named}{' and more' if len(found) > 5 else ''}",
            code="asset_in_use",
            extra={"dependents": [{"type": thing, "id": row_id} for thing, row_id in found]},
        )
    record(session, principal, "asset.delete", "asset", asset.id, {"kind": asset.kind})
    session.delete(asset)
    session.flush()
