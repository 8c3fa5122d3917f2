"""What every job kind owes: a tiny run, cancel, kill and resume, the same seed the same images.

The list of kinds is the registry's: a kind without a tiny run here fails the first test.
"""

from __future__ import annotations

import os
import signal
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.db.models import Job, Upload
from core.db.repositories.jobs import NOW, database_now
from core.ids import new_id
from core.jobs.spec import JOB_KINDS
from core.services.inputs import upload_path
from core.storage.blobs import BlobStore
from core.synthesis.procedural import write_dataset
from tests.integration.harness import Harness, command_of, descendants, eventually

PUBLIC = [name for name, kind in JOB_KINDS if kind.public]
CHILD_KINDS = [name for name, kind in JOB_KINDS if not kind.public]
TINY_EXPERIMENT = {
    "arms": ["real", "class_weight", "oversample", "augment", "combined"],
    "folds": 2,
    "repeats": 1,
    "bootstrap": 200,
    "legacy_protocol": False,
}


@dataclass
class World:
    """A stack with a worker and one of everything that a job can refer to."""

    stack: Harness
    archive: Path
    upload: str = ""
    real: str = ""
    synthetic: str = ""
    model: str = ""
    picture: str = ""

    def add_upload(self) -> str:
        upload_id = new_id("upl")
        size = self.archive.stat().st_size
        with self.stack.sessions.begin() as session:
            session.add(
                Upload(
                    id=upload_id, tenant_id=self.stack.principal.tenant_id, filename="tiny.zip",
                    length=size, received=size, completed_at=NOW,
                    expires_at=database_now(session) + timedelta(hours=1),
                )
            )  # fmt: skip
        path = self.stack.folder / "uploads" / upload_id
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.archive.read_bytes())
        return upload_id

    def params(self, kind: str) -> dict[str, Any]:
        """Return the parameters of a tiny run; KeyError for a kind that has none."""
        real = {"dataset_version_id": self.real}
        return {
            "import": {"upload_id": self.upload, "name": "tiny"},
            "synthesize": {**real, "counts": {"mel": 70}, "sources": "all", "seed": 7},
            "extract_features": {
                "dataset_version_ids": [self.real, self.synthetic],
                "dihedral": [0, 1, 2],  # more images than one shard takes
            },
            "train": {"dataset_version_ids": [self.real]},
            "predict": {
                "model_id": self.model,
                "images": [{"filename": "a.jpg", "sha256": self.picture}],
            },
            "experiment": {
                **real,
                "synthetic_version_ids": [self.synthetic],
                **TINY_EXPERIMENT,
            },
            "evaluate": {**real, "synthetic_version_id": self.synthetic},
            "project": {"dataset_version_ids": [self.real, self.synthetic]},
            "pipeline": {
                **real,
                "synthesize": {"counts": {"mel": 10}},
                "experiment": TINY_EXPERIMENT,
            },
            "export": {"dataset_version_ids": [self.real], "format": "csv"},
            "noop": {},
            "sleep": {"seconds": 1.0},
            "crash": {"how": "signal", "until_claim": 2},
        }[kind]

    def run(self, kind: str) -> Job:
        job = self.stack.wait(self.stack.submit(kind, **self.params(kind)))
        assert job.status == "succeeded", (kind, job.error, self.log(job.id))
        return job

    def log(self, job_id: str) -> str:
        path = BlobStore(self.stack.folder).log(job_id)
        return path.read_text()[-3000:] if path.exists() else "no log"


@pytest.fixture(scope="module")
def world(shared_stack: Harness, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("tiny")
    write_dataset(folder / "tiny", seed=3, images=60, size=64)
    archive = folder / "tiny.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((folder / "tiny").rglob("*")):
            file.write(path, path.relative_to(folder))
    made = World(shared_stack, archive)
    made.upload = made.add_upload()
    imported = made.run("import")
    assert imported.result is not None
    made.real = imported.result["dataset_version_id"]
    made.synthetic = str((made.run("synthesize").result or {})["dataset_version_id"])
    made.model = str((made.run("train").result or {})["model_id"])
    made.picture = BlobStore(shared_stack.folder).add(next(folder.rglob("*.jpg")).read_bytes())
    return made


@pytest.mark.parametrize("kind", PUBLIC)
def test_a_tiny_run_succeeds_and_its_result_fits_its_model(world: World, kind: str) -> None:
    job = world.run(kind)
    JOB_KINDS.get(kind).result.model_validate(job.result)
    for artifact in world.stack.artifacts(job.id):
        assert BlobStore(world.stack.folder).find(artifact.sha256).stat().st_size == artifact.bytes


@pytest.mark.parametrize("kind", PUBLIC)
def test_a_canceled_job_leaves_nothing(world: World, kind: str) -> None:
    job_id = world.stack.submit(kind, **world.params(kind))
    world.stack.cancel(job_id)
    job = world.stack.wait(job_id)
    assert job.status in ("canceled", "succeeded")  # it may have been faster
    if job.status == "canceled":
        assert world.stack.artifacts(job_id) == []
        assert job.result is None
    assert {child.status for child in world.stack.children(job_id)} <= {"canceled", "succeeded"}


def running_process(world: World, job_id: str) -> int | None:
    """Return the process of the job or of one of its children; None when all has ended."""

    def find() -> int | None:
        if world.stack.job(job_id).finished_at is not None:
            return -1
        for pid in descendants(world.stack.workers[0].pid):
            try:
                leads = os.getsid(pid) == pid
            except ProcessLookupError:
                continue
            if leads and "worker.zygote" in command_of(pid):
                return pid
        return None

    pid = eventually(find)
    return None if pid == -1 else pid


@pytest.mark.parametrize("kind", [k for k in PUBLIC if k not in ("noop", "crash")])
def test_a_killed_process_is_replaced_and_the_job_succeeds(world: World, kind: str) -> None:
    job_id = world.stack.submit(kind, **world.params(kind))
    pid = running_process(world, job_id)
    if pid is not None:
        with suppress(ProcessLookupError):  # it may have been faster
            os.kill(pid, signal.SIGKILL)
    job = world.stack.wait(job_id)
    assert job.status == "succeeded", (job.error, world.log(job_id))
    names = [artifact.name for artifact in world.stack.artifacts(job_id)]
    assert len(names) == len(set(names))


def test_the_same_seed_gives_the_same_manifest_in_every_run(world: World) -> None:
    results = [world.run("synthesize").result for _ in range(2)]
    hashes = {str((result or {})["manifest_sha256"]) for result in results}
    assert len(hashes) == 1
    assert world.params("synthesize")["counts"]["mel"] > 64, "more than one shard"


def test_every_internal_kind_is_run_by_a_public_one(world: World) -> None:
    with world.stack.sessions() as session:
        seen = {kind for (kind,) in session.query(Job.kind).distinct()}
    assert set(CHILD_KINDS) <= seen


def test_uploads_are_kept_where_the_service_looks_for_them(world: World) -> None:
    assert upload_path(world.upload).is_file()
