"""Which device torch computes on."""

from __future__ import annotations

from core.errors import DeviceMissing


def resolve_device(setting: str) -> str:
    """Return ``cuda`` or ``cpu`` for the setting ``auto | cpu | cuda``.

    DeviceMissing when ``cuda`` is demanded and torch sees no GPU.
    """
    if setting == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if setting == "cuda":
        raise DeviceMissing(
            "DERMSYNTH_DEVICE=cuda, but torch sees no GPU; set DERMSYNTH_DEVICE=auto or start the "
            "worker with a GPU (docker-compose.yml, service worker-gpu)"
        )
    return "cpu"
