"""Tenants are isolated and keys are limited on every route that openapi.json tells of."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import text

from core.services.principal import SCOPES
from tests.api.walk import (
    PUBLIC,
    UNKNOWN,
    ask,
    everything,
    foreign_bodies,
    operations,
)
from tests.api.world import World

GUARDED = [operation for operation in operations() if operation.path not in PUBLIC]
OURS, THEIRS = "mercy", "stranger"


class Two:
    """Two tenants with one of everything each."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.secret = world.key(OURS)
        self.client = world.client(self.secret)
        self.ids = everything(world, OURS, self.secret)
        self.foreign_secret = world.key(THEIRS)
        self.foreign = world.client(self.foreign_secret)
        self.foreign_ids = everything(world, THEIRS, self.foreign_secret)

    def leaks(self, answer: httpx.Response) -> list[str]:
        """Return what an answer tells of our tenant, beyond the ids that were asked with."""
        return [
            word
            for word in (f"ward of {OURS}", f"{OURS}_", f"{OURS}.zip", f"{OURS}.example")
            if word in answer.text
        ]

    def state(self) -> list[tuple[str, str]]:
        """Return every row of our tenant, last uses left out."""
        tenant = self.world.principal(OURS).tenant_id
        found = []
        with self.world.sessions() as session:
            for table in ("datasets", "dataset_versions", "images", "uploads", "jobs", "artifacts",
                          "models", "assets", "experiments", "sessions", "api_keys", "webhooks",
                          "webhook_deliveries"):  # fmt: skip
                rows = text(
                    f"SELECT (to_jsonb(t) - 'last_used_at')::text FROM {table} t"
                    " WHERE tenant_id = :tenant ORDER BY 1"
                )
                found += [(table, row) for row in session.scalars(rows, {"tenant": tenant})]
        return found


@pytest.fixture(scope="module")
def two(service: World) -> Iterator[Two]:
    service.empty()
    yield Two(service)


def test_every_kind_of_id_in_a_path_is_known(two: Two) -> None:
    """A new route with an id of a new kind must be added to ``everything``."""
    for operation in GUARDED:
        names = [p["name"] for p in operation.parameters("path")]
        assert len(names) == operation.path.count("{"), operation
        assert "{" not in operation.at(two.ids)
        for parameter in operation.parameters("path"):
            if parameter["name"].endswith("_id"):
                assert operation.kinds(), (operation.path, "has an id without a pattern")


def test_the_owner_gets_what_the_stranger_does_not(two: Two) -> None:
    """The ids are real: else a 404 would prove nothing."""
    for operation in GUARDED:
        if operation.method in ("get", "head"):
            answer = ask(two.client, operation, two.ids)
            assert answer.status_code == 200, (operation.path, answer.text)


def test_another_tenants_ids_are_404(two: Two) -> None:
    before, seen = two.state(), 0
    for operation in GUARDED:
        if operation.kinds():
            answer = ask(two.foreign, operation, two.ids | {"bytes": two.foreign_ids["bytes"]})
            assert answer.status_code == 404, (operation.method, operation.path, answer.text)
            assert two.leaks(answer) == []
            seen += 1
    assert seen > 25
    assert two.state() == before


def test_another_tenants_ids_inside_bodies_are_refused(two: Two) -> None:
    before, seen = two.state(), 0
    for operation in GUARDED:
        for field, body in foreign_bodies(operation, two.foreign_ids, two.ids):
            path = operation.at(two.foreign_ids)
            answer = two.foreign.request(operation.method, path, json=body)
            assert answer.status_code in (404, 422), (path, field, answer.text)
            assert two.leaks(answer) == [], (path, field)
            dry = two.foreign.request(
                operation.method, path, json=body, params={"validate_only": "true"}
            )
            assert dry.status_code in (404, 422), (path, field, dry.text)
            seen += 1
    assert seen > 15
    assert two.state() == before


def test_lists_hold_the_callers_own_things_only(two: Two) -> None:
    for operation in GUARDED:
        if operation.method != "get" or operation.kinds():
            continue
        answer = two.foreign.get(operation.path)
        assert answer.status_code == 200
        assert two.leaks(answer) == [], operation.path
        for kind, value in two.ids.items():
            assert value not in answer.text, (operation.path, kind)
        for parameter in operation.parameters("query"):
            if parameter["name"].endswith("_id"):
                for value in two.ids.values():
                    params = {parameter["name"]: value}
                    found = two.foreign.get(operation.path, params=params).json()
                    assert found["items"] == [], (operation.path, params)


def refused(two: Two, secret: str | None, status: int, scheme: str = "Bearer") -> None:
    headers = {"Authorization": f"{scheme} {secret}"} if secret else {}
    for operation in GUARDED:
        arguments = operation.arguments(two.ids)
        arguments["headers"] = arguments.get("headers", {}) | headers
        client = two.world.client()
        answer = client.request(operation.method, operation.at(two.ids), **arguments)
        client.close()
        assert answer.status_code == status, (operation.method, operation.path, answer.text)
        if status == 401:
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("scheme", "secret"), [("", None), ("Bearer", "dsk_no"), ("Basic", "eDp5")]
)
def test_without_a_key_it_is_401(two: Two, scheme: str, secret: str | None) -> None:
    refused(two, secret, 401, scheme)


@pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
def test_with_a_dead_key_it_is_401(two: Two, column: str) -> None:
    made = two.client.post("/v1/keys", json={"name": column, "scopes": list(SCOPES)}).json()
    with two.world.sessions.begin() as session:
        session.execute(
            text(f"UPDATE api_keys SET {column} = clock_timestamp() WHERE id = :id"),
            {"id": made["id"]},
        )
    refused(two, made["key"], 401)


def test_every_scope_is_needed_and_no_other(two: Two) -> None:
    keys = {scope: two.world.client(two.world.key(OURS, [s for s in SCOPES if s != scope]))
            for scope in SCOPES}  # fmt: skip
    exact: dict[tuple[str, ...], httpx.Client] = {}
    for operation in GUARDED:
        assert operation.scopes, (operation.path, "asks for no scope")
        for scope in operation.scopes:
            answer = ask(keys[scope], operation, two.ids)
            assert answer.status_code == 403, (operation.method, operation.path, scope)
        enough = tuple(sorted(operation.scopes))
        if enough not in exact:
            exact[enough] = two.world.client(two.world.key(OURS, enough))
        answer = ask(exact[enough], operation, UNKNOWN | {"bytes": "0" * 64})
        assert "The key has no scope" not in answer.text, (operation.method, operation.path)


def test_a_job_needs_the_scopes_of_what_it_is_given() -> None:
    needs = {"dsv": "datasets:", "upl": "datasets:", "mdl": "models:", "bytes": "datasets:"}
    marks = {kind: f"<{kind}>" for kind in (*UNKNOWN, "bytes")}
    for operation in GUARDED:
        if operation.path.startswith("/v1/jobs/") and "{" not in operation.path:
            assert "jobs:write" in operation.scopes
            bodies = str([body for _, body in foreign_bodies(operation, UNKNOWN, marks)])
            for kind, start in needs.items():
                if marks[kind] in bodies:
                    assert any(s.startswith(start) for s in operation.scopes), operation.path
            if operation.path == "/v1/jobs/import":  # an experiment reads an upload, this adds it
                assert "datasets:write" in operation.scopes


def test_a_retry_needs_the_scopes_of_its_kind(two: Two) -> None:
    job = two.client.post("/v1/jobs/export", json={"dataset_version_ids": [two.ids["dsv"]]}).json()[
        "id"
    ]
    assert two.client.post(f"/v1/jobs/{job}/cancel").status_code == 200
    weak = two.world.client(two.world.key(OURS, ["jobs:write"]))
    answer = weak.post(f"/v1/jobs/{job}/retry")
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")


def test_an_export_is_not_downloaded_without_datasets_read(two: Two) -> None:
    job = two.client.post("/v1/jobs/export", json={"dataset_version_ids": [two.ids["dsv"]]}).json()[
        "id"
    ]
    made = two.world.finish(
        job, make=lambda run: run.artifact("e.zip", b"images", "application/zip")
    )
    path = f"/v1/artifacts/{made.artifacts[0].id}/content"
    weak = two.world.client(two.world.key(OURS, ["jobs:read"]))
    assert weak.get(path).status_code == 403
    answer = two.client.get(path)
    assert answer.status_code == 200
    params = {"request_id": answer.headers["x-request-id"]}
    (entry,) = two.client.get("/v1/audit", params=params).json()["items"]
    assert (entry["action"], entry["target"]["id"]) == ("export.download", made.artifacts[0].id)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("contact_sheet.png", "image/png"), ("report.html", "text/html"),
     ("predictions.parquet", "application/vnd.apache.parquet")],
)  # fmt: skip
def test_what_shows_patients_is_not_downloaded_without_datasets_read(
    two: Two, name: str, media_type: str
) -> None:
    body = {"dataset_version_id": two.ids["dsv"], "generator": "augment", "sources": "all"}
    job = two.client.post("/v1/jobs/synthesize", json=body | {"counts": {"melanoma": 1}})
    made = two.world.finish(
        job.json()["id"], make=lambda run: run.artifact(name, name.encode(), media_type)
    )
    path = f"/v1/artifacts/{made.artifacts[0].id}/content"
    weak = two.world.client(two.world.key(OURS, ["jobs:read", "jobs:write", "models:read"]))
    answer = weak.get(path)
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    answer = two.world.client(two.world.key(OURS, ["jobs:read", "datasets:read"])).get(path)
    assert answer.content == name.encode()
    params = {"request_id": answer.headers["x-request-id"]}
    entries = two.client.get("/v1/audit", params=params).json()["items"]
    shown = [] if name == "predictions.parquet" else [("artifact.download", made.artifacts[0].id)]
    assert [(entry["action"], entry["target"]["id"]) for entry in entries] == shown


def test_what_a_model_made_needs_models_read(two: Two) -> None:
    images = [{"filename": "x.png", "sha256": two.ids["bytes"]}]
    body = {"model_id": two.ids["mdl"], "images": images}
    job = two.client.post("/v1/jobs/predict", json=body)
    made = two.world.finish(
        job.json()["id"], make=lambda run: run.artifact("r.json", b"{}", "application/json")
    )
    path = f"/v1/artifacts/{made.artifacts[0].id}/content"
    weak = two.world.client(two.world.key(OURS, ["jobs:read", "datasets:read"]))
    assert weak.get(path).status_code == 403
    assert two.client.get(path).status_code == 200
