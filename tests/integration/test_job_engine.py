"""The engine with real processes: what a job survives, and how it ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from core.storage.blobs import BlobStore
from tests.integration.harness import Harness, command_of, descendants, eventually


def job_process(worker_pid: int) -> int:
    """Return the pid of the process that runs a job: the child of a zygote."""

    def find() -> int | None:
        pids = [p for p in descendants(worker_pid) if "worker.zygote" in command_of(p)]
        leaders = [p for p in pids if os.getsid(p) == p]
        return leaders[0] if leaders else None

    return eventually(find)


def zygote(worker_pid: int) -> int:
    pids = [p for p in descendants(worker_pid) if "worker.zygote" in command_of(p)]
    return next(p for p in pids if os.getsid(p) != p)


def assert_events_have_no_gaps(stack: Harness, job_id: str) -> None:
    events = stack.events(job_id)
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    terminal = [e.type for e in events if e.type in ("succeeded", "failed", "canceled")]
    assert len(terminal) == 1
    assert events[-1].type == terminal[0]


def test_a_job_succeeds_once_and_publishes(stack: Harness) -> None:
    stack.start_worker()
    job = stack.wait(stack.submit("sleep", seconds=0.2))
    assert (job.status, job.attempt, job.claims) == ("succeeded", 1, 1)
    assert [a.name for a in stack.artifacts(job.id)] == ["slept.txt"]
    artifact = stack.artifacts(job.id)[0]
    assert BlobStore(stack.folder).find(artifact.sha256).read_text() == "0.20\n"
    assert not BlobStore(stack.folder).staging(job.id, 1).exists()
    assert_events_have_no_gaps(stack, job.id)


def test_a_parent_waits_for_its_children_without_using_an_attempt(stack: Harness) -> None:
    stack.start_worker()
    job = stack.wait(stack.submit("noop", children=5))
    assert (job.status, job.result) == ("succeeded", {"children": 5})
    assert (job.attempt, job.claims) == (1, 2)
    assert [c.status for c in stack.children(job.id)] == ["succeeded"] * 5
    assert_events_have_no_gaps(stack, job.id)


@pytest.mark.parametrize(
    ("how", "code", "attempts"),
    [
        ("exit", "worker_lost", 3),
        ("signal", "worker_lost", 3),
        ("memory", "out_of_memory", 1),
        ("exception", "internal_error", 1),
        ("typed", "told_to_fail", 1),
        ("weights", "weights_missing", 1),
    ],
)
def test_a_failure_has_a_typed_error_and_the_right_number_of_attempts(
    shared_stack: Harness, how: str, code: str, attempts: int
) -> None:
    job = shared_stack.wait(shared_stack.submit("crash", how=how))
    assert (job.status, job.error["code"], job.attempt) == ("failed", code, attempts)  # type: ignore[index]
    assert shared_stack.artifacts(job.id) == []
    assert_events_have_no_gaps(shared_stack, job.id)


def test_a_job_that_crashes_twice_succeeds_the_third_time(shared_stack: Harness) -> None:
    job = shared_stack.wait(shared_stack.submit("crash", how="signal", until_claim=3))
    assert (job.status, job.attempt, job.result) == ("succeeded", 3, {"claim": 3})


def test_a_failed_child_fails_its_parent_and_cancels_the_others(shared_stack: Harness) -> None:
    from core.db.repositories import jobs
    from core.jobs.context import Children, ChildSpec
    from core.services.submit import submit_children
    from core.services.transaction import transaction

    parent_id = shared_stack.submit("sleep", seconds=3600)
    shared_stack.wait_for_status(parent_id, "running")
    wanted = Children(
        phase="x",
        children=(
            ChildSpec(kind="crash", params={"how": "typed"}),
            ChildSpec(kind="sleep", params={"seconds": 3600}),
            ChildSpec(kind="sleep", params={"seconds": 3600}),
        ),
    )
    with transaction(shared_stack.sessions) as session:
        parent = jobs.lock_with_ancestors(session, parent_id)
        assert parent is not None
        submit_children(session, parent, wanted)
    job = shared_stack.wait(parent_id)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] == "child_failed"
    assert job.error["cause"]["code"] == "told_to_fail"
    assert [c.status for c in shared_stack.children(parent_id)] == [
        "failed",
        "canceled",
        "canceled",
    ]
    assert job.pending_children == 0


@pytest.mark.parametrize("victim", ["worker", "group", "zygote", "job"])
def test_kill_9_loses_nothing(stack: Harness, victim: str) -> None:
    first = stack.start_worker()
    job_id = stack.submit("sleep", seconds=3)
    running = job_process(first.pid)
    eventually(lambda: stack.job(job_id).checkpoint)
    match victim:
        case "worker":
            os.kill(first.pid, signal.SIGKILL)
        case "group":
            stack.kill_group(first)
        case "zygote":
            os.kill(zygote(first.pid), signal.SIGKILL)
        case "job":
            os.kill(running, signal.SIGKILL)
    if victim in ("worker", "group"):
        stack.start_worker()
    job = stack.wait(job_id)
    assert job.status == "succeeded"
    assert job.result is not None
    assert job.result["resumed_at"] > 0
    assert len(stack.artifacts(job_id)) == 1
    assert_events_have_no_gaps(stack, job_id)
    assert job.finished_at is not None
    eventually(lambda: not Path(f"/proc/{running}").exists())


def test_a_stopped_worker_cannot_commit(stack: Harness) -> None:
    first = stack.start_worker()
    job_id = stack.submit("sleep", seconds=1.5)
    job_process(first.pid)
    stack.kill_group(first, signal.SIGSTOP)
    stack.start_worker()
    job = stack.wait(job_id)
    stack.kill_group(first, signal.SIGCONT)
    assert (job.status, job.claims) == ("succeeded", 2)
    # the stopped one wakes up, finds its lease lost and takes the next job
    following = [stack.wait(stack.submit("sleep", seconds=0.1)) for _ in range(4)]
    assert {j.status for j in following} == {"succeeded"}
    assert len(stack.artifacts(job_id)) == 1
    assert stack.job(job_id).claims == 2
    assert_events_have_no_gaps(stack, job_id)


def test_cancel_ends_queued_running_and_waiting_jobs(shared_stack: Harness) -> None:
    running = shared_stack.submit("sleep", seconds=3600)
    shared_stack.wait_for_status(running, "running")
    stubborn = shared_stack.submit("sleep", seconds=3600, ignore_stop=True)
    shared_stack.wait_for_status(stubborn, "running")
    queued = [shared_stack.submit("sleep", seconds=3600) for _ in range(3)]
    for job_id in (*queued, running, stubborn):
        shared_stack.cancel(job_id)
    assert [shared_stack.job(j).status for j in queued] == ["canceled"] * 3
    for job_id in (running, stubborn):
        assert shared_stack.wait(job_id).status == "canceled"
        assert shared_stack.artifacts(job_id) == []
        assert_events_have_no_gaps(shared_stack, job_id)


@pytest.mark.parametrize("whole_group", [False, True])
def test_sigterm_gives_the_job_back_without_using_an_attempt(
    stack: Harness, whole_group: bool
) -> None:
    first = stack.start_worker()
    job_id = stack.submit("sleep", seconds=4)
    job_process(first.pid)
    eventually(lambda: stack.job(job_id).checkpoint)
    if whole_group:  # as init systems do it
        stack.kill_group(first, signal.SIGTERM)
    else:
        first.terminate()
    first.wait(60)
    back = stack.job(job_id)
    assert (back.status, back.uncounted) == ("queued", True)
    stack.start_worker()
    job = stack.wait(job_id)
    assert (job.status, job.attempt, job.claims) == ("succeeded", 1, 2)
    assert job.result is not None
    assert job.result["resumed_at"] > 0


def test_hints_that_come_three_times_do_nothing(shared_stack: Harness) -> None:
    from core.services.hints import send_hints

    shared_stack.use()
    ids = [shared_stack.submit("noop") for _ in range(20)]
    send_hints([(job_id, "cpu") for job_id in reversed(ids)] * 3)
    jobs = [shared_stack.wait(job_id) for job_id in ids]
    assert {(j.status, j.attempt, j.claims) for j in jobs} == {("succeeded", 1, 1)}


def test_a_flushed_broker_loses_nothing(stack: Harness) -> None:
    import redis

    ids = [stack.submit("noop") for _ in range(10)]
    redis.Redis.from_url(stack.redis_url).flushdb()
    stack.start_worker()
    assert {stack.wait(job_id).status for job_id in ids} == {"succeeded"}
