"""What API tests need around them: tenants, images, and jobs that end without a worker."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from PIL import Image
from sqlalchemy import text, update
from sqlalchemy.orm import Session, sessionmaker

from core.db.models import Job, TrainedModel, Worker
from core.db.repositories import jobs
from core.db.repositories.jobs import Lease
from core.ids import new_id
from core.ingest.balance import summarise
from core.jobs.context import Inputs, VersionDraft
from core.jobs.runtime import JobRuntime, JobTask, Outcome
from core.jobs.spec import QUEUES
from core.manifest import ImageRecord, manifest_sha256, write_manifest
from core.services.commit import add_version, commit_outcome
from core.services.keys import create_key, ensure_tenant
from core.services.lifecycle import fail
from core.services.principal import SCOPES, Principal
from core.storage.blobs import BlobStore


def png(colour: int = 0, size: tuple[int, int] = (24, 16)) -> bytes:
    """Return a small picture."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (colour % 256, 80, 40)).save(buffer, "PNG")
    return buffer.getvalue()


class World:
    """A service with an empty database."""

    def __init__(
        self, url: str, factory: sessionmaker[Session], data_dir: Path, app: FastAPI
    ) -> None:
        self.url = url
        self.app = app
        self.sessions = factory
        self.store = BlobStore(data_dir)
        self.data_dir = data_dir
        self._clients: list[httpx.Client] = []

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def client(self, secret: str | None = None, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=30, **options)
        self._clients.append(client)
        return client

    def key(self, tenant: str = "default", scopes: Sequence[str] = SCOPES) -> str:
        with self.sessions.begin() as session:
            return create_key(session, ensure_tenant(session, tenant).id, "test", scopes)[1]

    def principal(self, tenant: str = "default") -> Principal:
        with self.sessions.begin() as session:
            return Principal(ensure_tenant(session, tenant).id, "key", frozenset(SCOPES))

    def empty(self) -> None:
        with self.sessions.begin() as session:
            session.execute(text("TRUNCATE tenants, workers RESTART IDENTITY CASCADE"))

    # Datasets

    def record(self, number: int, **changes: Any) -> ImageRecord:
        data = png(number)
        sha256 = self.store.add(data)
        fields: dict[str, Any] = {
            "image_id": new_id("img"),
            "filename": f"image_{number}.png",
            "label": "nevus" if number % 3 else "melanoma",
            "sha256": sha256,
            "source_sha256": sha256,
            "pixel_sha256": sha256,
            "width": 24,
            "height": 16,
            "media_type": "image/png",
            "modality": "rgb",
            "split": ("train", "train", "val", "test")[number % 4],
            "source": "real",
            "group_ids": (f"g{number // 2}",),
        }
        return ImageRecord(**(fields | changes))

    def version(
        self, records: Sequence[ImageRecord] | None = None, tenant: str = "default", **changes: Any
    ) -> VersionDraft:
        """Publish a version of a new dataset."""
        records = [self.record(n) for n in range(6)] if records is None else records
        path = self.data_dir / f"{new_id('req')}.parquet"
        write_manifest(records, path)
        fields: dict[str, Any] = {
            "id": new_id("dsv"),
            "dataset_id": new_id("ds"),
            "new_dataset": True,
            "name": "lesions",
            "kind": "real",
            "parents": (),
            "licence": "CC0-1.0",
            "manifest_blob": self.store.add(path.read_bytes()),
            "manifest_sha256": manifest_sha256(records),
            "image_count": len(records),
            "classes": summarise(records),
            "info": {"group_basis": "lesion_id", "groups": 3},
        }
        draft = VersionDraft(**(fields | changes))
        tenant_id = self.principal(tenant).tenant_id
        with self.sessions.begin() as session:
            add_version(session, tenant_id, draft, self.store, job_id=None)
        return draft

    # Jobs

    def worker(self, *queues: str, available: list[dict[str, Any]] | None = None) -> str:
        """Report a live worker."""
        row = Worker(
            id=new_id("wrk"),
            host="here",
            pid=1,
            queues=list(queues),
            slots=1,
            available=available or [],
        )
        with self.sessions.begin() as session:
            session.add(row)
        return row.id

    def start(self, job_id: str) -> Lease:
        """Claim a job as a worker would."""
        with self.sessions.begin() as session:
            job = jobs.claim(session, job_id, QUEUES, "wrk_test", 60)
            assert job is not None
            return Lease(job_id, str(job.lease_token))

    def finish(
        self,
        job_id: str,
        result: dict[str, Any] | None = None,
        make: Callable[[JobRuntime], object] | None = None,
    ) -> Outcome:
        """Run a job to success: ``make`` publishes through the real runtime."""
        lease = self.start(job_id)
        with self.sessions() as session:
            job = session.get_one(Job, job_id)
        task = JobTask(
            job_id=job_id,
            kind=job.kind,
            attempt=job.claims,
            params=job.params,
            inputs=Inputs.model_validate(job.inputs),
            data_dir=self.data_dir,
            weights_dir=self.data_dir / "weights",
        )
        runtime = JobRuntime(task, lambda message: None)
        if make is not None:
            make(runtime)
        from core.jobs.spec import Result

        outcome = runtime.outcome(Result()).model_copy(update={"result": result or {}})
        self.store.publish(runtime.scratch / "blobs", outcome.blobs)
        with self.sessions.begin() as session:
            assert commit_outcome(session, lease, outcome, self.store)
        return outcome

    def fail(self, job_id: str, error: Any) -> None:
        """Let a job fail as a worker would."""
        self.start(job_id)
        with self.sessions.begin() as session:
            job = jobs.lock_with_ancestors(session, job_id)
            assert job is not None
            fail(session, job, error)

    def event(self, job_id: str, kind: str, data: dict[str, Any]) -> None:
        with self.sessions.begin() as session:
            jobs.add_event(session, job_id, kind, data)

    def progress(self, job_id: str, current: float, total: float, phase: str = "working") -> None:
        values = {"progress_current": current, "progress_total": total, "phase": phase}
        with self.sessions.begin() as session:
            session.execute(update(Job).where(Job.id == job_id).values(**values))

    def model(
        self, job_id: str, tenant: str = "default", info: dict[str, Any] | None = None
    ) -> str:
        row = TrainedModel(
            id=new_id("mdl"),
            tenant_id=self.principal(tenant).tenant_id,
            name="forest",
            job_id=job_id,
            files={"model.skops": self.store.add(b"model"), "model.json": self.store.add(b"{}")},
            info=info or {"classes": ["melanoma", "nevus"]},
        )
        with self.sessions.begin() as session:
            session.add(row)
            session.flush()
            return row.id
