"""A person's body scan or background: whom it shows, and that an erasure reaches it."""

from __future__ import annotations

from typing import Any

import httpx
from sqlalchemy import text, update

from core.db.models import Asset, Job
from core.ids import new_id
from core.jobs.context import AssetInput, Inputs
from core.manifest import ImageRecord
from core.services.inputs import upload_path
from tests.api.world import World, png


def sent(api: httpx.Client, name: str = "scan", **fields: str) -> httpx.Response:
    form = {"kind": "background", "name": name, **fields}
    return api.post("/v1/assets", data=form, files={"file": ("f.png", png())})


def asset(world: World, api: httpx.Client, data: bytes = b"mesh", **fields: str) -> str:
    """Return the id of an asset, published as a worker would."""
    job = sent(api, **fields).json()

    def make(run: Any) -> None:
        files = {"mesh": world.store.add(data)}
        group = job["params"].get("group_id")
        run.publish_asset("body", fields.get("name", "scan"), files, licence="", info={},
                          group_id=group)  # fmt: skip

    return world.finish(job["id"], make=make).assets[0].id


def groups(api: httpx.Client, asset_id: str) -> list[str]:
    found: list[str] = api.get(f"/v1/assets/{asset_id}").json()["group_ids"]
    return found


def render(world: World, number: int, *group_ids: str) -> ImageRecord:
    files = {"depth": world.store.add(f"depth {number}".encode())}
    return world.record(
        number, source="synthetic", group_ids=group_ids, provenance={"annotations": files}
    )


def use(world: World, api: httpx.Client, asset_id: str) -> str:
    """Return the id of a job that was given an asset."""
    job: str = api.post("/v1/jobs/noop?label=of_mrs_smith", json={}).json()["id"]
    with world.sessions.begin() as session:
        row = session.get_one(Asset, asset_id)
        given = AssetInput(**{name: getattr(row, name) for name in AssetInput.model_fields})
        snapshot = Inputs(assets={asset_id: given}).model_dump(mode="json")
        session.execute(update(Job).where(Job.id == job).values(inputs=snapshot))
    return job


def test_an_asset_is_a_group_of_its_own_or_of_the_person_it_shows(
    world: World, api: httpx.Client
) -> None:
    person = new_id("grp")
    world.version([world.record(1, group_ids=(person,))])
    own, known = asset(world, api), asset(world, api, group_id=person)
    assert groups(api, own) == [f"asset:{own}"]
    assert groups(api, known) == [person]
    second = asset(world, api, group_id=f"asset:{own}")
    assert groups(api, second) == [f"asset:{own}"]
    with world.sessions() as session:
        row = session.get_one(Job, session.get_one(Asset, second).job_id)
        assert row.inputs["groups"] == [f"asset:{own}"]


def test_the_person_must_be_there_and_be_ours(
    world: World, api: httpx.Client, stranger: httpx.Client
) -> None:
    person, made = new_id("grp"), new_id("grp")
    world.version([world.record(1, group_ids=(person,)), render(world, 2, made)])
    own = f"asset:{asset(world, api)}"
    assert stranger.get(f"/v1/groups/{own}").status_code == 404
    assert stranger.delete(f"/v1/groups/{own}").status_code == 404
    for caller, group in ((api, new_id("grp")), (stranger, person), (stranger, own), (api, made)):
        answer = sent(caller, group_id=group)
        assert (answer.status_code, answer.json()["code"]) == (404, "group_not_found")
        assert answer.json()["errors"][0]["pointer"] == "/group_id"
    for wrong in ("mrs smith", "asset:grp_" + "0" * 26, own.removeprefix("asset:")):
        answer = sent(api, group_id=wrong)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/group_id")


def test_an_erasure_reaches_the_asset_and_what_was_rendered_with_it(
    world: World, api: httpx.Client
) -> None:
    scan = asset(world, api, name="mrs_smith")
    group = f"asset:{scan}"
    other = asset(world, api, b"another body")
    mine, kept = render(world, 1, group, "g7"), render(world, 2, f"asset:{other}", "g7")
    version = world.version([mine, kept], kind="synthetic")
    used = use(world, api, scan)
    sheet = world.finish(used, make=lambda run: run.artifact("sheet.png", b"her", "image/png"))
    shown = api.get(f"/v1/assets/{scan}").json()
    upload = api.get(f"/v1/jobs/{shown['job_id']}").json()["params"]["upload_id"]

    listed = api.get(f"/v1/groups/{group}").json()
    assert (listed["group_ids"], listed["assets"]) == ([group], [scan])
    assert (listed["images"], listed["synthetic_images"]) == ([], [mine.image_id])
    assert listed["jobs"] == sorted((used, shown["job_id"]))
    assert listed["uploads"] == [upload]
    assert api.get(f"/v1/assets/{scan}").status_code == 200  # a list removes nothing

    answer = api.delete(f"/v1/groups/{group}")
    assert (answer.status_code, answer.json()["status"]) == (200, "done")
    counted = {k: v for k, v in listed["counts"].items() if k != "feature_rows"}
    assert answer.json()["counts"] == counted
    assert (counted["assets"], counted["synthetic_images"], counted["jobs"]) == (1, 1, 2)
    assert api.get(f"/v1/assets/{scan}").status_code == 404
    assert api.get(f"/v1/images/{mine.image_id}").status_code == 404
    depth = mine.provenance["annotations"]["depth"]
    for blob in (*shown["files"].values(), mine.sha256, depth, sheet.artifacts[0].sha256):
        assert not world.store.path(blob).exists()
    assert not upload_path(upload).exists()
    assert api.get(f"/v1/dataset-versions/{version.id}").json()["image_count"] == 1
    assert api.get(f"/v1/assets/{other}").status_code == 200
    assert api.get(f"/v1/images/{kept.image_id}/annotations/depth").status_code == 200
    done = api.get("/v1/audit", params={"target_id": answer.json()["id"]}).json()["items"]
    assert [entry["action"] for entry in done] == ["group.erase_done", "group.erase_planned"]
    assert done[1]["details"]["counts"]["assets"] == 1
    assert rows_with(world, "mrs_smith", group) == []
    assert api.delete(f"/v1/groups/{group}").json() == answer.json()  # tells of the first


def rows_with(world: World, *words: str) -> list[tuple[str, str]]:
    tables = ("assets", "images", "jobs", "job_events", "uploads", "audit_log", "idempotency_keys",
              "webhook_deliveries", "dataset_versions", "erasures")  # fmt: skip
    with world.sessions() as session:
        return [
            (table, row)
            for table in tables
            for row in session.scalars(text(f"SELECT to_jsonb(t)::text FROM {table} t"))
            for word in words
            if word in row
        ]


def test_images_and_assets_of_a_person_go_together(world: World, api: httpx.Client) -> None:
    person = new_id("grp")
    photograph = world.record(1, group_ids=(person,))
    world.version([photograph])
    scans = [asset(world, api, data, group_id=person) for data in (b"front", b"back")]
    listed = api.get(f"/v1/groups/{person}").json()
    assert (listed["images"], listed["assets"]) == ([photograph.image_id], sorted(scans))
    assert api.delete(f"/v1/groups/{person}").json()["counts"]["assets"] == 2
    assert api.get("/v1/assets").json()["items"] == []
    assert rows_with(world, person) == []


def test_jobs_that_would_use_it_or_add_to_it_hold_an_erasure_up(
    world: World, api: httpx.Client
) -> None:
    scan = asset(world, api)
    group = f"asset:{scan}"
    jobs = [use(world, api, scan), sent(api, group_id=group).json()["id"]]
    for job in jobs:
        answer = api.delete(f"/v1/groups/{group}")
        assert (answer.status_code, answer.json()["code"]) == (409, "group_in_use")
        assert job in answer.json()["jobs"]
        api.post(f"/v1/jobs/{job}/cancel")
    assert api.delete(f"/v1/groups/{group}").status_code == 200


def test_the_same_file_under_another_person_stays_and_is_named(
    world: World, api: httpx.Client
) -> None:
    mine, theirs = asset(world, api, b"same"), asset(world, api, b"same")
    blob = api.get(f"/v1/assets/{mine}").json()["files"]["mesh"]
    named = api.get(f"/v1/groups/asset:{mine}").json()["same_bytes_in_groups"]
    assert named == [f"asset:{theirs}"]
    assert api.delete(f"/v1/groups/asset:{mine}").status_code == 200
    assert world.store.path(blob).exists()
    assert api.delete(f"/v1/groups/asset:{theirs}").status_code == 200
    assert not world.store.path(blob).exists()
