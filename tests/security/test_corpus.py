"""Every case of the corpus of hostile uploads has the outcome that its table says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.security import corpus
from tests.security.case import Case
from tests.security.door import outcome_of


@pytest.mark.parametrize("case", corpus.CASES, ids=lambda case: case.name)
def test_case(case: Case, tmp_path: Path) -> None:
    assert outcome_of(case, tmp_path) == case.outcome


def test_names_are_used_once() -> None:
    names = [case.name for case in corpus.CASES]
    assert len(set(names)) == len(names)


def test_a_secret_that_were_left_would_be_found(tmp_path: Path) -> None:
    """The control: the end marker of a JPEG is in every stored JPEG."""
    case = next(c for c in corpus.CASES if c.name == "gps in exif")
    assert "in it" in outcome_of(replace(case, absent=(b"\xff\xd9",)), tmp_path)
