"""Submissions of one moment are one transaction; each has the answer it would have had alone."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from api import submissions
from api.submissions import TOGETHER, TOGETHER_BYTES, WRITERS, Submission, Submissions, written
from core.db.models import AuditEntry, DatasetVersion, Job, JobEvent
from core.errors import DermSynthError, Unavailable
from core.jobs.spec import JOB_KINDS
from core.services.idempotency import Answer, Once
from core.services.submit import prepare
from tests.api.world import World

SECONDS = 15.0
"""No test waits longer."""


def wanted(
    world: World, kind: str = "noop", label: str = "", wish: Once | None = None, **params: Any
) -> Submission:
    """Return a submission of the default tenant."""
    job_kind = JOB_KINDS.get(kind)
    labels = [label] if label else []
    return Submission(
        world.principal(), job_kind, job_kind.params.model_validate(params), labels, wish
    )


def ids(session: Session) -> list[str]:
    return list(session.scalars(select(Job.id).order_by(Job.id)))


def test_each_has_an_answer_of_its_own(world: World, api: httpx.Client) -> None:
    key = Once("again", "0" * 64)
    (before,) = written([wanted(world, wish=key)])
    assert isinstance(before, Answer)
    missing = wanted(world, "export", dataset_version_ids=["dsv_" + "0" * 26])
    outcomes = written([
        wanted(world, label="a"),
        missing,
        wanted(world, wish=key),
        wanted(world, wish=Once("again", "1" * 64)),
        wanted(world, wish=Once("fresh", "2" * 64)),
        wanted(world, wish=Once("fresh", "2" * 64)),
        wanted(world, "sleep", seconds=1.0),
    ])  # fmt: skip
    codes = [one.code if isinstance(one, DermSynthError) else one.status for one in outcomes]
    assert codes == [
        202, "dataset_version_not_found", 202,
        "idempotency_in_progress",  # its key came within the same transaction
        202, "idempotency_in_progress", 202,
    ]  # fmt: skip
    answers = [one for one in outcomes if isinstance(one, Answer)]
    assert answers[1] == before
    for answer in answers:
        assert api.get(answer.headers["Location"]).json() == answer.body
    assert [answer.body["labels"] for answer in answers] == [["a"], [], [], []]
    assert [answer.body["queue_position"] for answer in answers] == [1, 0, 2, 3]
    assert len(api.get("/v1/jobs").json()["items"]) == 4
    (again,) = written([wanted(world, wish=Once("fresh", "2" * 64))])
    assert again == answers[2]


def test_a_limit_cuts_the_rest_off(world: World) -> None:
    written([wanted(world)])
    with world.sessions.begin() as session:
        session.execute(text("UPDATE tenants SET max_active_jobs = 3 WHERE name = 'default'"))
    version = world.version()
    export = wanted(world, "export", dataset_version_ids=[version.id])
    outcomes = written([export, wanted(world), export, wanted(world)])
    codes = [one.code if isinstance(one, DermSynthError) else one.status for one in outcomes]
    assert codes == [202, 202, "too_many_jobs", "too_many_jobs"]
    with world.sessions() as session:
        assert len(ids(session)) == 3
        assert sorted(session.scalars(select(JobEvent.job_id))) == ids(session)
        created = select(AuditEntry.target_id).where(AuditEntry.target_id.in_(ids(session)))
        (first,) = [one for one in outcomes[:1] if isinstance(one, Answer)]
        assert list(session.scalars(created)) == [first.body["id"]]


def test_without_room_for_what_they_make_none_is_kept(world: World) -> None:
    key = Once("again", "0" * 64)
    (before,) = written([wanted(world, wish=key)])
    with world.sessions.begin() as session:
        session.execute(text("UPDATE tenants SET max_bytes = 1, bytes_used = 1"))
    outcomes = written([wanted(world), wanted(world, wish=key), wanted(world)])
    assert outcomes[1] == before
    refused = [outcomes[0], outcomes[2]]
    assert [getattr(one, "code", "") for one in refused] == ["quota_exceeded"] * 2
    with world.sessions() as session:
        assert len(ids(session)) == 1


class Door:
    """Stands before :func:`written`: counts what comes together, and holds it until opened."""

    def __init__(self, work: Callable[..., Any] = written) -> None:
        self.sizes: list[int] = []
        self.opened = threading.Event()
        self.work = work

    def __call__(self, together: Sequence[Submission]) -> Any:
        self.sizes.append(len(together))
        assert self.opened.wait(SECONDS)
        return self.work(together)


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not true():
            await asyncio.sleep(0.01)


async def _occupy(service: Submissions, door: Door, world: World) -> list[asyncio.Task[Answer]]:
    """Have every writer of the tenant held at the door, with one submission each."""
    tasks = []
    for number in range(WRITERS):
        tasks.append(asyncio.create_task(service.answer(wanted(world))))
        await _until(lambda: len(door.sizes) > number)  # noqa: B023 - awaited within the round
    return tasks


def test_those_that_wait_are_written_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door()
    monkeypatch.setattr(submissions, "written", door)

    async def go() -> list[Answer]:
        service = Submissions(4, 1000, 60)
        tasks = await _occupy(service, door, world)
        tasks += [asyncio.create_task(service.answer(wanted(world))) for _ in range(TOGETHER + 3)]
        gone = asyncio.create_task(service.answer(wanted(world)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        door.opened.set()
        return await asyncio.gather(*tasks)

    answers = asyncio.run(go())
    assert len(door.sizes) <= WRITERS + 2
    assert sum(door.sizes) == WRITERS + TOGETHER + 3  # who went away is not written
    with world.sessions() as session:
        assert ids(session) == sorted(answer.body["id"] for answer in answers)


def test_one_that_the_database_refuses_does_not_harm_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(session: Session, *arguments: Any) -> Any:
        if arguments[-1] == ["bad"]:
            session.execute(text("SELECT 1 / 0"))
        return prepare(session, *arguments)

    door = Door()
    monkeypatch.setattr(submissions, "written", door)
    monkeypatch.setattr(submissions, "prepare", failing)

    async def go() -> list[Any]:
        service = Submissions(4, 1000, 60)
        tasks = await _occupy(service, door, world)
        labels = ("a", "bad", "b")
        tasks += [asyncio.create_task(service.answer(wanted(world, label=one))) for one in labels]
        await asyncio.sleep(0)
        door.opened.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(go())
    assert [isinstance(one, Answer) for one in outcomes[WRITERS:]] == [True, False, True]
    with world.sessions() as session:
        assert len(ids(session)) == WRITERS + 2


def test_who_waits_for_a_lock_keeps_no_other_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with every writer of the tenant at it."""
    door = Door()
    monkeypatch.setattr(submissions, "written", door)
    version = world.version()

    def locked() -> Submission:
        return wanted(world, "export", dataset_version_ids=[version.id])

    async def go() -> tuple[list[Answer], list[Answer]]:
        service = Submissions(8, 1000, 60)
        first = await _occupy(service, door, world)
        late = [asyncio.create_task(service.answer(locked())) for _ in range(2)]
        free = [asyncio.create_task(service.answer(wanted(world))) for _ in range(40)]
        await asyncio.sleep(0)
        with world.sessions() as holder:
            holder.scalars(
                select(DatasetVersion).where(DatasetVersion.id == version.id).with_for_update()
            ).one()
            door.opened.set()
            async with asyncio.timeout(SECONDS):
                told = await asyncio.gather(*first, *free)
            assert not any(task.done() for task in late)
        return told, await asyncio.gather(*late)

    told, late = asyncio.run(go())
    assert {answer.status for answer in [*told, *late]} == {202}


def test_a_fault_in_one_is_not_told_to_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(session: Session, *arguments: Any) -> Any:
        if arguments[-1] == ["bad"]:
            raise LookupError("a fault of ours")
        return prepare(session, *arguments)

    door = Door()
    monkeypatch.setattr(submissions, "written", door)
    monkeypatch.setattr(submissions, "prepare", failing)

    async def go() -> list[Any]:
        service = Submissions(4, 1000, 60)
        tasks = await _occupy(service, door, world)
        labels = ("bad", *"abcdefghijklmnopqrstuvwxyz" * 3)
        tasks += [asyncio.create_task(service.answer(wanted(world, label=one))) for one in labels]
        await asyncio.sleep(0)
        door.opened.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(go())
    assert [type(one) for one in outcomes if not isinstance(one, Answer)] == [LookupError]


def test_large_ones_are_not_written_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    monkeypatch.setattr(submissions, "written", door)

    async def go() -> None:
        service = Submissions(4, 1000, 60)
        tasks = await _occupy(service, door, world)
        sizes = [TOGETHER_BYTES // 2, TOGETHER_BYTES, 1, TOGETHER_BYTES - 2, 1, 1]
        for size in sizes:
            large = dataclasses.replace(wanted(world), size=size)
            tasks.append(asyncio.create_task(service.answer(large)))
        await asyncio.sleep(0)
        door.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(go())
    assert sorted(door.sizes[WRITERS:]) == [1, 2, 3]


def test_when_nobody_knows_whether_they_stand_they_are_not_written_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: Sequence[Submission]) -> Any:
        raise OperationalError("COMMIT", {}, ConnectionError("gone"))

    door = Door(lost)
    monkeypatch.setattr(submissions, "written", door)

    async def go() -> list[Any]:
        service = Submissions(4, 1000, 60)
        tasks = await _occupy(service, door, world)
        tasks += [asyncio.create_task(service.answer(wanted(world))) for _ in range(3)]
        await asyncio.sleep(0)
        door.opened.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert {type(one) for one in asyncio.run(go())} == {OperationalError}
    assert sum(door.sizes) == WRITERS + 3


def test_who_waits_too_long_or_in_too_long_a_queue_is_told_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door()
    monkeypatch.setattr(submissions, "written", door)

    async def go() -> None:
        service = Submissions(4, 2, 0.05)
        writing = await _occupy(service, door, world)
        waiting = [asyncio.create_task(service.answer(wanted(world))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="2 requests of yours wait"):
            await service.answer(wanted(world))
        for late in waiting:
            with pytest.raises(Unavailable, match=r"not begun after 0\.05 s"):
                await late
        door.opened.set()
        await asyncio.gather(*writing)  # what had begun is not given up
        await service.answer(wanted(world))

    asyncio.run(go())
    with world.sessions() as session:
        assert len(ids(session)) == WRITERS + 1
