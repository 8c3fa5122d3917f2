"""The rules of the house as tests: who imports whom, and what costs nothing to import."""

from __future__ import annotations

import ast
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LIGHT_ENTRY_POINTS = [
    "api.main",
    "api.cli",
    "worker.app",
    "worker.dispatch",
    "worker.supervisor",
    "core.embedded.stack",
]
REGISTRIES = {
    "core.jobs.spec": "JOB_KINDS",
    "core.synthesis.contract": "GENERATORS",
    "core.features.contract": "BACKBONES",
    "core.learning.contract": "CLASSIFIERS",
    "core.learning.segmentation.contract": "ARCHITECTURES",
}
# What the [api] extra does not install, plus what later capabilities will bring.
HEAVY = (
    *("torch", "torchvision", "cv2", "sklearn", "scipy", "matplotlib", "jinja2", "umap", "numba"),
    *("skops", "pydicom", "warp", "skimage", "efficientnet_lite_pytorch", "joblib", "pandas"),
    *("timm", "safetensors"),
)
BLOCK = f"""
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}} in the [api] extra", name=name)
        return None

sys.meta_path.insert(0, Absent())
"""
MOST_LINES = 450


def modules() -> list[str]:
    """Return every module of the four packages, without importing one."""
    return sorted(
        module.name
        for package in ("api", "core", "worker")
        for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}.")
        if not module.name.endswith("__main__")
    )


def sources() -> list[Path]:
    return sorted(
        path
        for package in ("api", "core", "worker", "migrations", "scripts")
        for path in (ROOT / package).rglob("*.py")
    )


def python(code: str, environment: dict[str, str] | None = None) -> str:
    """Run code in a fresh interpreter; returns its output, or fails with its error."""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_import_contracts_hold() -> None:
    ended = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("module", LIGHT_ENTRY_POINTS)
def test_long_lived_processes_do_not_load_torch(module: str) -> None:
    code = f"import sys, {module}; print(sorted({set(HEAVY)!r} & set(sys.modules)))"
    assert python(code).strip() == "[]"


@pytest.mark.parametrize("module", LIGHT_ENTRY_POINTS[:2])
def test_the_api_runs_with_its_own_extra_alone(module: str) -> None:
    python(f"{BLOCK}\nimport {module}")


@pytest.mark.parametrize("module", REGISTRIES)
def test_registered_modules_load_with_the_api_extra_alone(module: str) -> None:
    code = f"""{BLOCK}
from {module} import {REGISTRIES[module]} as registry
print(len(registry.names()))
"""
    assert int(python(code)) > 0


@pytest.mark.parametrize("module", REGISTRIES)
def test_registered_modules_load_what_they_need_late(module: str) -> None:
    """The contract of generators speaks of arrays and so needs numpy; job kinds do not."""
    late = {"PIL", "pyarrow", "cv2", "torch", "warp"} | (
        {"numpy"} if module == "core.jobs.spec" else set()
    )
    code = f"""
from {module} import {REGISTRIES[module]} as registry
registry.load()
import sys
print(sorted({late!r} & set(sys.modules)))
"""
    assert python(code).strip() == "[]"


def test_importing_needs_no_environment_and_no_service() -> None:
    bare = {"PATH": os.defpath, "LANG": "C.UTF-8"}
    code = f"""
import importlib, socket
def refuse(*_, **__): raise AssertionError("an import opened a connection")
socket.socket.connect = refuse
for name in {modules()!r}:
    importlib.import_module(name)
print("done")
"""
    assert python(code, bare).strip() == "done"


def test_job_kinds_see_the_context_only() -> None:
    """Also inside functions and under TYPE_CHECKING, which the import contracts follow too."""
    closed = ("core.db", "core.services", "core.config", "core.embedded", "api", "worker")
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((ROOT / "core/jobs/kinds").glob("*.py"))
        for name in imported(path)
        if name.startswith(closed)
    ]
    assert found == []


def test_statements_stand_in_repositories_only() -> None:
    """Whoever else needs rows asks a repository.

    The embedded database's own set-up (roles, databases) is not a query on the schema.
    """
    makers = {"select", "insert", "update", "delete", "text", "func", "exists", "literal", "case"}
    found = [
        f"{path.relative_to(ROOT)}: {alias.name}"
        for path in sources()
        if path.relative_to(ROOT).parts[0] in ("api", "core", "worker")
        and not path.is_relative_to(ROOT / "core/db")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy")
        for alias in node.names
        if alias.name in makers
    ]
    assert found == []


def test_modules_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in sources()
        if "versions" not in path.parts  # migrations are generated
        and (count := len(path.read_text().splitlines())) > MOST_LINES
    }
    assert long == {}


def test_nothing_half_is_left() -> None:
    """No placeholder of any kind: what is not built is absent."""
    marks = ("raise NotImplementedError", "TODO", "FIXME")
    found = [
        f"{path.relative_to(ROOT)}: {mark}"
        for path in sources()
        for mark in marks
        if mark in path.read_text()
    ]
    assert found == []


def test_modules_are_named_after_what_they_are() -> None:
    vague = {"utils", "util", "helpers", "helper", "manager", "misc", "common"}
    assert [str(path) for path in sources() if path.stem in vague] == []


def imported(path: Path) -> list[str]:
    """Return the modules that a file imports, wherever in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return names
