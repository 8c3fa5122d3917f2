"""The launcher, by what its programs see."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.embedded import leftovers
from core.embedded.identity import LAUNCHER, Identity, same, unprivileged, works
from core.embedded.launch import EXIT_IDENTITY, EXIT_ORPHAN, EXIT_PROGRAM

PRINT_IDS = "import os; print(os.getuid(), os.geteuid(), os.getgid())"


def run(identity: Identity, *program: str) -> subprocess.CompletedProcess[str]:
    command = identity.command(program, signal.SIGKILL)
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_program_runs_with_its_arguments() -> None:
    ended = run(same(), sys.executable, "-c", "import sys; print(sys.argv[1:])", "a b", "", "$x")
    assert ended.stdout.strip() == "['a b', '', '$x']"
    assert ended.returncode == 0


def test_files_of_the_program_are_private(tmp_path: Path) -> None:
    path = tmp_path / "file"
    run(same(), sys.executable, "-c", f"open({str(path)!r}, 'w')")
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_absent_program_has_its_own_exit_code(tmp_path: Path) -> None:
    ended = run(same(), str(tmp_path / "absent"))
    assert ended.returncode == EXIT_PROGRAM
    assert "absent" in ended.stderr


def test_a_program_whose_parent_has_gone_is_not_started() -> None:
    command = same().command(["/bin/sh", "-c", "echo ran"], signal.SIGKILL)
    command[command.index(str(LAUNCHER)) + 1] = "1"
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (EXIT_ORPHAN, "")


def test_an_identity_that_is_refused_has_its_own_exit_code() -> None:
    refused = Identity("namespace", -5, -5, os.geteuid())
    assert run(refused, "/bin/true").returncode == EXIT_IDENTITY
    assert not works(refused)


def test_a_namespace_shows_an_ordinary_user_who_owns_our_files(tmp_path: Path) -> None:
    identity = Identity("namespace", 65534, 65534, os.geteuid())
    if not works(identity):
        pytest.skip("this host allows no user namespace")
    tmp_path.chmod(0o700)
    path = tmp_path / "file"
    code = f"{PRINT_IDS}; open({str(path)!r}, 'w')"
    assert run(identity, sys.executable, "-c", code).stdout.split() == ["65534"] * 3
    assert path.stat().st_uid == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_root_becomes_another_user() -> None:
    identity = Identity("user", 65534, 65534, 65534)
    assert run(identity, "/bin/sh", "-c", "id -u; id -g; id -G").stdout.split() == ["65534"] * 3


def test_postgres_gets_an_identity_that_is_not_root() -> None:
    ended = run(unprivileged(), "/bin/sh", "-c", "id -u")
    assert int(ended.stdout) != 0


@pytest.mark.parametrize("form", ["same", "namespace"])
def test_the_program_dies_with_a_parent_that_is_killed(form: str, tmp_path: Path) -> None:
    identity = same() if form == "same" else Identity("namespace", 65534, 65534, os.geteuid())
    if not works(identity):
        pytest.skip("this host allows no user namespace")
    code = f"""
import signal, subprocess, time
from core.embedded.identity import Identity
identity = {identity!r}
child = subprocess.Popen(identity.command(["/bin/sleep", "600"], signal.SIGTERM))
print(child.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, parent.stdout:
        child = int(parent.stdout.readline())
        _until(lambda: Path(f"/proc/{child}/comm").read_text() == "sleep\n")
        parent.kill()
        parent.wait()
    _until(lambda: not leftovers.alive(child))


def _until(holds: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
