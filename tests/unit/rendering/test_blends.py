"""Blends: what each shows of the lesion and of the skin, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import WeightsMissing
from core.rendering import deep_blend
from core.rendering.blends import Blend, BlendName, blended, open_blend, under
from core.rendering.decals import Decal, place_at
from core.rendering.lesions import Lesion, lifted
from core.rendering.raycast import Floats, Target
from core.rendering.skin import draw_skin
from core.storage.blobs import sha256_of
from core.synthesis.blending import paste
from tests.unit.rendering.shapes import plane
from tests.unit.rendering.test_decals import disc
from tests.unit.synthesis.lesions import drawn

PIXEL = 2e-4
DARK, LIGHT = -50.0, 50.0


@pytest.fixture(scope="module")
def target() -> Target:
    return Target(plane())


def decal(number: int = 3) -> Decal:
    pixels, mask = drawn(number)
    lesion = lifted(pixels, mask >= 128, 0.012)
    return Decal(lesion, place_at(np.zeros(3), np.array([0, -1.0, 0]), 30), lesion.area)


def shown(target: Target, ita: float, blend: Blend) -> tuple[Floats, Floats, Lesion]:
    """Return log light below the lesion, that of the blend, and the lesion."""
    skin = draw_skin(ita, np.random.default_rng(1))
    made = blended(target, skin, [decal()], blend, PIXEL)[0]
    below = under(target, skin, made, PIXEL)
    return below, below - made.lesion.density, made.lesion


def photograph(lesion: Lesion) -> tuple[Floats, Floats]:
    assert lesion.light is not None
    return lesion.light[..., :3], lesion.light[..., 3]


def test_density_is_the_same_on_all_skin(target: Target) -> None:
    skin = draw_skin(DARK, np.random.default_rng(1))
    one = decal()
    assert blended(target, skin, [one], Blend("density"), PIXEL) == (one,)
    assert one.lesion.density[one.lesion.inside > 0.5].mean() > 0.1


def test_paste_shows_the_photograph(target: Target) -> None:
    below, joined, lesion = shown(target, LIGHT, Blend("paste"))
    light, over = photograph(lesion)
    assert np.abs(joined - light)[over == 1].max() < 1e-4
    assert np.abs(joined - below)[over == 0].max() < 1e-4


@pytest.mark.parametrize("ita", [DARK, LIGHT])
def test_poisson_keeps_edges_and_takes_the_tone(target: Target, ita: float) -> None:
    """On dark skin as well, where joining bytes would clip a pigmented lesion to black."""
    below, joined, lesion = shown(target, ita, Blend("poisson"))
    light, over = photograph(lesion)
    inner = (over[:, 1:] == 1) & (over[:, :-1] == 1)
    assert np.abs(np.diff(joined, axis=1) - np.diff(light, axis=1))[inner].mean() < 0.01
    frame = np.ones(over.shape, np.bool_)
    frame[1:-1, 1:-1] = False
    assert np.abs(joined - below)[frame].max() < 1e-4
    ring = (over == 0) & ~frame
    assert np.abs(joined - below)[ring].mean() < 0.15


def test_what_has_no_photograph_is_laid_by_density_alone(target: Target) -> None:
    skin = draw_skin(LIGHT, np.random.default_rng(1))
    one = replace(decal(), lesion=disc(0.01))
    with pytest.raises(ValueError, match="photograph"):
        blended(target, skin, [one], Blend("paste"), PIXEL)


def test_corners_beyond_the_body_are_filled(target: Target) -> None:
    place = place_at(np.array([0.2, 0, 0]), np.array([0, -1.0, 0]), 30)
    skin = draw_skin(LIGHT, np.random.default_rng(1))
    made = blended(target, skin, [replace(decal(), place=place)], Blend("paste"), PIXEL)[0]
    assert np.isfinite(made.lesion.density).all()


@pytest.mark.parametrize("name", ["density", "poisson", "paste"])
def test_blends_of_this_machine_need_no_weights(name: BlendName) -> None:
    assert open_blend(name) == Blend(name)


def test_deep_blend_without_weights_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    with pytest.raises(WeightsMissing, match=r"vgg16-397923af\.pth") as missing:
        open_blend("deep_blend", tmp_path)
    assert missing.value.fix.startswith("curl -fL")
    assert str(tmp_path) in missing.value.fix
    with pytest.raises(ValueError, match="folder"):
        open_blend("deep_blend")


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in VGG16's layout whose layers are random, yet tell textures apart."""
    import torch

    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "vgg16-397923af.pth"
    stored: dict[str, Any] = {}
    for block in deep_blend._BLOCKS:
        for number, before, after in block:
            layer = torch.nn.Conv2d(before, after, 3)
            torch.nn.init.kaiming_normal_(layer.weight)
            stored |= {f"features.{number}.{k}": v for k, v in layer.state_dict().items()}
    torch.save(stored, path)
    return path


@pytest.fixture
def deep(random_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Blend:
    monkeypatch.setattr(deep_blend, "SHA256", sha256_of(random_weights))
    monkeypatch.setattr(deep_blend, "STEPS", 8)
    monkeypatch.setattr(deep_blend, "_SIDES", (32, 32))
    return open_blend("deep_blend", random_weights.parent)


def test_deep_blend_changes_the_lesion_alone_and_always_alike(target: Target, deep: Blend) -> None:
    below, joined, lesion = shown(target, LIGHT, deep)
    light, over = photograph(lesion)
    assert np.abs(joined - below)[over == 0].max() < 1e-4
    assert np.abs(joined - light)[over == 1].mean() > 1e-3
    assert np.array_equal(shown(target, LIGHT, deep)[1], joined)


@pytest.mark.parametrize("kept", ["STYLE", "GRADIENT"])
def test_each_loss_of_deep_blend_falls(
    kept: str, deep: Blend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a flat lesion over uneven skin, of 32 x 32 texels, each loss alone."""
    for name in {"CONTENT", "STYLE", "GRADIENT", "VARIATION"} - {kept}:
        monkeypatch.setattr(deep_blend, name, 0.0)
    import torch

    rng = np.random.default_rng(1)
    skin = np.asarray(-1 + 0.2 * rng.standard_normal((32, 32, 3)), np.float32)
    lesion = np.full((32, 32, 3), -1.6, np.float32)
    y, x = np.mgrid[0:32, 0:32] - 15.5
    over = np.asarray(np.clip(6 - np.hypot(x, y) / 2, 0, 1), np.float32)
    assert deep.weights is not None
    layers = deep_blend.load(deep.weights)
    made = deep_blend.blended(skin, lesion, over, layers)
    below, source, start, end = (
        deep_blend._image(log, "cpu") for log in (skin, lesion, paste(skin, lesion, over), made)
    )
    matte = torch.from_numpy(over)
    edges = deep_blend._laplacian(below) * (1 - matte) + deep_blend._laplacian(source) * matte

    def loss(image: Any) -> float:
        if kept == "GRADIENT":
            return float(((deep_blend._laplacian(image) - edges) ** 2).mean())
        pairs = zip(layers(image), layers(below), strict=True)
        return sum(
            float(((deep_blend._gram(a) - deep_blend._gram(b)) ** 2).mean()) for a, b in pairs
        )

    assert loss(end) < 0.95 * loss(start)
