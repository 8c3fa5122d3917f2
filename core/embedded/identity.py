"""As whom a server runs that refuses root, and refuses users without a passwd entry."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.embedded.errors import EmbeddedFailure

LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class Identity:
    """How a program runs: as we do, in a user namespace, or as another user.

    ``owner`` is the uid, outside of any namespace, that must own the program's files.
    """

    form: Literal["same", "namespace", "user"]
    uid: int
    gid: int
    owner: int

    def command(self, program: Sequence[str | Path], at_parent_death: signal.Signals) -> list[str]:
        """Return the command line that runs ``program`` so, and ends it with this process."""
        form = self.form if self.form == "same" else f"{self.form}:{self.uid}:{self.gid}"
        head = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid())]
        return [*head, str(int(at_parent_death)), form, *map(str, program)]


def same() -> Identity:
    """Return the identity of this process."""
    return Identity("same", os.geteuid(), os.getegid(), os.geteuid())


def unprivileged() -> Identity:
    """Return an identity that PostgreSQL accepts; EmbeddedFailure when this host has none.

    A user with a name runs it as itself. Root and nameless users take a user namespace first (it
    works below folders that are closed to others); root else becomes ``nobody``.
    """
    uid = os.geteuid()
    if uid != 0 and _has_name(uid):
        return same()
    stand_in = _stand_in()
    namespace = Identity("namespace", stand_in.pw_uid, stand_in.pw_gid, uid)
    if works(namespace):
        return namespace
    nobody = Identity("user", stand_in.pw_uid, stand_in.pw_gid, stand_in.pw_uid)
    if uid == 0 and works(nobody):
        return nobody
    raise EmbeddedFailure(
        f"PostgreSQL cannot run as uid {uid} (root, or a user without a passwd entry), and this "
        "host allows neither a user namespace nor a change of user. Run as a user with a name, "
        "or set DATABASE_URL to a PostgreSQL that runs elsewhere.",
        code="embedded_identity",
    )


def works(identity: Identity) -> bool:
    """Try the identity with a program that does nothing."""
    program = [_true_program()]
    ended = subprocess.run(
        identity.command(program, signal.SIGKILL), capture_output=True, check=False, timeout=30
    )
    return ended.returncode == 0


def reachable(path: Path, identity: Identity) -> bool:
    """Tell whether the identity may walk down to ``path``; only another user may be refused."""
    if identity.form != "user":
        return True
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def _true_program() -> str:
    found = [p for p in ("/bin/true", "/usr/bin/true", "/bin/sh") if Path(p).exists()]
    if not found:
        raise EmbeddedFailure("This host has neither /bin/true nor /bin/sh.")
    return found[0]


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _stand_in() -> pwd.struct_passwd:
    """Return the passwd entry of nobody, or else of any user that is not root."""
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        others = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    if not others:
        raise EmbeddedFailure(
            "The passwd database names no user but root, and PostgreSQL refuses root.",
            code="embedded_identity",
        )
    return others[-1]
