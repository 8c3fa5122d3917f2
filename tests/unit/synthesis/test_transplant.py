"""The generator transplant, on drawn lesions whose masks are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from core.errors import InvalidInput
from core.ingest.images import decode
from core.synthesis.contract import GENERATORS, Made, Order, Source, Surveying
from core.synthesis.donors import find_lesion
from core.synthesis.mask_quality import dice
from core.synthesis.production import finish, replay, require_images
from core.synthesis.segmentation import at_size, outline
from tests.unit.synthesis.lesions import SIDE, drawn, load, skin, source

SPEC = GENERATORS.get("transplant")
assert isinstance(SPEC.instance, Surveying)
SURVEY = SPEC.instance


def params(**changes: Any) -> Any:
    return SPEC.params.model_validate(changes)


def surveyed(sources: list[Source], chosen: Any, read: Any = load) -> list[Source]:
    return [replace(s, facts=SURVEY.survey(chosen, s, read)) for s in sources]


def sources(label: str = "mel", count: int = 12, **changes: Any) -> list[Source]:
    return [source(n, label, **changes) for n in range(count)]


def orders(count: int = 6, chosen: Any = None, seed: int = 5) -> list[Order]:
    chosen = chosen or params()
    return SPEC.instance.plan(chosen, surveyed(sources(), chosen), {"mel": count}, seed)


def make(order: Order, chosen: Any = None, read: Any = load) -> Made:
    return SPEC.instance.make(chosen or params(), order, read)


def test_donor_and_target_differ_and_both_are_parents() -> None:
    for order in orders(12):
        donor, target = order.parents
        assert donor.image_id != target.image_id
        assert not set(donor.group_ids) & set(target.group_ids)
        assert order.label == donor.label == target.label == "mel"


def test_every_usable_donor_has_its_turn() -> None:
    usable = {s.image_id for s in surveyed(sources(), params()) if s.facts["donor"] is None}
    used = [order.parents[0].image_id for order in orders(2 * len(usable))]
    assert set(used) <= usable
    assert max(used.count(one) for one in used) - min(used.count(one) for one in used) <= 1


@pytest.mark.parametrize("blend", ["density", "poisson", "paste"])
def test_an_order_gives_the_same_image_whoever_makes_it(blend: str) -> None:
    chosen = params(blend=blend)
    for order in orders(3, chosen):
        first, second = make(order, chosen), make(order, chosen)
        assert np.array_equal(first.pixels, second.pixels)
        assert np.array_equal(first.annotations["mask"], second.annotations["mask"])
        assert first.provenance == second.provenance
        assert first.pixels.shape == (SIDE, SIDE, 3)


def test_the_plan_does_not_depend_on_ids_or_on_the_order_of_sources() -> None:
    chosen = params()
    found = surveyed(sources(), chosen)
    renamed = [replace(s, image_id=f"img_other_{n}") for n, s in enumerate(found)]
    plans = [
        SPEC.instance.plan(chosen, some, {"mel": 8}, 1) for some in (found, found[::-1], renamed)
    ]
    shown = [[(tuple(p.sha256 for p in o.parents), o.seed, o.settings) for o in p] for p in plans]
    assert shown[0] == shown[1] == shown[2]
    other = SPEC.instance.plan(chosen, found, {"mel": 8}, 2)
    assert {seed for _, seed, _ in shown[0]}.isdisjoint(o.seed for o in other)
    assert [parents for parents, _, _ in shown[0]] != [
        tuple(p.sha256 for p in o.parents) for o in other
    ]


@pytest.mark.parametrize("blend", ["density", "poisson", "paste"])
def test_the_lesion_is_where_its_mask_says(blend: str) -> None:
    """Inside the mask it is darker than around it, as the drawn melanoma is."""
    chosen = params(blend=blend, slope=0)
    gaps = []
    for order in orders(6, chosen):
        made = make(order, chosen)
        mask = made.annotations["mask"]
        assert set(np.unique(mask)) <= {0, 255}
        assert 0.005 < (mask > 0).mean() < 0.6
        grey = made.pixels.mean(axis=2)
        gaps.append(grey[mask == 0].mean() - grey[mask > 0].mean())
    assert np.median(gaps) > 10


def test_images_that_cannot_take_a_lesion_are_no_targets() -> None:
    found = surveyed(sources(), params())
    refused = [replace(s, facts=dict(s.facts, target="not_skin")) for s in found[:6]]
    plan = SPEC.instance.plan(params(), [*refused, *found[6:]], {"mel": 30}, 0)
    names = {s.image_id for s in refused}
    assert names.isdisjoint(order.parents[1].image_id for order in plan)
    assert not names.isdisjoint(order.parents[0].image_id for order in plan)


STILL: dict[str, Any] = {
    "melanin": (0, 0), "blood": (0, 0), "exposure": (0, 0), "balance": 0, "slope": 0,
}  # fmt: skip
"""Nothing but the lesion changes the skin."""


@pytest.mark.parametrize(("blend", "least"), [("density", 0.8), ("paste", 0.8), ("poisson", 0.7)])
def test_the_mask_is_where_the_skin_has_changed(blend: str, least: float) -> None:
    chosen = params(targets="lesion_free", healthy_classes=["skin"], blend=blend, **STILL)
    found = surveyed([*sources(), HEALTHY], chosen, load_or_skin)
    agreed = []
    for order in SPEC.instance.plan(chosen, found, {"mel": 8}, 0):
        made = make(order, chosen, load_or_skin)
        change = made.pixels.astype(int) - skin().astype(int)
        apart = np.abs(change - np.median(change, axis=(0, 1))).max(axis=2)
        agreed.append(dice(apart > 12, made.annotations["mask"] > 0))
    assert np.median(agreed) > least


def test_the_size_is_the_planned_one() -> None:
    for order in orders(6):
        area = (make(order).annotations["mask"] > 0).sum()
        donor_area = (load(order.parents[0].mask) > 0).sum()  # type: ignore[arg-type]
        assert np.sqrt(area / donor_area) == pytest.approx(order.settings["scale"], rel=0.12)


def test_the_size_follows_the_scale() -> None:
    areas = []
    for scale in (0.4, 0.8):
        chosen = params(
            targets="lesion_free", healthy_classes=["skin"], scale=(scale, scale), bend=0
        )
        found = surveyed([*sources(), HEALTHY], chosen, load_or_skin)
        order = SPEC.instance.plan(chosen, found, {"mel": 1}, 0)[0]
        areas.append((make(order, chosen, load_or_skin).annotations["mask"] > 0).sum())
    assert areas[1] / areas[0] == pytest.approx(4, rel=0.1)


def test_the_lesion_that_was_there_is_gone() -> None:
    """Where the target's own lesion shows beyond the new one, it is as bright as skin."""
    chosen = params(softness=0.02, **STILL)
    left = []
    for order in orders(24, chosen):
        made, target = make(order, chosen), order.parents[1]
        old = load(target.mask) > 0  # type: ignore[arg-type]
        new = cv2.dilate(made.annotations["mask"], np.ones((9, 9), np.uint8)) > 0
        if (old & ~new).sum() < 20:
            continue
        grey = load(target).mean(axis=2)
        was = grey[~old].mean() - grey[old].mean()
        left.append((grey[~old].mean() - made.pixels.mean(axis=2)[old & ~new].mean()) / was)
    assert len(left) >= 3
    assert np.median(left) < 0.35


def test_darker_skin_shows_the_same_lesion_darker() -> None:
    light, dark = params(melanin=(0, 0)), params(melanin=(0.8, 0.8))
    order = orders(1, light)[0]
    first, second = make(order, light), make(order, dark)
    inside = first.annotations["mask"] > 0
    assert np.array_equal(first.annotations["mask"], second.annotations["mask"])
    for where in (inside, ~inside):
        assert second.pixels[where].mean() < 0.85 * first.pixels[where].mean()


def test_a_donor_is_segmented_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = params()
    found = surveyed(sources(masked=False), chosen)
    asked: list[bytes] = []

    def counted(pixels: Any, box: Any = None) -> Any:
        asked.append(pixels.tobytes())
        return outline(pixels, box)

    monkeypatch.setattr("core.synthesis.segmentation.outline", counted)
    fresh = type(SPEC.instance)()
    orders = SPEC.instance.plan(chosen, found, {"mel": 12}, 0)
    for order in orders:
        fresh.make(chosen, order, load)
    used = {source.sha256 for order in orders for source in order.parents}
    assert len(asked) == len(set(asked)) == len(used) < 24


def test_the_lesion_made_is_the_one_surveyed() -> None:
    for number in range(6):
        pixels, _ = drawn(number)
        found = find_lesion(pixels, None, None, automatic=True)
        assert np.array_equal(at_size(outline(pixels), SIDE, SIDE), found.mask)


def test_replay_gives_the_same_bytes_and_mask() -> None:
    for resolution in (None, 48):
        order = orders(3)[2]
        first = finish(SPEC, params(), order, load, resolution)
        again = replay(first.provenance, load)
        assert again.data == first.data
        assert again.annotations == first.annotations
        assert decode(first.annotations["mask"]).shape == first.pixels.shape[:2]


def test_a_replay_takes_what_was_drawn_from_provenance() -> None:
    first = finish(SPEC, params(), orders(1)[0], load)
    darker = first.provenance | {"drawn": first.provenance["drawn"] | {"exposure": -0.9}}
    assert replay(darker, load).pixels.mean() < 0.8 * first.pixels.mean()


def test_boxes_stand_in_the_settings_and_replay() -> None:
    chosen = params(imaging="clinical", boxes={f"img_mel_{n}": (10, 10, 86, 86) for n in range(12)})
    found = surveyed(sources(masked=False), chosen)
    assert {s.facts["origin"] for s in found} == {"box"}
    order = SPEC.instance.plan(chosen, found, {"mel": 1}, 0)[0]
    assert order.settings["donor_box"] == [10, 10, 86, 86]
    first = finish(SPEC, chosen, order, load)
    assert "boxes" not in first.provenance["params"]
    assert replay(first.provenance, load).data == first.data


def test_boxes_of_unknown_images_are_an_error_with_a_pointer() -> None:
    chosen = params(boxes={"img_gone": (1, 1, 9, 9)})
    with pytest.raises(InvalidInput) as caught:
        require_images(chosen, sources())
    assert caught.value.code == "unknown_image"
    assert caught.value.errors[0].pointer == "/generator_params/boxes/img_gone"


HEALTHY = source(0, "skin", masked=False, sha256="skin:0:image")


def load_or_skin(wanted: Source) -> Any:
    return skin() if wanted.label == "skin" else load(wanted)


def test_lesion_free_skin_of_a_healthy_class() -> None:
    chosen = params(targets="lesion_free", healthy_classes=["skin"])
    assert chosen.named_classes() == {"/healthy_classes/0": "skin"}
    found = surveyed([*sources(), HEALTHY], chosen, load_or_skin)
    for order in SPEC.instance.plan(chosen, found, {"mel": 4}, 0):
        assert order.parents[1].label == "skin"
        assert order.label == "mel"
        made = make(order, chosen, load_or_skin)
        assert made.pixels.shape == (SIDE, SIDE, 3)
        mask = made.annotations["mask"]
        assert mask.any()
        assert not mask[[0, -1]].any()
        assert not mask[:, [0, -1]].any()


def test_a_lesion_goes_on_a_patch_of_the_right_size() -> None:
    chosen = params(targets="lesion_free", smallest_patch=32, scale=(0.2, 1.0))
    found = surveyed(sources(count=24), chosen)
    for order in SPEC.instance.plan(chosen, found, {"mel": 4}, 0):
        left, top, right, bottom = order.settings["patch"]
        made = make(order, chosen)
        assert made.pixels.shape[:2] == (bottom - top, right - left)
        donor, target = drawn(0), load(order.parents[1].mask)  # type: ignore[arg-type]
        assert donor is not None
        assert not target[top:bottom, left:right].any()


def test_clinical_images_without_masks_give_no_donors_and_the_error_says_why() -> None:
    chosen = params(imaging="clinical")
    found = surveyed(sources(masked=False), chosen)
    assert SURVEY.summary(found) == [
        "mel: 0 of 12 images give a lesion; left out: 12 have no mask, and automatic masks are off"
    ]
    with pytest.raises(
        InvalidInput, match="12 have no mask, and automatic masks are off"
    ) as caught:
        SPEC.instance.plan(chosen, found, {"mel": 1}, 0)
    assert caught.value.code == "no_donors"


def test_a_lesion_larger_than_all_targets_is_a_typed_error() -> None:
    chosen = params(scale=(5, 5))
    with pytest.raises(InvalidInput) as caught:
        orders(1, chosen)
    assert caught.value.code == "lesion_too_large"


def test_one_image_has_no_class_mate() -> None:
    chosen = params()
    usable = next(s for s in surveyed(sources(), chosen) if s.facts["donor"] is None)
    with pytest.raises(InvalidInput) as caught:
        SPEC.instance.plan(chosen, [usable], {"mel": 1}, 0)
    assert caught.value.code == "no_targets"


def test_a_mask_of_another_size_names_its_image() -> None:
    def read(wanted: Source) -> Any:
        pixels = load(wanted)
        return pixels[:50] if pixels.ndim == 2 else pixels

    with pytest.raises(InvalidInput, match="img_mel_0") as caught:
        surveyed(sources(count=1), params(), read)
    assert caught.value.code == "mask_size"


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": [1.4, 0.7]},
        {"scale": [0.01, 1]},
        {"melanin": [0, 9]},
        {"blend": "magic"},
        {"bend": -1},
        {"boxes": {"img": [1, 2, 3]}},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SPEC.params.model_validate(wrong)
