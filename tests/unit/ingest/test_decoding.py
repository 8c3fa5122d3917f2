"""Decoder processes: what breaks one costs one file, in order, and none is left."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import JobCancelled
from core.ingest import decoding
from core.ingest.decoder import DecoderLimits, Frame, Work
from core.ingest.decoding import Decoders, Task, refused
from core.ingest.rejects import Rejected

MIB = 1024**2
LIMITS = DecoderLimits(memory_bytes=256 * MIB, cpu_seconds=1, seconds=20.0)


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hog() -> None:
    bytearray(400 * MIB)


def spin() -> None:
    while True:
        pass


def refuse() -> None:
    raise Rejected("not_an_image", "no")


def fail() -> None:
    raise RuntimeError("unexpected")


DEEDS: dict[bytes, Callable[[], object]] = {
    b"segfault": segfault,
    b"leave": lambda: os._exit(0),
    b"fail": fail,
    b"hog": hog,
    b"spin": spin,
    b"hang": lambda: time.sleep(60),
    b"stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    b"refuse": refuse,
}
CODES = {
    b"segfault": "decoder_failed",
    b"leave": "decoder_failed",
    b"fail": "decoder_failed",
    b"garble": "decoder_failed",
    b"huge": "decoder_failed",
    b"hog": "decoder_out_of_memory",
    b"spin": "decoder_timeout",
    b"hang": "decoder_timeout",
    b"stop": "decoder_timeout",
    b"refuse": "not_an_image",
}


def begin() -> Work:
    """Return work that does what the file says, and answers with the file's name."""
    seen: list[bytes] = []

    def work(frame: Frame) -> Frame:
        deed = frame.body.strip()
        seen.append(deed)
        if deed == b"garble":
            return Frame(b"?", b"")
        if deed == b"huge":
            return Frame(b"a", bytes(17 * MIB))
        if deed == b"large" and frame.kind == b"n":
            return Frame(b"w", b"")
        if deed == b"victim" and b"poison" in seen:
            segfault()
        try:
            DEEDS.get(deed, bool)()
        except Rejected as reason:
            return refused(reason)
        return Frame(b"a", frame.head, frame.kind)

    return work


def outcomes(
    bodies: Sequence[bytes], processes: int = 2, limits: DecoderLimits = LIMITS
) -> list[str]:
    """Return the answer or the code of each file, and check that they come in order."""
    tasks = [Task(str(n), str(n).encode(), body) for n, body in enumerate(bodies)]
    found: list[str] = []
    with Decoders(begin, processes, limits) as decoders:
        for place, (task, outcome) in enumerate(decoders.run(tasks)):
            assert task.name == str(place)
            if isinstance(outcome, Frame):
                assert outcome.head == task.head
                found.append("ok")
            else:
                found.append(outcome.code)
    assert len(found) == len(bodies)
    assert children() == set()
    return found


def children() -> set[int]:
    """Return the processes that this one has started and not reaped."""
    own = set()
    for path in Path("/proc/self/task").glob("*/children"):
        own |= {int(pid) for pid in path.read_text().split()}
    return {pid for pid in own if pid not in _BEFORE}


_BEFORE: set[int] = set()


@pytest.fixture(scope="module", autouse=True)
def _those_before() -> None:
    """Leave out what the tests of other modules have started in this process."""
    _BEFORE.update(children())


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("deed", sorted(set(CODES) - {b"hang", b"stop"}))
def test_what_breaks_a_decoder_costs_one_file(deed: bytes, processes: int) -> None:
    bodies = [b"ok"] * 5 + [deed] + [b"ok"] * 30
    assert outcomes(bodies, processes) == ["ok"] * 5 + [CODES[deed]] + ["ok"] * 30


@pytest.mark.parametrize("deed", [b"hang", b"stop"])
def test_a_file_that_takes_for_ever_costs_itself(deed: bytes) -> None:
    limits = DecoderLimits(memory_bytes=256 * MIB, seconds=0.5)
    assert outcomes([b"ok", deed, b"ok"], 1, limits) == ["ok", "decoder_timeout", "ok"]


def test_a_file_is_not_blamed_for_what_came_before_it() -> None:
    assert outcomes([b"poison", b"victim", b"victim"], 1) == ["ok"] * 3


BODIES = st.lists(
    st.sampled_from([b"ok", b"ok", b"refuse", b"segfault", b"leave", b"large", b"poison"])
    | st.just(b"victim" + b" " * 3 * MIB),
    max_size=40,
)


@settings(max_examples=12, deadline=None)
@given(BODIES, st.integers(1, 4))
def test_outcomes_do_not_depend_on_the_number_of_processes(
    bodies: list[bytes], processes: int
) -> None:
    expected = [CODES.get(body, "ok") for body in bodies]
    assert outcomes(bodies, processes) == expected


def test_files_without_bytes_keep_their_place() -> None:
    gone = Rejected("corrupt_entry", "gone")
    tasks = [Task("a", b"", b"ok"), Task("b", b"", b"", outcome=gone), Task("c", b"", b"ok")]
    with Decoders(begin, 2, LIMITS) as decoders:
        found = [(task.name, outcome) for task, outcome in decoders.run(tasks)]
    assert [name for name, _ in found] == ["a", "b", "c"]
    assert found[1][1] is gone


def test_a_file_that_wants_to_be_alone_is_asked_again_alone() -> None:
    with Decoders(begin, 2, LIMITS) as decoders:
        tasks = [Task(str(n), b"", b"large") for n in range(3)] + [Task("3", b"", b"ok")]
        kinds = [o.body for _, o in decoders.run(tasks) if isinstance(o, Frame)]
    assert kinds == [b"s", b"s", b"s", b"n"]


def test_one_run_after_another_uses_the_same_processes() -> None:
    with Decoders(begin, 1, LIMITS) as decoders:
        list(decoders.run([Task("a", b"", b"ok")]))
        before = children()
        list(decoders.run([Task("b", b"", b"ok")]))
        assert children() == before
        assert len(before) == 1
    assert children() == set()


def test_waiting_can_be_cancelled_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_TICK_SECONDS", 0.01)

    def cancelled() -> None:
        raise JobCancelled("stop")

    with pytest.raises(JobCancelled), Decoders(begin, 2, LIMITS, cancelled) as decoders:
        list(decoders.run([Task("a", b"", b"hang")]))
    assert children() == set()


def test_the_source_is_read_no_further_than_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_WINDOW_BYTES", 8 * MIB)
    read = answered = most = 0

    def source() -> Iterator[Task]:
        nonlocal read, most
        for n in range(60):
            read += 1
            most = max(most, read - answered)
            yield Task(str(n), b"", bytes(MIB))

    with Decoders(begin, 2, LIMITS) as decoders:
        for _ in decoders.run(source()):
            answered += 1
    assert answered == 60
    assert most <= 10


def test_a_decoder_holds_nothing_of_the_job(tmp_path: Path) -> None:
    def look() -> Work:
        def work(_: Frame) -> Frame:
            held = [str(p.readlink()) for p in Path("/proc/self/fd").iterdir() if p.is_symlink()]
            return Frame(b"a", "\n".join(held).encode())

        return work

    with (tmp_path / "secret").open("w"), Decoders(look, 1, LIMITS) as decoders:
        ((_, outcome),) = decoders.run([Task("a", b"", b"")])
    assert isinstance(outcome, Frame)
    assert "secret" not in outcome.head.decode()
    assert outcome.head.decode().count("socket:") == 1


def test_decoders_die_with_their_job(tmp_path: Path) -> None:
    def note() -> Work:
        (tmp_path / str(os.getpid())).touch()
        return begin()

    def job() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        tasks = [Task(str(n), b"", b"hang" + b" " * 5 * MIB) for n in range(2)]
        with Decoders(note, 2, DecoderLimits(seconds=600)) as decoders:
            list(decoders.run(tasks))

    process = multiprocessing.get_context("fork").Process(target=job, daemon=True)
    process.start()
    until = time.monotonic() + 30
    while len(pids := [int(path.name) for path in tmp_path.iterdir()]) < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert all(map(lives, pids))
    process.kill()
    process.join()
    while any(map(lives, pids)):
        assert time.monotonic() < until
        time.sleep(0.01)


def lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
