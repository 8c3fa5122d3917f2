"""``/v1/assets``: uploads become jobs; what they made is listed, and deleted when unused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import update

from core.db.models import Job, Tenant
from core.services.inputs import upload_path
from tests.api.world import World, png


def post(api: httpx.Client, files: dict[str, bytes], **fields: str) -> httpx.Response:
    sent = {name: (f"{name}.bin", data) for name, data in files.items()}
    return api.post("/v1/assets", data=fields, files=sent)


def made(world: World, api: httpx.Client, kind: str = "body", size: int = 3) -> str:
    """Return the id of an asset, published as a worker would."""
    answer = post(api, {"file": png()}, kind="background", name="room")
    assert answer.status_code == 202, answer.text
    blob = world.store.add(b"x" * size)

    def make(run: Any) -> None:
        run.publish_asset(kind, f"a {kind}", {"mesh": blob}, licence="CC0-1.0", info={"n": 1})

    outcome = world.finish(answer.json()["id"], make=make)
    return outcome.assets[0].id


def used(world: World) -> int:
    with world.sessions() as session:
        return session.get_one(Tenant, world.principal().tenant_id).bytes_used


def test_an_upload_of_several_files_is_one_job(world: World, api: httpx.Client) -> None:
    files = {"file": b"v 0 0 0", "texture": png(), "non_skin": png(1), "parts": b"head"}
    answer = post(api, files, kind="body", name="scan 3", units="cm", groups="body, skin")
    assert answer.status_code == 202, answer.text
    job = answer.json()
    params = job["params"]
    assert (job["kind"], params["kind"], params["units"]) == ("import_asset", "body", "cm")
    assert params["groups"] == ["body", "skin"]
    for name, data in files.items():
        field = "upload_id" if name == "file" else f"{name}_upload_id"
        assert upload_path(params[field]).read_bytes() == data
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"


def test_the_same_key_is_the_same_job_and_leaves_no_second_file(
    world: World, api: httpx.Client
) -> None:
    before = set(upload_path("").glob("*"))
    headers = {"Idempotency-Key": "k1"}
    form = {"data": {"kind": "background", "name": "room"}, "headers": headers}
    answers = [api.post("/v1/assets", files={"file": ("r.png", png())}, **form) for _ in range(2)]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert len(set(upload_path("").glob("*")) - before) == 1


@pytest.mark.parametrize(
    ("files", "fields", "pointer"),
    [
        ({}, {"kind": "body", "name": "x"}, "/file"),
        ({"texture": b"x"}, {"kind": "body", "name": "x"}, "/file"),
        ({"file": b""}, {"kind": "body", "name": "x"}, "/file"),
        ({"file": b"x"}, {"kind": "ghost", "name": "x"}, "/kind"),
        ({"file": b"x"}, {"kind": "body"}, "/name"),
        ({"file": b"x"}, {"kind": "body", "name": "x", "colour": "red"}, "/colour"),
        ({"file": b"x"}, {"kind": "body", "name": "x", "upload_id": "upl_x"}, "/upload_id"),
        ({"file": b"x", "hair": b"x"}, {"kind": "body", "name": "x"}, "/hair"),
    ],
)
def test_what_is_wrong_with_a_form_is_said(
    api: httpx.Client, files: dict[str, bytes], fields: dict[str, str], pointer: str
) -> None:
    answer = (
        post(api, files or {"none": b""}, **fields)
        if files
        else api.post("/v1/assets", files={k: (None, v) for k, v in fields.items()})
    )
    assert answer.status_code == 422, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


def test_assets_are_listed_by_kind_and_belong_to_their_tenant(
    world: World, api: httpx.Client, stranger: httpx.Client
) -> None:
    room, body = made(world, api, "background"), made(world, api)
    assert [item["id"] for item in api.get("/v1/assets").json()["items"]] == [body, room]
    only = api.get("/v1/assets", params={"kind": "background"}).json()["items"]
    assert [item["id"] for item in only] == [room]
    one = api.get(f"/v1/assets/{body}").json()
    assert (one["kind"], one["licence"], one["info"]) == ("body", "CC0-1.0", {"n": 1})
    assert one["links"]["job"] == f"/v1/jobs/{one['job_id']}"
    assert stranger.get("/v1/assets").json()["items"] == []
    assert stranger.get(f"/v1/assets/{body}").status_code == 404
    assert stranger.delete(f"/v1/assets/{body}").status_code == 404
    assert api.get("/v1/assets", params={"kind": "ghost"}).status_code == 422


def test_bytes_count_until_the_asset_is_deleted(world: World, api: httpx.Client) -> None:
    made(world, api)
    before = used(world)
    asset = made(world, api, size=1000)
    assert used(world) == before + 1000 + len(png())
    assert api.delete(f"/v1/assets/{asset}").status_code == 204
    assert used(world) == before + len(png())
    assert api.delete(f"/v1/assets/{asset}").status_code == 404
    actions = [item["action"] for item in api.get("/v1/audit").json()["items"]]
    assert "asset.create" in actions and "asset.delete" in actions


def test_what_was_rendered_with_an_asset_keeps_it(world: World, api: httpx.Client) -> None:
    asset = made(world, api)
    job = api.post("/v1/jobs/noop", json={}).json()["id"]
    with world.sessions.begin() as session:
        snapshot = {"versions": {}, "models": {}, "uploads": {}, "assets": {asset: {}}}
        session.execute(update(Job).where(Job.id == job).values(inputs=snapshot))
    answer = api.delete(f"/v1/assets/{asset}")
    assert (answer.status_code, answer.json()["code"]) == (409, "asset_in_use")
    assert answer.json()["dependents"] == [{"type": "job", "id": job}]
    api.post(f"/v1/jobs/{job}/cancel")
    assert api.delete(f"/v1/assets/{asset}").status_code == 204


def test_what_a_generator_names_is_checked_kept_and_holds_its_asset(
    world: World, api: httpx.Client
) -> None:
    body, background = made(world, api), made(world, api, "background")
    version = world.version().id

    def submit(bodies: list[str]) -> httpx.Response:
        asked = {
            "dataset_version_id": version,
            "generator": "render3d",
            "generator_params": {"bodies": bodies, "backgrounds": [background]},
            "counts": {"melanoma": 1},
        }
        return api.post("/v1/jobs/synthesize", json=asked)

    gone = submit([body, "ast_" + "0" * 26])
    assert (gone.status_code, gone.json()["code"]) == (404, "asset_not_found")
    assert gone.json()["errors"][0]["pointer"] == "/generator_params/bodies/1"
    wrong = submit([background])
    assert (wrong.status_code, wrong.json()["code"]) == (422, "wrong_asset_kind")
    assert wrong.json()["errors"][0]["pointer"] == "/generator_params/bodies/0"
    foreign = world.client(world.key("elsewhere"))
    other = foreign.post(
        "/v1/jobs/synthesize",
        json={
            "dataset_version_id": world.version(tenant="elsewhere").id,
            "generator": "render3d",
            "generator_params": {"bodies": [body]},
            "counts": {"melanoma": 1},
        },
    )
    assert (other.status_code, other.json()["code"]) == (404, "asset_not_found")
    job = submit([body]).json()["id"]
    with world.sessions() as session:
        assert set(session.get_one(Job, job).inputs["assets"]) == {body, background}
    for asset in (body, background):
        answer = api.delete(f"/v1/assets/{asset}")
        assert (answer.status_code, answer.json()["code"]) == (409, "asset_in_use")
        assert answer.json()["dependents"] == [{"type": "job", "id": job}]


def test_the_scope_of_datasets_is_needed(world: World) -> None:
    reader = world.client(world.key(scopes=["datasets:read"]))
    assert post(reader, {"file": png()}, kind="background", name="x").status_code == 403
    assert reader.get("/v1/assets").status_code == 200
    none = world.client(world.key(scopes=["jobs:read"]))
    assert none.get("/v1/assets").status_code == 403
