"""What render3d plans: parameters, presets, turns of donors, tones and bodies."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import InvalidInput
from core.rendering.annotations import NAMES
from core.rendering.body import BodyRanges
from core.rendering.body_parts import PARTS as RENDERED_PARTS
from core.rendering.views import MODES
from core.synthesis.contract import GENERATORS, Order, Source
from core.synthesis.production import near_each_other
from core.synthesis.render3d.params import Annotation, BodyOptions, Part, Render3dParams
from core.synthesis.render3d.places import PARTS, SITES, prior
from core.synthesis.render3d.presets import FITZPATRICK, PRESETS, PresetName
from tests.unit.synthesis.lesions import source

SPEC = GENERATORS.get("render3d")
ASSETS = [f"ast_{'0' * 25}{n}" for n in range(3)]


def params(**changes: Any) -> Render3dParams:
    return Render3dParams.model_validate(changes)


def donors(count: int = 12, label: str = "mel", **changes: Any) -> list[Source]:
    facts = {"donor": None, "hair": 0.0, "origin": "supplied", "quality": 1.0}
    return [source(n, label, facts=facts, **changes) for n in range(count)]


def plan(chosen: Render3dParams, count: int = 24, found: Any = None, seed: int = 1) -> list[Order]:
    return SPEC.instance.plan(chosen, donors() if found is None else found, {"mel": count}, seed)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_fields_and_a_field_that_is_given_overrides_it(preset: PresetName) -> None:
    usual = params().model_dump()
    chosen = params(preset=preset)
    assert chosen.recorded == {"preset": preset}
    changed = {k for k, v in chosen.model_dump().items() if v != usual[k]} - {"preset"}
    assert changed <= set(PRESETS[preset])
    for field in PRESETS[preset]:
        given = params(preset=preset, **{field: usual[field]})
        assert getattr(given, field) == getattr(params(), field)


@given(
    st.fixed_dictionaries(
        {"preset": st.sampled_from(sorted(PRESETS))},
        optional={
            "mode": st.sampled_from(sorted(MODES)),
            "lesions": st.sampled_from([(1, 1), (2, 5)]),
            "rays": st.integers(1, 64),
            "places": st.sampled_from(["prior", "even"]),
            "across_mm": st.sampled_from(["prior", (2.0, 9.0)]),
            "parts": st.sampled_from([None, ("neck",)]),
            "min_skin": st.sampled_from([None, 0.5]),
            "tone": st.sampled_from([{"monk": (1, 10)}, {"fitzpatrick": ("II",)}]),
        },
    )
)
def test_what_is_recorded_gives_the_same_parameters_again(asked: dict[str, Any]) -> None:
    chosen = params(**asked)
    assert params(**chosen.recorded) == chosen


@pytest.mark.parametrize(
    "wrong",
    [
        {"preset": "x-ray"},
        {"preset": ["clinical"]},
        {"tone": {}},
        {"tone": {"ita": [10, 5]}},
        {"tone": {"ita": [10, 20], "monk": [3]}},
        {"tone": {"fitzpatrick": ["VII"]}},
        {"tone": {"monk": [2, 2]}},
        {"tone": {"ita": [0, 9]}, "sweep": True},
        {"preset": "fairness_sweep", "tone": {"ita": [0, 9]}},
        {"lesions": [0, 1]},
        {"lesions": [3, 2]},
        {"across_mm": [0.1, 5]},
        {"parts": []},
        {"parts": ["tail"]},
        {"bodies": []},
        {"bodies": ["ast_x"]},
        {"bodies": [ASSETS[0], ASSETS[0]]},
        {"bodies": [ASSETS[0]], "body": {"pose": 0}},
        {"body": {"gender": [1, 0]}},
        {"rays": 0},
        {"tries": 100_000},
        {"blend": "magic"},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        params(**wrong)


def test_what_is_known_of_the_renderer_without_it_is_what_it_says() -> None:
    assert set(PARTS) == set(RENDERED_PARTS) == set(get_args(Part))
    assert {part for parts in SITES.values() for part in parts} <= set(PARTS)
    ranges, options = BodyRanges(), BodyOptions.model_validate({})
    assert BodyRanges(**options.model_dump()) == ranges
    assert get_args(Annotation) == NAMES


def test_every_donor_has_its_turn_and_another_tone_each_time() -> None:
    found = donors(6)
    orders = plan(params(), 36, found)
    turns = Counter((o.parents[0].sha256, o.settings["tone"]) for o in orders)
    assert len(turns) == 36, "each donor once in each of six tones"
    assert Counter(o.settings["tone"] for o in orders) == dict.fromkeys(
        [f"fitzpatrick {kind}" for kind in FITZPATRICK], 6
    )


def test_a_sweep_shows_each_donor_on_every_type_and_changes_nothing_else() -> None:
    orders = plan(params(preset="fairness_sweep"), 20)
    for first in range(0, 20, 6):
        group = orders[first : first + 6]
        assert [o.settings["tone"].split()[1] for o in group] == list(FITZPATRICK[: len(group)])
        assert len({o.seed for o in group}) == len(group)
        same = [
            (o.parents, o.shared, *(o.settings[name] for name in ("lesions", "scene", "body")))
            for o in group
        ]  # fmt: skip
        assert all(one == same[0] for one in same)
    assert len({o.parents[0].sha256 for o in orders}) == 4
    assert len({o.settings["scene"] for o in orders}) == 4


@pytest.mark.parametrize(
    ("tone", "least", "most"),
    [
        ({"ita": (-10, 5)}, -10, 5),
        ({"fitzpatrick": ["VI"]}, -60, -30),
        ({"monk": [1]}, 54, 60),
        ({"monk": [10]}, -62, -55),
    ],
)
def test_tones_lie_in_what_is_asked_for(tone: dict[str, Any], least: float, most: float) -> None:
    drawn = [o.settings["ita"] for o in plan(params(tone=tone))]
    assert all(least <= ita <= most for ita in drawn)
    assert len(set(drawn)) > 10


def test_bodies_are_shown_eight_times_and_are_the_same_in_each_class() -> None:
    found = donors() + donors(label="nv")
    orders = SPEC.instance.plan(params(), found, {"mel": 20, "nv": 16}, 1)
    by_body = Counter(o.settings["body"] for o in orders if o.label == "mel")
    assert list(by_body.values()) == [8, 8, 4]
    both = [
        [o.settings["body"] for o in orders if o.label == label][:16] for label in ("mel", "nv")
    ]
    assert both[0] == both[1]
    stood = [o.settings["body"] for o in near_each_other(orders)]
    assert len([1 for a, b in pairwise(stood) if a != b]) == 2


def test_a_class_is_planned_whatever_else_is() -> None:
    both = SPEC.instance.plan(params(), donors() + donors(label="nv"), {"mel": 9, "nv": 9}, 1)
    alone = SPEC.instance.plan(params(), donors(label="nv"), {"nv": 9}, 1)
    assert [replace(o, index=0) for o in both if o.label == "nv"] == [
        replace(o, index=0) for o in alone
    ]
    assert plan(params(), seed=1) != plan(params(), seed=2)


def test_several_lesions_are_of_the_class_and_all_their_donors_are_parents() -> None:
    for order in plan(params(preset="whole_body")):
        lesions = order.settings["lesions"]
        assert 3 <= len(lesions) <= 10
        assert lesions[0]["parent"] == 0
        assert {one["parent"] for one in lesions} == set(range(len(order.parents)))
        assert {parent.label for parent in order.parents} == {"mel"}
        assert len(order.parents) == len({p.image_id for p in order.parents})


def test_one_donor_is_enough_for_several_lesions() -> None:
    order = plan(params(lesions=(4, 4)), 1, donors(1))[0]
    assert len(order.parents) == 1
    assert [one["parent"] for one in order.settings["lesions"]] == [0] * 4


def test_sizes_are_those_of_the_diagnosis_or_what_is_asked_for() -> None:
    usual = [o.settings["lesions"][0]["across_mm"] for o in plan(params())]
    assert all(6 <= across <= 16 for across in usual)
    asked = [o.settings["lesions"][0]["across_mm"] for o in plan(params(across_mm=(2, 3)))]
    assert all(2 <= across <= 3 for across in asked)


def test_places_follow_the_metadata_of_the_class() -> None:
    found = donors(10, localization="Back") + [replace(s, localization="foot") for s in donors(2)]
    shares = plan(params(), 1, found)[0].settings["shares"]
    assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
    assert "head" not in shares
    # ten lie on two parts of the back, two on two feet, and each part has one more
    total = 12 + len(shares)
    assert shares["torso_back"] == pytest.approx(6 / total, abs=1e-5)
    assert shares["left_foot"] == pytest.approx(2 / total, abs=1e-5)
    assert shares["neck"] == pytest.approx(1 / total, abs=1e-5)


@pytest.mark.parametrize("told", [None, "unknown", ""])
def test_without_metadata_places_are_even(told: str | None) -> None:
    assert "shares" not in plan(params(), 1, donors(localization=told))[0].settings
    assert prior([told], PARTS) is None


def test_places_can_be_even_and_parts_chosen() -> None:
    found = donors(localization="back")
    assert "shares" not in plan(params(places="even"), 1, found)[0].settings
    shares = plan(params(parts=("head", "neck")), 1, found)[0].settings["shares"]
    assert shares == {"head": 0.5, "neck": 0.5}


def test_uploaded_bodies_and_backgrounds_are_named_with_a_pointer_and_used() -> None:
    chosen = params(bodies=ASSETS[:2], backgrounds=ASSETS[2:], views_per_body=3)
    assert chosen.named_assets() == {
        "/bodies/0": (ASSETS[0], "body"),
        "/bodies/1": (ASSETS[1], "body"),
        "/backgrounds/0": (ASSETS[2], "background"),
    }
    orders = plan(chosen, 12)
    assert [o.assets[0].id for o in orders] == ([ASSETS[0]] * 3 + [ASSETS[1]] * 3) * 2
    assert {o.assets[1].id for o in orders} == {ASSETS[2]}
    assert [o.shared for o in near_each_other(orders)] == [ASSETS[0]] * 6 + [ASSETS[1]] * 6
    assert params().named_assets() == {}


def test_donors_without_hairs_come_first() -> None:
    hairy = [replace(s, facts=dict(s.facts, hair=0.5)) for s in donors(4)]
    clear = [replace(s, image_id=f"{s.image_id}b", sha256=f"c{s.sha256}") for s in donors(10)]
    used = {o.parents[0].sha256 for o in plan(params(), 40, hairy + clear)}
    assert used == {s.sha256 for s in clear}


def test_no_donors_is_a_typed_error_that_says_why() -> None:
    refused = [replace(s, facts=dict(s.facts, donor="no_mask")) for s in donors(3)]
    with pytest.raises(InvalidInput, match="3 have no mask") as caught:
        plan(params(), 1, refused)
    assert caught.value.code == "no_donors"


def test_the_estimate_grows_with_pixels_and_rays() -> None:
    small = SPEC.image_seconds(params(rays=1), 256)
    assert small < SPEC.image_seconds(params(rays=1), None) < SPEC.image_seconds(params(), 512)
    assert SPEC.image_seconds(params(), 512) < SPEC.image_seconds(params(rays=16), 512)
    assert SPEC.image_seconds(params(blend="deep_blend"), 256) > 60
    few = SPEC.image_seconds(params(views_per_body=1), 512)
    assert few > SPEC.image_seconds(params(), 512)
