"""Datasets, versions and images over HTTP."""

from __future__ import annotations

import csv
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pyarrow.parquet as pq
import pytest
from PIL import Image as Picture
from sqlalchemy import text

from core.db.models import Job
from core.db.repositories.datasets import lock_dataset
from core.ids import new_id
from core.jobs.context import Inputs
from tests.api.world import World, png

WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def test_a_version_has_the_fields_of_the_contract(world: World, api: httpx.Client) -> None:
    draft = world.version()
    body = api.get(f"/v1/dataset-versions/{draft.id}").json()
    assert {
        "id", "dataset_id", "kind", "parents", "image_count", "classes", "imbalance_ratio",
        "groups", "group_basis", "duplicates", "rejected_count", "manifest_sha256", "licence",
    } <= set(body)  # fmt: skip
    assert body["image_count"] == 6
    assert body["imbalance_ratio"] == 2.0
    assert body["duplicates"] == {"exact": 0, "near": 0}
    melanoma = body["classes"][0]
    assert set(melanoma) == {"name", "count", "by_split", "weak", "target", "groups"}
    assert (melanoma["count"], melanoma["weak"], melanoma["target"]) == (2, True, 4)
    listed = api.get(f"/v1/datasets/{draft.dataset_id}/versions").json()["items"]
    assert listed == [body]


def test_groups_are_counted_where_the_import_said_nothing(world: World, api: httpx.Client) -> None:
    draft = world.version(info={})
    assert api.get(f"/v1/dataset-versions/{draft.id}").json()["groups"] == 3


def test_datasets_show_their_newest_version(world: World, api: httpx.Client) -> None:
    first, second = world.version(name="one"), world.version(name="two")
    world.version(dataset_id=first.dataset_id, new_dataset=False)
    items = api.get("/v1/datasets").json()["items"]
    assert [item["name"] for item in items] == ["two", "one"]
    assert [item["versions"] for item in items] == [1, 2]
    assert api.get(f"/v1/datasets/{second.dataset_id}").json() == items[0]


def test_pages_cover_a_list_once(world: World, api: httpx.Client) -> None:
    draft = world.version([world.record(n) for n in range(7)])
    seen, cursor = [], None
    while True:
        params = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = api.get(f"/v1/dataset-versions/{draft.id}/images", params=params).json()
        seen += [image["filename"] for image in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        assert len(page["items"]) == 3
    assert seen == [f"image_{n}.png" for n in range(7)]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("label=melanoma", [0, 3]),
        ("split=val", [2]),
        ("source=synthetic", []),
        ("quarantined=false", [0, 1, 2, 3, 4, 5]),
        ("label=nevus&split=train", [1, 4, 5]),
        ("label=none", []),
    ],
)
def test_image_filters(world: World, api: httpx.Client, query: str, numbers: list[int]) -> None:
    draft = world.version()
    items = api.get(f"/v1/dataset-versions/{draft.id}/images?{query}").json()["items"]
    assert [item["filename"] for item in items] == [f"image_{n}.png" for n in numbers]


def test_pixels_and_thumbnails(world: World, api: httpx.Client) -> None:
    draft = world.version([world.record(1)])
    image = api.get(f"/v1/dataset-versions/{draft.id}/images").json()["items"][0]
    whole = api.get(image["content_url"])
    assert (whole.content, whole.headers["content-type"]) == (png(1), "image/png")
    assert whole.headers["etag"] == f'"{image["sha256"]}"'
    known = {"If-None-Match": whole.headers["etag"]}
    assert api.get(image["content_url"], headers=known).status_code == 304
    part = api.get(image["content_url"], headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, png(1)[:4])
    small = api.get(image["thumbnail_url"], params={"size": 64})
    assert small.headers["content-type"] == "image/webp"
    assert Picture.open(io.BytesIO(small.content)).size == (24, 16)
    assert api.get(image["thumbnail_url"], params={"size": 65}).status_code == 422


def test_large_images_become_small_thumbnails(world: World, api: httpx.Client) -> None:
    sha256 = world.store.add(png(1, (900, 600)))
    draft = world.version([world.record(1, sha256=sha256)])
    image = api.get(f"/v1/dataset-versions/{draft.id}/images").json()["items"][0]
    small = api.get(image["thumbnail_url"], params={"size": 128})
    assert Picture.open(io.BytesIO(small.content)).size == (128, 85)
    assert api.get(image["thumbnail_url"], params={"size": 128}).content == small.content


def test_an_image_with_a_mask(world: World, api: httpx.Client) -> None:
    mask = world.store.add(png(7))
    records = [
        world.record(0, provenance={"annotations": {"mask": mask}}, metadata={"age": 40}),
        world.record(1),
    ]
    draft = world.version(records)
    detail = api.get(f"/v1/images/{records[0].image_id}").json()
    assert detail["metadata"] == {"age": 40}
    assert detail["dataset_version_id"] == draft.id
    assert api.get(detail["annotations"]["mask"]).content == png(7)
    other = api.get(f"/v1/images/{records[1].image_id}/annotations/mask")
    assert (other.status_code, other.json()["code"]) == (404, "annotation_not_found")
    missing = api.get(f"/v1/images/{records[0].image_id}/annotations/depth")
    assert (missing.status_code, missing.json()["annotations"]) == (404, ["mask"])


def test_the_manifest_as_parquet_and_csv(world: World, api: httpx.Client) -> None:
    records = [world.record(0, filename="=cmd|' /C calc'!A0", group_ids=("a", "b"))]
    draft = world.version(records)
    path = f"/v1/dataset-versions/{draft.id}/manifest"
    table = pq.read_table(io.BytesIO(api.get(path).content))
    assert table.column("image_id").to_pylist() == [records[0].image_id]
    answer = api.get(path, headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    row = next(csv.DictReader(io.StringIO(answer.text)))
    assert row["filename"] == "'=cmd|' /C calc'!A0"
    assert row["group_ids"] == "a;b"


def test_rejects_in_pages(world: World, api: httpx.Client) -> None:
    rejects = [{"name": f"é{n}.jpg", "code": "truncated", "detail": "short"} for n in range(5)]
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rejects)
    info = {"rejects_blob": world.store.add(lines.encode()), "rejected_count": 5}
    draft = world.version(info=info)
    path = f"/v1/dataset-versions/{draft.id}/rejects"
    first = api.get(path, params={"limit": 3}).json()
    rest = api.get(path, params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert first["items"] + rest["items"] == rejects
    assert rest["next_cursor"] is None
    assert api.get(path, params={"cursor": "NQ"}).json()["code"] == "invalid_cursor"
    assert api.get(f"/v1/dataset-versions/{world.version().id}/rejects").json()["items"] == []


def test_changes_make_a_new_version(world: World, api: httpx.Client) -> None:
    records = [world.record(n) for n in range(6)]
    draft = world.version(records)
    ids = [record.image_id for record in records]
    answer = api.post(
        f"/v1/datasets/{draft.dataset_id}/versions",
        json={"relabel": {ids[0]: "nevus"}, "drop": [ids[1]], "quarantine": [ids[2]]},
    )
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["number"], made["parents"], made["image_count"]) == (2, [draft.id], 5)
    assert answer.headers["location"] == f"/v1/dataset-versions/{made['id']}"
    assert {c["name"]: c["count"] for c in made["classes"]} == {"melanoma": 1, "nevus": 3}
    shown = api.get(f"/v1/dataset-versions/{made['id']}/images?quarantined=true").json()["items"]
    assert [image["id"] for image in shown] == [ids[2]]
    old = api.get(f"/v1/dataset-versions/{draft.id}").json()
    assert old["image_count"] == 6
    released = api.post(f"/v1/datasets/{draft.dataset_id}/versions", json={"release": [ids[2]]})
    assert released.json()["parents"] == [made["id"]]


def waiting(world: World) -> int:
    """Count who waits for a lock; a session sees one state of the activity only."""
    with world.sessions() as session:
        return int(session.execute(WAITING).scalar_one())


def test_changes_at_once_do_not_undo_each_other(world: World, api: httpx.Client) -> None:
    records = [world.record(n) for n in range(6)]
    draft = world.version(records)
    path = f"/v1/datasets/{draft.dataset_id}/versions"
    ids = {records[0].image_id, records[1].image_id}
    with ThreadPoolExecutor(2) as pool:
        with world.sessions.begin() as session:
            lock_dataset(session, world.principal(), draft.dataset_id)
            made = [pool.submit(api.post, path, json={"quarantine": [one]}) for one in ids]
            while waiting(world) < 2 and not any(one.done() for one in made):
                time.sleep(0.02)
        assert [one.result().status_code for one in made] == [201, 201]
    newest = api.get(path).json()["items"][0]
    assert newest["number"] == 3
    shown = api.get(f"/v1/dataset-versions/{newest['id']}/images?quarantined=true").json()["items"]
    assert {image["id"] for image in shown} == ids


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "no_changes"),
        ({"drop": ["img_" + "0" * 26]}, 422, "unknown_image"),
        (
            {"base": "dsv_" + "0" * 26, "drop": ["img_" + "0" * 26]},
            404,
            "dataset_version_not_found",
        ),
        ({"upload_id": "upl_" + "0" * 26}, 404, "upload_not_found"),
        ({"relabel": {"nonsense": "x"}}, 422, "invalid_input"),
        ({"nonsense": 1}, 422, "invalid_input"),
    ],
)
def test_impossible_changes(
    world: World, api: httpx.Client, body: dict[str, object], status: int, code: str
) -> None:
    draft = world.version()
    answer = api.post(f"/v1/datasets/{draft.dataset_id}/versions", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_appending_is_an_import(world: World, api: httpx.Client) -> None:
    draft = world.version()
    upload = api.post("/v1/uploads", json={"length": 3}).json()["id"]
    headers = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    api.patch(f"/v1/uploads/{upload}", content=b"zip", headers=headers)
    answer = api.post(f"/v1/datasets/{draft.dataset_id}/versions", json={"upload_id": upload})
    assert (answer.status_code, answer.json()["kind"]) == (202, "import")
    assert answer.json()["params"]["append_to"] == draft.id
    both = {"upload_id": upload, "drop": ["img_" + "0" * 26]}
    assert api.post(f"/v1/datasets/{draft.dataset_id}/versions", json=both).status_code == 422


def test_a_dataset_without_dependents_is_deleted(world: World, api: httpx.Client) -> None:
    draft = world.version()
    assert api.delete(f"/v1/datasets/{draft.dataset_id}").status_code == 204
    assert api.get(f"/v1/dataset-versions/{draft.id}").status_code == 404
    assert api.delete(f"/v1/datasets/{draft.dataset_id}").status_code == 404


def test_deletion_names_what_depends(world: World, api: httpx.Client) -> None:
    draft = world.version()
    derived = world.version(kind="synthetic", parents=(draft.id,))
    body = {"dataset_version_ids": [draft.id], "backbone": "efficientnet_lite0"}
    job = api.post("/v1/jobs/extract_features", json=body)
    assert job.status_code == 202, job.text
    answer = api.delete(f"/v1/datasets/{draft.dataset_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "dataset_in_use")
    assert answer.json()["dependents"] == [
        {"type": "job", "id": job.json()["id"]},
        {"type": "dataset_version", "id": derived.id},
    ]
    api.post(f"/v1/jobs/{job.json()['id']}/cancel")
    assert api.delete(f"/v1/datasets/{derived.dataset_id}").status_code == 204
    assert api.delete(f"/v1/datasets/{draft.dataset_id}").status_code == 204


def test_a_job_is_told_of_which_real_images_a_version_was_made(
    world: World, api: httpx.Client
) -> None:
    older = world.version()
    source = world.version(parents=(older.id,))
    made = world.version(kind="synthetic", parents=(source.id,))
    job = {"dataset_version_id": source.id, "synthetic_version_id": made.id}
    for _ in range(2):  # the second one is of the version as it was revised
        job_id = api.post("/v1/jobs/evaluate", json=job).json()["id"]
        with world.sessions() as session:
            told = Inputs.model_validate(session.get_one(Job, job_id).inputs).versions
        assert told[job["synthetic_version_id"]].made_of == (source.id,)
        assert told[source.id].made_of == ()
        image = api.get(f"/v1/dataset-versions/{made.id}/images").json()["items"][0]["id"]
        changed = {"quarantine": [image]}
        revised = api.post(f"/v1/datasets/{made.dataset_id}/versions", json=changed).json()
        job["synthetic_version_id"] = revised["id"]


def test_an_image_of_nobody_is_404(api: httpx.Client) -> None:
    assert api.get(f"/v1/images/{new_id('img')}/content").status_code == 404
