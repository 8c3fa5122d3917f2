"""The client: one object a server, one attribute a resource."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from api.client.access import Audit, Groups
from api.client.assets import Assets
from api.client.datasets import Datasets
from api.client.downloads import Artifacts
from api.client.imports import Imported, default_name, import_key, imported
from api.client.jobs import Jobs
from api.client.records import Job
from api.client.resources import Experiments, Keys, Models
from api.client.sources import Source, open_source
from api.client.transport import Retrying, RetryPolicy, Transport, path_of
from api.client.uploads import CHUNK_BYTES, Tell, Uploads
from api.client.webhooks import Webhooks


class Client:
    """A connection to one server; ``base_url`` may hold the path of a proxy.

    Requests are tried again after 429, 502, 503, 504 and lost connections; creating ones carry an
    idempotency key, so that nothing is created twice.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        retry: RetryPolicy | None = None,
        timeout: float = 60.0,
        chunk_bytes: int = CHUNK_BYTES,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        on_retry: Callable[[Retrying], None] | None = None,
    ) -> None:
        self._transport = Transport(
            base_url,
            api_key,
            policy=retry,
            timeout=timeout,
            transport=transport,
            sleep=sleep,
            on_retry=on_retry,
        )
        self.uploads = Uploads(self._transport, chunk_bytes=chunk_bytes)
        self.jobs = Jobs(self._transport)
        self.datasets = Datasets(self._transport)
        self.artifacts = Artifacts(self._transport)
        self.assets = Assets(self._transport, self.uploads, self.jobs)
        self.models = Models(self._transport)
        self.experiments = Experiments(self._transport)
        self.keys = Keys(self._transport)
        self.webhooks = Webhooks(self._transport)
        self.audit = Audit(self._transport)
        self.groups = Groups(self._transport)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    @property
    def base_url(self) -> str:
        return self._transport.base_url

    def catalog(self) -> dict[str, Any]:
        """Return job kinds, generators, backbones and classifiers, and who can run them."""
        catalog: dict[str, Any] = self._transport.get(path_of("catalog"))
        return catalog

    def version(self) -> dict[str, Any]:
        """Return what the server says about itself."""
        version: dict[str, Any] = self._transport.get("/version")
        return version

    def submit_import(
        self,
        source: Source,
        name: str,
        *,
        upload_id: str | None = None,
        tell: Tell | None = None,
        **params: Any,
    ) -> Job:
        """Upload a source and submit its import; ``params`` are those of the kind ``import``."""
        upload = self.uploads.send(source, upload_id=upload_id, tell=tell)
        chosen = {key: value for key, value in params.items() if value is not None}
        body = {"upload_id": upload.id, "name": name, **chosen}
        return self.jobs.submit("import", body, idempotency_key=import_key(body))

    def import_dataset(
        self, path: Path | str, *, name: str | None = None, **params: Any
    ) -> Imported:
        """Upload a folder or archive, wait for its import, and check that no file went missing."""
        source = open_source(Path(path))
        job = self.submit_import(source, name or default_name(Path(path)), **params)
        return imported(self.jobs.wait(job.id), source)

    def export(
        self,
        version_ids: list[str],
        *,
        layout: str = "imagefolder",
        purpose: str = "internal",
    ) -> Job:
        """Submit an export; its artifact is one archive with checksums."""
        return self.jobs.submit(
            "export",
            {"dataset_version_ids": version_ids, "format": layout, "purpose": purpose},
        )
