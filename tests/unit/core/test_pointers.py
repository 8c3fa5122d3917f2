"""Pointers to invalid fields."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from core.errors import FieldError
from core.pointers import field_errors, invalid_fields, pointer


class Sizes(BaseModel):
    sizes: dict[str, list[int]]


def refused(raw: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Sizes.model_validate(raw)
    return caught.value


def test_keys_with_slashes_and_tildes_are_escaped() -> None:
    assert pointer(["a/b", 0, "~"]) == "/a~1b/0/~0"


def test_the_whole_document_has_the_empty_pointer() -> None:
    assert pointer([]) == ""


def test_every_field_at_fault_is_named_below_the_given_place() -> None:
    found = field_errors(refused({"sizes": {"a/b": [1, "x"], "c": ["y"]}}), "/params")
    assert [error.pointer for error in found] == ["/params/sizes/a~1b/1", "/params/sizes/c/0"]


def test_a_refusal_says_the_first_error_without_its_value() -> None:
    error = invalid_fields(refused({"sizes": {"a": ["secret"]}}))
    assert error.errors == (FieldError("/sizes/a/0", error.errors[0].detail),)
    assert error.detail == f"/sizes/a/0: {error.errors[0].detail}"
    assert "secret" not in str(error.as_problem())
