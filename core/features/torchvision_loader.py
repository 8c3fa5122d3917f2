"""The one place that imports torchvision, also beside a CPU-only torch.

torchvision's wheel from the package index links CUDA. Beside a CPU-only torch its compiled library
cannot load, and ``import torchvision`` fails while it registers Python halves of two operators that
the library would have declared (``operator torchvision::nms does not exist``). Models need neither
of them. So, only when the compiled library cannot load, their schemas are declared here, without
an implementation: calling them still fails, loudly, as it should.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@lru_cache(maxsize=1)
def load_torchvision() -> ModuleType:
    """Import torchvision and return it; ImportError when it is not installed.

    The cache keeps the declared schemas alive: torch drops them with their library object.
    """
    if "torchvision" not in sys.modules and not _compiled_library_loads():
        _declare_schemas()
    return importlib.import_module("torchvision")


def _compiled_library_loads() -> bool:
    """Tell whether torchvision's ``_C`` library loads beside the installed torch."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None:
        raise ImportError("torchvision is not installed (extra [worker])")
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    for path in (path for folder in folders for path in folder.glob("_C*.so")):
        try:
            torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
        except OSError:
            return False
        return True
    return False


_libraries: list[object] = []


def _declare_schemas() -> None:
    import torch

    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        name = schema.partition("(")[0]
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    _libraries.append(library)
