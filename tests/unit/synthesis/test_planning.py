"""How many images, and from which sources."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import InvalidInput, UnknownName
from core.synthesis.contract import GENERATORS, Source
from core.synthesis.planning import Balance, balance_counts, explicit_counts, preview

CLASSES = {"nv": 100, "mel": 40, "bcc": 10, "gone": 0}


def source(label: str, number: int, **changes: Any) -> Source:
    fields: dict[str, Any] = {
        "image_id": f"img_{label}_{number}",
        "sha256": f"{number:04d}{label}",
        "label": label,
        "group_ids": (f"g{number}",),
        "width": 64,
        "height": 48,
        "modality": "rgb",
    }
    return Source(**(fields | changes))


def sources(**sizes: int) -> list[Source]:
    return [source(label, n) for label, size in sizes.items() for n in range(size)]


def plan(found: list[Source], counts: dict[str, int], seed: int = 0, **params: Any) -> Any:
    spec = GENERATORS.get("augment")
    return spec.instance.plan(spec.params.model_validate(params), found, counts, seed)


@pytest.mark.parametrize(
    ("balance", "expected"),
    [
        ({}, {"mel": 60, "bcc": 90}),
        ({"target": "median"}, {"bcc": 30}),
        ({"target": 45}, {"mel": 5, "bcc": 35}),
        ({"target": "max", "max_per_real": 1.25}, {"mel": 50, "bcc": 12}),
        ({"target": "max", "classes": ["bcc", "bcc"]}, {"bcc": 90}),
        ({"target": 150}, {"nv": 50, "mel": 110, "bcc": 140}),
    ],
)
def test_balance(balance: dict[str, Any], expected: dict[str, int]) -> None:
    assert balance_counts(CLASSES, Balance.model_validate(balance)) == expected


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 500), min_size=2),
    st.one_of(st.none(), st.floats(0.1, 20)),
)
def test_balance_never_overshoots(classes: dict[str, int], ratio: float | None) -> None:
    try:
        counts = balance_counts(classes, Balance(target="max", max_per_real=ratio))
    except InvalidInput as error:
        assert error.code == "nothing_to_synthesize"
        return
    for label, count in counts.items():
        assert 0 < count <= max(classes.values()) - classes[label]
        assert ratio is None or count <= ratio * classes[label] + 1e-6


def test_what_balance_refuses() -> None:
    with pytest.raises(UnknownName, match="did you mean mel") as unknown:
        balance_counts(CLASSES, Balance(classes=("nv", "mell")))
    assert unknown.value.errors[0].pointer == "/balance/classes/1"
    with pytest.raises(InvalidInput) as empty:
        balance_counts(CLASSES, Balance(classes=("gone",)))
    assert empty.value.code == "no_sources"
    with pytest.raises(InvalidInput) as nothing:
        balance_counts({"a": 3, "b": 3}, Balance())
    assert nothing.value.code == "nothing_to_synthesize"
    with pytest.raises(InvalidInput) as nobody:
        balance_counts({}, Balance())
    assert nobody.value.code == "nothing_to_synthesize"
    with pytest.raises(InvalidInput) as many:
        balance_counts({"a": 3, "b": 3}, Balance(target=1_000_000))
    assert many.value.code == "too_many_images"
    for raw in ({"target": -1}, {"max_per_real": 0}, {"max_per_real": float("nan")}, {"to": 3}):
        with pytest.raises(ValidationError):
            Balance.model_validate(raw)


def test_explicit_counts() -> None:
    assert explicit_counts(CLASSES, {"nv": 3, "gone": 0}) == {"nv": 3}
    for counts, code in (({"x/y": 1}, "unknown_class"), ({"gone": 1}, "no_sources")):
        with pytest.raises(InvalidInput) as caught:
            explicit_counts(CLASSES, counts)
        assert caught.value.code == code
    with pytest.raises(InvalidInput):
        explicit_counts(CLASSES, {"nv": -1})


@given(st.integers(1, 9), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_every_real_image_is_used_equally_often(size: int, count: int, seed: int) -> None:
    orders = plan(sources(mel=size), {"mel": count}, seed)
    used = Counter(order.parents[0].image_id for order in orders)
    assert len(orders) == count
    most = max(used.values())
    assert most - (min(used.values()) if len(used) == size else 0) <= 1


def test_the_plan_of_a_class_ignores_other_classes_and_the_order_of_rows() -> None:
    found = sources(mel=7, nv=9)
    alone = plan([s for s in found if s.label == "mel"], {"mel": 20}, 4)
    both = [o for o in plan(found[::-1], {"nv": 5, "mel": 20}, 4) if o.label == "mel"]
    key = [(o.parents[0].sha256, o.seed, o.settings) for o in alone]
    assert key == [(o.parents[0].sha256, o.seed, o.settings) for o in both]


def test_seeds_differ_between_orders_and_between_plans() -> None:
    seeds = {o.seed for s in (0, 1) for o in plan(sources(a=3, b=3), {"a": 50, "b": 50}, s)}
    assert len(seeds) == 200
    assert max(seeds) < 2**64


def test_indices_count_through_the_plan() -> None:
    orders = plan(sources(a=3, b=3), {"b": 4, "a": 2})
    assert [o.index for o in orders] == list(range(6))
    assert [o.label for o in orders] == ["a"] * 2 + ["b"] * 4


@pytest.mark.parametrize("policy", ["seed_generate", "seed_augment"])
def test_the_seed_draws_sources_at_random(policy: str) -> None:
    orders = plan(sources(mel=10), {"mel": 30}, policy=policy)
    used = Counter(order.parents[0].image_id for order in orders)
    assert max(used.values()) - min(used.values()) > 1 or len(used) < 10


def test_a_preview_is_spread_over_the_classes() -> None:
    orders = plan(sources(a=3, b=3, c=3), {"a": 50, "b": 1, "c": 50})
    few = preview(orders, 7)
    assert Counter(o.label for o in few) == {"a": 3, "b": 1, "c": 3}
    assert {o.index for o in few} <= {o.index for o in orders}
    assert preview(orders, 1000) == orders


def test_a_class_without_sources_cannot_be_planned() -> None:
    with pytest.raises(InvalidInput) as caught:
        plan(sources(a=3), {"b": 1})
    assert caught.value.code == "no_sources"


def test_images_too_long_to_warp_are_named() -> None:
    with pytest.raises(InvalidInput, match="40000 x 2") as caught:
        plan([source("a", 0, width=40_000, height=2)], {"a": 1})
    assert caught.value.code == "image_too_large"
