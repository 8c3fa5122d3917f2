"""Which generators can run here: those whose modules are installed."""

from __future__ import annotations

import importlib.util
from typing import Any

from core.errors import JobFailed
from core.synthesis.contract import GENERATORS, GeneratorSpec


class GeneratorMissing(JobFailed):
    """What a generator needs is not installed on this worker."""

    default_code = "generator_missing"
    title = "Generator not installed"


def require_installed(spec: GeneratorSpec) -> None:
    """Raise GeneratorMissing, with the command that helps, unless all modules are installed."""
    if absent := _absent(spec):
        raise GeneratorMissing(f"{_reason(spec, absent)}; run: {_fix(spec)}")


def available() -> list[dict[str, Any]]:
    """Return rows {name, ok, reason, fix} of the generators that need more than their code."""
    return [_row(name, spec) for name, spec in GENERATORS if spec.needs]


def _row(name: str, spec: GeneratorSpec) -> dict[str, Any]:
    absent = _absent(spec)
    said = (_reason(spec, absent), _fix(spec)) if absent else ("", "")
    return {"name": name, "ok": not absent, "reason": said[0], "fix": said[1]}


def _absent(spec: GeneratorSpec) -> list[str]:
    return [name for name in spec.needs if importlib.util.find_spec(name) is None]


def _reason(spec: GeneratorSpec, absent: list[str]) -> str:
    return f"The generator {spec.name} needs {', '.join(absent)}, which this worker has not"


def _fix(spec: GeneratorSpec) -> str:
    return f"pip install 'dermsynth3d[{spec.extra}]'"
