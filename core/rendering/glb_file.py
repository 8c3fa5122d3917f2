"""Binary glTF 2.0 (GLB): all meshes of the scene in one, with the texture it carries."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.ingest.rejects import Rejected
from core.rendering.raw_mesh import MAX_TRIANGLES, RawMesh, no_uv, too_many

MAGIC = b"glTF"
_HEADER, _CHUNK = struct.Struct("<4sII"), struct.Struct("<I4s")
_LONGEST_JSON = 64 * 1024**2
_MOST_NODES = 10_000
_UNDERSTOOD = frozenset({"KHR_materials_unlit", "KHR_materials_specular", "KHR_materials_ior"})


def read_glb(data: bytes, max_pixels: int) -> RawMesh:
    """Read a GLB file that holds everything itself.

    Rejected ``external_uri``, ``unsupported_extension``, ``mesh_damaged``, ``mesh_without_uv``,
    ``mesh_empty``, ``mesh_too_large``, ``several_textures``, ``too_many_pixels``,
    ``decode_failed``.
    """
    told = _described(data)
    _check(told)
    import trimesh

    try:
        scene = trimesh.load_scene(io.BytesIO(data), file_type="glb", process=False)
        meshes = [mesh for mesh in scene.dump() if isinstance(mesh, trimesh.Trimesh)]
    except (MemoryError, Rejected):
        raise
    except Exception as error:  # the library raises what the broken file makes it
        raise Rejected("mesh_damaged", f"The GLB cannot be read: {error}") from error
    if not meshes or not sum(len(mesh.faces) for mesh in meshes):
        raise Rejected("mesh_empty", "The file has no triangles")
    mesh = _joined(meshes, max_pixels)
    if mesh.texture is None and _names_texture(told):
        raise Rejected("decode_failed", "The GLB's texture does not decode, or is too large")
    return mesh


def _names_texture(told: dict[str, Any]) -> bool:
    """Tell whether a material has colours of an image; the library passes over a broken one."""
    surfaces = (entry.get("pbrMetallicRoughness") for entry in _entries(told, "materials"))
    return any(isinstance(one, dict) and "baseColorTexture" in one for one in surfaces)


def _described(data: bytes) -> dict[str, Any]:
    """Return the JSON of a GLB file."""
    try:
        magic, version, length = _HEADER.unpack_from(data)
        size, kind = _CHUNK.unpack_from(data, _HEADER.size)
        start = _HEADER.size + _CHUNK.size
        if magic != MAGIC or version != 2 or length > len(data) or kind != b"JSON":
            raise Rejected("mesh_damaged", "The file is no GLB of version 2, or was cut off")
        if size > min(_LONGEST_JSON, len(data) - start):
            raise Rejected("mesh_damaged", "The description in the GLB is too long")
        told = json.loads(data[start : start + size])
    except (struct.error, ValueError, RecursionError) as error:
        raise Rejected("mesh_damaged", f"The GLB's description cannot be read: {error}") from error
    if not isinstance(told, dict):
        raise Rejected("mesh_damaged", "The GLB's description is not an object")
    return told


def _check(told: dict[str, Any]) -> None:
    """Refuse what is not in the file, and what would be read wrongly."""
    for thing in ("buffers", "images"):
        for entry in _entries(told, thing):
            if "uri" in entry:
                raise Rejected(
                    "external_uri",
                    f"One of the GLB's {thing} is a link; export it with everything embedded",
                )
    required = told.get("extensionsRequired", [])
    if strange := [name for name in required if name not in _UNDERSTOOD]:
        raise Rejected(
            "unsupported_extension",
            f"The GLB needs {', '.join(map(str, strange))[:100]}; export it without compression",
        )
    if len(_entries(told, "nodes")) > _MOST_NODES:
        raise Rejected("mesh_damaged", f"The GLB has more than {_MOST_NODES} nodes")
    accessors = _entries(told, "accessors")
    if any("sparse" in entry for entry in accessors):
        raise Rejected("unsupported_extension", "The GLB has sparse accessors; export it plain")
    if sum(_count(entry) for entry in accessors) > 16 * MAX_TRIANGLES:
        raise too_many(max(_count(entry) for entry in accessors) // 3)


def _entries(told: dict[str, Any], thing: str) -> list[dict[str, Any]]:
    found = told.get(thing, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise Rejected("mesh_damaged", f"The GLB's {thing} are not a list of objects")
    return found


def _count(accessor: dict[str, Any]) -> int:
    count = accessor.get("count", 0)
    return count if isinstance(count, int) and count > 0 else 0


def _joined(meshes: list[Any], max_pixels: int) -> RawMesh:
    total = sum(len(mesh.faces) for mesh in meshes)
    if total > MAX_TRIANGLES:
        raise too_many(total)
    corners, faces, first = [], [], 0
    for mesh in meshes:
        uv = getattr(mesh.visual, "uv", None)
        if uv is None or len(uv) != len(mesh.vertices):
            raise no_uv()
        corners.append(np.asarray(uv, np.float64)[mesh.faces])
        faces.append(np.asarray(mesh.faces, np.int64) + first)
        first += len(mesh.vertices)
    texture = _texture(meshes, max_pixels)
    return RawMesh(
        vertices=np.concatenate([np.asarray(mesh.vertices, np.float64) for mesh in meshes]),
        triangles=np.concatenate(faces),
        corner_uv=np.concatenate(corners),
        textured=texture is not None,
        texture=texture,
        y_up=True,
    )


def _texture(meshes: list[Any], max_pixels: int) -> NDArray[np.uint8] | None:
    """Return the colours that all meshes share; None when there are none."""
    materials = (getattr(mesh.visual, "material", None) for mesh in meshes)
    images = [getattr(material, "baseColorTexture", None) for material in materials]
    if all(image is None for image in images):
        return None
    pixels = [None if image is None else _pixels(image, max_pixels) for image in images]
    first = pixels[0]
    if first is None or any(other is None or not _same(first, other) for other in pixels[1:]):
        raise Rejected(
            "several_textures", "The meshes of the GLB have several textures; bake them into one"
        )
    return first


def _same(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    return one is other or np.array_equal(one, other)


def _pixels(image: Any, max_pixels: int) -> NDArray[np.uint8]:
    width, height = image.size
    if width * height > max_pixels:
        raise Rejected("too_many_pixels", f"The GLB's texture has {width} x {height} pixels")
    try:
        return np.asarray(image.convert("RGB"), np.uint8)
    except (OSError, ValueError) as error:
        raise Rejected("decode_failed", f"The GLB's texture does not decode: {error}") from error
