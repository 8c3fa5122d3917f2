"""The published JSON Schema is the one that the documents follow."""

from __future__ import annotations

import jsonschema
import pytest

from core.learning.verdict_schema import PATH, json_schema, schema_text
from tests.unit.learning.test_verdict import BASE, document


def test_the_committed_schema_is_up_to_date() -> None:
    assert PATH.read_text(encoding="utf-8") == schema_text()
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "accuracy", [BASE | {"combined": 0.9, "combined_r2": 0.8}, {"real": 0.6}], ids=["full", "real"]
)
def test_documents_follow_it(accuracy: dict[str, float]) -> None:
    jsonschema.validate(document(accuracy), json_schema())


def test_a_member_nobody_published_is_refused() -> None:
    found = document({"real": 0.6}) | {"surprise": 1}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, json_schema())
