"""What every job kind owes: a tiny run, cancel, kill and resume, the same seed the same images.

The list of kinds is the registry's: a kind without a tiny run here fails the first test.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import select

from core.db.models import Job
from core.jobs.spec import JOB_KINDS
from core.manifest import read_manifest
from core.services.inputs import upload_path
from core.storage.blobs import BlobStore
from core.synthesis.procedural import write_dataset
from tests.contract.world import TINY_EXPERIMENT, World, write_masked, zipped
from tests.integration.harness import Harness, command_of, descendants, eventually

PUBLIC = [name for name, kind in JOB_KINDS if kind.public]
CHILD_KINDS = [name for name, kind in JOB_KINDS if not kind.public]


@pytest.fixture(scope="module")
def world(shared_stack: Harness, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("tiny")
    write_dataset(folder / "tiny", seed=3, images=60, size=64)
    made = World(shared_stack)
    made.upload = made.add_upload(zipped(folder / "tiny", folder / "tiny.zip"))
    made.room = made.add_upload(next(folder.rglob("*.jpg")))
    imported = made.run("import")
    assert imported.result is not None
    made.real = imported.result["dataset_version_id"]
    made.synthetic = str((made.run("synthesize").result or {})["dataset_version_id"])
    made.model = str((made.run("train").result or {})["model_id"])
    masks = zipped(write_masked(folder / "masked"), folder / "masked.zip")
    made.masked = str((made.import_(masks).result or {})["dataset_version_id"])
    moved = made.run(
        "synthesize",
        dataset_version_id=made.masked,
        generator="transplant",
        sources="all",
        counts={"nv": 6},
    )
    made.moved = str((moved.result or {})["dataset_version_id"])
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


def test_a_generator_that_looks_at_its_sources_first_does_so_in_children(world: World) -> None:
    params = {"dataset_version_id": world.real, "sources": "all", "generator": "transplant"}
    job = world.run("synthesize", **params, counts={"nv": 65})
    kinds = [child.kind for child in world.stack.children(job.id)]
    assert set(kinds) == {"synthesize_survey", "synthesize_shard"}
    assert (job.result or {})["generated"] == 65


def test_a_generator_renders_with_what_was_uploaded(world: World) -> None:
    room = str((world.run("import_asset").result or {})["asset_id"])
    params = {"dataset_version_id": world.real, "sources": "all", "generator": "render3d"}
    options = {"rays": 1, "backgrounds": [room], "views_per_body": 2}
    job = world.run(
        "synthesize", **params, counts={"nv": 3}, resolution=64, generator_params=options
    )
    files = {a.name: a.sha256 for a in world.stack.artifacts(job.id)}
    records = read_manifest(BlobStore(world.stack.folder).find(files["manifest.parquet"]))
    assert len(records) == 3
    assert all(f"asset:{room}" in record.group_ids for record in records)
    assert all(len(record.provenance["annotations"]) == 9 for record in records)


def test_every_internal_kind_is_run_by_a_public_one(world: World) -> None:
    with world.stack.sessions() as session:
        seen = set(session.scalars(select(Job.kind).distinct()))
    assert set(CHILD_KINDS) <= seen


def test_uploads_are_kept_where_the_service_looks_for_them(world: World) -> None:
    assert upload_path(world.upload).is_file()


def test_the_pipeline_suits_other_modalities_and_class_names(world: World, tmp_path: Path) -> None:
    write_dataset(tmp_path / "films", seed=1, images=60, size=64, modality="grey")
    imported = world.import_(zipped(tmp_path / "films", tmp_path / "films.zip"))
    assert imported.status == "succeeded", imported.error
    assert imported.result is not None
    version = imported.result["dataset_version_id"]
    job = world.run("pipeline", dataset_version_id=version, experiment=TINY_EXPERIMENT)
    assert job.result is not None
    assert {row["arm"] for row in job.result["table"]} == set(TINY_EXPERIMENT["arms"])
    made = next(c for c in world.stack.children(job.id) if c.kind == "synthesize")
    files = {a.name: a.sha256 for a in world.stack.artifacts(made.id)}
    records = read_manifest(BlobStore(world.stack.folder).find(files["manifest.parquet"]))
    assert {record.modality for record in records} == {"grey"}
    assert {record.label for record in records} <= {"fracture", "no finding", "nodule"}
