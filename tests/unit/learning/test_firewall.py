"""The firewall lets nothing pass that is tied to a test image."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import LeakDetected
from core.learning.firewall import check_declared, check_no_leak
from tests.unit.learning.made_up import record, synthetic

TEST = [record("t1", "a", "g1"), record("t2", "b", ("g2", "g3"))]


def test_independent_sides_pass() -> None:
    other = record("r1", "a", "g9")
    check_no_leak([other, synthetic("s1", other), record("s2", "a", (), source="synthetic")], TEST)


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(record("x", "a", "g3"), id="shared group"),
        pytest.param(replace(record("x", "a", "g9"), image_id="img_t1"), id="same image"),
        pytest.param(synthetic("x", TEST[0], group_ids=("g9",)), id="foreign parent"),
        pytest.param(
            synthetic("x", TEST[0], group_ids=("g9",), parents=("img_other",)), id="parent's bytes"
        ),
        pytest.param(
            replace(record("x", "a", "g9"), pixel_sha256=TEST[1].pixel_sha256), id="same pixels"
        ),
        pytest.param(
            replace(record("x", "a", "g9"), source_sha256=TEST[1].source_sha256), id="same source"
        ),
    ],
)
def test_a_planted_tie_trips_and_is_named(leak: object) -> None:
    with pytest.raises(LeakDetected) as caught:
        check_no_leak([record("r1", "a", "g8"), leak], TEST)  # type: ignore[list-item]
    assert caught.value.code == "leak_detected"
    assert caught.value.image_ids == (leak.image_id,)  # type: ignore[attr-defined]


def test_missing_hashes_are_no_tie() -> None:
    blank = replace(TEST[0], pixel_sha256="")
    check_no_leak([replace(record("x", "a", "g9"), pixel_sha256="")], [blank])


def test_a_parent_whose_group_is_hidden_trips_and_is_named() -> None:
    real = [record("r1", "a", "g1"), record("r2", "a", ("g2", "g3"))]
    liars = [
        synthetic("no groups", real[0], group_ids=()),
        synthetic("another group", real[1], group_ids=("g1",)),
        synthetic("by bytes alone", real[0], group_ids=("g2",), parents=()),
    ]
    honest = [
        synthetic("honest", real[0]),
        synthetic("merged since", real[1], group_ids=("g2",)),
        synthetic("of another dataset", real[0], group_ids=("elsewhere",)),
        record("of nobody", "a", (), source="synthetic"),
    ]
    check_declared(honest, real)
    with pytest.raises(LeakDetected) as caught:
        check_declared([*honest, *liars], real)
    assert caught.value.image_ids == tuple(liar.image_id for liar in liars)
