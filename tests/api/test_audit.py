"""Whatever is changed through the API, the audit log names who changed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from core.ids import new_id
from core.services.uploads import remove_expired
from tests.api.walk import BYTES, Operation, everything, operations
from tests.api.world import World, png

CHANGING = {"post", "put", "patch", "delete"}
ROUTES = [operation for operation in operations() if operation.method in CHANGING]
ROUTES.sort(key=lambda operation: operation.method == "delete")
CHUNK = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}


class Ward:
    """A tenant with one of everything, and what a request needs to be one that changes something.

    A route that the example of its description does not satisfy has a method of its name here.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.secret = world.key()
        self.api = world.client(self.secret)
        self.ids = everything(world, "default", self.secret)
        self.key_id = self.ids["key"]
        mask = {"annotations": {"mask": world.store.add(png(99))}}  # for outlines
        real = [world.record(n, group_ids=(f"p{n}",), provenance=mask) for n in range(40)]
        self.real = world.version(real).id
        made = [world.record(50 + n, source="synthetic", group_ids=("p0",)) for n in range(9)]
        self.made = world.version(made, kind="synthetic", parents=(self.real,)).id

    def prepare(self, operation: Operation) -> dict[str, Any]:
        made: Callable[[], dict[str, Any]] | None
        made = getattr(self, operation.described["operationId"].replace("-", "_"), None)
        if made is not None:
            return dict(made())
        ids = self.ids
        if operation.path.startswith("/v1/jobs/"):
            ids = ids | {"dsv": self.real}  # large enough for every kind
        return operation.arguments(ids)

    def submit(self, kind: str, body: dict[str, Any]) -> str:
        return str(self.api.post(f"/v1/jobs/{kind}", json=body).json()["id"])

    def jobs_cancel(self) -> dict[str, Any]:
        self.ids["job"] = self.submit("noop", {})
        return {}

    def jobs_retry(self) -> dict[str, Any]:
        self.ids["job"] = self.submit("export", {"dataset_version_ids": [self.real]})
        self.api.post(f"/v1/jobs/{self.ids['job']}/cancel").raise_for_status()
        return {}

    def jobs_create_evaluate(self) -> dict[str, Any]:
        body = {"dataset_version_id": self.real, "synthetic_version_id": self.made}
        return {"json": body}

    def jobs_create_predict(self) -> dict[str, Any]:
        images = [{"filename": "x.png", "sha256": self.ids[BYTES]}]
        return {"json": {"model_id": self.ids["mdl"], "images": images}}

    def jobs_create_synthesize(self) -> dict[str, Any]:
        body = {"dataset_version_id": self.real, "generator": "augment", "sources": "all"}
        return {"json": body | {"counts": {"melanoma": 1}}}

    def jobs_create_train_segmentation(self) -> dict[str, Any]:
        return {"json": {"dataset_version_id": self.real}}

    def datasets_create(self) -> dict[str, Any]:
        return {"files": {"file": ("a.zip", png())}, "data": {"name": "clinic"}}

    def assets_create(self) -> dict[str, Any]:
        fields = {"kind": "background", "name": "room"}
        return {"files": {"file": ("room.png", png())}, "data": fields}

    def datasets_delete(self) -> dict[str, Any]:
        self.ids["ds"] = self.world.version().dataset_id
        return {}

    def groups_delete(self) -> dict[str, Any]:
        self.ids["grp"] = new_id("grp")
        self.world.version([self.world.record(200, group_ids=(self.ids["grp"],))])
        return {}

    def keys_delete(self) -> dict[str, Any]:
        body = {"name": "x", "scopes": ["jobs:read"]}
        self.ids["key"] = self.api.post("/v1/keys", json=body).json()["id"]
        return {}

    def uploads_append(self) -> dict[str, Any]:
        body = {"length": 1, "filename": "a.zip"}
        self.ids["upl"] = self.api.post("/v1/uploads", json=body).json()["id"]
        return {"content": b"x", "headers": CHUNK}


@pytest.fixture(scope="module")
def ward(service: World) -> Iterator[Ward]:
    service.empty()
    service.worker("interactive")
    yield Ward(service)


@pytest.mark.parametrize("operation", ROUTES, ids=lambda o: o.described["operationId"])
def test_every_change_is_audited(
    ward: Ward, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.models.WAIT_SECONDS", 0.05)
    arguments = ward.prepare(operation)
    answer = ward.api.request(operation.method, operation.at(ward.ids), **arguments)
    assert answer.is_success, answer.text
    query = {"request_id": answer.headers["x-request-id"]}
    entries = ward.api.get("/v1/audit", params=query).json()["items"]
    assert entries, "nothing says who did this"
    assert {entry["actor"]["id"] for entry in entries} == {ward.key_id}


def test_what_the_service_deletes_is_audited_as_its_own(world: World) -> None:
    api = world.client(world.key())
    upload = api.post("/v1/uploads", json={"length": 1, "filename": "a.zip"}).json()["id"]
    with world.sessions.begin() as session:
        session.execute(text("UPDATE uploads SET expires_at = now() - interval '1 hour'"))
    assert remove_expired(world.sessions) == 1
    (entry,) = api.get("/v1/audit", params={"action": "upload.delete"}).json()["items"]
    assert entry["target"]["id"] == upload
    assert entry["actor"] == {"kind": "system", "id": "system"}


def test_what_a_job_made_names_who_submitted_it(world: World) -> None:
    """The submission's key travels with the job; a change at once has it from the request."""
    api = world.client(world.key())
    (key,) = api.get("/v1/keys").json()["items"]
    version = world.version()
    job = api.post("/v1/jobs/noop", json={}).json()["id"]

    def make(run: Any) -> None:
        file = run.artifact("predictions.parquet", b"rows", "application/vnd.apache.parquet")
        run.publish_experiment(version.id, {"design": "cv"}, file)

    made = world.finish(job, make=make)
    shown = api.get(f"/v1/experiments/{made.experiments[0].id}").json()
    assert shown["created_by"] == key["id"]
    assert api.get(f"/v1/dataset-versions/{version.id}").json()["created_by"] is None
    listed = api.get(f"/v1/dataset-versions/{version.id}/images").json()["items"]
    body = {"drop": [listed[0]["id"]]}
    revised = api.post(f"/v1/datasets/{version.dataset_id}/versions", json=body)
    assert (revised.status_code, revised.json()["created_by"]) == (201, key["id"])
