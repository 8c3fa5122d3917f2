"""Small meshes as files, for tests: a body-sized ball, as OBJ and as GLB."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

RINGS, SIDES = 8, 12


def ball(scale: float = 0.9) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3), quads (F, 4) and texture coordinates (V, 2); closed but for the poles."""
    around = np.linspace(0, 2 * np.pi, SIDES + 1)
    down = np.linspace(0.02, np.pi - 0.02, RINGS + 1)
    theta, phi = np.meshgrid(around, down)
    points = np.stack([np.cos(theta) * np.sin(phi), np.cos(phi), -np.sin(theta) * np.sin(phi)], -1)
    uv = np.stack([theta / (2 * np.pi), 1 - phi / np.pi], -1)
    grid = np.arange((RINGS + 1) * (SIDES + 1)).reshape(RINGS + 1, SIDES + 1)
    quads = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], -1)
    return points.reshape(-1, 3) * scale, quads.reshape(-1, 4), uv.reshape(-1, 2)


def obj(
    vertices: np.ndarray,
    faces: Sequence[Sequence[int]] | np.ndarray,
    uv: np.ndarray,
    head: str = "",
    form: str = "{0}/{0}",
) -> bytes:
    """Write an OBJ whose vertices and texture coordinates have the same numbers."""
    lines = [head] if head else []
    lines += ["v {:.6f} {:.6f} {:.6f}".format(*point) for point in vertices]
    lines += ["vt {:.6f} {:.6f}".format(*point) for point in uv]
    lines += ["f " + " ".join(form.format(n + 1) for n in face) for face in faces]
    return ("\n".join(lines) + "\n").encode()


def ball_obj(scale: float = 0.9, head: str = "") -> bytes:
    vertices, quads, uv = ball(scale)
    return obj(vertices, quads, uv, head)


def png(colour: Any = (200, 150, 120), size: tuple[int, int] = (16, 8), mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def ball_glb(
    texture: bytes | None = None, change: Callable[[dict[str, Any]], None] = lambda told: None
) -> bytes:
    """Write the ball as glTF binary; ``change`` may spoil its description."""
    vertices, quads, uv = ball()
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.uint32)
    flipped = np.column_stack([uv[:, 0], 1 - uv[:, 1]])
    pieces = [
        vertices.astype(np.float32).tobytes(),
        flipped.astype(np.float32).tobytes(),
        triangles.tobytes(),
        texture or b"",
    ]
    starts = np.cumsum([0, *(len(piece) for piece in pieces)])
    views = [
        {"buffer": 0, "byteOffset": int(start), "byteLength": len(piece)}
        for start, piece in zip(starts, pieces, strict=False)
    ]
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    told: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [
            {"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2}]}
        ],
        "buffers": [{"byteLength": int(starts[-1])}],
        "bufferViews": views[: 4 if texture else 3],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(vertices), "type": "VEC3",
             "min": low.tolist(), "max": high.tolist()},
            {"bufferView": 1, "componentType": 5126, "count": len(uv), "type": "VEC2"},
            {"bufferView": 2, "componentType": 5125, "count": triangles.size, "type": "SCALAR"},
        ],
    }  # fmt: skip
    if texture:
        told["images"] = [{"bufferView": 3, "mimeType": "image/png"}]
        told["textures"] = [{"source": 0}]
        told["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
        told["meshes"][0]["primitives"][0]["material"] = 0
    change(told)
    return packed(json.dumps(told).encode(), b"".join(pieces))


def packed(described: bytes, data: bytes) -> bytes:
    """Put chunks into a GLB."""
    described += b" " * (-len(described) % 4)
    data += b"\0" * (-len(data) % 4)
    chunks = struct.pack("<I4s", len(described), b"JSON") + described
    chunks += struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
