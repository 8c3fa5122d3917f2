"""One process that is started again."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.embedded import leftovers, supervised
from core.embedded.processes import ProcessSpec
from core.embedded.supervised import Supervised

LIVE = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(600)"


def make(tmp_path: Path, code: str, stop_seconds: float = 20.0) -> Supervised:
    spec = ProcessSpec("demo", (sys.executable, "-u", "-c", code), stop_seconds)
    return Supervised(spec, {}, tmp_path / "demo.log")


def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_process_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "FIRST_PAUSE", 0.0)
    child = make(tmp_path, LIVE)
    child.start()
    first = child.pid
    assert child.look_after() is None
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: not child.alive())
    assert "ended with -9" in (child.look_after() or "")
    assert "started" in (child.look_after() or "")
    assert child.alive()
    assert child.pid != first
    child.ask_to_stop()
    child.stop()
    assert not leftovers.alive(first)


def test_pauses_double_and_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("core.embedded.supervised.time.monotonic", lambda: now)
    child = make(tmp_path, "raise SystemExit(3)")
    said = []
    for _ in range(9):
        child.start()
        assert child._process is not None
        child._process.wait()
        said.append(child.look_after())
        assert child.look_after() is None  # its pause is not over
    pauses = [str(line).split(" in ")[1] for line in said]
    assert pauses == ["0.5 s", "1 s", "2 s", "4 s", "8 s", "16 s", "30 s", "30 s", "30 s"]
    assert child.ends_in_a_row == 9
    now += supervised.STEADY_SECONDS + 31
    assert "started" in (child.look_after() or "")
    now += supervised.STEADY_SECONDS + 1
    assert child._process is not None
    child._process.wait()
    assert "0.5 s" in (child.look_after() or "")


def test_who_does_not_stop_is_killed_with_its_group(tmp_path: Path) -> None:
    grandchild = f"print(subprocess.Popen([sys.executable, '-c', {LIVE!r}]).pid)"
    child = make(tmp_path, f"import subprocess, sys; {grandchild}; {STUBBORN}", stop_seconds=0.1)
    child.start()
    until(lambda: "up" in child.last_words())
    pids = [child.pid, int(child.last_words().split()[0])]
    child.ask_to_stop()
    child.stop()
    until(lambda: not any(leftovers.alive(pid) for pid in pids if pid))


def test_a_large_log_is_turned_while_its_writer_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "LOG_BYTES", 10)
    child = make(tmp_path, "print('a' * 100); import time; time.sleep(600)")
    child.start()
    until(lambda: "aaa" in child.last_words())
    child.look_after()
    assert (tmp_path / "demo.log").stat().st_size == 0
    assert b"aaa" in (tmp_path / "demo.log.1").read_bytes()
    child.ask_to_stop()
    child.stop()
