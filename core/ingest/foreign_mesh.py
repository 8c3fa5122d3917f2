"""The one door for meshes that others sent: they are read in :class:`Decoders` only."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import InvalidInput
from core.ingest.decoder import DecoderLimits, Frame, Work, rejected
from core.ingest.decoding import Decoders, Task, refused
from core.ingest.images import encode_png, pillow_limits
from core.ingest.rejects import Rejected
from core.rendering.own_mesh import MeshOptions, read_own_mesh
from core.rendering.surface_file import dump_surface, parse_surface


class MeshFacts(BaseModel):
    """What a decoder says of a mesh, beside its bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    units: str = Field(max_length=2)
    up: str = Field(max_length=1)
    extent_m: list[float] = Field(min_length=3, max_length=3)
    vertices: int = Field(gt=0)
    triangles: int = Field(gt=0)
    parts: list[str] = Field(min_length=1, max_length=64)
    open_edges: int = Field(ge=0)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    facts: MeshFacts
    warnings: list[str] = Field(max_length=16)
    textured: bool
    mesh_bytes: int = Field(gt=0)


@dataclass(frozen=True, slots=True)
class ForeignMesh:
    """A mesh that can be stored; ``texture`` is a PNG that came inside the file, or empty."""

    data: bytes
    texture: bytes
    textured: bool
    facts: MeshFacts
    warnings: tuple[str, ...]


def read_foreign_mesh(
    data: bytes,
    parts: bytes | None,
    options: MeshOptions,
    limits: DecoderLimits,
    tick: Callable[[], None] = lambda: None,
) -> ForeignMesh | Rejected:
    """Read a mesh in a process of its own, with limits; codes as :func:`read_own_mesh`'s.

    ``tick`` is called every half second; what it raises ends the reading.
    """
    head = {"mesh": len(data), "parts": parts is not None, "options": asdict(options)}
    task = Task("mesh", json.dumps(head).encode(), data + (parts or b""), alone=True)
    with Decoders(partial(_begin, options.max_pixels), 1, limits, tick) as decoders:
        (_, outcome), *_ = decoders.run([task])
    return _mesh(outcome) if isinstance(outcome, Frame) else outcome


def _mesh(frame: Frame) -> ForeignMesh | Rejected:
    """Read a decoder's answer; it has met hostile bytes, so nothing in it is taken on trust."""
    try:
        told = _Answer.model_validate_json(frame.head)
        data = frame.body[: told.mesh_bytes]
        surface = parse_surface(data)
    except (ValidationError, InvalidInput):
        return rejected("failed", "The decoder's answer makes no sense")
    if len(surface.triangles) != told.facts.triangles or list(surface.parts) != told.facts.parts:
        return rejected("failed", "The decoder's answer makes no sense")
    texture = frame.body[told.mesh_bytes :]
    return ForeignMesh(data, texture, told.textured, told.facts, tuple(told.warnings))


# In the decoder


def _begin(max_pixels: int) -> Work:
    from contextlib import ExitStack

    import cv2

    cv2.setNumThreads(0)  # the pool of the job's threads is not there after a fork
    ExitStack().enter_context(pillow_limits(max_pixels))  # for the life of the process
    return _read


def _read(frame: Frame) -> Frame:
    told: dict[str, Any] = json.loads(frame.head)
    size = int(told["mesh"])
    options = MeshOptions(**told["options"] | {"groups": tuple(told["options"]["groups"])})
    try:
        mesh = read_own_mesh(
            frame.body[:size], frame.body[size:] if told["parts"] else None, options
        )
    except Rejected as reason:
        return refused(reason)
    data = dump_surface(mesh.surface)
    answer = {
        "facts": mesh.facts,
        "warnings": mesh.warnings,
        "textured": mesh.textured,
        "mesh_bytes": len(data),
    }
    inside = mesh.surface.texture
    texture = b"" if inside is None else encode_png(inside)
    return Frame(b"a", json.dumps(answer).encode(), data + texture)
