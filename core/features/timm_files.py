"""``python -m core.features.timm_files NAME``: adds the weights of a network of timm.

Without ``--file`` timm downloads them from its hub. A file of one's own must be safetensors: files
of torch can run code when they are read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import DermSynthError, InvalidInput
from core.features.backbones.timm_models import NAME, TimmFile, files, require_timm
from core.storage.blobs import disk_errors, sha256_of

if TYPE_CHECKING:
    import torch


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when the weights were added; a typed error is one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m core.features.timm_files", description=__doc__)
    parser.add_argument("name", help="as timm lists it, e.g. resnet50d.ra2_in1k")
    parser.add_argument("--weights-dir", type=Path, required=True, help="DERMSYNTH_WEIGHTS_DIR")
    parser.add_argument("--file", type=Path, help="safetensors; left out: downloaded by timm")
    parser.add_argument("--licence", help="of the weights; left out: the one that timm names")
    options = parser.parse_args(arguments)
    try:
        record = add(options.name, options.weights_dir, options.file, options.licence)
    except DermSynthError as error:
        sys.stderr.write(f"{error.code}: {error.detail}\n")
        return 1
    sys.stdout.write(f"timm:{options.name}: {record.model_dump_json()}\n")
    return 0


def add(name: str, weights_dir: Path, file: Path | None, licence: str | None) -> TimmFile:
    """Check weights against their architecture, write them and their record, return the record.

    InvalidInput: an unknown network, a file that is not its state, no licence, a square that is
    none. WeightsMissing without timm.
    """
    if not NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no name of a network", code="unknown_backbone")
    require_timm(f"timm:{name}")
    network = _network(name, file)
    given = network.pretrained_cfg
    licence = licence or given.get("license")
    if not licence:
        raise InvalidInput("timm names no licence of these weights: say it with --licence")
    _, height, width = given["input_size"]
    if height != width:
        raise InvalidInput(f"{name} looks at {width} x {height} pixels, which is no square")
    weights, record = files(name, weights_dir)
    _write(network, weights)
    told = TimmFile(
        sha256=sha256_of(weights),
        dimension=_dimension(network, height),
        size=height,
        mean=tuple(given["mean"]),
        std=tuple(given["std"]),
        licence=licence,
        timm=_version(),
    )
    with disk_errors():
        partial = record.with_suffix(".tmp")
        partial.write_text(told.model_dump_json(indent=1) + "\n")
        partial.rename(record)
    return told


def _version() -> str:
    from importlib.metadata import version

    return version("timm")


def _network(name: str, file: Path | None) -> Any:
    """Return the network with its weights, without the layer that tells classes."""
    from core.features.torchvision_loader import load_torchvision

    load_torchvision()
    import timm
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not timm.is_model(name):
        raise InvalidInput(
            f"timm {_version()} has no network {name!r}: see timm.list_models()",
            code="unknown_backbone",
        )
    try:
        if file is None:
            return timm.create_model(name, pretrained=True, num_classes=0).eval()
        network: Any = timm.create_model(name, pretrained=False, num_classes=0).eval()
        known = network.state_dict().keys()
        head = network.pretrained_cfg.get("classifier") or ()
        heads = (head,) if isinstance(head, str) else tuple(head)
        state = {
            key: value
            for key, value in load_file(file).items()
            if key in known or not key.startswith(heads)
        }
        network.load_state_dict(state)
    except (SafetensorError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(
            f"The weights of {name} could not be read from {file or 'the hub of timm'}: {reason}"
        ) from error
    return network


def _dimension(network: torch.nn.Module, size: int) -> int:
    import torch

    with torch.inference_mode():
        features = network(torch.zeros(1, 3, size, size))
    if features.ndim != 2 or not bool(torch.isfinite(features).all()):
        raise InvalidInput("The network does not answer an image with one vector of finite numbers")
    return int(features.shape[1])


def _write(network: torch.nn.Module, target: Path) -> None:
    from safetensors.torch import save_file

    with disk_errors():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".tmp")
        state = {name: value.contiguous().clone() for name, value in network.state_dict().items()}
        save_file(state, partial)
        partial.rename(target)


if __name__ == "__main__":
    raise SystemExit(main())
