from __future__ import annotations

import pytest

from core.ids import PREFIXES, is_id, new_id


def test_later_ids_sort_after_earlier_ones() -> None:
    ids = [new_id("job") for _ in range(5000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_prefix_makes_ids_that_are_recognised(prefix: str) -> None:
    assert is_id(new_id(prefix), prefix)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "job_", "job_" + "0" * 25, "job_" + "0" * 27, "job_" + "O" * 26, "art_" + "0" * 26]
)
def test_other_texts_are_no_job_ids(text: str) -> None:
    assert not is_id(text, "job")
