"""All routes as the served document tells them, and one of every thing that they can be asked for.

Nothing here names a route: a new one is walked by itself, and one with an id of a kind that
``everything`` does not make fails.
"""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import httpx

from api.openapi import METHODS
from core.ids import PREFIXES, new_id
from core.services.browser_sessions import new_login_token
from tests.api.world import World, png

PUBLIC = {"/healthz", "/readyz", "/metrics", "/version"}
UNKNOWN = {prefix: f"{prefix}_{'0' * 26}" for prefix in PREFIXES}
_ID_PATTERN = re.compile(r"\^([a-z]+)_\[")
_ID = re.compile(rf"({'|'.join(PREFIXES)})_[0-9a-z]{{26}}")
BYTES = "bytes"
"""The kind of a sha256 that names stored pixels."""


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    from api.main import create_app

    return create_app().openapi()


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    described: dict[str, Any]

    @property
    def scopes(self) -> list[str]:
        return list(self.described.get("x-required-scopes", ()))

    def parameters(self, place: str) -> list[dict[str, Any]]:
        return [p for p in self.described.get("parameters", ()) if p["in"] == place]

    def kinds(self) -> list[str]:
        """Return the kinds of the ids in the path."""
        found = [id_kind(p["schema"]) for p in self.parameters("path")]
        return [kind for kind in found if kind is not None]

    def at(self, ids: Mapping[str, str]) -> str:
        """Return the path with ids; KeyError for a parameter that nothing is known of."""
        path = self.path
        for parameter in self.parameters("path"):
            schema, name = parameter["schema"], parameter["name"]
            kind = id_kind(schema)
            value = ids[kind] if kind else named(schema)
            path = path.replace(f"{{{name}}}", str(value))
        return path

    def arguments(self, ids: Mapping[str, str] = UNKNOWN) -> dict[str, Any]:
        """Return a body that is valid as far as the schema tells, its ids being those given."""
        content = self.described.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            return {"json": with_ids(example_of(content["application/json"]), ids)}
        if "application/offset+octet-stream" in content:
            headers = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
            return {"content": b"x", "headers": headers}
        if "multipart/form-data" in content:
            name = "images" if "images" in str(content) else "file"
            return {"files": {name: ("a.zip", png())}}
        return {}


def operations() -> Iterator[Operation]:
    for path, item in document()["paths"].items():
        for method in sorted(METHODS & set(item)):
            yield Operation(method, path, item[method])


def id_kind(schema: dict[str, Any]) -> str | None:
    """Return the prefix of the ids that a schema asks for; None when it asks for none."""
    for one in (schema, *schema.get("anyOf", ())):
        pattern = one.get("pattern", "")
        if match := _ID_PATTERN.match(pattern):
            return match[1]
        if "[0-9a-f]{64}" in pattern:
            return BYTES
    return None


def named(schema: dict[str, Any]) -> Any:
    """Return a value that a schema allows by name; KeyError when it names none."""
    if "const" in schema:
        return schema["const"]
    return schema["enum"][0] if "enum" in schema else schema["example"]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def example_of(content: dict[str, Any]) -> Any:
    return copy.deepcopy(resolved(content["schema"])["examples"][0])


def with_ids(value: Any, ids: Mapping[str, str]) -> Any:
    """Return JSON in which every id stands for one of those given."""
    if isinstance(value, str):
        match = _ID.fullmatch(value)
        return ids.get(match[1], value) if match else value
    if isinstance(value, list):
        return [with_ids(item, ids) for item in value]
    if isinstance(value, dict):
        return {with_ids(key, ids): with_ids(item, ids) for key, item in value.items()}
    return value


def foreign_bodies(
    operation: Operation, own: Mapping[str, str], foreign: Mapping[str, str]
) -> Iterator[tuple[str, Any]]:
    """Yield (field, body): valid for the owner of ``own`` but for one id, which is foreign."""
    content = operation.described.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return
    schema = resolved(content["application/json"]["schema"])
    example = with_ids(example_of(content["application/json"]), own)
    for path, kind, form in _id_fields(schema):
        yield "/".join(path), _put(copy.deepcopy(example), path, form, foreign[kind])


def _id_fields(
    schema: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield (path, kind of id, value | list | keys) of every field that takes ids."""
    for name, field in resolved(schema).get("properties", {}).items():
        here = (*path, name)
        for one in (field, *field.get("anyOf", ())):
            one = resolved(one)  # noqa: PLW2901
            if kind := id_kind({k: v for k, v in one.items() if k != "anyOf"}):
                yield here, kind, "value"
            elif one.get("type") == "array":
                item = resolved(one["items"])
                if kind := id_kind(item):
                    yield here, kind, "list"
                for deeper in _id_fields(item):
                    yield (*here, "0", *deeper[0]), deeper[1], deeper[2]
            elif "propertyNames" in one and (kind := id_kind(resolved(one["propertyNames"]))):
                yield here, kind, "keys"
            else:
                yield from _id_fields(one, here)


def _put(body: Any, path: tuple[str, ...], form: str, value: str) -> Any:
    here = body
    for step in path[:-1]:
        here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
    here[path[-1]] = {"value": value, "list": [value], "keys": {value: "x"}}[form]
    return body


def everything(world: World, tenant: str, secret: str) -> dict[str, str]:
    """Make one of each thing in a tenant, whose key is ``secret``; ids by their prefix.

    ``bytes`` is the sha256 of pixels that only this tenant has.
    """
    api = world.client(secret)
    seed = sum(tenant.encode()) * 10
    group = new_id("grp")
    mask = world.store.add(png(seed + 9))
    records = [
        world.record(
            seed + n,
            group_ids=(group,),
            filename=f"{tenant}_{n}.png",
            provenance={"annotations": {"mask": mask}},
        )
        for n in range(3)
    ]
    version = world.version(records, tenant=tenant, name=f"ward of {tenant}")
    job = api.post("/v1/jobs/noop", json={}).json()["id"]

    def make(run: Any) -> None:
        run.publish_asset("body", "body", {"mesh": world.store.add(b"m")}, licence="", info={})
        file = run.artifact("predictions.parquet", parquet(), "application/octet-stream")
        run.publish_experiment(version.id, {"design": "cv"}, file)

    outcome = world.finish(job, make=make)
    with world.sessions.begin() as session:
        new_login_token(session, world.principal(tenant).tenant_id)
    webhook = api.post("/v1/webhooks", json={"url": f"https://{tenant}.example/"}).json()["id"]
    upload = api.post("/v1/uploads", json={"length": 1, "filename": f"{tenant}.zip"}).json()["id"]
    chunk = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    api.patch(f"/v1/uploads/{upload}", content=b"x", headers=chunk).raise_for_status()
    return {
        "ds": version.dataset_id,
        "dsv": version.id,
        "img": records[0].image_id,
        "grp": group,
        "upl": upload,
        "job": job,
        "art": outcome.artifacts[0].id,
        "ast": outcome.assets[0].id,
        "mdl": world.model(job, tenant),
        "exp": outcome.experiments[0].id,
        "key": api.get("/v1/keys").json()["items"][0]["id"],
        "whk": webhook,
        "whd": api.post(f"/v1/webhooks/{webhook}/test").json()["id"],
        "ses": api.get("/v1/sessions").json()["items"][0]["id"],
        "aud": api.get("/v1/audit").json()["items"][0]["id"],
        BYTES: records[0].sha256,
    }


def parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({"image_id": ["img_x"], "arm": ["real"]}), buffer)
    return buffer.getvalue()


def ask(client: httpx.Client, operation: Operation, ids: Mapping[str, str]) -> httpx.Response:
    """Send a request that is as valid as its description can make it."""
    return client.request(operation.method, operation.at(ids), **operation.arguments(ids))
