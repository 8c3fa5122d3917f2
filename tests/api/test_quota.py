"""No room: a typed answer before anything is written, and all is well once there is room."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from core.config import get_settings
from core.db.models import Tenant, Upload
from core.errors import QuotaExceeded
from core.services.garbage import collect
from core.services.uploads import remove_expired
from tests.api.test_uploads import begin, offset, send
from tests.api.world import World

HUGE = str(10**18)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A switch: True, and the volume has only its reserve left."""

    def switch(on: bool) -> None:
        monkeypatch.setenv("DERMSYNTH_DISK_RESERVE_BYTES", HUGE if on else "0")
        get_settings.cache_clear()

    yield switch
    monkeypatch.undo()
    get_settings.cache_clear()


def used(world: World, tenant: str = "default") -> int:
    with world.sessions() as session:
        return session.scalars(select(Tenant.bytes_used).where(Tenant.name == tenant)).one()


def limit(world: World, size: int | None) -> None:
    with world.sessions.begin() as session:
        session.execute(update(Tenant).where(Tenant.name == "default").values(max_bytes=size))


def refused(answer: httpx.Response, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (507, code), answer.text


def form(api: httpx.Client, data: bytes = b"PK") -> httpx.Response:
    return api.post("/v1/datasets", files={"file": ("a.zip", data)}, data={"name": "x"})


def test_a_full_volume_refuses_what_is_new_and_recovers(
    world: World, api: httpx.Client, full: Any
) -> None:
    draft = world.version()
    upload = begin(api, 10)
    assert send(api, upload, 0, b"01234").status_code == 204
    full(True)
    answer = api.post("/v1/uploads", json={"length": 1})
    refused(answer, "storage_full")
    assert int(answer.headers["retry-after"]) > 0
    refused(send(api, upload, 5, b"56789"), "storage_full")
    refused(form(api), "storage_full")
    refused(api.post("/v1/jobs/noop", json={}), "storage_full")
    change = {"drop": [1]}
    revise = f"/v1/datasets/{draft.dataset_id}/versions"
    assert api.get("/v1/datasets").status_code == 200
    images = api.get(f"/v1/dataset-versions/{draft.id}/images").json()["items"]
    change = {"drop": [images[0]["id"]]}
    refused(api.post(revise, json=change), "storage_full")
    assert offset(api, upload) == 5
    ready = api.get("/readyz").json()
    assert [c["ok"] for c in ready["checks"] if c["name"] == "storage"] == [False], ready
    full(False)
    assert send(api, upload, 5, b"56789").status_code == 204
    assert api.post("/v1/jobs/noop", json={}).status_code == 202
    assert api.post(revise, json=change).status_code == 201
    assert form(api).status_code == 202


def test_a_tenant_pays_for_its_uploads_until_they_are_gone(
    world: World, api: httpx.Client, stranger: httpx.Client
) -> None:
    limit(world, 100)
    upload = begin(api, 60)
    assert used(world) == 60, "announced bytes count"
    answer = api.post("/v1/uploads", json={"length": 41})
    refused(answer, "quota_exceeded")
    assert (answer.json()["used_bytes"], answer.json()["limit_bytes"]) == (60, 100)
    assert begin(stranger, 41)
    refused(form(api, b"P" * 41), "quota_exceeded")
    assert begin(api, 40)
    refused(api.post("/v1/jobs/noop", json={}), "quota_exceeded")
    assert used(world) == 100, "refusals cost nothing"
    with world.sessions.begin() as session:
        session.execute(
            update(Upload).where(Upload.id == upload).values(expires_at=Upload.created_at)
        )
    assert remove_expired(world.sessions) == 1
    assert used(world) == 40
    assert api.post("/v1/jobs/noop", json={}).status_code == 202


def test_zero_means_nothing_and_none_means_what_the_settings_say(
    world: World, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMSYNTH_MAX_TENANT_BYTES", "50")
    get_settings.cache_clear()
    refused(api.post("/v1/uploads", json={"length": 51}), "quota_exceeded")
    limit(world, 1000)
    assert begin(api, 51)
    monkeypatch.undo()
    get_settings.cache_clear()


def test_versions_models_and_artifacts_count_and_give_back(world: World, api: httpx.Client) -> None:
    draft = world.version()
    manifest = world.store.find(draft.manifest_blob)
    blobs = {
        image["sha256"]
        for image in api.get(f"/v1/dataset-versions/{draft.id}/images").json()["items"]
    }
    version = world.store.size(blobs | {draft.manifest_blob})
    assert manifest.stat().st_size < version == used(world)
    job = api.post("/v1/jobs/noop", json={}).json()["id"]

    def make(runtime: Any) -> None:
        runtime.artifact("a.txt", b"12345", "text/plain")
        runtime.publish_model("m", {"model.skops": b"1234567"}, {})

    world.finish(job, make=make)
    assert used(world) == version + 12
    assert api.delete(f"/v1/datasets/{draft.dataset_id}").status_code == 204
    assert used(world) == 12
    assert world.store.path(draft.manifest_blob).exists()
    assert collect(world.sessions, world.store, -60.0).removed > len(blobs)
    assert [b for b in (*blobs, draft.manifest_blob) if world.store.path(b).exists()] == []
    assert world.store.find(hashlib.sha256(b"12345").hexdigest())
    assert world.store.find(hashlib.sha256(b"1234567").hexdigest())


def test_a_job_that_makes_more_than_its_tenant_may_keep_leaves_nothing(
    world: World, api: httpx.Client
) -> None:
    job = api.post("/v1/jobs/noop", json={}).json()["id"]
    limit(world, 4)
    with pytest.raises(QuotaExceeded):
        world.finish(job, make=lambda runtime: runtime.artifact("a", b"12345", "text/plain"))
    assert used(world) == 0
    assert api.get(f"/v1/jobs/{job}").json()["artifacts"] == []
