"""Which lesion goes on which skin."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.synthesis.contract import Source
from core.synthesis.pairing import COVER, ENOUGH, Pairs, patch_side
from tests.unit.synthesis.lesions import source


def seen(number: int, **facts: Any) -> Source:
    known = {"diameter": 0.4, "hair": 0.0, "free": [0, 0, 40, 40]} | facts
    return source(number, facts=known)


def pairs(sources: list[Source], targets: str = "class_mates", scale: Any = (0.5, 2)) -> Pairs:
    return Pairs(SimpleNamespace(targets=targets, scale=scale), sources, sources)


@given(st.lists(st.floats(0.1, 0.7), min_size=2, max_size=12), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_lesion_covers_what_was_there_within_the_scales_allowed(
    diameters: list[float], seed: int
) -> None:
    found = pairs([seen(n, diameter=d) for n, d in enumerate(diameters)])
    rng = np.random.default_rng(seed)
    for donor in found.donors:
        target, scale = found.draw(donor, rng)
        assert target.image_id != donor.image_id
        assert 0.5 <= scale <= 2
        across = scale * donor.facts["diameter"]
        assert COVER * target.facts["diameter"] - 1e-9 <= across <= 0.8 + 1e-9


def test_a_target_of_the_donors_own_group_is_taken_only_when_there_is_no_other() -> None:
    one, two, other = seen(0, hair=0.3), seen(1), seen(2, hair=0.3)
    same = source(1, group_ids=one.group_ids, facts=two.facts)
    drawn = pairs([one, same, other])
    rng = np.random.default_rng(0)
    assert {drawn.draw(one, rng)[0].image_id for _ in range(20)} == {other.image_id}
    alone = pairs([one, same])
    assert alone.draw(one, rng)[0].image_id == same.image_id


def test_hairy_donors_and_targets_are_left_while_there_are_enough_others() -> None:
    clear = [seen(n) for n in range(ENOUGH + 1)]
    found = pairs([*clear, seen(50, hair=0.2)])
    rng = np.random.default_rng(0)
    assert len(found.donors) == len(clear)
    assert all(found.draw(d, rng)[0].facts["hair"] == 0 for d in found.donors for _ in range(9))
    few = pairs([*clear[:3], seen(50, hair=0.2)])
    assert len(few.donors) == 4


def test_free_skin_takes_a_lesion_that_fits_on_it() -> None:
    targets = [seen(0), seen(1, free=[0, 0, 90, 90]), seen(2, free=None)]
    found = pairs(targets, "lesion_free", (1, 1))
    assert {d.image_id for d in found.donors} == {"img_mel_0", "img_mel_2"}
    target, _ = found.draw(targets[0], np.random.default_rng(0))
    assert target.image_id == "img_mel_1"
    assert [patch_side(t) for t in targets] == [40, 90, 0]
