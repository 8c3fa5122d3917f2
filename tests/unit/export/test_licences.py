from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.export.licences import LICENCES, Licence, Purpose, licence, lineage, refusal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CC BY-NC 4.0", "CC-BY-NC-4.0"),
        ("cc_by-nc_v4.0", "CC-BY-NC-4.0"),
        ("CC-BY-NC", "CC-BY-NC"),
        ("Creative Commons Attribution-NonCommercial 4.0 International", "CC-BY-NC-4.0"),
        ("https://creativecommons.org/licenses/by-nc-sa/4.0/", "CC-BY-NC-SA-4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("CC-0", "CC0-1.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("The hospital's licence", "unknown"),
        ("", "unknown"),
        ("Research Use Only", "research-use-only"),
        ("for academic use", "research-use-only"),
        ("CC BY 4.0 with exceptions", "unknown"),
    ],
)
def test_spellings(text: str, expected: str) -> None:
    assert licence(text).id == expected


def test_an_unknown_text_is_kept_for_the_card() -> None:
    assert licence("The  hospital's\nlicence").source == "The hospital's licence"
    assert licence("unknown").source == ""


@pytest.mark.parametrize("row", LICENCES.values(), ids=lambda row: row.id)
def test_every_id_is_its_own_spelling(row: Licence) -> None:
    assert licence(row.id) == row
    assert licence(row.id.replace("-", " ").lower()) == row


@pytest.mark.parametrize(
    ("texts", "purpose", "derived", "allowed"),
    [
        (["CC0-1.0"], "commercial", True, True),
        (["CC-BY-4.0"], "commercial", True, True),
        (["CC-BY-NC-4.0"], "share", True, True),
        (["CC-BY-NC-4.0"], "commercial", False, False),
        (["CC-BY-ND-4.0"], "share", False, True),
        (["CC-BY-ND-4.0"], "share", True, False),
        (["CC-BY-ND-4.0"], "internal", True, True),
        (["unknown"], "share", False, False),
        (["unknown"], "internal", True, True),
        (["research use only"], "share", False, False),
        (["CC0-1.0; CC-BY-NC-4.0"], "commercial", False, False),
        (["CC0-1.0;"], "share", False, True),
        (["CC-BY-4.0", ""], "share", False, False),
        (["CC-BY-SA-4.0", "CC-BY-NC-SA-4.0"], "share", True, False),
        (["CC-BY-SA-4.0", "CC-BY-NC-4.0"], "share", True, False),
        (["CC-BY-SA-4.0", "CC-BY-NC-4.0"], "share", False, True),
        (["CC-BY-SA-4.0", "CC-BY-SA-3.0"], "share", True, True),
        (["CC-BY-SA-4.0", "CC-BY-4.0"], "commercial", True, True),
    ],
)
def test_purposes(texts: list[str], purpose: Purpose, derived: bool, allowed: bool) -> None:
    found = refusal(lineage(texts), purpose, derived=derived)
    assert (found is None) == allowed
    assert found is None or found.reason


def test_lineage_lists_each_source_once() -> None:
    found = lineage(["CC BY 4.0; CC0", "CC-BY-4.0", "hospital A", "hospital B"])
    assert [row.id for row in found] == ["CC-BY-4.0", "CC0-1.0", "unknown", "unknown"]


@given(st.text(), st.sampled_from(["share", "commercial"]), st.booleans())
def test_text_that_is_no_known_licence_allows_nothing(
    text: str, purpose: Purpose, derived: bool
) -> None:
    row = licence(text)
    if row.id in ("unknown", "research-use-only"):
        assert refusal([row], purpose, derived=derived) is not None
    else:
        assert row == LICENCES[row.id]


@given(st.lists(st.sampled_from(sorted(LICENCES)), min_size=1, max_size=4), st.booleans())
def test_a_purpose_that_asks_for_more_is_never_easier(names: list[str], derived: bool) -> None:
    rows = lineage(names)
    order: list[Purpose] = ["internal", "share", "commercial"]
    allowed = [refusal(rows, purpose, derived=derived) is None for purpose in order]
    assert allowed == sorted(allowed, reverse=True)
    for purpose in order:
        if refusal(rows, purpose, derived=True) is None:
            assert refusal(rows, purpose, derived=False) is None
