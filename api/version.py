"""Which version this is."""

from __future__ import annotations

from importlib.metadata import version

from core.config import get_settings

VERSION = version("dermsynth3d")


def full_version() -> str:
    """Return the version with the suffix of the build."""
    return VERSION + get_settings().version_suffix
