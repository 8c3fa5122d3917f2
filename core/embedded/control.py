"""Starts, finds and stops embedded stacks; each is known by its data folder."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.embedded import leftovers, paths
from core.embedded.errors import EmbeddedFailure
from core.embedded.folder import FolderLock, private_folder, read_json
from core.embedded.identity import same
from core.embedded.server import tail
from core.embedded.servers import Servers
from core.embedded.stack import READY_SECONDS

STOP_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Up:
    """A stack that serves."""

    url: str
    api_key_file: Path
    pid: int

    @property
    def api_key(self) -> str:
        return self.api_key_file.read_text().strip()


def status(home: Path) -> Up | None:
    """Return the stack of this data folder if it lives and is ready."""
    state = read_json(paths.state(home))
    if state is None or FolderLock(paths.lock(home)).owner() != state.get("pid"):
        return None
    return Up(str(state["url"]), Path(str(state["api_key_file"])), int(state["pid"]))


def up(
    home: Path, *, port: int | None = None, publish: bool = False, with_caller: bool = False
) -> Up:
    """Return the stack of this data folder, started unless it runs.

    ``with_caller``: it stops when the calling thread ends, however that happens; else it stays.
    """
    home = private_folder(home)
    if running_already := status(home):
        return running_already
    log = private_folder(paths.logs(home)) / "stack.log"
    options = [*(["--port", str(port)] if port else []), *(["--publish"] if publish else [])]
    command = [sys.executable, "-m", "core.embedded", "run", "--home", str(home), *options]
    if with_caller:
        command = same().command(command, signal.SIGTERM)
    with log.open("ab") as output:
        parent = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=paths.checkout(),
            start_new_session=True,
        )
    try:
        return _wait(home, parent, log)
    except BaseException:
        parent.terminate()  # Ctrl-C, too: what we do not hand out does not stay
        raise


def stop(home: Path) -> bool:
    """Stop the stack of this data folder, and what a killed one left; True if anything ran."""
    lock = FolderLock(paths.lock(home))
    owner = lock.owner()
    if owner is not None:
        _end_parent(lock, owner)
    left = leftovers.end(lambda: _left_in(home), signal.SIGTERM, grace=10.0)
    for path in (paths.state(home), paths.published_state()):
        state = read_json(path)
        if state and state.get("api_key_file") == str(paths.key_file(home.resolve())):
            path.unlink(missing_ok=True)
    return owner is not None or left > 0


def discard(home: Path) -> None:
    """Stop the stack of this data folder and delete everything that it holds."""
    stop(home)
    Servers(home).remove()


@contextlib.contextmanager
def running(home: Path) -> Iterator[Up]:
    """Give a stack for the time of a ``with`` block; one that ran before is left running."""
    before = status(home)
    stack = before or up(home, with_caller=True)
    try:
        yield stack
    finally:
        if before is None:
            stop(home)


def home_to_stop(given: Path | None) -> Path:
    """Return the folder that was asked for (DERMSYNTH_HOME included), else build/up.json's."""
    if given is not None:
        return given.absolute()
    state = read_json(paths.published_state())
    if "DERMSYNTH_HOME" in os.environ or not state or "api_key_file" not in state:
        return paths.default_home()
    return Path(str(state["api_key_file"])).parent


def login_link(home: Path, url: str) -> str:
    """Return a link that opens the Studio once, signed in."""
    environment = read_json(paths.environment_file(home)) or {}
    ended = subprocess.run(
        [sys.executable, "-m", "core.embedded.prepare", "--login-token"],
        cwd=paths.checkout(),
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise EmbeddedFailure(f"No login link could be made: {ended.stderr[-2000:]}")
    return f"{url}/login?token={ended.stdout.strip()}"


def _wait(home: Path, parent: subprocess.Popen[bytes], log: Path) -> Up:
    deadline = time.monotonic() + READY_SECONDS + 120.0
    while time.monotonic() < deadline:
        if found := status(home):
            return found
        ended = parent.poll() is not None
        if ended and FolderLock(paths.lock(home)).owner() is None:
            raise EmbeddedFailure(f"The stack did not start: {tail(log, 20)}")
        time.sleep(0.1)  # a parent that ended while the lock is held lost the race to another one
    raise EmbeddedFailure(f"The stack was not ready in time: {tail(log, 20)}")


def _end_parent(lock: FolderLock, owner: int) -> None:
    """Stop the restart parent: the kernel vouches by the lock that this pid is it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(owner, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while lock.owner() == owner:
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(owner, signal.SIGKILL)
            deadline += 10.0
        time.sleep(0.1)


def _left_in(home: Path) -> list[int]:
    """Return processes and servers that a killed parent may have left."""
    found = leftovers.marked(home)
    servers = Servers(home)
    for server in (servers.postgres, servers.valkey):
        if server.folder.is_dir():
            found += server.leftovers()
    return found
