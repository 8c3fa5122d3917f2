"""Annotation files say what the renderer's arrays say."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from core.rendering.annotations import NAMES, files
from core.rendering.body_parts import PARTS_7, PARTS_16, TO_16
from core.rendering.raycast import Target
from core.rendering.render import Rendering, render
from core.rendering.surface import Surface
from core.rendering.views import Sites
from tests.unit.rendering.test_render import scene

LABELS = ["mel", "nv", "mel"]


@pytest.fixture(scope="module")
def made(standing: Surface) -> tuple[Rendering, dict[str, bytes]]:
    sites = Sites(Target(standing), avoided=["head"])
    rendering = render(sites.target, scene(sites, "regional", 4, across=0.03, count=3))
    return rendering, files(rendering, standing.parts, LABELS)


def read(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_every_name_is_a_file(made: Any) -> None:
    assert set(made[1]) == set(NAMES)


def test_masks_and_instances_are_the_lesions(made: Any) -> None:
    rendering, found = made
    assert np.array_equal(read(found["instances"]), rendering.instance)
    assert np.array_equal(read(found["mask"]) == 255, rendering.instance > 0)
    assert np.array_equal(read(found["regions"]), rendering.regions)


def test_parts_are_merged_by_name(made: Any, standing: Surface) -> None:
    rendering, found = made
    sixteen, seven = read(found["parts_16"]), read(found["parts_7"])
    for part in np.unique(rendering.view.part[rendering.view.body]):
        here = rendering.view.part == part
        assert PARTS_16[int(sixteen[here][0]) - 1] == TO_16[standing.parts[part]]
        assert len(np.unique(sixteen[here])) == 1
        assert len(np.unique(seven[here])) == 1
        assert 1 <= int(seven[here][0]) <= len(PARTS_7)
    assert not sixteen[~rendering.view.body].any()


def test_depth_is_metric(made: Any) -> None:
    rendering, found = made
    depth = np.load(io.BytesIO(found["depth"]))["depth"]
    assert np.abs(depth - rendering.view.depth).max() < 6e-5
    assert not depth[~rendering.view.body].any()


def test_normals_are_the_worlds(made: Any) -> None:
    rendering, found = made
    back = read(found["normals"])[..., ::-1].astype(float) / 255 * 2 - 1
    body = rendering.view.body
    assert np.abs(back[body] - rendering.view.normal[body]).max() < 0.005


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_loads_and_gives_the_masks_back(made: Any, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    rendering, found = made
    path = tmp_path / "coco.json"
    path.write_bytes(found["coco"])
    loaded = COCO(str(path))
    for annotation in loaded.dataset["annotations"]:
        mask = loaded.annToMask(annotation)
        assert np.array_equal(mask == 1, rendering.instance == annotation["id"])
        assert loaded.cats[annotation["category_id"]]["name"] == LABELS[annotation["id"] - 1]
        left, top, wide, high = annotation["bbox"]
        box = rendering.boxes[annotation["id"] - 1]
        assert box == (left, top, left + wide, top + high)
    assert len(loaded.dataset["annotations"]) == len(set(np.unique(rendering.instance)) - {0})


def test_the_record_has_the_diagnoses(made: Any) -> None:
    record = json.loads(made[1]["record"])
    assert record["labels"] == LABELS
    assert record["lesions_placed"] == 3


def test_files_are_the_same_bytes_again(made: Any, standing: Surface) -> None:
    rendering, found = made
    assert files(rendering, standing.parts, LABELS) == found
