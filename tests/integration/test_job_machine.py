"""A random life of jobs under two workers that freeze, die, drain and come back too late."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from core.db.models import Job
from core.db.repositories.jobs import Lease
from core.errors import Conflict
from core.jobs.states import TERMINAL
from tests.integration.conftest import fresh_database
from tests.integration.engine import Engine
from tests.integration.engine import engine as made_engine

WORKERS = st.integers(0, 1)
PICK = st.integers(0, 10_000)
MOST_JOBS = 10


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder: Path = tmp_path_factory.mktemp("machine")
    with fresh_database() as url, made_engine(url, folder) as made:
        yield made


class Machine(RuleBasedStateMachine):
    """Two workers, each with the lease it believes in."""

    engine: ClassVar[Engine]

    def __init__(self) -> None:
        super().__init__()
        self.engine.reset()
        self.engine.submit()
        self.held: list[Lease | None] = [None, None]

    def jobs(self) -> list[Job]:
        return self.engine.all()

    def is_mine(self, lease: Lease) -> bool:
        job = self.engine.job(lease.job_id)
        return job.status == "running" and job.lease_token == lease.token

    @rule()
    def submit(self) -> None:
        if len(self.jobs()) < MOST_JOBS:
            self.engine.submit()

    @rule(worker=WORKERS, pick=PICK)
    def claim(self, worker: int, pick: int) -> None:
        """Follow a hint: to any job, in any state, also one that the other worker has."""
        found = self.jobs()
        if pick % 4:  # mostly a hint that is right
            found = [job for job in found if job.status == "queued"] or found
        if self.held[worker] is not None:
            worker = 1 - worker
        if self.held[worker] is None and found:
            job = found[pick % len(found)]
            self.held[worker] = self.engine.claim(job.id, f"w{worker}")
            if job.status != "queued" or job.pending_children:
                assert self.held[worker] is None

    def busy(self, worker: int) -> int:
        """Return this worker if it has a lease, else the other."""
        return worker if self.held[worker] is not None else 1 - worker

    @rule(worker=WORKERS)
    def beat(self, worker: int) -> None:
        worker = self.busy(worker)
        lease = self.held[worker]
        if lease is not None:
            mine = self.is_mine(lease)
            assert (self.engine.renew(lease) is not None) == mine
            if not mine:
                self.held[worker] = None

    @rule(worker=WORKERS, children=st.integers(0, 3))
    def commit(self, worker: int, children: int) -> None:
        worker = self.busy(worker)
        lease = self.held[worker]
        if lease is None:
            return
        job = self.engine.job(lease.job_id)
        deep = job.parent_id is not None and self.engine.job(job.parent_id).parent_id is not None
        if deep or len(self.jobs()) >= MOST_JOBS:
            children = 0
        mine = self.is_mine(lease)
        assert self.engine.commit(lease, children, artifact=not children) == mine
        self.held[worker] = None

    @rule(worker=WORKERS, how=st.sampled_from(["fail", "lose", "lose", "drain", "drain", "stop"]))
    def give_up(self, worker: int, how: str) -> None:
        worker = self.busy(worker)
        lease = self.held[worker]
        if lease is not None:
            mine = self.is_mine(lease)
            assert self.engine.give_up(lease, how) == mine
            self.held[worker] = None

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        found = self.jobs()
        if not found:
            return
        job = found[pick % len(found)]
        ended = job.status in ("succeeded", "failed")
        try:
            self.engine.cancel(job.id)
        except Conflict:
            assert ended
        else:
            assert not ended

    @rule(worker=WORKERS)
    @precondition(lambda self: any(self.held))
    def cancel_what_runs(self, worker: int) -> None:
        worker = self.busy(worker)
        lease = self.held[worker]
        if lease is not None and self.is_mine(lease):
            self.engine.cancel(lease.job_id)

    @rule(worker=WORKERS)
    @precondition(lambda self: any(self.held) and not all(self.held))
    def take_over(self, worker: int) -> None:
        """One worker freezes, the other gets its job; both believe that it is theirs."""
        worker = self.busy(worker)
        lease = self.held[worker]
        if lease is not None and self.is_mine(lease):
            self.freeze(worker)
            self.time_passes()
            self.held[1 - worker] = self.engine.claim(lease.job_id, f"w{1 - worker}")

    @rule(worker=WORKERS)
    @precondition(lambda self: any(self.held))
    def freeze(self, worker: int) -> None:
        """The worker stops for so long that its job is taken away; it still believes in it."""
        worker = self.busy(worker)
        lease = self.held[worker]
        if lease is not None:
            mine = self.is_mine(lease)
            if mine:
                self.engine.expire(lease.job_id)
            assert self.engine.reap(lease.job_id) == mine

    @rule()
    def time_passes(self) -> None:
        self.engine.make_due()

    @invariant()
    def counters_are_right(self) -> None:
        self.engine.check_invariants()

    def teardown(self) -> None:
        """Whatever has happened, everything can be called off and ends."""
        for job in self.jobs():
            if job.parent_id is None and job.status not in TERMINAL:
                self.engine.cancel(job.id)
        for lease in filter(None, self.held):
            self.engine.give_up(lease, "stop")
        for job in self.jobs():
            self.engine.expire(job.id)
            self.engine.reap(job.id)
        assert {job.status for job in self.jobs()} <= TERMINAL
        self.engine.check_invariants()


def test_two_workers_and_a_random_life(engine: Engine) -> None:
    Machine.engine = engine
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=int(os.environ.get("CHAOS_EXAMPLES", "10")),
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # a failure is read step by step; making it smaller is slow
            suppress_health_check=list(HealthCheck),
        ),
    )
