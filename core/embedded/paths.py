"""Where an embedded stack keeps its things."""

from __future__ import annotations

import os
from pathlib import Path


def checkout() -> Path:
    """Return the root of the source tree; the current folder when installed as a package."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else Path.cwd()


def default_home() -> Path:
    """Return the data folder of ``make up``: DERMSYNTH_HOME, else ``var`` in the checkout."""
    chosen = os.environ.get("DERMSYNTH_HOME")
    return Path(chosen).expanduser().absolute() if chosen else checkout() / "var"


def published_state() -> Path:
    """Return ``build/up.json``, in which ``make up`` says where the service is."""
    return checkout() / "build" / "up.json"


def state(home: Path) -> Path:
    """Return the same for one data folder, so that several stacks can be told apart."""
    return home / "up.json"


def lock(home: Path) -> Path:
    return home / "stack.lock"


def key_file(home: Path) -> Path:
    return home / "api_key"


def environment_file(home: Path) -> Path:
    """Return the file (0600) with the variables that the stack's processes run with."""
    return home / "environment.json"


def logs(home: Path) -> Path:
    return home / "logs"
