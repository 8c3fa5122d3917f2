"""Everything that can be asked for, and who can do it right now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from core.db.models import Worker
from core.features.contract import BACKBONES, FAMILIES
from core.jobs.spec import JobKind
from core.learning.contract import CLASSIFIERS
from core.learning.segmentation.contract import ARCHITECTURES
from core.services.submit import public_kinds
from core.synthesis.contract import GENERATORS


def catalog(workers: Sequence[Worker]) -> dict[str, Any]:
    """Return all registered capabilities with what live workers said of them."""
    return {
        "job_kinds": [_kind(kind, workers) for kind in public_kinds()],
        "generators": [
            _entry(
                name,
                one.summary,
                one.params,
                {"version": one.version, "novelty": one.novelty, "modalities": one.modalities},
                reports("generator", name, workers),
            )
            for name, one in GENERATORS
        ],
        "backbones": [
            _entry(
                name,
                one.summary,
                None,
                {"dimension": one.dimension, "size": one.size, "licence": one.licence},
                reports("backbone", name, workers),
            )
            for name, one in BACKBONES
        ]
        + _families(workers),
        "classifiers": [
            _entry(
                name,
                one.summary,
                one.params,
                {"weights": one.weighting, "caution": one.caution, "grid": list(one.grid)},
                reports("classifier", name, workers),
            )
            for name, one in CLASSIFIERS
        ],
        "architectures": [
            _entry(
                name,
                one.summary,
                None,
                {
                    "smallest": one.smallest,
                    "multiple": one.multiple,
                    "imagenet_weights": one.find is not None,
                },
                reports("architecture", name, workers),
            )
            for name, one in ARCHITECTURES
        ],
    }


def _families(workers: Sequence[Worker]) -> list[dict[str, Any]]:
    """Return an entry a family, which says how to add to it, and one for each that a worker has."""
    entries = []
    for prefix, family in FAMILIES:
        told = [row for worker in workers for row in worker.available]
        here = {
            row["name"]: row.get("facts") or {}
            for row in told
            if row.get("capability") == "backbone" and row["name"].startswith(f"{prefix}:")
        }
        entries.append(
            _entry(f"{prefix}:", family.summary, None, {"family": True, "fix": family.fix}, [])
        )
        entries += [
            _entry(name, family.summary, None, facts, reports("backbone", name, workers))
            for name, facts in sorted(here.items())
        ]
    return entries


def _kind(kind: JobKind[Any, Any], workers: Sequence[Worker]) -> dict[str, Any]:
    schema = _schema(kind.params)
    return {
        "name": kind.name,
        "summary": kind.summary,
        "queue": kind.queue,
        "params": schema,
        "result": _schema(kind.result),
        "example": (schema.get("examples") or [None])[0],
        "available": [_able(worker) for worker in workers if kind.queue in worker.queues],
    }


def _entry(
    name: str,
    summary: str,
    params: type[BaseModel] | None,
    facts: dict[str, Any],
    available: list[dict[str, Any]],
) -> dict[str, Any]:
    schema = _schema(params) if params else {"type": "object", "additionalProperties": False}
    return {
        "name": name,
        "summary": summary,
        "params": schema,
        "facts": facts,
        "available": available,
    }


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def reports(capability: str, name: str, workers: Sequence[Worker]) -> list[dict[str, Any]]:
    """Return what each live worker said of a capability.

    A worker says nothing of what needs nothing but its code: then it can do it.
    """
    found = []
    for worker in workers:
        said = [row for row in worker.available if row.get("capability") == capability]
        mine = [row for row in said if row.get("name") == name]
        if mine:
            found.append(_able(worker) | {key: mine[0].get(key) for key in ("ok", "reason", "fix")})
        elif capability != "backbone":
            found.append(_able(worker))
    return found


def _able(worker: Worker) -> dict[str, Any]:
    return {"worker": worker.id, "ok": True, "reason": None, "fix": None}
