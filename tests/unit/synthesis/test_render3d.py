"""What render3d makes of its plan, on the parametric body."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInput, WeightsMissing
from core.ingest.images import decode
from core.rendering.annotations import NAMES
from core.synthesis.contract import GENERATORS, Order, Source, Surveying, Workplace
from core.synthesis.generators.render3d import Render3d
from core.synthesis.production import Finished, finish, produce, replay
from core.synthesis.render3d import bodies
from core.synthesis.render3d.bodies import Bodies
from core.synthesis.render3d.params import Render3dParams
from tests.unit.synthesis.lesions import load, source

SPEC = GENERATORS.get("render3d")
QUICK: dict[str, Any] = {"rays": 1}


def params(**changes: Any) -> Render3dParams:
    return Render3dParams.model_validate(QUICK | changes)


def orders(chosen: Render3dParams, count: int = 3, seed: int = 5, **changes: Any) -> list[Order]:
    assert isinstance(SPEC.instance, Surveying)
    found: list[Source] = []
    for number in range(6):
        plain = source(number, **changes)
        found.append(replace(plain, facts=SPEC.instance.survey(chosen, plain, load)))
    return SPEC.instance.plan(chosen, found, {"mel": count}, seed)


def make(order: Order, chosen: Render3dParams, side: int = 64) -> Finished:
    return finish(SPEC, chosen, order, load, side)


def labels(made: Finished, name: str) -> Any:
    return decode(made.annotations[name])


@pytest.mark.parametrize("mode", ["dermoscopy", "clinical", "regional", "whole_body"])
def test_every_mode_shows_a_lesion_in_its_size_and_replays(mode: str) -> None:
    chosen = params(preset=mode, across_mm=(20, 20) if mode == "whole_body" else (8, 12))
    first = make(orders(chosen, 1)[0], chosen, 96)
    assert first.pixels.shape == (96, 96, 3)
    assert all(labels(first, n).shape == (96, 96) for n in ("mask", "regions", "parts_7"))
    again = replay(first.provenance, load)
    assert again.data == first.data
    assert again.annotations == first.annotations
    if mode in ("dermoscopy", "clinical"):
        inside = labels(first, "mask") > 0
        assert inside.mean() > 0.005
        assert (labels(first, "regions")[inside] == 2).all(), "lesions lie on skin"


def test_the_same_order_gives_the_same_bytes_in_any_order_and_on_any_threads() -> None:
    chosen = params(views_per_body=2)
    plan = orders(chosen, 6)
    alone = {o.index: make(o, chosen).data for o in plan}
    together = produce(SPEC, chosen, plan[::-1], load, threads=3, resolution=64)
    assert {one.order.index: one.data for one in together} == alone
    assert len(set(alone.values())) == 6


def test_a_sweep_changes_the_tone_alone() -> None:
    chosen = params(preset="fairness_sweep", mode="dermoscopy")
    made = [make(order, chosen) for order in orders(chosen, 6)]
    for name in ("mask", "depth", "normals", "parts_16", "regions", "instances"):
        assert len({one.annotations[name] for one in made}) == 1, name
    tones = [one.provenance["ita"]["albedo"] for one in made]
    assert tones == sorted(tones, reverse=True)
    assert tones[0] - tones[-1] > 70
    assert made[0].pixels.mean() > made[-1].pixels.mean()


def test_the_size_asked_for_is_rendered_in_the_shape_of_the_photograph() -> None:
    chosen = params()
    order = orders(chosen, 1)[0]
    wide = replace(order, parents=tuple(replace(p, width=120, height=90) for p in order.parents))
    made = make(wide, chosen, 64)
    assert made.pixels.shape == (48, 64, 3)
    assert labels(made, "mask").shape == (48, 64)
    assert json.loads(made.annotations["record"])["camera"]["width"] == 64
    square = params(aspect="square")
    assert make(wide, square, 64).pixels.shape == (64, 64, 3)
    endless = replace(order, parents=tuple(replace(p, width=900, height=9) for p in order.parents))
    assert make(endless, chosen, 64).pixels.shape == (32, 64, 3)


def test_the_files_asked_for_are_kept_and_the_mask_always() -> None:
    chosen = params(annotations=["depth"])
    made = make(orders(chosen, 1)[0], chosen)
    assert set(made.annotations) == {"mask", "depth"}
    assert set(make(orders(params(), 1)[0], params()).annotations) == set(NAMES)


def test_blends_change_the_picture_and_no_label() -> None:
    made = {}
    for blend in ("density", "poisson", "paste"):
        chosen = params(blend=blend, preset="dermoscopy", aspect="square")
        made[blend] = make(orders(chosen, 1)[0], chosen)
    assert len({one.data for one in made.values()}) == 3
    assert len({one.annotations["instances"] for one in made.values()}) == 1


def test_the_deep_blend_says_which_weights_it_lacks(tmp_path: Path) -> None:
    chosen = params(blend="deep_blend")
    order = orders(chosen, 1)[0]
    with pytest.raises(WeightsMissing):
        finish(SPEC.at(Workplace(tmp_path)), chosen, order, load, 64)


def test_lesions_go_where_the_class_has_them() -> None:
    chosen = params(parts=("left_forearm", "right_forearm"), across_mm=(3, 4))
    parts = {make(o, chosen).provenance["part"] for o in orders(chosen, 4, localization="back")}
    assert parts <= {"left_forearm", "right_forearm"}


def test_a_body_is_made_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = params()
    order = orders(chosen, 1)[0]
    made: list[int] = []
    real = bodies._parametric

    def counted(seed: int, *rest: Any) -> Any:
        made.append(seed)
        return real(seed, *rest)

    monkeypatch.setattr(bodies, "_parametric", counted)
    kept = Bodies()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: kept.sites(chosen, order), range(8)))
    assert len(made) == 1
    assert len({id(one.target) for one in found}) == 1


def test_the_face_is_framed_out_unless_it_is_asked_for() -> None:
    chosen = params()
    kept = Bodies()
    order = orders(chosen, 1)[0]
    assert kept.sites(chosen, order).avoided
    assert "head" not in kept.sites(chosen, order).areas
    head = params(parts=("head",))
    assert kept.sites(head, order).avoided == []


def test_parts_are_looked_at_as_often_as_the_class_has_lesions_there() -> None:
    chosen = params()
    order = orders(chosen, 1)[0]
    shares = dict.fromkeys(chosen.shown, 0.0) | {"torso_back": 0.75, "left_foot": 0.25}
    order = replace(order, settings=order.settings | {"shares": shares})
    sites = Bodies().sites(chosen, order)
    rng = np.random.default_rng(0)
    drawn = [sites.draw(rng)[2] for _ in range(400)]
    assert set(drawn) == {"torso_back", "left_foot"}
    assert drawn.count("left_foot") / 400 == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize(
    ("areas", "shares", "expected"),
    [
        ({"hips": 2.0, "head": 1.0}, None, {"hips": 2.0}),
        ({"hips": 2.0, "left_foot": 1.0}, True, {"hips": 0.75, "left_foot": 0.25}),
        ({"hips_front": 2.0, "hips_back": 0.0}, True, {"hips_front": 0.5}),
        ({"unknown": 3.0}, True, {"unknown": 3.0}),
    ],
)
def test_parts_of_other_bodies_take_the_shares_of_what_they_hold(
    areas: dict[str, float], shares: bool | None, expected: dict[str, float]
) -> None:
    told = {"hips_front": 0.5, "hips_back": 0.25, "left_foot": 0.25}
    prior = dict.fromkeys(params().shown, 0.0) | told if shares else None
    surface: Any = SimpleNamespace(areas=areas)
    assert bodies._shares(params(), surface, prior) == expected


def test_a_lesion_larger_than_the_part_is_a_typed_error_with_counts() -> None:
    chosen = params(parts=("left_hand",), across_mm=(150, 150), tries=3)
    with pytest.raises(Exception, match="None of 3 views") as caught:
        make(orders(chosen, 1)[0], chosen)
    assert getattr(caught.value, "code", None) == "no_acceptable_view"
    assert sum(getattr(caught.value, "extra", {})["refused"].values()) == 3


def test_full_memory_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = params()
    order = orders(chosen, 1)[0]

    def full(*_: Any, **__: Any) -> Any:
        raise RuntimeError("failed to allocate 12 bytes")

    monkeypatch.setattr("core.rendering.render.light_up", full)
    with pytest.raises(Exception, match="memory is full") as caught:
        make(order, chosen)
    assert getattr(caught.value, "code", None) == "out_of_memory"


def test_what_was_refused_is_summed_up() -> None:
    one = {"refused": {"views": {"away": 2}, "places": {"not_flat": 1}}, "places": "prior"}
    two = {"refused": {"views": {"away": 1}, "places": {}}, "places": "even"}
    assert Render3d().report([one, two]) == [
        "Views refused and drawn again: away 3",
        "Places refused and drawn again: not_flat 1",
        "Body parts chosen: even 1, prior 1",
    ]


def test_a_damaged_asset_is_a_typed_error() -> None:
    chosen = params(bodies=["ast_" + "0" * 26])
    order = orders(chosen, 1)[0]
    with pytest.raises(InvalidInput) as caught:
        make(order, chosen)
    assert caught.value.code == "mesh_damaged"
