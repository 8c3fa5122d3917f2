"""``python -m core.rendering.kernels``: compiles every kernel, and prepares the body.

Set-up and images do it, so that no job waits for it; with ``--cuda`` for the GPU as well. What is
there already is left alone.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil

import warp as wp

from core.rendering import kernels, runtime
from core.rendering.body import prepare
from core.rendering.runtime import device_name


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m core.rendering.kernels")
    parser.add_argument("--cuda", action="store_true", help="compile for the GPU too")
    given = parser.parse_args()
    runtime.start()
    for entry in pkgutil.iter_modules(kernels.__path__):
        if entry.name != "__main__":
            module = importlib.import_module(f"{kernels.__name__}.{entry.name}")
            for device in ["cpu", "cuda"] if given.cuda else ["cpu"]:
                wp.load_module(module, device=device_name(device))
    prepare(runtime.bodies_folder())


if __name__ == "__main__":
    main()
