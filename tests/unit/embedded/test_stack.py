"""The restart parent on real servers, with small programs in place of API and workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.embedded import control, leftovers, paths
from core.embedded.errors import EmbeddedFailure
from core.embedded.folder import FolderLock
from core.embedded.postgres import PostgresServer

API = """
import http.server, socket, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
server = http.server.HTTPServer(("", 0), Answer, bind_and_activate=False)
server.socket = socket.socket(fileno=int(sys.argv[1]))
server.serve_forever()
"""
# The parent's module, with the commands replaced: everything else is the real thing.
PARENT = """
import sys
from pathlib import Path
from core.embedded import processes, stack
from core.embedded.processes import ProcessSpec

def service(listener, jobs):
    run = (sys.executable, "-c")
    return (
        ProcessSpec("api", (*run, {api!r}, str(listener)), 5.0, (listener,)),
        ProcessSpec("worker", (*run, {worker!r}), 5.0),
    )

processes.service = service
stack.Stack._prepare = lambda self, environment: None
home, publish = Path(sys.argv[1]), "publish" in sys.argv
stack.Stack(home, publish=publish).run()
"""
WORKER = "import time; time.sleep(600)"


def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Parent:
    """A restart parent in a process of its own."""

    def __init__(
        self, home: Path, api: str = API, worker: str = WORKER, **environment: str
    ) -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        self.output = home.with_suffix(".out")
        clean = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL"}}
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PARENT.format(api=api, worker=worker), str(home)],
                stdout=output,
                stderr=output,
                env=clean | environment,
            )

    def ready(self) -> control.Up:
        def settled() -> bool:
            return control.status(self.home) is not None or self.process.poll() is not None

        until(settled)
        found = control.status(self.home)
        assert found is not None, self.output.read_text()
        return found

    def pids(self) -> dict[str, int]:
        """Return the processes that carry the stack's mark, by what they run."""
        found = {}
        for pid in leftovers.marked(self.home):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"launch.py" not in command:
                found["api" if b"http.server" in command else "worker"] = pid
        return found


@pytest.fixture
def parents() -> Iterator[list[Parent]]:
    started: list[Parent] = []
    yield started
    for parent in started:
        parent.process.kill()
        parent.process.wait()
        control.stop(parent.home)


def test_it_serves_restarts_what_dies_and_stops_in_order(
    tmp_path: Path, parents: list[Parent]
) -> None:
    parents.append(parent := Parent(tmp_path / "home"))
    stack = parent.ready()
    assert stack.pid == parent.process.pid == FolderLock(paths.lock(parent.home)).owner()
    before = parent.pids()
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    # the parent keeps the listening socket: callers wait instead of being refused
    with urllib.request.urlopen(f"{stack.url}/readyz", timeout=60) as answer:
        assert answer.status == 200
    until(lambda: set(parent.pids()) == {"api", "worker"} and parent.pids() != before)
    until(lambda: answers(stack.url))
    environment = json.loads(paths.environment_file(parent.home).read_text())
    postgres = PostgresServer(parent.home / "postgres")
    os.kill(postgres.leftovers()[0], signal.SIGKILL)
    until(lambda: "postgres had ended" in parent.output.read_text())
    until(lambda: connects(environment["DATABASE_URL"]))
    parent.process.terminate()
    assert parent.process.wait(60) == 0
    assert (parent.pids(), postgres.leftovers()) == ({}, [])
    assert control.status(parent.home) is None
    assert not paths.state(parent.home).exists()


def test_a_second_start_after_kill_9_and_two_stacks_side_by_side(
    tmp_path: Path, parents: list[Parent]
) -> None:
    parents += [first := Parent(tmp_path / "first"), other := Parent(tmp_path / "other")]
    urls = [parent.ready().url for parent in parents]
    assert len(set(urls)) == 2
    first.process.kill()
    first.process.wait()
    assert control.status(first.home) is None
    parents.append(again := Parent(tmp_path / "first"))
    assert again.ready().pid == again.process.pid
    assert other.ready().url == urls[1]
    assert answers(urls[1])
    assert control.stop(first.home)
    again.process.wait(60)
    assert not control.stop(first.home)
    assert control.status(other.home) is not None


def test_kill_9_takes_everything_with_it(tmp_path: Path, parents: list[Parent]) -> None:
    parents.append(parent := Parent(tmp_path / "home"))
    parent.ready()
    parent.process.kill()
    parent.process.wait()
    until(lambda: not control._left_in(parent.home))


def test_one_folder_has_one_stack(tmp_path: Path, parents: list[Parent]) -> None:
    parents.append(first := Parent(tmp_path / "home"))
    first.ready()
    parents.append(second := Parent(tmp_path / "home"))
    assert second.process.wait(60) != 0
    assert "embedded_folder_taken" not in second.output.read_text()  # a traceback here: no CLI
    assert "already" in second.output.read_text()
    assert control.status(first.home) is not None


def test_a_process_that_never_runs_ends_the_start_with_its_last_words(
    tmp_path: Path, parents: list[Parent]
) -> None:
    never = "raise SystemExit('no such broker')"
    parents.append(parent := Parent(tmp_path / "home", api=WORKER, worker=never))
    assert parent.process.wait(60) != 0
    assert "worker does not run: no such broker" in parent.output.read_text()
    assert not control._left_in(parent.home)


def test_given_addresses_are_used_instead_of_servers(tmp_path: Path, parents: list[Parent]) -> None:
    given = {"DATABASE_URL": "postgresql+psycopg://a@b/c", "REDIS_URL": "redis://d"}
    parents.append(parent := Parent(tmp_path / "home", **given))
    parent.ready()
    environment = json.loads(paths.environment_file(parent.home).read_text())
    assert {name: environment[name] for name in given} == given
    assert not (parent.home / "postgres").exists()
    assert not (parent.home / "valkey").exists()


def test_a_state_file_without_a_living_parent_says_nothing(tmp_path: Path) -> None:
    paths.state(tmp_path).write_text(
        json.dumps({"url": "http://x", "api_key_file": "k", "pid": os.getpid()})
    )
    assert control.status(tmp_path) is None
    assert not control.stop(tmp_path)
    assert not control.stop(tmp_path / "absent")


def test_stop_finds_the_stack_that_was_asked_for_else_the_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = tmp_path / "up.json"
    monkeypatch.setattr(paths, "published_state", lambda: published)
    monkeypatch.delenv("DERMSYNTH_HOME", raising=False)
    assert control.home_to_stop(None) == paths.checkout() / "var"
    published.write_text(json.dumps({"api_key_file": "/elsewhere/api_key"}))
    assert control.home_to_stop(None) == Path("/elsewhere")
    assert control.home_to_stop(tmp_path) == tmp_path
    monkeypatch.setenv("DERMSYNTH_HOME", str(tmp_path / "home"))
    assert control.home_to_stop(None) == tmp_path / "home"


def test_a_start_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://x:y@127.0.0.1:9/z")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9")
    with pytest.raises(EmbeddedFailure, match="could not be prepared"):
        control.up(tmp_path / "home")
    assert FolderLock(paths.lock(tmp_path / "home")).owner() is None


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def connects(database_url: str) -> bool:
    import psycopg

    try:
        psycopg.connect(database_url.replace("+psycopg", ""), connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
