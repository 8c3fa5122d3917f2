"""``/v1/images/{id}/annotations``: every file that a renderer or an upload has put beside one."""

from __future__ import annotations

import hashlib
import io
import json

import httpx
import numpy as np
import pytest
from PIL import Image

from core.annotations import MEDIA_TYPES
from core.ids import new_id
from core.manifest import ImageRecord
from core.rendering.annotations import NAMES
from tests.api.world import World, png
from tests.rendered import rendered


def published(world: World, files: dict[str, bytes], **changes: object) -> str:
    """Return the id of an image with annotations."""
    blobs = {name: world.store.add(data) for name, data in files.items()}
    record: ImageRecord = world.record(1, provenance={"annotations": blobs}, **changes)
    world.version([record])
    return record.image_id


@pytest.fixture
def shown(world: World) -> tuple[str, dict[str, bytes]]:
    """A rendered image and its files."""
    pixels, files = rendered(4)
    sha256 = world.store.add(pixels)
    image = published(world, files, source="synthetic", sha256=sha256, width=64, height=64)
    return image, files


def test_all_files_of_a_render_are_listed_and_served(
    api: httpx.Client, shown: tuple[str, dict[str, bytes]]
) -> None:
    image, files = shown
    listed = api.get(f"/v1/images/{image}/annotations").json()
    assert listed["next_cursor"] is None
    assert [item["name"] for item in listed["items"]] == sorted(NAMES)
    addresses = api.get(f"/v1/images/{image}").json()["annotations"]
    for item in listed["items"]:
        data = files[item["name"]]
        assert (item["bytes"], item["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert item["links"]["self"] == addresses[item["name"]]
        assert item["media_type"] == MEDIA_TYPES.get(item["name"], "image/png")
        answer = api.get(item["links"]["self"])
        assert answer.content == data
        assert answer.headers["content-type"] == item["media_type"]
        assert answer.headers["etag"] == f'"{item["sha256"]}"'
        assert "immutable" in answer.headers["cache-control"]
        assert "sandbox" in answer.headers["content-security-policy"]
        assert ("content-disposition" in answer.headers) == (item["media_type"] != "image/png")


def test_the_files_say_what_they_should(
    api: httpx.Client, shown: tuple[str, dict[str, bytes]]
) -> None:
    here = f"/v1/images/{shown[0]}/annotations"
    mask = np.asarray(Image.open(io.BytesIO(api.get(f"{here}/mask").content)))
    depth = np.load(io.BytesIO(api.get(f"{here}/depth").content))["depth"]
    record = json.loads(api.get(f"{here}/record").content)
    assert mask.shape == depth.shape == (64, 64)
    assert (depth[mask > 0] > 0).all()
    assert record["labels"] == ["nevus", "nevus"]


def test_parts_and_skin_go_by_short_names_too(
    api: httpx.Client, shown: tuple[str, dict[str, bytes]]
) -> None:
    image, files = shown
    assert api.get(f"/v1/images/{image}/annotations/skin").content == files["regions"]
    assert api.get(f"/v1/images/{image}/annotations/parts").content == files["parts_16"]


def test_ranges_and_what_the_caller_has_already(
    api: httpx.Client, shown: tuple[str, dict[str, bytes]]
) -> None:
    image, files = shown
    here = f"/v1/images/{image}/annotations/depth"
    part = api.get(here, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, files["depth"][2:6])
    tag = {"If-None-Match": part.headers["etag"]}
    assert api.get(here, headers=tag).status_code == 304
    listed = api.get(f"/v1/images/{image}/annotations")
    tag = {"If-None-Match": listed.headers["etag"]}
    assert api.get(f"/v1/images/{image}/annotations", headers=tag).status_code == 304


def test_what_is_not_there_is_404_with_what_is(world: World, api: httpx.Client) -> None:
    image = published(world, {"mask": png(7), "hair": png(8)})
    answer = api.get(f"/v1/images/{image}/annotations/depth")
    assert (answer.status_code, answer.json()["code"]) == (404, "annotation_not_found")
    assert answer.json()["annotations"] == ["hair", "mask"]
    assert "hair, mask" in answer.json()["detail"]
    plain = world.record(2)
    world.version([plain])
    assert api.get(f"/v1/images/{plain.image_id}/annotations").json()["items"] == []
    nothing = api.get(f"/v1/images/{plain.image_id}/annotations/mask")
    assert (nothing.status_code, nothing.json()["annotations"]) == (404, [])
    unknown = f"/v1/images/{new_id('img')}/annotations"
    assert api.get(unknown).json()["code"] == "image_not_found"


@pytest.mark.parametrize("name", ["depth", "record", "a b.c", "ä?#%"])
def test_masks_of_real_images_are_pictures_whatever_they_are_called(
    world: World, api: httpx.Client, name: str
) -> None:
    image = published(world, {name: png(7)})
    (item,) = api.get(f"/v1/images/{image}/annotations").json()["items"]
    assert (item["name"], item["media_type"]) == (name, "image/png")
    answer = api.get(item["links"]["self"])
    assert (answer.content, answer.headers["content-type"]) == (png(7), "image/png")
    assert "content-disposition" not in answer.headers


def test_quarantined_images_show_theirs_as_they_show_themselves(
    world: World, api: httpx.Client
) -> None:
    image = published(world, {"mask": png(7)}, quarantined=True)
    assert api.get(f"/v1/images/{image}/content").status_code == 200
    assert api.get(f"/v1/images/{image}/annotations/mask").content == png(7)


def test_they_belong_to_their_tenant_and_take_its_scope(
    world: World, api: httpx.Client, stranger: httpx.Client
) -> None:
    image = published(world, {"mask": png(7)})
    weak = world.client(world.key(scopes=["jobs:read"]))
    for path in (f"/v1/images/{image}/annotations", f"/v1/images/{image}/annotations/mask"):
        assert api.get(path).status_code == 200
        assert stranger.get(path).json()["code"] == "image_not_found"
        assert weak.get(path).status_code == 403
