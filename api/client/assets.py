"""Assets: bodies and backgrounds to render with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from api.client.imports import import_key
from api.client.jobs import Jobs
from api.client.records import Asset, Job, parse
from api.client.sources import ArchiveFile
from api.client.transport import Transport, path_of
from api.client.uploads import Tell, Uploads

AssetKind = Literal["body", "background"]
FILES = ("texture", "non_skin", "parts")


class Assets:
    """``/v1/assets``."""

    def __init__(self, transport: Transport, uploads: Uploads, jobs: Jobs) -> None:
        self._transport = transport
        self._uploads = uploads
        self._jobs = jobs

    def list(self, kind: AssetKind | None = None) -> Iterator[Asset]:
        """Yield assets, newest first."""
        items = self._transport.pages(path_of("assets"), kind=kind, limit=100)
        return (parse(Asset, item) for item in items)

    def get(self, asset_id: str) -> Asset:
        return parse(Asset, self._transport.get(path_of("assets", asset_id)))

    def delete(self, asset_id: str) -> None:
        """Delete an asset; ApiProblem 409 names what was rendered with it."""
        self._transport.send("DELETE", path_of("assets", asset_id))

    def submit(
        self,
        kind: AssetKind,
        path: Path | str,
        name: str,
        *,
        files: dict[str, Path | str] | None = None,
        tell: Tell | None = None,
        **params: Any,
    ) -> Job:
        """Upload a mesh or an image with what belongs to it; the job that checks and keeps it.

        ``files`` by FILES; ``params`` are those of the kind ``import_asset``.
        """
        body: dict[str, Any] = {"kind": kind, "name": name}
        body |= {key: value for key, value in params.items() if value is not None}
        for field, file in {"": path, **(files or {})}.items():
            upload = self._uploads.send(ArchiveFile(Path(file)), tell=tell)
            body[f"{field}_upload_id".lstrip("_")] = upload.id
        return self._jobs.submit("import_asset", body, idempotency_key=import_key(body))
