"""Finding and ending processes that a killed owner left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.embedded import leftovers


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[object]:
    """Start programs called ``server`` that sleep, in a folder, with an environment."""
    program = tmp_path / "server"
    shutil.copy("/bin/sleep", program)
    with ExitStack() as stack:

        def start(folder: Path, **environment: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen([program, "600"], cwd=folder, env=environment)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield start


def test_servers_are_known_by_name_and_folder(sleeper, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    ours = sleeper(here)
    sleeper(there)
    assert leftovers.servers_in(here, ["server"]) == [ours.pid]
    assert leftovers.servers_in(here, ["postgres"]) == []
    assert leftovers.servers_in(tmp_path / "absent", ["server"]) == []


def test_marked_processes_are_those_of_one_stack(sleeper, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    ours = sleeper(tmp_path, **{leftovers.MARK: str(tmp_path)})
    sleeper(tmp_path, **{leftovers.MARK: str(tmp_path / "other")})
    assert leftovers.marked(tmp_path) == [ours.pid]


def test_end_waits_for_those_who_follow(sleeper, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    process = sleeper(tmp_path)
    count = leftovers.end(
        lambda: leftovers.servers_in(tmp_path, ["server"]), signal.SIGTERM, grace=20.0
    )
    assert count == 1
    assert process.wait() == -signal.SIGTERM


def test_end_kills_those_who_do_not_follow(sleeper, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    process = sleeper(tmp_path)
    process.send_signal(signal.SIGSTOP)
    leftovers.end(lambda: leftovers.servers_in(tmp_path, ["server"]), signal.SIGTERM, grace=0.1)
    assert process.wait() == -signal.SIGKILL


def test_nothing_left_is_no_error(tmp_path: Path) -> None:
    assert leftovers.end(lambda: leftovers.marked(tmp_path), signal.SIGTERM, grace=0.1) == 0


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen(["/bin/true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not leftovers.alive(process.pid)
    process.wait()
    assert leftovers.alive(os.getpid())
