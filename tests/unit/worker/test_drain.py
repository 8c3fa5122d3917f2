"""The flag that a worker's main process shares with its slots."""

from __future__ import annotations

import os

import pytest

from worker import drain


def test_a_forked_slot_sees_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "_flag", None)
    drain.begin()
    assert not drain.draining()
    drain.prepare()
    assert not drain.draining()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(read, 1)
        os._exit(3 if drain.draining() else 4)
    drain.begin()
    os.write(write, b"!")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    os.close(read)
    os.close(write)
