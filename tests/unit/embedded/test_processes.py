"""Commands, slots and environments of the service's processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.embedded import processes
from core.embedded.leftovers import MARK
from core.embedded.processes import Slots, environment, service, slots


@given(st.integers(1, 512))
def test_slots_never_ask_for_more_threads_than_cores(cores: int) -> None:
    shares = slots(cores)
    assert 1 <= shares.jobs <= processes.MOST_SLOTS
    assert shares.jobs * shares.threads <= cores


@pytest.mark.parametrize(
    ("cores", "threads", "expected"),
    [(1, 0, Slots(1, 1)), (2, 0, Slots(2, 1)), (16, 0, Slots(4, 4)), (2, 3, Slots(2, 3))],
)
def test_slots(cores: int, threads: int, expected: Slots) -> None:
    assert slots(cores, threads) == expected


def test_every_queue_has_a_worker_and_interactive_has_its_own() -> None:
    queues = {
        spec.name: spec.command[spec.command.index("-Q") + 1]
        for spec in service(8000, jobs=2)
        if "-Q" in spec.command
    }
    assert sorted(",".join(queues.values()).split(",")) == ["cpu", "gpu", "interactive", "io"]
    assert queues["worker-interactive"] == "interactive"


def test_the_api_serves_on_the_socket_that_it_inherits() -> None:
    api = service(7, jobs=1)[0]
    assert api.command[-2:] == ("--fd", "7")
    assert api.descriptors == (7,)


def test_the_environment_has_addresses_folders_threads_and_the_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DERMSYNTH_DATA_DIR", "DERMSYNTH_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    made = environment(tmp_path, {"DATABASE_URL": "d", "REDIS_URL": "r"}, Slots(2, 1))
    assert made["DATABASE_URL"] == "d"
    assert made["DERMSYNTH_DATA_DIR"] == str(tmp_path / "data")
    assert made["DERMSYNTH_THREADS"] == made["OMP_NUM_THREADS"] == "1"
    assert made[MARK] == str(tmp_path)


def test_what_the_user_has_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMSYNTH_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    made = environment(tmp_path, {}, Slots(2, 1))
    assert made["DERMSYNTH_DATA_DIR"] == str(tmp_path / "elsewhere")
    assert made["OMP_NUM_THREADS"] == "7"
