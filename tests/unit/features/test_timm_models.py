"""The family of timm: a network is added once, with its hash, and opened by its name."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from core.errors import InvalidInput, UnknownName, WeightsMissing
from core.features.availability import available
from core.features.backbones.timm_models import files
from core.features.contract import check_backbone, known_dimension, open_backbone
from core.features.network import Network
from core.features.timm_files import add, main
from core.features.torchvision_loader import load_torchvision

NETWORK = "resnet10t"


def _own_weights(folder: Path, **changes: torch.Tensor) -> tuple[Path, Any]:
    load_torchvision()
    import timm

    torch.manual_seed(0)
    network = timm.create_model(NETWORK, pretrained=False).eval()
    path = folder / "own.safetensors"
    save_file(network.state_dict() | changes, path)
    return path, network


def test_an_added_network_has_the_features_of_timm(tmp_path: Path) -> None:
    own, reference = _own_weights(tmp_path)
    record = add(NETWORK, tmp_path, own, "CC0-1.0")
    assert (record.dimension, record.size, record.licence) == (512, 176, "CC0-1.0")
    spec = open_backbone(f"timm:{NETWORK}", tmp_path)
    squares = np.random.default_rng(0).integers(0, 256, (3, 176, 176, 3), dtype=np.uint8)
    network = Network(spec, spec.find(tmp_path), "cpu", bf16=False)
    found = network(squares)
    images = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (spec.mean, spec.std))
    with torch.inference_mode():
        expected = reference.forward_head(
            reference.forward_features((images - mean) / std), pre_logits=True
        ).numpy()
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert np.array_equal(network(squares[1:2])[0], found[1])
    assert np.array_equal(network(squares), found)


def test_the_catalog_learns_of_it(tmp_path: Path) -> None:
    own, _ = _own_weights(tmp_path)
    add(NETWORK, tmp_path, own, "CC0-1.0")
    rows = {row["name"]: row for row in available(tmp_path)}
    assert rows[f"timm:{NETWORK}"] == {
        "name": f"timm:{NETWORK}",
        "ok": True,
        "reason": None,
        "fix": None,
        "facts": {"dimension": 512, "size": 176, "licence": "CC0-1.0"},
    }


def test_changed_bytes_are_not_used(tmp_path: Path) -> None:
    own, _ = _own_weights(tmp_path)
    add(NETWORK, tmp_path, own, "CC0-1.0")
    weights, record = files(NETWORK, tmp_path)
    weights.write_bytes(weights.read_bytes() + b"x")
    spec = open_backbone(f"timm:{NETWORK}", tmp_path)
    with pytest.raises(WeightsMissing, match="expected") as caught:
        spec.find(tmp_path)
    assert caught.value.fix.startswith(f"python -m core.features.timm_files {NETWORK} ")
    record.write_text(json.dumps({"sha256": "no"}))
    row = next(row for row in available(tmp_path) if row["name"] == f"timm:{NETWORK}")
    assert (row["ok"], row["facts"]) == (False, None)
    with pytest.raises(WeightsMissing, match="no record"):
        open_backbone(f"timm:{NETWORK}", tmp_path)


def test_a_name_needs_no_machine_but_a_form(tmp_path: Path) -> None:
    check_backbone("timm:resnet50d.ra2_in1k")
    assert known_dimension("timm:resnet50d.ra2_in1k") is None
    assert known_dimension("resnet18") == 512
    for name in ("timm:", "timm:../../etc/passwd", "timm:a b", "tim:resnet18", "resnet"):
        with pytest.raises(UnknownName) as caught:
            check_backbone(name, "/backbone")
        assert caught.value.errors[0].pointer == "/backbone"
    with pytest.raises(WeightsMissing) as missing:
        open_backbone("timm:resnet50d", tmp_path / "my weights")
    assert f"--weights-dir '{tmp_path}/my weights'" in missing.value.fix


@pytest.mark.parametrize("name", ["no_such_network", "../x"])
def test_unknown_networks_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        add(name, tmp_path, None, None)
    assert caught.value.code == "unknown_backbone"


def test_files_that_are_not_the_networks_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, _ = _own_weights(tmp_path, strange=torch.zeros(1))
    arguments = [NETWORK, "--weights-dir", str(tmp_path / "w"), "--licence", "CC0-1.0", "--file"]
    assert main([*arguments, str(own)]) == 1
    assert "error" in capsys.readouterr().err.lower()
    (tmp_path / "pickle.pth").write_bytes(b"\x80\x04N.")
    assert main([*arguments, str(tmp_path / "pickle.pth")]) == 1
    assert main([*arguments, str(tmp_path / "none")]) == 1
    assert not list((tmp_path / "w").rglob("*.json"))


def test_without_timm_the_pip_command_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, _ = _own_weights(tmp_path)
    add(NETWORK, tmp_path, own, "CC0-1.0")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "timm" else found(name)
    )
    with pytest.raises(WeightsMissing) as caught:
        open_backbone(f"timm:{NETWORK}", tmp_path).find(tmp_path)
    assert caught.value.fix == "pip install 'timm>=1.0'"
