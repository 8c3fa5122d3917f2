"""What a job ran in, so that somebody else can build the same: Python, wheels, code, machine."""

from __future__ import annotations

import csv
import hashlib
import platform
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import Any

from core.manifest import canonical_json

_CODE = Path(__file__).parents[1]
_NOTES = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json"}


@cache
def environment() -> dict[str, Any]:
    """Return environment.json: python, machine, the sha256 of the code, and every wheel.

    A wheel is {name, version, record_sha256}: a hash of its files' hashes, so that two builds of
    one version are told apart and the folder that they lie in is not. Null for what was not
    installed from a wheel. Of two of one name the first on the path counts: it is imported.
    """
    wheels: dict[str, dict[str, Any]] = {}
    for wheel in map(_wheel, distributions()):
        wheels.setdefault(wheel["name"], wheel)
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
        "record_sha256": record_sha256(record) if record else None,
    }


def record_sha256(record: str) -> str:
    """Return the hash of the files that a RECORD lists, in the order of their names.

    Left out is what the installer makes or writes: scripts with the path of Python in their first
    line, compiled files, and its own notes.
    """
    kept = [
        f"{name}\t{digest}\n"
        for name, digest, _ in csv.reader(record.splitlines())
        if digest and not _of_installer(name)
    ]
    return hashlib.sha256("".join(sorted(kept)).encode()).hexdigest()


def _of_installer(name: str) -> bool:
    path = PurePosixPath(name)
    notes = path.parent.suffix == ".dist-info" and path.name in _NOTES
    return notes or ".." in path.parts or path.is_absolute() or path.suffix == ".pyc"
