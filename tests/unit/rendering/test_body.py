"""Bodies: closed, outward, human, smooth enough, and the same for the same seed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from core.errors import InvalidInput
from core.rendering.anny_model import load_model
from core.rendering.body import (
    LEVELS,
    Body,
    BodyRanges,
    Shape,
    body_surface,
    materials,
    sample_body,
    vertex_normals,
)
from core.rendering.body_parts import PARTS, PARTS_7, PARTS_16, merged_ids
from core.rendering.non_skin import MATERIALS
from core.rendering.posing import mirrored
from core.rendering.subdivision import catmull_clark
from core.rendering.surface import Surface

NOBODY_MOVES = BodyRanges(pose=0.0)


def volume(surface: Surface) -> float:
    a, b, c = (surface.vertices[surface.triangles[:, i]].astype(float) for i in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def triangle_centres(surface: Surface) -> np.ndarray:
    return surface.vertices[surface.triangles].mean(axis=1)


def areas(surface: Surface) -> np.ndarray:
    a, b, c = (surface.vertices[surface.triangles[:, i]].astype(float) for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


@pytest.mark.parametrize("seed", [0, 1, 10])
def test_a_body_is_closed_and_its_normals_point_outward(seed: int, bodies: Path) -> None:
    surface = body_surface(sample_body(seed), bodies)
    sides = np.stack([surface.triangles, np.roll(surface.triangles, -1, 1)], -1).reshape(-1, 2)
    there = sides[:, 0].astype(np.int64) * len(surface.vertices) + sides[:, 1]
    back = sides[:, 1].astype(np.int64) * len(surface.vertices) + sides[:, 0]
    assert len(np.unique(there)) == len(there)
    assert np.array_equal(np.sort(there), np.sort(back))
    assert np.allclose(np.linalg.norm(surface.normals, axis=1), 1, atol=1e-5)
    a, b, c = (surface.vertices[surface.triangles[:, i]] for i in range(3))
    flat = np.cross(b - a, c - a)
    turned = np.einsum("ij,ij->i", flat, surface.normals[surface.triangles].mean(axis=1)) < 0
    assert turned.mean() < 1e-4
    away = surface.vertices + surface.normals * 1e-3
    assert volume(replace(surface, vertices=away)) > volume(surface) > 0


@pytest.mark.parametrize("seed", range(12))
def test_adults_have_the_size_of_adults(seed: int, bodies: Path) -> None:
    surface = body_surface(sample_body(seed, NOBODY_MOVES), bodies)
    height = surface.vertices[:, 2].max()
    assert surface.vertices[:, 2].min() == pytest.approx(0, abs=1e-6)
    assert 1.4 < height < 2.05
    assert 0.03 < volume(surface) < 0.14
    assert 1.2 < areas(surface).sum() < 2.6


def test_a_child_is_smaller_and_height_and_weight_do_what_they_say(bodies: Path) -> None:
    def size(**shape: float) -> tuple[float, float]:
        surface = body_surface(Body(Shape(**shape)), bodies)
        return float(surface.vertices[:, 2].max()), volume(surface)

    assert size(age_years=5)[0] < 1.25 < size(age_years=30)[0]
    assert size(height=0.2)[0] < size(height=0.5)[0] - 0.1
    assert size(weight=0.2)[1] < 0.9 * size(weight=0.9)[1]


def test_a_standing_body_faces_minus_y_and_is_its_own_mirror_image(standing: Surface) -> None:
    tree = cKDTree(standing.vertices)
    apart, _ = tree.query(standing.vertices * [-1, 1, 1])
    assert np.percentile(apart, 99.9) < 0.004
    toes = standing.vertices[standing.vertices[:, 2] < 0.02]
    assert toes[:, 1].min() < -0.1 and toes[:, 1].max() < 0.1
    left = standing.part_weights[:, PARTS.index("left_hand")] > 0.9
    assert standing.vertices[left, 0].min() > 0.2


def test_the_mirrored_pose_is_the_mirror_image(bodies: Path) -> None:
    body = sample_body(4)
    surface = body_surface(body, bodies)
    other = body_surface(Body(body.shape, mirrored(body.pose)), bodies)
    apart, _ = cKDTree(other.vertices).query(surface.vertices * [-1, 1, 1])
    assert np.percentile(apart, 99) < 0.006
    moved, _ = cKDTree(surface.vertices).query(surface.vertices * [-1, 1, 1])
    assert np.percentile(moved, 99) > 0.02


def test_texture_coordinates_lie_in_the_square_and_do_not_overlap(standing: Surface) -> None:
    uv = standing.corner_uv
    assert uv.shape == (len(standing.triangles), 3, 2)
    assert uv.min() >= 0 and uv.max() <= 1
    one, two = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    signed = (one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]) / 2
    assert np.abs(signed).sum() == pytest.approx(0.63, abs=0.02)
    assert np.mean(signed < 0) < 1e-3 or np.mean(signed > 0) < 1e-3


def test_parts_are_a_partition_and_merge_to_16_and_7(standing: Surface) -> None:
    assert standing.parts == PARTS and len(PARTS) == 18
    assert len(PARTS_16) == 16 and len(PARTS_7) == 7
    assert np.allclose(standing.part_weights.sum(axis=1), 1, atol=1e-5)
    assert standing.part_weights.min() >= 0
    part = standing.part_weights[standing.triangles].mean(axis=1).argmax(axis=1)
    share = np.bincount(part, areas(standing), len(PARTS)) / areas(standing).sum()
    assert share.min() > 0.005
    for side in ("left", "right"):
        limbs = [share[PARTS.index(f"{side}_{limb}")] for limb in ("hand", "foot", "thigh")]
        assert np.allclose(limbs, [0.022, 0.033, 0.11], rtol=0.5)
    assert set(merged_ids(PARTS, PARTS_16)) == set(range(1, 17))
    assert set(merged_ids(PARTS, PARTS_7)) == set(range(1, 8))


def test_front_and_back_of_the_trunk_are_where_they_are(standing: Surface) -> None:
    part = standing.part_weights.argmax(axis=1)
    for name, sign in (("torso_front", -1), ("torso_back", 1), ("hips_back", 1)):
        own = part == PARTS.index(name)
        assert np.mean(sign * standing.normals[own, 1] > -0.3) > 0.97, name


def test_left_and_right_parts_are_mirror_images(standing: Surface) -> None:
    part = standing.part_weights.argmax(axis=1)
    _, opposite = cKDTree(standing.vertices).query(standing.vertices * [-1, 1, 1])
    swapped = [
        PARTS.index(name.replace("left", "x").replace("right", "left").replace("x", "right"))
        for name in PARTS
    ]
    assert np.mean(np.array(swapped)[part[opposite]] == part) > 0.985


def test_two_levels_are_within_a_quarter_of_a_millimetre_of_three(bodies: Path) -> None:
    """Along the normal, at the vertices of level 3: their own, of edges and of faces."""
    model = load_model(bodies)
    coarse = model.positions({}, {})
    two, three = (catmull_clark(model.quads, model.vertex_count, n) for n in (LEVELS, LEVELS + 1))
    plain, fine = two.matrix @ coarse, three.matrix @ coarse
    normals = vertex_normals(fine, three.quads)
    corners = three.quads.reshape(-1, 4, 4)  # by coarse face, by corner: v, side, centre, side
    on_two = np.empty_like(fine)
    on_two[corners[:, :, 0]] = plain[two.quads]
    on_two[corners[:, :, 1]] = (plain[two.quads] + plain[np.roll(two.quads, -1, 1)]) / 2
    on_two[corners[:, 0, 2]] = (plain[two.quads[:, 0]] + plain[two.quads[:, 2]]) / 2
    off = np.abs(np.einsum("ij,ij->i", fine - on_two, normals))
    assert np.mean(off < 0.25e-3) > 0.99999 and off.max() < 0.26e-3
    assert np.median(off) < 0.03e-3


def test_the_same_seed_has_the_same_bytes_and_another_has_not(bodies: Path) -> None:
    one, again, other = (body_surface(sample_body(seed), bodies) for seed in (7, 7, 8))
    assert one.vertices.tobytes() == again.vertices.tobytes()
    assert one.normals.tobytes() == again.normals.tobytes()
    assert sample_body(7).record() == sample_body(7).record()
    assert one.vertices.tobytes() != other.vertices.tobytes()


def test_another_process_makes_the_same_bytes(bodies: Path) -> None:
    """In which nothing can be fetched, and which loads no torchvision."""
    code = f"""
import hashlib, socket, sys
from pathlib import Path
def refuse(*_, **__): raise AssertionError("no connections")
socket.socket.connect = refuse
from core.rendering.body import body_surface, sample_body
surface = body_surface(sample_body(3), Path({str(bodies)!r}))
assert "torchvision" not in sys.modules
print(hashlib.sha256(surface.vertices.tobytes()).hexdigest())
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    import hashlib

    here = hashlib.sha256(body_surface(sample_body(3), bodies).vertices.tobytes()).hexdigest()
    assert done.stdout.strip() == here


def test_ranges_bound_what_is_sampled_and_are_checked() -> None:
    ranges = BodyRanges(gender=(1, 1), age_years=(60, 70), weight=(0.5, 0.6), pose=0.0)
    for seed in range(30):
        body = sample_body(seed, ranges)
        assert body.shape.gender == 1
        assert 60 <= body.shape.age_years <= 70
        assert 0.5 <= body.shape.weight <= 0.6
        assert not body.pose
    with pytest.raises(InvalidInput, match="weight"):
        BodyRanges(weight=(0.7, 0.6))
    with pytest.raises(InvalidInput, match="age_years"):
        BodyRanges(age_years=(0, 200))
    with pytest.raises(InvalidInput, match="pose"):
        BodyRanges(pose=float("nan"))


def material_of(surface: Surface, drawn: np.ndarray) -> np.ndarray:
    """The material at the centre of every triangle."""
    u, v = surface.corner_uv.mean(axis=1).T
    size = len(drawn)
    return drawn[((1 - v) * size).astype(int), (u * size).astype(int)]


def test_what_is_not_skin_lies_where_it_should(bodies: Path) -> None:
    body = Body(Shape(gender=1))
    surface = body_surface(body, bodies)
    found = material_of(surface, materials(body, bodies))
    centres, height = triangle_centres(surface), surface.vertices[:, 2].max()
    assert surface.non_skin is not None
    same = (surface.non_skin >= 128) == (materials(body, bodies) > 0)
    assert same.mean() > 0.999

    def at(name: str) -> np.ndarray:
        places: np.ndarray = centres[found == MATERIALS.index(name)]
        assert len(places), name
        return places

    assert np.all(at("hair")[:, 2] > 0.86 * height)
    assert at("hair")[:, 2].max() == pytest.approx(height, abs=0.002)
    assert np.all((at("briefs")[:, 2] > 0.4 * height) & (at("briefs")[:, 2] < 0.62 * height))
    assert np.all((at("bra")[:, 2] > 0.6 * height) & (at("bra")[:, 2] < 0.88 * height))
    assert np.all(at("lips")[:, 1] < -0.08)
    nails = at("nail")
    assert np.all((nails[:, 2] < 0.05) | (np.abs(nails[:, 0]) > 0.3))
    eyes = at("eye")
    assert len(eyes) >= 2 * 72 * 4**LEVELS
    share = areas(surface)[found == 0].sum() / areas(surface).sum()
    assert 0.65 < share < 0.85


def test_a_man_wears_no_bra_and_has_areolae(bodies: Path) -> None:
    man, woman, girl = (
        materials(Body(Shape(gender=gender, age_years=age)), bodies)
        for gender, age in ((0, 30), (1, 30), (1, 6))
    )
    bra, areola = MATERIALS.index("bra"), MATERIALS.index("areola")
    assert np.any(woman == bra) and not np.any(man == bra) and not np.any(girl == bra)
    assert np.any(man == areola) and not np.any(woman == areola)
