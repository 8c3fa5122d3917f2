"""The served description of the API, and the committed one that must equal it.

``python -m api.openapi`` writes ``openapi.json``; with ``--check`` it only compares. The text
depends on the code alone: never on settings, and diagnostic job kinds are not in it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fastapi.openapi.utils import get_openapi

from api import form_jobs
from api.deps import ApiRoute
from api.form_jobs import FormJob
from api.problem import MEDIA_TYPE, Problem
from api.version import VERSION
from core.jobs.spec import JOB_KINDS

FILE = Path(__file__).resolve().parents[1] / "openapi.json"
METHODS = frozenset({"get", "post", "put", "patch", "delete", "head"})

DESCRIPTION = """\
Takes in a labelled image dataset, synthesizes images for its rare classes, and measures, with an
interval, whether they help.

**Research use only. Not a medical device; not for diagnosis.**

Errors are problems (RFC 9457) with a stable `code`. Lists have `items` and `next_cursor`. Work is
done by jobs: a POST answers 202 with `Location`; `Prefer: wait=N` waits up to 60 s for the end.
Every POST that creates takes an `Idempotency-Key`. Requests are limited per key and API process.
"""

TAGS = {
    "datasets": "Named lines of immutable versions.",
    "uploads": "Resumable uploads.",
    "dataset-versions": "Immutable manifests of images.",
    "images": "Provenance and pixels.",
    "groups": "Patients and lesions: what is known of one, and its erasure.",
    "jobs": "Asynchronous work, one route per kind.",
    "artifacts": "Files that jobs published.",
    "models": "Trained classifiers.",
    "assets": "Bodies and backgrounds to render with.",
    "experiments": "Verdicts and the predictions behind them.",
    "catalog": "What can be asked for, and who can do it now.",
    "keys": "API keys and their scopes.",
    "webhooks": "Addresses that are told, signed, when jobs end; and what became of each message.",
    "sessions": "Browsers that are logged in.",
    "audit": "Who did what.",
    "system": "Health, metrics, version; public.",
}

_REFUSALS = {
    "401": "The key is missing, unknown, expired or revoked.",
    "403": "The key lacks the scope.",
    "404": "There is no such thing, or it is another tenant's.",
    "409": "The state of things does not allow it.",
    "413": "The body is too large.",
    "415": "The body has another media type.",
    "422": "The request is not valid; `errors` point at fields.",
    "429": "Too many requests; `Retry-After` says when to come back.",
    "503": "The database, or a worker, is away; `Retry-After` says when to come back.",
}


def describe(routes: list[Any]) -> dict[str, Any]:
    """Return the OpenAPI document of the routes."""
    document: dict[str, Any] = get_openapi(
        title="DermSynth3D",
        version=VERSION,
        description=DESCRIPTION,
        routes=routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _inlined(Problem.model_json_schema())
    from api.routes import assets, datasets

    for form in (datasets.FORM, assets.FORM):
        schemas[form.schema] = _form(form)
    scopes = _scopes(routes)
    for path, item in document["paths"].items():
        for method in METHODS & set(item):
            if needed := scopes.get((method, path)):
                item[method]["x-required-scopes"] = needed
            _describe_refusals(path, method, item[method])
    return document


def _scopes(routes: list[Any]) -> dict[tuple[str, str], list[str]]:
    """Return the scopes that a key needs, by method and path."""
    return {
        (method.lower(), route.path): route.scopes
        for route in routes
        if isinstance(route, ApiRoute)
        for method in route.methods or ()
    }


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with its definitions in place of the references to them."""
    definitions = schema.pop("$defs", {})
    text = json.dumps(schema)
    for name, definition in definitions.items():
        text = text.replace(json.dumps({"$ref": f"#/$defs/{name}"}), json.dumps(definition))
    inlined: dict[str, Any] = json.loads(text)
    return inlined


def _form(form: FormJob) -> dict[str, Any]:
    """Return the schema of a form: its files and the parameters of the job that it becomes."""
    params = JOB_KINDS.get(form.kind).params.model_json_schema()
    known, fields = params["properties"], {field: name for name, field in form.files.items()}
    texts = {name: _not_null(known[name]) for name in form.fields}
    for name in form.lists:
        described = known[name]["description"].rstrip(".")
        texts[name] = {"type": "string", "description": f"{described}, separated by commas."}
    files = {
        name: {"type": "string", "format": "binary", "description": known[field]["description"]}
        for name, field in form.files.items()
    }
    files[form_jobs.FILE]["description"] = f"{form.needed[0].upper()}{form.needed[1:]}."
    return {
        "type": "object",
        "required": [fields.get(name, name) for name in params["required"]],
        "additionalProperties": False,
        "properties": {**files, **texts},
    }


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a form field: a form cannot say null, only leave a field out."""
    choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(choices) != 1:
        return schema
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    chosen: dict[str, Any] = choices[0] | rest
    return chosen


def _describe_refusals(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    for status in _possible(path, method, operation):
        responses.setdefault(status, _refusal(_REFUSALS[status]))
    responses["default"] = _refusal("A problem.")


def _possible(path: str, method: str, operation: dict[str, Any]) -> list[str]:
    if "security" not in operation:
        return ["503"]
    found = ["401", "403", "422", "429", "503"]
    if "{" in path or method == "post":
        found.append("404")
    if method not in ("get", "head"):
        found += ["409", "413"]
    if "requestBody" in operation:
        found.append("415")
    return sorted(found)


def _refusal(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def as_text(document: dict[str, Any]) -> str:
    """Return the one text of the document."""
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> int:
    """Write or check the committed file; 1 when they differ."""
    from api.main import create_app

    parser = argparse.ArgumentParser(description="Write openapi.json")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    text = as_text(create_app().openapi())
    if not arguments.check:
        FILE.write_text(text)
        return 0
    if FILE.is_file() and FILE.read_text() == text:
        return 0
    sys.stderr.write("openapi.json is not what the code serves; run: python -m api.openapi\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
