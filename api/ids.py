"""Ids in paths: a text that is no id names nothing, so it is 404 like an unknown id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator

from core.errors import NotFound
from core.ids import Prefix, is_group, is_id


def _known_form(prefix: Prefix, thing: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not is_id(value, prefix):
            raise NotFound(
                f"There is no {thing.replace('_', ' ')} {value[:80]}", code=f"{thing}_not_found"
            )
        return value

    return check


def _group(value: str) -> str:
    if not is_group(value):
        raise NotFound(f"There is no group {value[:80]}", code="group_not_found")
    return value


def _pattern(prefix: Prefix) -> dict[str, str]:
    return {"pattern": f"^{prefix}_[0-9a-hjkmnp-tv-z]{{26}}$", "example": f"{prefix}_{'0' * 26}"}


DatasetId = Annotated[
    str, AfterValidator(_known_form("ds", "dataset")), Path(json_schema_extra=_pattern("ds"))
]
VersionIdPath = Annotated[
    str,
    AfterValidator(_known_form("dsv", "dataset_version")),
    Path(json_schema_extra=_pattern("dsv")),
]
ImageIdPath = Annotated[
    str, AfterValidator(_known_form("img", "image")), Path(json_schema_extra=_pattern("img"))
]
UploadIdPath = Annotated[
    str, AfterValidator(_known_form("upl", "upload")), Path(json_schema_extra=_pattern("upl"))
]
JobId = Annotated[
    str, AfterValidator(_known_form("job", "job")), Path(json_schema_extra=_pattern("job"))
]
ArtifactId = Annotated[
    str, AfterValidator(_known_form("art", "artifact")), Path(json_schema_extra=_pattern("art"))
]
ModelIdPath = Annotated[
    str, AfterValidator(_known_form("mdl", "model")), Path(json_schema_extra=_pattern("mdl"))
]
AssetIdPath = Annotated[
    str, AfterValidator(_known_form("ast", "asset")), Path(json_schema_extra=_pattern("ast"))
]
ExperimentId = Annotated[
    str, AfterValidator(_known_form("exp", "experiment")), Path(json_schema_extra=_pattern("exp"))
]
WebhookId = Annotated[
    str, AfterValidator(_known_form("whk", "webhook")), Path(json_schema_extra=_pattern("whk"))
]
DeliveryId = Annotated[
    str,
    AfterValidator(_known_form("whd", "webhook_delivery")),
    Path(json_schema_extra=_pattern("whd")),
]
GroupId = Annotated[
    str,
    AfterValidator(_group),
    Path(
        json_schema_extra={
            "anyOf": [
                {"pattern": _pattern("grp")["pattern"]},
                {"pattern": _pattern("ast")["pattern"].replace("^", "^asset:")},
            ],
            "example": _pattern("grp")["example"],
        }
    ),
]
"""Of images, or of an asset of its own."""
SessionId = Annotated[
    str, AfterValidator(_known_form("ses", "session")), Path(json_schema_extra=_pattern("ses"))
]
KeyId = Annotated[
    str, AfterValidator(_known_form("key", "key")), Path(json_schema_extra=_pattern("key"))
]
