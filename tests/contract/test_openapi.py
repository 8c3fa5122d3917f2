"""openapi.json: committed, complete, and true to its own rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from api.main import create_app
from api.openapi import FILE, METHODS, TAGS, as_text
from core.jobs.spec import JOB_KINDS

DOCUMENT = create_app().openapi()


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method in sorted(METHODS & set(item)):
            yield method, path, item[method]


def test_the_committed_file_is_what_is_served() -> None:
    assert FILE.read_text() == as_text(DOCUMENT), "run: python -m api.openapi"


def test_it_does_not_depend_on_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.config import get_settings

    monkeypatch.setenv("DERMSYNTH_DIAGNOSTICS", "1")
    monkeypatch.setenv("DERMSYNTH_VERSION_SUFFIX", "+else")
    get_settings.cache_clear()
    try:
        assert create_app().openapi() == DOCUMENT
    finally:
        get_settings.cache_clear()


def test_operation_ids_are_tag_and_verb() -> None:
    seen = set()
    for _, path, operation in operations():
        (tag,) = operation["tags"]
        assert tag in TAGS, path
        assert re.fullmatch(rf"{tag}_[a-z][a-z0-9_]*", operation["operationId"]), path
        assert operation["operationId"] not in seen
        seen.add(operation["operationId"])


def test_every_public_kind_has_its_route() -> None:
    routes = {path for path in DOCUMENT["paths"] if path.count("/") == 3}
    wanted = {f"/v1/jobs/{name}" for name, kind in JOB_KINDS if kind.public and not kind.diagnostic}
    assert {path for path in routes if path.startswith("/v1/jobs/") and "{" not in path} == wanted


@pytest.mark.parametrize(
    "absent",
    ["noop", "crash", "sleep", "_shard", "HTTPValidation"],
)
def test_what_is_not_offered_is_absent(absent: str) -> None:
    assert absent not in as_text(DOCUMENT)


def test_every_body_has_an_example_that_validates() -> None:
    for _, path, operation in operations():
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            schema = resolved(content["schema"])
            examples = schema.get("examples") or [content.get("example")]
            assert examples[0] is not None, path
            if media == "application/json":
                whole = schema | {"components": DOCUMENT["components"]}
                for example in examples:
                    jsonschema.Draft202012Validator(whole).validate(example)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def test_every_reference_leads_somewhere() -> None:
    for name in re.findall(r'"#/components/schemas/([^"]+)"', as_text(DOCUMENT)):
        assert name in DOCUMENT["components"]["schemas"]


def test_every_creating_post_takes_an_idempotency_key() -> None:
    for method, path, operation in operations():
        if method == "post" and not path.endswith("/cancel"):
            names = {p["name"].lower() for p in operation.get("parameters", [])}
            assert "idempotency-key" in names, path


def test_it_says_what_it_is_for() -> None:
    assert "not for diagnosis" in DOCUMENT["info"]["description"]
