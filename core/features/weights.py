"""Pinned files of pretrained weights: where they are looked for and how they are recognised."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from core.errors import WeightsMissing
from core.features.contract import Weights
from core.storage.blobs import sha256_of


def find_weights(
    name: str,
    folders: Iterable[Path],
    sha256: str,
    *,
    owner: str,
    fix: str,
    thing: str = "Backbone",
) -> Weights:
    """Return the first file ``name`` with this sha256.

    A file of that name with other bytes is not used. WeightsMissing says what was looked for, which
    files were refused, and ``fix``, the command that brings the weights.
    """
    looked: list[str] = []
    refused: list[str] = []
    for folder in dict.fromkeys(folders):
        path = folder / name
        looked.append(str(folder))
        try:
            digest = sha256_cached(path)
        except OSError:
            continue
        if digest == sha256:
            return Weights(path, digest)
        refused.append(f"{path} has sha256 {digest[:16]}…, expected {sha256[:16]}…")
    detail = f"{thing} {owner!r} needs {name}, which is in none of {', '.join(looked)}."
    if refused:
        detail = f"{thing} {owner!r} needs {name}: {'; '.join(refused)}."
    raise WeightsMissing(detail, fix=fix)


def downloaded(
    weights_dir: Path, address: str, sha256: str, *, owner: str, thing: str = "Backbone"
) -> Weights:
    """Return pinned weights of the weights folder or of torch's cache; ``address`` has them."""
    name = address.rpartition("/")[2]
    target = shlex.quote(str(weights_dir / name))
    return find_weights(
        name,
        [weights_dir, *torch_cache_folders()],
        sha256,
        owner=owner,
        fix=f"curl -fL --create-dirs -o {target} {address}",
        thing=thing,
    )


def torch_cache_folders() -> list[Path]:
    """Return the folders where torch.hub keeps downloaded weights, without importing torch."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    home = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser()
    return [home / "hub" / "checkpoints", home / "checkpoints"]


def sha256_cached(path: Path) -> str:
    """Return the sha256 of a file; hashed again only when its size or time changed."""
    state = path.stat()
    return _sha256(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: str, *_state: int) -> str:
    return sha256_of(Path(path))
