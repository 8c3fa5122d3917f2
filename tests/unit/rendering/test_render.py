"""Whole images of the default body: labels, sizes, tone, refusals, and the same bytes again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warp as wp
from scipy.stats import spearmanr

from core.errors import OutOfMemory
from core.rendering.body import Body, materials
from core.rendering.measuring import incidence
from core.rendering.raycast import Target
from core.rendering.render import Rendering, render
from core.rendering.scene import Scene, Wanted, draw_scene
from core.rendering.skin import draw_skin
from core.rendering.surface import Surface
from core.rendering.views import MODES, ModeName, NoAcceptableView, Sites
from tests.unit.rendering.test_decals import disc

SIZE = (160, 160)


@pytest.fixture(scope="module")
def sites(standing: Surface, bodies: Path) -> Sites:
    return Sites(Target(standing, materials=materials(Body(), bodies)), avoided=["head"])


def scene(
    sites: Sites, mode: ModeName, seed: int, ita: float = 30.0, across: float = 0.01, count: int = 1
) -> Scene:
    rng = np.random.default_rng(seed)
    lesions = [disc(across)] * count
    wanted = Wanted(MODES[mode], SIZE, rays=1)
    return draw_scene(sites, draw_skin(ita, rng), lesions, wanted, rng)


@pytest.fixture(scope="module")
def clinical(sites: Sites) -> list[tuple[Scene, Rendering]]:
    drawn = [scene(sites, "clinical", seed, across=0.012) for seed in range(10)]
    return [(one, render(sites.target, one)) for one in drawn]


def test_the_area_seen_is_the_area_placed(clinical: list[tuple[Scene, Rendering]]) -> None:
    """Where a lesion is large enough to count pixels, unoccluded and less steep than 60 degrees."""
    compared = 0
    for drawn, made in clinical:
        inside = made.instance == 1
        lesion = made.record["lesions"][0]
        steep = incidence(made.view, drawn.camera)[inside] < 0.5
        box = made.boxes[0]
        if inside.sum() < 300 or steep.any() or box is None or 0 in box or SIZE[0] in box:
            continue
        compared += 1
        assert lesion["seen_mm2"] == pytest.approx(lesion["area_mm2"], rel=0.05)
        assert lesion["area_mm2"] == pytest.approx(np.pi / 4 * lesion["across_mm"] ** 2, rel=0.051)
    assert compared >= 3


def test_labels_agree_with_each_other(clinical: list[tuple[Scene, Rendering]]) -> None:
    for _, made in clinical:
        inside = made.instance > 0
        assert (made.regions[inside] == 2).all()
        assert ((made.regions == 0) == (made.view.part == 255)).all()
        assert ((made.view.depth > 0) == (made.regions > 0)).all()
        length = np.linalg.norm(made.view.normal[made.regions > 0], axis=1)
        assert np.abs(length - 1).max() < 1e-4
        assert made.pixels.shape == (*SIZE, 3)
        assert made.pixels.dtype == np.uint8
        box = made.boxes[0]
        if inside.any():
            assert box is not None
            left, top, right, bottom = box
            assert inside[top:bottom, left:right].sum() == inside.sum()


def test_the_record_is_json_and_says_what_was_drawn(
    clinical: list[tuple[Scene, Rendering]],
) -> None:
    for drawn, made in clinical:
        read = json.loads(json.dumps(made.record))
        assert read["mode"] == "clinical"
        assert read["skin"]["ita"] == 30.0
        assert read["mm_per_pixel"] == pytest.approx(drawn.pixel * 1e3, rel=1e-5)
        assert np.array(read["camera"]["rotation"]).shape == (3, 3)
        assert read["lesions_placed"] == 1


@pytest.mark.parametrize("mode", ["dermoscopy", "regional", "whole_body"])
def test_every_mode_shows_skin_and_can_be_done_again(sites: Sites, mode: ModeName) -> None:
    one, other = (scene(sites, mode, 3) for _ in range(2))
    first, second = render(sites.target, one), render(sites.target, other, rows=53)
    assert np.array_equal(first.pixels, second.pixels)
    assert np.array_equal(first.instance, second.instance)
    assert first.record == second.record
    assert (first.regions == 2).mean() >= MODES[mode].skin * 0.9
    assert first.pixels.std() > 4


def test_a_full_memory_is_met_with_smaller_tiles(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails is the allocation itself, as on a GPU whose memory others have taken."""
    drawn = scene(sites, "regional", 5)
    whole = render(sites.target, drawn)
    allocate = wp.zeros
    fits = 50 * SIZE[0]

    def limited(shape: tuple[int, ...], **given: Any) -> Any:
        if np.prod(shape) > fits:
            raise RuntimeError("Failed to allocate 1228800 bytes on device 'cuda:0'")
        return allocate(shape, **given)

    monkeypatch.setattr(wp, "zeros", limited)
    tiled = render(sites.target, drawn)
    assert np.array_equal(tiled.pixels, whole.pixels)
    assert np.array_equal(tiled.instance, whole.instance)
    assert tiled.record == whole.record
    fits = 5 * SIZE[0]
    with pytest.raises(OutOfMemory, match="smaller images"):
        render(sites.target, drawn)


def test_lesions_of_one_view_are_told_apart(sites: Sites) -> None:
    made = render(sites.target, scene(sites, "regional", 4, across=0.02, count=3))
    assert made.record["lesions_placed"] == 3
    assert len(made.boxes) == 3
    assert set(np.unique(made.instance)) <= {0, 1, 2, 3}


def test_the_tone_is_measured_back(sites: Sites) -> None:
    wanted = np.linspace(-55, 55, 14)
    found = [
        render(sites.target, scene(sites, "clinical", 50 + n, float(ita))).record["ita"]
        for n, ita in enumerate(wanted)
    ]
    for name in ("albedo", "grey_card"):
        measured = np.array([one[name] for one in found])
        assert spearmanr(measured, wanted).statistic >= 0.95, name
        assert np.median(np.abs(measured - wanted)) <= 5, name


def test_a_lesion_larger_than_the_body_part_has_no_acceptable_view(sites: Sites) -> None:
    rng = np.random.default_rng(1)
    hands = Sites(sites.target, {"left_hand": 1.0})
    wanted = Wanted(MODES["clinical"], SIZE, min_skin=0.01, tries=4)
    with pytest.raises(NoAcceptableView) as refused:
        draw_scene(hands, draw_skin(20, rng), [disc(0.25)], wanted, rng)
    assert refused.value.code == "no_acceptable_view"
    assert refused.value.extra["refused"]


def test_places_are_told_also_when_the_last_view_was_refused_for_itself(sites: Sites) -> None:
    hands = Sites(sites.target, {"left_hand": 1.0})
    wanted = Wanted(MODES["clinical"], SIZE, min_skin=0.01, tries=3)
    told = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        with pytest.raises(NoAcceptableView) as refused:
            draw_scene(hands, draw_skin(20, rng), [disc(0.25)], wanted, rng)
        if refused.value.extra["refused"].get("no_place"):
            told += 1
            assert sum(refused.value.extra["refused_places"].values()) > 0
    assert told


def test_too_little_lesion_is_refused(sites: Sites) -> None:
    rng = np.random.default_rng(1)
    mode = replace(MODES["clinical"], fill=None, distance=(1.0, 1.2))
    wanted = Wanted(mode, SIZE, min_lesion=0.2, tries=3)
    with pytest.raises(NoAcceptableView, match="little_lesion"):
        draw_scene(sites, draw_skin(20, rng), [disc(0.01)], wanted, rng)


def test_a_view_without_lesions_is_a_view_of_skin(sites: Sites) -> None:
    rng = np.random.default_rng(2)
    drawn = draw_scene(sites, draw_skin(20, rng), [], Wanted(MODES["clinical"], SIZE), rng)
    made = render(sites.target, drawn)
    assert not made.instance.any()
    assert made.boxes == []
