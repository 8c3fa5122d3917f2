from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.errors import InvalidInput
from core.ingest.revise import Changes, revise
from tests.unit.ingest.test_balance import PLAIN

RECORDS = [
    replace(PLAIN, image_id=f"img_{n}", filename=f"{n}.jpg", quarantined=n == 3) for n in range(4)
]


def test_changes_are_made_and_nothing_else() -> None:
    revised = revise(
        RECORDS,
        Changes(
            relabel={"img_0": " mel "}, drop=["img_1"], quarantine=["img_2"], release=["img_3"]
        ),
    )
    assert revised == [
        replace(RECORDS[0], label="mel"),
        replace(RECORDS[2], quarantined=True),
        replace(RECORDS[3], quarantined=False),
    ]


def test_no_changes_keep_everything() -> None:
    assert revise(RECORDS, Changes()) == RECORDS


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"drop": ["img_9"]}, "unknown_image"),
        ({"relabel": {"img_9": "x"}}, "unknown_image"),
        ({"quarantine": ["img_9"], "release": ["img_8"]}, "unknown_image"),
        ({"drop": ["img_0"], "relabel": {"img_0": "x"}}, "contradictory_changes"),
        ({"quarantine": ["img_0"], "release": ["img_0"]}, "contradictory_changes"),
        ({"relabel": {"img_0": " \n"}}, "invalid_label"),
        ({"drop": [r.image_id for r in RECORDS]}, "empty_version"),
    ],
)
def test_impossible_changes(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInput) as error:
        revise(RECORDS, Changes(**changes))
    assert error.value.code == code
