"""The GPUs of this host and their memory, from the driver (NVML): no torch, no CUDA context."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from core.config import Settings


def gpus(settings: Settings) -> list[dict[str, Any]]:
    """Return rows {uuid, name, used_bytes, total_bytes}; none without a driver or on CPU workers.

    NVML shows every GPU of the host or container, whatever CUDA_VISIBLE_DEVICES says.
    """
    if settings.device == "cpu" or not _started():
        return []
    import pynvml

    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(pynvml.nvmlDeviceGetCount())]
        return [_row(handle) for handle in handles]
    except pynvml.NVMLError:
        _started.cache_clear()  # the driver was unloaded or a GPU was lost: ask afresh next time
        return []


def _row(handle: Any) -> dict[str, Any]:
    import pynvml

    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return {
        "uuid": str(pynvml.nvmlDeviceGetUUID(handle)),
        "name": str(pynvml.nvmlDeviceGetName(handle)),
        "used_bytes": int(memory.used),
        "total_bytes": int(memory.total),
    }


@lru_cache(maxsize=1)
def _started() -> bool:
    """Load the driver's library, once a process; False on a host without one."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True
