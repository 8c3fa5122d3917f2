"""The slot's end of its zygote: descriptors, and the death of either side."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import WorkerLost
from core.jobs.context import Inputs
from core.jobs.runtime import JobTask
from worker.nursery import Nursery
from worker.zygote import receive, send


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    made = Nursery("light")
    yield made
    made.close()


def task(folder: Path, kind: str = "noop") -> str:
    return JobTask(
        job_id="job_x", kind=kind, attempt=1, params={}, inputs=Inputs(), data_dir=folder,
        weights_dir=folder,
    ).model_dump_json()  # fmt: skip


def until_exit(nursery: Nursery) -> int:
    while True:
        for message in nursery.messages():
            if "exit" in message:
                return int(message["exit"])


def test_jobs_run_one_after_the_other_and_nobody_keeps_their_sockets(
    nursery: Nursery, tmp_path: Path
) -> None:
    for _ in range(3):
        with nursery.start(task(tmp_path), tmp_path / "log") as link:
            assert until_exit(nursery) == 0
            link.settimeout(10)
            said = b""
            while data := link.recv(65536):  # ends only when every copy of the other end is closed
                said += data
        outcome = json.loads(said.splitlines()[-1])
        assert outcome["outcome"]["result"] == {"children": 0}
    assert "claim 1 of noop" in (tmp_path / "log").read_text()


def test_a_task_may_be_larger_than_any_message(nursery: Nursery, tmp_path: Path) -> None:
    large = json.loads(task(tmp_path)) | {"restored": {"state": "x" * 70_000_000}}
    with nursery.start(json.dumps(large), tmp_path / "log") as link:
        assert until_exit(nursery) == 0
        link.settimeout(10)
        assert b'"outcome"' in link.recv(65536)


def test_the_zygote_leaves_sigterm_to_the_slot(nursery: Nursery, tmp_path: Path) -> None:
    with nursery.start(task(tmp_path), tmp_path / "log"):
        assert until_exit(nursery) == 0
    assert nursery._process is not None
    nursery._process.send_signal(signal.SIGTERM)
    with nursery.start(task(tmp_path), tmp_path / "log"):
        assert until_exit(nursery) == 0


def test_a_dead_zygote_is_not_replaced_behind_the_back_of_its_job(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nursery.start(task(tmp_path), tmp_path / "log"), monkeypatch.context() as patch:
        patch.setattr(nursery, "open", lambda: pytest.fail("another zygote in its place"))
        assert nursery._process is not None
        nursery._process.send_signal(signal.SIGKILL)
        nursery._process.wait()  # known to be dead before anybody reads its socket
        with pytest.raises(WorkerLost):
            for _ in range(1000):
                list(nursery.messages())
        with pytest.raises(WorkerLost):
            _ = nursery.control
    with nursery.start(task(tmp_path), tmp_path / "log"):
        assert until_exit(nursery) == 0


def test_messages_and_descriptors_stay_together_however_they_arrive() -> None:
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    with ours, theirs:
        send(ours, {"kill": 15}, [])
        send(ours, {"run": "x" * 10_000}, [read, write])
        send(ours, {"kill": 9}, [])
        assert receive(theirs) == ({"kill": 15}, [])
        message, descriptors = receive(theirs)
        assert message == {"run": "x" * 10_000}
        assert len(descriptors) == 2
        assert receive(theirs) == ({"kill": 9}, [])
        os.write(descriptors[1], b"through")
        assert os.read(read, 7) == b"through"
        ours.close()
        assert receive(theirs) == (None, [])
    for descriptor in (read, write, *descriptors):
        os.close(descriptor)
