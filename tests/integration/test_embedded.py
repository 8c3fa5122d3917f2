"""The embedded service for real: up, kill -9, up again, stop; with its API, workers and command."""

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

from core.embedded import control
from core.embedded.control import Up


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of its own, and no server but the stack's."""
    for name in ("DATABASE_URL", "REDIS_URL", "DERMSYNTH_DATA_DIR", "DERMSYNTH_WEIGHTS_DIR"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path / "home"
    control.stop(tmp_path / "home")


def get(up: Up, path: str) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(
        up.url + path, headers={"Authorization": f"Bearer {up.api_key}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, json.load(answer)


def test_the_service_comes_up_survives_kill_9_and_stops(home: Path) -> None:
    first = control.up(home)
    assert first.api_key_file.stat().st_mode & 0o777 == 0o600
    assert get(first, "/readyz")[0] == 200
    assert get(first, "/v1/jobs")[0] == 200
    assert control.up(home) == first
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: control.status(home) is None)
    second = control.up(home)
    assert second.pid != first.pid
    assert second.api_key == first.api_key
    assert get(second, "/v1/jobs")[0] == 200
    link = control.login_link(home, second.url)
    assert link.startswith(f"{second.url}/login?token=")
    assert control.stop(home)
    assert control.status(home) is None
    assert control._left_in(home) == []


def test_a_stack_ends_with_the_program_that_wanted_it(home: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from core.embedded import control
with control.running(Path({str(home)!r})) as up:
    print(up.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    until(lambda: control.status(home) is None and not control._left_in(home))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
