"""Erasure of a patient or lesion, as its caller meets it; what jobs make is in tests/contract."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from core.db.models import AuditEntry, DatasetVersion, Erasure, Image, JobBlob, PendingRemoval
from core.db.repositories import blob_references, removals
from core.db.repositories.consistency import wrong_counters
from core.ids import new_id
from core.jobs.kinds.export import ExportParams
from core.manifest import ImageRecord, manifest_sha256, read_manifest
from core.services.erasure import group_hash
from core.services.erasure_plan import make_plan
from core.services.inputs import resolve
from core.services.removal import finish_all
from tests.api.world import World


def grouped(world: World) -> tuple[list[ImageRecord], str, str]:
    """Return six real images, two of one person and four of another, and their groups."""
    one, two = new_id("grp"), new_id("grp")
    groups = [one, one, two, two, two, two]
    return [world.record(n, group_ids=(g,)) for n, g in enumerate(groups)], one, two


def synthetic(world: World, number: int, *parents: ImageRecord) -> ImageRecord:
    groups = tuple(sorted({g for parent in parents for g in parent.group_ids}))
    return world.record(
        number,
        source="synthetic",
        group_ids=groups,
        parents=tuple(p.image_id for p in parents),
        parent_sha256=tuple(p.sha256 for p in parents),
    )


def version(world: World, version_id: str) -> DatasetVersion:
    with world.sessions() as session:
        return session.get_one(DatasetVersion, version_id)


def manifest(world: World, version_id: str) -> list[ImageRecord]:
    return read_manifest(world.store.find(version(world, version_id).manifest_blob))


def test_what_is_listed_is_what_goes(world: World, api: httpx.Client) -> None:
    records, one, two = grouped(world)
    real = world.version(records, info={"group_basis": "patient", "groups": 2, "warnings": []})
    child = synthetic(world, 50, records[0], records[3])
    grandchild = synthetic(world, 51, child)
    other = synthetic(world, 52, records[4])
    made = world.version([child, grandchild, other], kind="synthetic", parents=(real.id,))

    listed = api.get(f"/v1/groups/{one}").json()
    assert listed["images"] == sorted(r.image_id for r in records[:2])
    assert listed["synthetic_images"] == sorted((child.image_id, grandchild.image_id))
    assert listed["dataset_versions"] == sorted((real.id, made.id))
    assert listed["counts"]["images"] == 2
    assert api.get(f"/v1/images/{records[0].image_id}/thumbnail").status_code == 200

    answer = api.delete(f"/v1/groups/{one}")
    assert (answer.status_code, answer.json()["status"]) == (200, "done")
    assert {k: v for k, v in listed["counts"].items() if k != "feature_rows"} == answer.json()[
        "counts"
    ]
    for gone in (*records[:2], child, grandchild):
        assert api.get(f"/v1/images/{gone.image_id}").status_code == 404
        assert not world.store.path(gone.sha256).exists()
    assert not [p for p in (world.data_dir / "thumbnails").rglob("*") if p.is_file()]
    for kept in (*records[2:], other):
        assert api.get(f"/v1/images/{kept.image_id}/content").status_code == 200
    assert api.get(f"/v1/groups/{one}").status_code == 404
    assert api.get(f"/v1/groups/{two}").json()["counts"]["images"] == 4

    now = version(world, real.id)
    left = manifest(world, real.id)
    assert left == records[2:]
    assert now.manifest_sha256 == manifest_sha256(left) != real.manifest_sha256
    assert (now.image_count, now.info["erased_images"], now.info["groups"]) == (4, 2, 1)
    assert sum(c["count"] for c in now.classes) == 4
    assert not world.store.path(real.manifest_blob).exists()
    shown = api.get(f"/v1/dataset-versions/{real.id}/images").json()["items"]
    assert [image["id"] for image in shown] == [r.image_id for r in left]


def test_a_second_time_tells_of_the_first(world: World, api: httpx.Client) -> None:
    records, one, _ = grouped(world)
    world.version(records)
    first = api.delete(f"/v1/groups/{one}").json()
    again = api.delete(f"/v1/groups/{one}")
    assert (again.status_code, again.json()) == (200, first)
    assert api.delete(f"/v1/groups/{new_id('grp')}").status_code == 404


def test_groups_that_were_merged_go_together(world: World, api: httpx.Client) -> None:
    records, one, two = grouped(world)
    merged = [
        ImageRecord(**{f: getattr(r, f) for f in r.__slots__} | {"group_ids": (one, two)})
        for r in (records[0], records[2])
    ]
    first = world.version(records)
    world.version(merged, new_dataset=False, dataset_id=first.dataset_id, parents=(first.id,))
    assert api.get(f"/v1/groups/{one}").json()["group_ids"] == sorted((one, two))
    assert api.delete(f"/v1/groups/{one}").json()["counts"]["images"] == 6
    assert api.delete(f"/v1/groups/{two}").status_code == 200
    assert api.get(f"/v1/dataset-versions/{first.id}").json()["image_count"] == 0


def test_bytes_that_others_hold_stay(
    world: World, api: httpx.Client, stranger: httpx.Client
) -> None:
    records, one, _ = grouped(world)
    world.version(records)
    theirs = world.record(0, group_ids=(one,))
    world.version([theirs], tenant="elsewhere")
    ours = world.record(1, group_ids=(new_id("grp"),))
    world.version([ours])
    assert api.get(f"/v1/groups/{one}").json()["same_bytes_in_groups"] == list(ours.group_ids)
    assert api.delete(f"/v1/groups/{one}").status_code == 200
    assert stranger.get(f"/v1/images/{theirs.image_id}/content").status_code == 200
    assert api.get(f"/v1/images/{ours.image_id}/content").status_code == 200
    assert api.delete(f"/v1/groups/{ours.group_ids[0]}").status_code == 200
    assert world.store.path(theirs.sha256).exists()
    assert not world.store.path(ours.sha256).exists()


def test_another_tenant_cannot_erase(
    world: World, api: httpx.Client, stranger: httpx.Client
) -> None:
    records, one, _ = grouped(world)
    world.version(records)
    assert stranger.get(f"/v1/groups/{one}").status_code == 404
    assert stranger.delete(f"/v1/groups/{one}").status_code == 404
    api.delete(f"/v1/groups/{one}")
    assert stranger.delete(f"/v1/groups/{one}").status_code == 404


@pytest.mark.parametrize("missing", ["datasets:write", "jobs:write", "models:write"])
def test_it_takes_every_scope_of_what_it_removes(world: World, missing: str) -> None:
    scopes = {"datasets:write", "jobs:write", "models:write"} - {missing}
    weak = world.client(world.key(scopes=sorted(scopes)))
    answer = weak.delete(f"/v1/groups/{new_id('grp')}")
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")


def test_unfinished_jobs_are_named_and_nothing_is_touched(world: World, api: httpx.Client) -> None:
    records, one, _ = grouped(world)
    real = world.version(records)
    job = api.post("/v1/jobs/export", json={"dataset_version_ids": [real.id]}).json()
    answer = api.delete(f"/v1/groups/{one}")
    assert (answer.status_code, answer.json()["code"]) == (409, "group_in_use")
    assert answer.json()["jobs"] == [job["id"]]
    assert version(world, real.id).manifest_sha256 == real.manifest_sha256
    api.post(f"/v1/jobs/{job['id']}/cancel")
    assert api.delete(f"/v1/groups/{one}").status_code == 200


def test_jobs_models_and_experiments_that_used_it_are_emptied(
    world: World, api: httpx.Client
) -> None:
    records, one, _ = grouped(world)
    real = world.version(records)
    body = {"dataset_version_ids": [real.id]}
    used = api.post("/v1/jobs/export", json=body, headers={"Idempotency-Key": "a"}).json()
    free = api.post("/v1/jobs/noop", json={}).json()

    def make(run: Any) -> None:
        file = run.artifact("predictions.parquet", b"of a person", "application/octet-stream")
        run.publish_experiment(real.id, {"design": "cv"}, file)
        run.publish_model("m", {"model.skops": b"weights of a person"}, {})

    world.finish(used["id"], {"files": 6}, make)
    world.finish(free["id"], make=lambda run: run.artifact("a.txt", b"kept", "text/plain"))
    world.store.log(used["id"]).parent.mkdir(parents=True, exist_ok=True)
    world.store.log(used["id"]).write_text("warning: image_0.png")
    model = api.get("/v1/models").json()["items"][0]["id"]
    sent = world.store.add(b"a photograph of another person")
    predict = {"model_id": model, "images": [{"filename": "x.png", "sha256": records[5].sha256}]}
    predicted = api.post("/v1/jobs/predict", json=predict).json()
    world.finish(predicted["id"], {"predictions": []})

    plan = api.get(f"/v1/groups/{one}").json()
    assert sorted(plan["jobs"]) == sorted((used["id"], predicted["id"]))
    assert (plan["counts"]["models"], plan["counts"]["experiments"]) == (1, 1)
    assert api.delete(f"/v1/groups/{one}").status_code == 200
    left = api.get(f"/v1/jobs/{used['id']}").json()
    assert (left["status"], left["result"], left["artifacts"]) == ("succeeded", None, [])
    assert left["error"]["code"] == "data_erased"
    assert api.get("/v1/models").json()["items"] == []
    assert api.get("/v1/experiments").json()["items"] == []
    assert api.get(f"/v1/jobs/{predicted['id']}").json()["params"] == {"model_id": model}
    assert len(api.get(f"/v1/jobs/{free['id']}").json()["artifacts"]) == 1
    again = api.post("/v1/jobs/export", json=body, headers={"Idempotency-Key": "a"}).json()
    assert again["id"] == used["id"]
    assert not world.store.log(used["id"]).exists()
    assert world.store.path(sent).exists()


def test_messages_and_labels_of_emptied_jobs_go(world: World, api: httpx.Client) -> None:
    records, one, _ = grouped(world)
    real = world.version(records)
    here = (
        f"/v1/webhooks/{api.post('/v1/webhooks', json={'url': 'https://r.example/'}).json()['id']}"
    )
    body = {"dataset_version_ids": [real.id]}
    once = {"Idempotency-Key": "a"}
    used = api.post("/v1/jobs/export?label=mrs_smith", json=body, headers=once).json()["id"]
    free = api.post("/v1/jobs/noop?label=ward_3", json={}).json()["id"]
    for job_id in (used, free):
        world.finish(job_id)
    told = api.get(f"{here}/deliveries").json()["items"]
    (of_used,) = (d["id"] for d in told if d["job_id"] == used)
    again = {"Idempotency-Key": "b"}
    assert api.post(f"{here}/deliveries/{of_used}/redeliver", headers=again).status_code == 202
    assert api.delete(f"/v1/groups/{one}").status_code == 200
    assert [d["job_id"] for d in api.get(f"{here}/deliveries").json()["items"]] == [free]
    assert api.get(f"/v1/jobs/{used}").json()["labels"] == []
    assert api.get(f"/v1/jobs/{free}").json()["labels"] == ["ward_3"]
    with world.sessions() as session:
        for table in ("jobs", "job_events", "webhook_deliveries", "idempotency_keys"):
            rows = session.scalars(text(f"SELECT to_jsonb(t)::text FROM {table} t"))
            assert not [row for row in rows if "mrs_smith" in row], table


def test_what_was_kept_for_jobs_and_set_aside_goes(world: World, api: httpx.Client) -> None:
    records, one, _ = grouped(world)
    real = world.version(records)
    used = api.post("/v1/jobs/export", json={"dataset_version_ids": [real.id]}).json()["id"]
    world.finish(used)
    shard = world.store.add(b"a picture of a shard")
    with world.sessions.begin() as session:
        session.add(JobBlob(job_id=used, sha256=shard))
    damaged = world.store.damaged(records[0].sha256)
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_bytes(b"half a picture")
    assert api.delete(f"/v1/groups/{one}").status_code == 200
    assert not world.store.path(shard).exists()
    assert not damaged.exists()
    with world.sessions() as session:
        assert session.scalars(select(JobBlob)).all() == []


def test_bytes_of_a_tenant_are_those_that_are_left(world: World, api: httpx.Client) -> None:
    records, one, _ = grouped(world)
    real = world.version(records)
    used = api.post("/v1/jobs/export", json={"dataset_version_ids": [real.id]}).json()["id"]
    world.finish(used, make=lambda run: run.artifact("e.zip", b"x" * 100_000, "application/zip"))
    world.version([world.record(9)])
    with world.sessions.begin() as session:
        session.execute(text("UPDATE tenants SET max_bytes = 1"))  # who has too much may erase
    assert api.delete(f"/v1/groups/{one}").status_code == 200
    with world.sessions() as session:
        assert wrong_counters(session) == []
        left = manifest(world, real.id)
        sizes = [world.store.path(r.sha256).stat().st_size for r in left]
        row = version(world, real.id)
        assert row.bytes == sum(sizes) + world.store.path(row.manifest_blob).stat().st_size


def test_a_commit_under_way_lets_files_wait(world: World, api: httpx.Client) -> None:
    """Who is about to refer to the same bytes has the lock; the tables are clean at once."""
    records, one, _ = grouped(world)
    world.version(records)
    with world.sessions() as committing:
        blob_references.share(committing)
        answer = api.delete(f"/v1/groups/{one}")
        assert (answer.status_code, answer.json()["status"]) == (202, "removing_files")
        assert world.store.path(records[0].sha256).exists()
    assert finish_all(world.sessions, world.store) == 1
    assert not world.store.path(records[0].sha256).exists()


def test_the_audit_log_tells_and_names_nobody(world: World, api: httpx.Client) -> None:
    records, one, _ = grouped(world)
    real = world.version(records)
    erasure = api.delete(f"/v1/groups/{one}").json()
    listed = api.get("/v1/audit", params={"target_id": erasure["id"]}).json()["items"]
    assert [entry["action"] for entry in listed] == ["group.erase_done", "group.erase_planned"]
    planned = listed[1]
    assert planned["details"]["counts"]["images"] == 2
    (told,) = planned["details"]["manifests"]
    assert told["old_manifest_sha256"] == real.manifest_sha256
    assert told["new_manifest_sha256"] == version(world, real.id).manifest_sha256
    assert planned["details"]["group_hashes"] == [group_hash(one)]
    everything = api.get("/v1/audit").text
    for secret in (one, records[0].image_id, records[0].filename, records[0].sha256):
        assert secret not in everything


def test_killed_between_decision_and_files_housekeeping_ends_it(
    world: World, api: httpx.Client
) -> None:
    records, one, _ = grouped(world)
    world.version(records)
    principal = world.principal()
    code = f"""
import os, signal
from core.config import get_settings
from core.db.repositories import blob_references
from core.db.session import sessions
from core.services.erasure import erase
from core.services.principal import Principal
from core.storage.blobs import BlobStore
blob_references.exclude = lambda session, wait: os.kill(os.getpid(), signal.SIGKILL)
principal = Principal({principal.tenant_id!r}, "key_x", frozenset())
erase(sessions(), principal, {one!r}, BlobStore(get_settings().data_dir))
"""
    ended = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False)
    assert ended.returncode == -signal.SIGKILL
    assert api.get(f"/v1/groups/{one}").status_code == 404
    assert world.store.path(records[0].sha256).exists()
    with world.sessions() as session:
        (erasure_id,) = removals.unfinished(session)
    assert finish_all(world.sessions, world.store) == 1
    assert not world.store.path(records[0].sha256).exists()
    with world.sessions() as session:
        assert session.get_one(Erasure, erasure_id).completed_at is not None
        assert session.scalars(select(PendingRemoval)).all() == []
    assert finish_all(world.sessions, world.store) == 0
    assert api.delete(f"/v1/groups/{one}").json()["id"] == erasure_id


def test_a_file_that_cannot_go_now_goes_later(
    world: World, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, one, _ = grouped(world)
    world.version(records)
    real = Path.unlink

    def stuck(path: Path, missing_ok: bool = False) -> None:
        if path.name == records[1].sha256:
            raise PermissionError(13, "not now")
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", stuck)
    answer = api.delete(f"/v1/groups/{one}")
    assert (answer.status_code, answer.json()["status"]) == (202, "removing_files")
    monkeypatch.undo()
    answer = api.delete(f"/v1/groups/{one}")
    assert (answer.status_code, answer.json()["status"]) == (200, "done")
    assert not world.store.path(records[1].sha256).exists()


def test_no_job_begins_on_a_version_while_it_is_decided(world: World) -> None:
    records, one, _ = grouped(world)
    real = world.version(records)
    principal = world.principal()
    with world.sessions() as deciding, world.sessions() as submitting:
        make_plan(deciding, principal, one, world.store, lock=True)
        submitting.execute(text("SET lock_timeout = '50ms'"))
        with pytest.raises(OperationalError):
            resolve(submitting, principal.tenant_id, ExportParams(dataset_version_ids=[real.id]))


def test_the_audit_log_cannot_be_changed(world: World, api: httpx.Client) -> None:
    api.post("/v1/keys", json={"name": "a", "scopes": ["jobs:read"]})
    for statement in ("UPDATE audit_log SET action = ''", "DELETE FROM audit_log"):
        with pytest.raises(IntegrityError), world.sessions.begin() as session:
            session.execute(text(statement))
    with pytest.raises(IntegrityError), world.sessions.begin() as session:
        session.execute(text("TRUNCATE audit_log"))
    with world.sessions() as session:
        before = len(session.scalars(select(AuditEntry)).all())
        session.execute(text("DELETE FROM tenants"))
        assert len(session.scalars(select(AuditEntry)).all()) == before > 0
        assert session.scalars(select(Image)).all() == []
