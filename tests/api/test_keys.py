"""Keys live, hand over and end; their secrets are nowhere."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import text

from api import cli
from core.db.models import Base
from core.services.principal import SCOPES
from tests.api.world import World
from tests.integration.harness import eventually


def make(api: httpx.Client, **changes: object) -> dict[str, str]:
    body = {"name": "ward 3", "scopes": ["jobs:read"]} | changes
    made: dict[str, str] = api.post("/v1/keys", json=body).json()
    return made


def works(world: World, secret: str) -> bool:
    client = world.client(secret)
    status = client.get("/v1/jobs").status_code
    assert status in (200, 401)
    return status == 200


def expire(world: World, key_id: str) -> None:
    with world.sessions.begin() as session:
        session.execute(
            text("UPDATE api_keys SET expires_at = clock_timestamp() WHERE id = :id"),
            {"id": key_id},
        )


def test_both_keys_work_during_the_overlap(world: World, api: httpx.Client) -> None:
    old = make(api)
    answer = api.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_seconds": 600})
    new = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert (new["name"], new["scopes"], new["expires_at"]) == ("ward 3", ["jobs:read"], None)
    assert works(world, old["key"])
    assert works(world, new["key"])
    shown = {row["id"]: row for row in api.get("/v1/keys").json()["items"]}
    assert shown[old["id"]]["replaced_by"] == new["id"]
    ends = datetime.fromisoformat(shown[old["id"]]["expires_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(seconds=600)) < timedelta(seconds=60)
    expire(world, old["id"])  # past this process's memory of good keys
    eventually(lambda: not works(world, old["key"]), patience=10)
    assert works(world, new["key"])


def test_without_an_overlap_the_old_key_ends_at_once(world: World, api: httpx.Client) -> None:
    old = make(api)
    assert works(world, old["key"])  # and is remembered
    api.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_seconds": 0})
    assert not works(world, old["key"])


def test_an_overlap_never_prolongs_a_key(world: World, api: httpx.Client) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    old = make(api, expires_at=soon)
    new = api.post(f"/v1/keys/{old['id']}/rotate").json()
    shown = {row["id"]: row for row in api.get("/v1/keys").json()["items"]}
    assert shown[old["id"]]["expires_at"] == old["expires_at"]
    lives = datetime.fromisoformat(new["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=55) < lives < timedelta(minutes=65)


def test_a_key_is_rotated_once_and_only_while_it_lives(world: World, api: httpx.Client) -> None:
    old = make(api)
    assert api.post(f"/v1/keys/{old['id']}/rotate").status_code == 201
    again = api.post(f"/v1/keys/{old['id']}/rotate")
    assert (again.status_code, again.json()["code"]) == (409, "key_already_rotated")
    gone = make(api)
    assert api.delete(f"/v1/keys/{gone['id']}").status_code == 204
    refused = api.post(f"/v1/keys/{gone['id']}/rotate")
    assert (refused.status_code, refused.json()["code"]) == (409, "key_not_usable")


def test_a_repeated_rotation_gives_the_same_secret(world: World, api: httpx.Client) -> None:
    old = make(api)
    once = {"Idempotency-Key": "r1"}
    first = api.post(f"/v1/keys/{old['id']}/rotate", json={}, headers=once).json()
    assert api.post(f"/v1/keys/{old['id']}/rotate", json={}, headers=once).json() == first


def test_rotation_is_no_way_to_more_scopes(world: World, api: httpx.Client) -> None:
    strong = make(api, scopes=list(SCOPES))
    weak = world.client(world.key(scopes=["keys:admin"]))
    answer = weak.post(f"/v1/keys/{strong['id']}/rotate")
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    assert works(world, strong["key"])


def test_the_last_use_is_shown(world: World, api: httpx.Client) -> None:
    made = make(api)
    assert made["last_used_at"] is None
    works(world, made["key"])
    shown = {row["id"]: row for row in api.get("/v1/keys").json()["items"]}
    assert shown[made["id"]]["last_used_at"] is not None


def test_what_is_done_to_keys_is_audited_once(world: World, api: httpx.Client) -> None:
    key = make(api)
    new = api.post(f"/v1/keys/{key['id']}/rotate", json={"overlap_seconds": 5}).json()
    for _ in range(2):
        api.delete(f"/v1/keys/{key['id']}")
    entries = api.get("/v1/audit", params={"target_id": key["id"]}).json()["items"]
    assert [e["action"] for e in entries] == ["key.revoke", "key.rotate", "key.create"]
    assert entries[1]["details"] == {"replaced_by": new["id"], "overlap_seconds": 5}
    assert {e["actor"]["kind"] for e in entries} == {"key"}
    assert all(e["request_id"].startswith("req_") for e in entries)


def test_a_secret_is_in_no_table_and_no_log(
    world: World, api: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = api.post(
        "/v1/keys", json={"name": "x", "scopes": ["jobs:read"]}, headers={"Idempotency-Key": "k"}
    ).json()
    works(world, made["key"])
    works(world, made["key"][:-1] + "0")
    secret = made["key"].removeprefix("dsk_")[:20]
    with world.sessions() as session:
        for table in Base.metadata.tables:
            rows = session.scalars(text(f'SELECT to_jsonb(t)::text FROM "{table}" t'))
            assert not [row for row in rows if secret in row], table
    assert secret not in caplog.text


def test_the_audit_log_is_paged_and_filtered(world: World, api: httpx.Client) -> None:
    made = [make(api)["id"] for _ in range(5)]
    wanted = {"action": "key.create", "limit": "2"}
    first = api.get("/v1/audit", params=wanted).json()
    rest = api.get("/v1/audit", params=wanted | {"cursor": first["next_cursor"]}).json()
    seen = [e["target"]["id"] for e in first["items"] + rest["items"]]
    assert seen == made[:0:-1]
    at = first["items"][0]["at"]
    assert api.get("/v1/audit", params={"after": at}).json()["items"] == []
    assert api.get("/v1/audit", params={"action": "nonsense"}).status_code == 422
    weak = world.client(world.key(scopes=["datasets:read"]))
    assert weak.get("/v1/audit").status_code == 403


def test_the_command_line(
    world: World, api: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    server = ["--url", world.url, "--key", world.key(), "--json"]
    old = make(api)

    def run(*argv: str) -> object:
        assert cli.main([*argv, *server]) == 0
        return json.loads(capsys.readouterr().out)

    new = run("keys", "rotate", old["id"], "--overlap-hours", "0")
    assert isinstance(new, dict)
    assert works(world, new["key"])
    entries = run("audit", "--target", old["id"], "--most", "1")
    assert isinstance(entries, list)
    assert [entry["action"] for entry in entries] == ["key.rotate"]
    group = "grp_" + "0" * 26
    world.version([world.record(1, group_ids=(group,))])
    listed = run("erase", group)
    assert isinstance(listed, dict)
    assert listed["counts"]["images"] == 1
    erased = run("erase", group, "--yes")
    assert isinstance(erased, dict)
    assert erased["status"] == "done"
    assert api.get(f"/v1/groups/{group}").status_code == 404
