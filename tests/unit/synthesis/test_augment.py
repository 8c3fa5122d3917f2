"""The generator augment, and images as they are stored and replayed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInput
from core.ingest.images import decode
from core.synthesis.contract import GENERATORS, Made, Order, Source
from core.synthesis.parameters import generator_params
from core.synthesis.production import (
    Finished,
    PixelCache,
    describe,
    finish,
    near_each_other,
    produce,
    replay,
    require_modalities,
)

SPEC = GENERATORS.get("augment")


def image(sha256: str, modality: str = "rgb") -> Any:
    rng = np.random.default_rng(int(sha256, 16))
    shape = (40, 52, 3) if modality == "rgb" else (40, 52)
    return rng.integers(0, 256, shape, dtype=np.uint8)


def load(source: Source) -> Any:
    return image(source.sha256, source.modality)


def source(number: int, label: str = "mel", **changes: Any) -> Source:
    fields: dict[str, Any] = {
        "image_id": f"img_{number}",
        "sha256": f"{number:04x}",
        "label": label,
        "group_ids": (f"g{number}",),
        "width": 52,
        "height": 40,
        "modality": "rgb",
    }
    return Source(**(fields | changes))


def orders(count: int = 10, params: dict[str, Any] | None = None, **changes: Any) -> list[Order]:
    model = SPEC.params.model_validate(params or {})
    found = [source(n, **changes) for n in range(4)]
    return SPEC.instance.plan(model, found, {"mel": count}, 7)


def make(order: Order, params: dict[str, Any] | None = None) -> Made:
    return SPEC.instance.make(SPEC.params.model_validate(params or {}), order, load)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (
            "seed_generate",
            ["seed_mirror", "seed_rotate", "seed_colour", "seed_blur", "seed_crop"] * 2,
        ),
        (
            "seed_augment",
            ["seed_mirror", "seed_quarter_turn", "seed_brightness", "seed_crop"] * 2
            + ["seed_mirror", "seed_quarter_turn"],
        ),
    ],
)
def test_the_seed_policies_apply_one_operation_in_turn(policy: str, expected: list[str]) -> None:
    params = {"policy": policy}
    names = []
    for order in orders(10, params):
        (step,) = make(order, params).provenance["operations"]
        names.append(step["op"])
    assert names == expected


def test_a_class_may_have_its_own_policy() -> None:
    params = {"policy": [{"op": "blur"}], "per_class": {"mel": [{"op": "flip"}]}}
    model = SPEC.params.model_validate(params)
    found = [source(1), source(2, "nv")]
    plan = SPEC.instance.plan(model, found, {"mel": 2, "nv": 2}, 0)
    by_label = {o.label: {s["op"] for s in make(o, params).provenance["operations"]} for o in plan}
    assert by_label == {"mel": {"flip"}, "nv": {"blur"}}


def test_an_order_gives_the_same_image_whoever_makes_it() -> None:
    for order in orders(12):
        first, second = make(order), make(order)
        assert np.array_equal(first.pixels, second.pixels)
        assert first.provenance == second.provenance
    images = {make(order).pixels.tobytes() for order in orders(12)}
    assert len(images) == 12


@pytest.mark.parametrize("modality", ["rgb", "grey"])
@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png"])
@pytest.mark.parametrize("resolution", [None, 24, 80])
@pytest.mark.parametrize(
    "params",
    [{}, {"policy": "seed_generate"}, {"policy": [{"op": "elastic"}], "quality": "high"}],
)
def test_replay_gives_the_same_bytes(
    modality: str, media_type: str, resolution: int | None, params: dict[str, Any]
) -> None:
    model = SPEC.params.model_validate(params)
    for order in orders(5, params, modality=modality, media_type=media_type):
        first = finish(SPEC, model, order, load, resolution)
        again = replay(first.provenance, load)
        assert again.data == first.data
        assert again.provenance == first.provenance
        stored = decode(first.data)
        assert stored.shape == first.pixels.shape
        assert media_type == "image/jpeg" or np.array_equal(stored, first.pixels)
        assert max(first.pixels.shape[:2]) == (resolution or 52)


def test_replay_uses_the_recorded_numbers() -> None:
    order = orders(1, {"policy": [{"op": "brightness"}]})[0]
    model = SPEC.params.model_validate({"policy": [{"op": "brightness"}]})
    provenance = finish(SPEC, model, order, load).provenance
    changed = provenance | {"operations": [{"op": "brightness", "factor": 0.1}]}
    assert replay(changed, load).pixels.mean() < 20


def test_replay_refuses_another_version() -> None:
    provenance = finish(SPEC, SPEC.params(), orders(1)[0], load).provenance
    with pytest.raises(InvalidInput) as caught:
        replay(provenance | {"version": "0"}, load)
    assert caught.value.code == "replay_version"


def test_the_recorded_transform_includes_the_resize() -> None:
    params = {"policy": [{"op": "flip", "axis": "horizontal"}]}
    model = SPEC.params.model_validate(params)
    done = finish(SPEC, model, orders(1, params)[0], load, 26)
    matrix = np.array(done.provenance["transform"])
    assert (matrix @ [51, 0, 1])[:2] == pytest.approx([-0.25, -0.25])
    assert (matrix @ [0, 39, 1])[:2] == pytest.approx([25.25, 19.25])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads: int) -> None:
    model = SPEC.params()
    plan = orders(20)
    done = {f.order.index: f.data for f in produce(SPEC, model, plan, load, threads=threads)}
    assert done == {o.index: finish(SPEC, model, o, load).data for o in plan}


def test_an_error_of_one_image_stops_the_production() -> None:
    def broken(source: Source) -> Any:
        raise InvalidInput("The stored image does not decode", code="decode_failed")

    with pytest.raises(InvalidInput, match="does not decode"):
        list(produce(SPEC, SPEC.params(), orders(20), broken, threads=2))


def test_production_stops_when_nobody_wants_more() -> None:
    asked: list[str] = []

    def counting(source: Source) -> Any:
        asked.append(source.sha256)
        return load(source)

    made: Iterator[Finished] = produce(SPEC, SPEC.params(), orders(400), counting, threads=1)
    next(made)
    made.close()  # type: ignore[attr-defined]
    assert len(asked) <= 5


def test_the_cache_decodes_a_source_once_while_it_is_in_use() -> None:
    read: list[str] = []

    def reading(sha256: str) -> Any:
        read.append(sha256)
        return image(sha256)

    cache = PixelCache(reading, 2)
    list(produce(SPEC, SPEC.params(), near_each_other(orders(40)), cache, threads=1))
    assert len(read) == 4
    assert not cache(source(0)).flags.writeable


def test_unsuited_modalities_are_refused() -> None:
    import dataclasses

    colour_only = dataclasses.replace(SPEC, modalities=("rgb",))
    with pytest.raises(InvalidInput) as caught:
        require_modalities(colour_only, [source(1, modality="grey")])
    assert caught.value.code == "unsuited_modality"
    require_modalities(SPEC, [source(1, modality="grey")])


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        ({"policy": "seed"}, "/generator_params/policy"),
        ({"policy": []}, "/generator_params/policy"),
        ({"policy": 7}, "/generator_params/policy"),
        ({"policy": [{"op": "flip"}, {"op": "spin"}]}, "/generator_params/policy/1"),
        ({"policy": [{"degrees": [1, 2]}]}, "/generator_params/policy/0"),
        ({"policy": [{"op": "rotate", "angle": 5}]}, "/generator_params/policy/0/angle"),
        (
            {"policy": [{"op": "zoom", "factor": [1, 99]}]},
            "/generator_params/policy/0/factor/1",
        ),
        ({"polcy": "default"}, "/generator_params/polcy"),
        ({"quality": "best"}, "/generator_params/quality"),
        ({"per_class": {"a/b": "no"}}, "/generator_params/per_class/a~1b"),
        ({"policy": [{"op": "flip"}] * 33}, "/generator_params/policy"),
    ],
)
def test_wrong_parameters_are_pointed_at(raw: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        generator_params(SPEC, raw, {"mel": 3})
    assert caught.value.errors[0].pointer == pointer


def test_the_example_of_the_schema_is_valid() -> None:
    for example in SPEC.params.model_json_schema()["examples"]:
        generator_params(SPEC, example, {"mel": 1})


def test_a_description_names_operations_and_their_numbers() -> None:
    steps = [
        {"op": "flip", "horizontal": True, "vertical": False},
        {"op": "seed_rotate", "degrees": 45},
        {"op": "colour", "factor": 1.2345},
    ]
    assert describe({"operations": steps}) == "flip, rotate 45°, colour x1.23"
    assert describe({}) == ""
