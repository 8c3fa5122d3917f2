"""What a job ran in, so that somebody else can build the same: Python, wheels, code, machine."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from core.manifest import canonical_json

_CODE = Path(__file__).parents[1]


@cache
def environment() -> dict[str, Any]:
    """Return environment.json: python, machine, the sha256 of the code, and every wheel.

    A wheel is {name, version, record_sha256}: the hash of its RECORD, which holds those of all its
    files, so that two builds of one version are told apart. Null for what was not installed from
    a wheel.
    """
    wheels = {w["name"]: w for w in map(_wheel, distributions())}
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "code_sha256": code_sha256(),
        "wheels": [wheels[name] for name in sorted(wheels)],
    }


def environment_sha256() -> str:
    """Return the hash of environment.json; jobs with one hash ran in the same environment."""
    return hashlib.sha256(canonical_json(environment()).encode()).hexdigest()


def code_sha256() -> str:
    """Return the hash of all Python files of ``core`` by name and content."""
    digest = hashlib.sha256()
    for path in sorted(_CODE.rglob("*.py")):
        own = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(_CODE).as_posix()}\t{own}\n".encode())
    return digest.hexdigest()


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of packages that are installed, python first."""
    known = {w["name"]: w["version"] for w in environment()["wheels"]}
    found = {"python": str(environment()["python"])}
    return found | {name: known[name] for name in names if name in known}


def _wheel(distribution: Distribution) -> dict[str, Any]:
    record = distribution.read_text("RECORD")
    name = distribution.metadata["Name"] or ""
    return {
        "name": name.lower().replace("_", "-"),
        "version": distribution.version,
        "record_sha256": hashlib.sha256(record.encode()).hexdigest() if record else None,
    }
