"""No room: a typed answer before anything is written, and all is well once there is room."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from core.config import get_settings
from core.db.models import Job, Tenant, Upload
from core.db.repositories import usage
from core.db.repositories.consistency import wrong_counters
from core.errors import QuotaExceeded, TooManyRequests
from core.services.garbage import collect
from core.services.uploads import remove_expired
from tests.api.test_uploads import begin, offset, send
from tests.api.world import World, png

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


@pytest.fixture
def predicting(world: World, api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of predictions with a model, which no worker answers soon."""
    monkeypatch.setattr("api.routes.models.WAIT_SECONDS", 0.05)
    world.worker("interactive")
    world.version()  # something is used: a limit of 0 would be none
    job = api.post("/v1/jobs/noop", json={}).json()["id"]
    world.finish(job)
    return f"/v1/models/{world.model(job)}/predict"


def sent(number: int) -> dict[str, Any]:
    """Return a request's one photograph, which nobody has sent before."""
    return {"files": {"images": ("a.png", png(number, (600 + number, 16)))}}


def size_of(request: dict[str, Any]) -> int:
    return len(request["files"]["images"][1])


def stored(world: World) -> set[str]:
    return {entry.name for entry in world.store.files()}


def test_photographs_for_a_prediction_count_until_they_are_garbage(
    world: World, api: httpx.Client, predicting: str
) -> None:
    before, request = used(world), sent(1)
    answer = api.post(predicting, **request, headers={"Idempotency-Key": "p"})
    assert answer.status_code == 202
    assert used(world) == before + size_of(request)
    api.post(predicting, **request, headers={"Idempotency-Key": "p"}).raise_for_status()
    assert used(world) == before + size_of(request)
    with world.sessions.begin() as session:
        assert wrong_counters(session) == []
        assert usage.release_ended(session, -1) == 0
    world.finish(answer.json()["id"])
    with world.sessions.begin() as session:
        assert usage.release_ended(session, 3600) == 0
        assert usage.release_ended(session, -1) == 1
    assert used(world) == before
    again = api.post(predicting, **request).json()["id"]
    world.finish(again)
    with world.sessions.begin() as session:
        session.delete(session.get_one(Job, again))
    assert used(world) == before


def test_photographs_beyond_the_quota_are_refused_and_not_kept(
    world: World, api: httpx.Client, predicting: str
) -> None:
    before, files, request = used(world), stored(world), sent(2)
    limit(world, before + size_of(request) - 1)
    refused(api.post(predicting, **request), "quota_exceeded")
    limit(world, before)
    refused(api.post(predicting, **request), "quota_exceeded")
    assert (used(world), stored(world)) == (before, files)
    assert not list((world.data_dir / "staging" / "direct").glob("*"))
    limit(world, before + size_of(request))
    assert api.post(predicting, **request).status_code == 202


def test_photographs_of_a_refused_prediction_are_not_kept(
    world: World, api: httpx.Client, predicting: str
) -> None:
    api.post("/v1/jobs/noop", json={}).raise_for_status()
    known, fresh = sent(3), sent(4)
    kept = world.store.add(known["files"]["images"][1])
    before, files = used(world), stored(world)
    with world.sessions.begin() as session:
        session.execute(update(Tenant).values(max_active_jobs=1))
    for request in (known, fresh):
        answer = api.post(predicting, **request)
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_jobs")
    assert (used(world), stored(world)) == (before, files)
    assert kept in files


def test_photographs_that_lose_the_race_for_the_quota_are_not_kept(
    world: World, api: httpx.Client, predicting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several that were looked at before any was charged."""
    before, files, request = used(world), stored(world), sent(6)
    limit(world, before + size_of(request) - 1)
    monkeypatch.setattr("core.services.sent_images.check_quota", lambda *_: None)
    refused(api.post(predicting, **request), "quota_exceeded")
    assert (used(world), stored(world)) == (before, files)


def test_a_refused_prediction_takes_no_photograph_from_a_job(
    world: World, api: httpx.Client, predicting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, published = sent(7), []

    def refuse(*_: Any) -> None:
        # a job that has not been committed yet has made the same bytes
        published.append(world.store.add(request["files"]["images"][1]))
        raise TooManyRequests("too many", code="too_many_jobs")

    monkeypatch.setattr("core.services.sent_images.submit", refuse)
    assert api.post(predicting, **request).status_code == 429
    (sha256,) = published
    assert world.store.find(sha256)


def test_photographs_do_not_fill_the_volume(api: httpx.Client, predicting: str, full: Any) -> None:
    full(True)
    refused(api.post(predicting, **sent(5)), "storage_full")
