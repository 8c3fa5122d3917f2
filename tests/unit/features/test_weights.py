"""Weights are found where they should be, by their hash, and their absence names its cure."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import WeightsMissing
from core.features.availability import available
from core.features.backbones import resnet
from core.features.contract import BACKBONES
from core.features.weights import find_weights, sha256_cached


def _find(folders: list[Path], data: bytes) -> Path:
    digest = hashlib.sha256(data).hexdigest()
    return find_weights("w.pth", folders, digest, owner="net", fix="fetch w.pth").path


def test_first_folder_with_the_right_bytes_wins(tmp_path: Path) -> None:
    for name, data in {"a": b"other", "b": b"right", "c": b"right"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "w.pth").write_bytes(data)
    folders = [tmp_path / name for name in ("missing", "a", "b", "c")]
    assert _find(folders, b"right") == tmp_path / "b" / "w.pth"


def test_wrong_bytes_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"other")
    with pytest.raises(WeightsMissing, match=r"sha256 .* expected") as caught:
        _find([tmp_path], b"right")
    assert caught.value.code == "weights_missing"
    assert caught.value.fix == "fetch w.pth"


def test_a_changed_file_is_hashed_again(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(b"one")
    before = sha256_cached(path)
    path.write_bytes(b"four")
    assert sha256_cached(path) == hashlib.sha256(b"four").hexdigest() != before


def test_resnet_looks_into_the_usual_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(WeightsMissing) as caught:
        resnet.find("resnet18", tmp_path / "my weights")
    assert f"-o '{tmp_path}/my weights/resnet18-f37072fd.pth'" in caught.value.fix
    assert str(tmp_path / "torch" / "hub" / "checkpoints") in caught.value.detail
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    pin = resnet.Pin("resnet18-f37072fd.pth", hashlib.sha256(b"weights").hexdigest())
    (folder / pin.file).write_bytes(b"weights")
    monkeypatch.setitem(resnet.PINS, "resnet18", pin)
    assert resnet.find("resnet18", tmp_path).path.parent == folder


def test_availability_lists_every_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = {entry["name"]: entry for entry in available(tmp_path)}
    assert sorted(found) == BACKBONES.names()
    assert found["efficientnet_lite0"] == {
        "name": "efficientnet_lite0",
        "ok": True,
        "reason": None,
        "fix": None,
        "facts": None,
    }
    assert not found["resnet18"]["ok"]
    assert str(found["resnet18"]["fix"]).startswith("curl ")


def test_availability_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from core.features.availability import available; "
        f"available(Path({str(tmp_path)!r})); "
        "print(sorted({'torch', 'torchvision', 'numpy', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
