"""Meshes of others: what is read of OBJ and GLB, and every way to be refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from core.errors import InvalidInput
from core.ingest.rejects import Rejected
from core.rendering.body_parts import PARTS_16, UNKNOWN
from core.rendering.own_mesh import MeshOptions, OwnMesh, read_own_mesh, read_parts
from core.rendering.surface_file import dump_surface, parse_surface
from tests.unit.rendering.meshes import ball, ball_glb, ball_obj, obj, packed, png

PLAIN = MeshOptions()


def volume(mesh: OwnMesh) -> float:
    a, b, c = (mesh.surface.vertices[mesh.surface.triangles[:, i]].astype(float) for i in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def refused(data: bytes, options: MeshOptions = PLAIN, parts: bytes | None = None) -> str:
    with pytest.raises(Rejected) as caught:
        read_own_mesh(data, parts, options)
    assert len(caught.value.detail) > 20
    return caught.value.code


def test_an_obj_stands_on_the_floor_in_metres_and_looks_outward() -> None:
    mesh = read_own_mesh(ball_obj(), None, PLAIN)
    surface = mesh.surface
    assert mesh.facts["units"] == "m" and mesh.facts["up"] == "y"
    assert surface.vertices[:, 2].min() == pytest.approx(0, abs=1e-6)
    assert np.ptp(surface.vertices, axis=0) == pytest.approx([1.8, 1.8, 1.8], rel=0.05)
    assert volume(mesh) > 2.5
    centre = np.array([0, 0, 0.9])
    outward = np.einsum("ij,ij->i", surface.normals, surface.vertices - centre)
    assert np.all(outward > 0.8)
    assert surface.corner_uv.min() >= 0 and surface.corner_uv.max() <= 1
    assert surface.parts == (UNKNOWN,) and not mesh.textured


def test_normals_are_smooth_over_the_seam_of_the_texture() -> None:
    surface = read_own_mesh(ball_obj(), None, PLAIN).surface
    _, place = np.unique(np.round(surface.vertices, 4), axis=0, return_inverse=True)
    first = np.zeros((place.max() + 1, 3), np.float32)
    first[place.ravel()] = surface.normals
    assert len(first) < len(surface.vertices)
    assert np.allclose(first[place.ravel()], surface.normals)


@pytest.mark.parametrize(("scale", "units"), [(0.9, "m"), (9.0, "dm"), (90.0, "cm"), (900.0, "mm")])
def test_units_are_told_by_the_size(scale: float, units: str) -> None:
    mesh = read_own_mesh(ball_obj(scale), None, PLAIN)
    assert mesh.facts["units"] == units
    assert np.ptp(mesh.surface.vertices[:, 2]) == pytest.approx(1.8, rel=0.01)


def test_units_and_axes_can_be_said() -> None:
    small = ball_obj(0.1)
    assert refused(small) == "unknown_units"
    mesh = read_own_mesh(small, None, MeshOptions(units="m", up="z"))
    assert np.ptp(mesh.surface.vertices[:, 2]) == pytest.approx(0.2, rel=0.05)
    assert mesh.facts["up"] == "z"
    assert refused(ball_obj(90), MeshOptions(units="m")) == "unknown_units"


def test_y_up_faces_minus_y() -> None:
    """A nose towards +z of a mesh whose y is up points to -y."""
    vertices, quads, uv = ball()
    vertices[:, 1] *= 1.2
    nose = vertices[:, 2].argmax()
    vertices[nose, 2] += 0.2
    surface = read_own_mesh(obj(vertices, quads, uv), None, PLAIN).surface
    far = surface.vertices[surface.vertices[:, 1].argmin()]
    assert far[1] < surface.vertices[:, 1].max() - 1.95


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 9), st.sampled_from(["{0}/{0}", "{0}/{0}/{0}"]))
def test_polygons_become_fans_of_the_same_area(corners: int, form: str) -> None:
    around = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    flat = np.stack([np.cos(around), np.sin(around), np.zeros(corners)], axis=1)
    vertices = np.concatenate([flat, flat * 0.5 + [0, 0, 1]])
    faces = [range(corners), range(2 * corners - 1, corners - 1, -1)]
    uv = (vertices[:, :2] + 1) / 2
    mesh = read_own_mesh(obj(vertices, faces, uv, form=form), None, PLAIN)
    assert len(mesh.surface.triangles) == 2 * (corners - 2)
    a, b, c = (mesh.surface.vertices[mesh.surface.triangles[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    assert area == pytest.approx(1.25 * corners / 2 * np.sin(2 * np.pi / corners), rel=1e-4)


def test_negative_indices_continued_lines_and_comments_are_read() -> None:
    text = (
        b"# made by hand\r\nv 0 0 0\r\nv 1 0 0\r\nv 0 1 0\r\nv 0 0 1\r\n"
        b"vt 0 0\r\nvt 1 0\r\nvt 0 1\r\nf -2/-1 -3/-2 \\\r\n -4/-3\r\n"
        b"f 1/1 2/2 4/3\r\nf 2/2 3/3 4/1\r\nf 1/1 4/2 3/3\r\n"
    )
    mesh = read_own_mesh(text, None, PLAIN)
    assert mesh.surface.triangles.shape == (4, 3)
    assert volume(mesh) == pytest.approx(1 / 6)
    assert mesh.facts["open_edges"] == 0


def test_a_mesh_inside_out_is_turned() -> None:
    vertices, quads, uv = ball()
    mesh = read_own_mesh(obj(vertices, quads[:, ::-1], uv), None, PLAIN)
    assert volume(mesh) > 2.5
    assert any("inward" in warning for warning in mesh.warnings)


def test_only_the_groups_that_were_asked_for_are_read() -> None:
    body = ball_obj(head="g body")
    helper = b"g helper\nv 9 9 9\nv 9 9 8\nv 8 9 9\nf 118/1 119/2 120/3\n"
    everything = read_own_mesh(body + helper, None, MeshOptions(units="dm"))
    alone = read_own_mesh(body + helper, None, MeshOptions(units="dm", groups=("body",)))
    assert len(everything.surface.triangles) == len(alone.surface.triangles) + 1
    assert refused(body + helper, MeshOptions(groups=("head",))) == "unknown_group"


def test_a_glb_has_the_same_surface_as_its_obj() -> None:
    from_glb = read_own_mesh(ball_glb(png()), None, PLAIN)
    from_obj = read_own_mesh(ball_obj(), None, PLAIN)
    assert volume(from_glb) == pytest.approx(volume(from_obj), rel=0.01)
    assert np.allclose(from_glb.surface.vertices, from_obj.surface.vertices, atol=2e-6)
    assert from_glb.textured and from_glb.surface.texture is not None
    assert from_glb.surface.texture.shape == (8, 16, 3)
    assert (from_glb.surface.texture == (200, 150, 120)).all()
    there, here = (
        mesh.surface.vertices[mesh.surface.triangles].mean(axis=1) for mesh in (from_obj, from_glb)
    )
    apart, nearest = cKDTree(there).query(here)
    assert apart.max() < 1e-5
    told = from_obj.surface.corner_uv.mean(axis=1)[nearest]
    assert np.allclose(told, from_glb.surface.corner_uv.mean(axis=1), atol=1e-5)


def spoilt(**changes: Any) -> bytes:
    return ball_glb(change=lambda told: told.update(changes))


LINKED = {"buffers": [{"byteLength": 8, "uri": "http://169.254.169.254/latest"}]}
BAD_FILES = {
    "nothing": (b"", "not_a_mesh"),
    "picture": (png(), "not_a_mesh"),
    "text": (b"hello\nworld\n", "not_a_mesh"),
    "no faces": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "mesh_empty"),
    "no uv": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "mesh_without_uv"),
    "normals only": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1//1 2//1 3//1\n", "mesh_without_uv"),
    "uv at some": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2 3/1\n", "mesh_without_uv"),
    "beyond": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 9/1\n", "mesh_damaged"),
    "zero": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 0/1 1/1 2/1\n", "mesh_damaged"),
    "huge index": (b"v 0 0 0\nvt 0 0\nf 1/1 1/1 99999999999999999999/1\n", "mesh_damaged"),
    "words": (b"v a b c\nvt 0 0\nf 1/1 1/1 1/1\n", "mesh_damaged"),
    "two corners": (b"v 0 0 0\nv 1 0 0\nvt 0 0\nf 1/1 2/1\n", "mesh_damaged"),
    "uneven": (b"v 0 0 0\nv 1 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1\n", "mesh_damaged"),
    "backwards": (b"v 0 0 0\nvt 0 0\nf -9/1 -1/1 -x/1\n", "mesh_damaged"),
    "nan": (b"v nan 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1\n", "not_finite"),
    "infinite uv": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt inf 0\nf 1/1 2/1 3/1\n", "not_finite"),
    "degenerate": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 2/1\n", "degenerate_faces"),
    "a point": (b"v 1 1 1\nv 1 1 1\nv 1 1 1\nvt 0 0\nf 1/1 2/1 3/1\n", "unknown_units"),
    "tiles": (ball_obj().replace(b"vt 0.5", b"vt 1.5"), "uv_outside"),
    "cut glb": (ball_glb()[:-40], "mesh_damaged"),
    "short glb": (b"glTF\x02", "mesh_damaged"),
    "old glb": (b"glTF" + b"\1\0\0\0" + ball_glb()[8:], "mesh_damaged"),
    "glb of noise": (packed(b"{]", b""), "mesh_damaged"),
    "deep glb": (packed(b"[" * 100_000, b""), "mesh_damaged"),
    "listed glb": (packed(b"[]", b""), "mesh_damaged"),
    "linked buffer": (spoilt(**LINKED), "external_uri"),
    "linked picture": (spoilt(images=[{"uri": "file:///etc/passwd"}]), "external_uri"),
    "draco": (spoilt(extensionsRequired=["KHR_draco_mesh_compression"]), "unsupported_extension"),
    "a billion": (
        spoilt(accessors=[{"count": 10**9, "componentType": 5126, "type": "VEC3"}]),
        "mesh_too_large",
    ),
    "no meshes": (spoilt(meshes=[], nodes=[{}]), "mesh_empty"),
    "wild offsets": (
        spoilt(bufferViews=[{"buffer": 0, "byteOffset": 10**12, "byteLength": 10**12}] * 3),
        "mesh_damaged",
    ),
    "no texture coordinates": (
        spoilt(meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "indices": 2}]}]),
        "mesh_without_uv",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_wrong_has_a_code(name: str) -> None:
    data, code = BAD_FILES[name]
    assert refused(data) == code


def test_a_few_flat_faces_are_left_out() -> None:
    vertices, quads, uv = ball()
    faces = [*quads.tolist() * 12, [0, 0, 1, 0]]
    mesh = read_own_mesh(obj(vertices, faces, uv), None, PLAIN)
    assert any("without an area" in warning for warning in mesh.warnings)
    assert len(mesh.surface.triangles) < len(faces) * 2


def test_parts_are_one_for_each_vertex() -> None:
    count = len(ball()[0])
    names = ["head", "hips"]
    labels = [n % 2 for n in range(count)]
    told = json.dumps({"names": names, "vertices": labels}).encode()
    surface = read_own_mesh(ball_obj(), told, PLAIN).surface
    assert surface.parts == ("head", "hips")
    assert surface.part_weights.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(surface.part_weights[:, 1], np.array(labels, np.float32))
    lines = "\n".join(["left_hand"] * count).encode()
    names_alone = read_own_mesh(ball_obj(), lines, PLAIN).surface
    assert names_alone.part_weights[:, PARTS_16.index("left_hand")].all()
    assert refused(ball_obj(), parts=b"0\n1\n") == "parts_length"


@pytest.mark.parametrize(
    "data",
    [
        b"tail",
        b"99",
        b"-1",
        b"\xff\xfe",
        b'{"names": ["head"]}',
        b'{"names": ["tail"], "vertices": [0]}',
        b'{"names": [["head"]], "vertices": [0]}',
        b'{"names": ["head"], "vertices": [1e400]}',
        b'{"names": ["head"], "vertices": 7}',
        b"{" * 100_000,
    ],
)
def test_parts_that_make_no_sense_are_refused(data: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        read_parts(data)
    assert caught.value.code == "parts_invalid"


def test_a_surface_survives_its_file() -> None:
    surface = read_own_mesh(ball_obj(), None, PLAIN).surface
    data = dump_surface(surface)
    again = parse_surface(data)
    assert dump_surface(again) == data
    assert np.array_equal(again.vertices, surface.vertices) and again.parts == surface.parts
    for spoil in (b"", data[:-1], b"\0" * 100, data.replace(b'"normals"', b'"nothing"')):
        with pytest.raises(InvalidInput) as caught:
            parse_surface(spoil)
        assert caught.value.code == "mesh_damaged"
