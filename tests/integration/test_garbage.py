"""Garbage collection: whatever the order of events, what can be read is there."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, select, text

from core.config import Settings, get_settings
from core.db.models import Artifact, Asset, Job, JobBlob
from core.db.repositories import blob_references, jobs
from core.errors import BlobVanished
from core.ids import new_id
from core.jobs.context import Artifact as StagedArtifact
from core.jobs.context import AssetDraft
from core.jobs.runtime import Outcome
from core.services import garbage
from core.services.commit import commit_outcome, hold
from core.services.garbage import collect
from core.services.housekeeping import STAMP, keep_house
from core.storage.blobs import BlobStore, stage
from tests.integration.engine import Engine, engine
from tests.integration.harness import eventually

OLD = 48 * 3600.0
DAY = 24 * 3600.0


@pytest.fixture
def stack(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("DERMSYNTH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DERMSYNTH_DIAGNOSTICS", "1")
    get_settings.cache_clear()
    with engine(empty_database, tmp_path) as made:
        yield made
    get_settings.cache_clear()


def age(stack: Engine, *blobs: str) -> None:
    past = stack.store.now() - OLD
    for sha256 in blobs:
        os.utime(stack.store.path(sha256), (past, past))


def add(stack: Engine, data: bytes) -> str:
    sha256 = stack.store.add(data)
    age(stack, sha256)
    return sha256


def exists(stack: Engine, sha256: str) -> bool:
    return stack.store.path(sha256).is_file()


def artifact(sha256: str, name: str = "a") -> StagedArtifact:
    return StagedArtifact(
        id=new_id("art"), name=name, sha256=sha256, bytes=1, media_type="text/plain"
    )


def keep_as_artifact(stack: Engine, sha256: str) -> str:
    job_id = stack.submit()
    lease = stack.claim(job_id)
    assert lease is not None
    made = Outcome(result={}, artifacts=(artifact(sha256),), blobs=(sha256,))
    with stack.sessions.begin() as session:
        assert commit_outcome(session, lease, made, stack.store)
    age(stack, sha256)
    return job_id


def test_only_what_is_old_and_unreferenced_goes_and_its_thumbnails_with_it(stack: Engine) -> None:
    unused, kept, young = (add(stack, name.encode()) for name in ("unused", "kept", "young"))
    os.utime(stack.store.path(young))
    keep_as_artifact(stack, kept)
    for sha256 in (unused, kept):
        picture = stack.store.thumbnail(sha256, 64)
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.touch()
    found = collect(stack.sessions, stack.store, DAY)
    assert (found.looked_at, found.removed, found.bytes, found.busy) == (2, 1, len("unused"), 0)
    assert [exists(stack, b) for b in (unused, kept, young)] == [False, True, True]
    assert not stack.store.thumbnail(unused, 64).exists()
    assert stack.store.thumbnail(kept, 64).exists()


def test_files_that_are_no_blobs_are_left_alone(stack: Engine) -> None:
    strange = stack.store.path("0" * 64).with_name("readme.txt")
    strange.parent.mkdir(parents=True)
    strange.touch()
    os.utime(strange, (1, 1))
    assert collect(stack.sessions, stack.store, DAY).removed == 0
    assert strange.exists()
    assert list(garbage.strangers(stack.store)) == [strange]


def test_what_shards_publish_is_kept_until_the_whole_tree_has_ended(stack: Engine) -> None:
    shard_blob = add(stack, b"of a shard")
    parent = stack.submit()
    lease = stack.claim(parent)
    assert lease is not None and stack.commit(lease, children=2)
    first, second = stack.children(parent)
    child = stack.claim(first)
    assert child is not None
    with stack.sessions.begin() as session:
        made = Outcome(result={}, blobs=(shard_blob,))
        assert commit_outcome(session, child, made, stack.store)
    age(stack, shard_blob)
    collect(stack.sessions, stack.store, DAY)
    assert exists(stack, shard_blob), "its sibling runs, the parent will need it"
    other = stack.claim(second)
    assert other is not None and stack.commit(other)
    merge = stack.claim(parent)
    assert merge is not None
    collect(stack.sessions, stack.store, DAY)
    assert exists(stack, shard_blob), "the parent merges"
    assert stack.commit(merge)
    keep_house(stack.sessions, Settings(data_dir=stack.folder))
    assert not exists(stack, shard_blob), "nothing was made of it"
    with stack.sessions() as session:
        assert session.scalars(select(JobBlob.job_id)).all() == []


def test_what_an_unfinished_job_mentions_is_kept(stack: Engine) -> None:
    named = {name: add(stack, name.encode()) for name in ("inputs", "checkpoint", "params")}
    job_id = stack.submit()
    with stack.sessions.begin() as session:
        job = session.get_one(Job, job_id)
        job.inputs = {**job.inputs, "models": {"m": {"files": {"x": named["inputs"]}}}}
        job.params = {"images": [{"sha256": named["params"]}]}
        job.checkpoint = {"parts": [named["checkpoint"]]}
    collect(stack.sessions, stack.store, DAY)
    assert all(exists(stack, sha256) for sha256 in named.values())
    stack.cancel(job_id)
    collect(stack.sessions, stack.store, DAY)
    assert not any(exists(stack, sha256) for sha256 in named.values())


def test_the_files_of_an_asset_are_kept_until_it_is_deleted(stack: Engine) -> None:
    mesh = add(stack, b"mesh")
    lease = stack.claim(stack.submit())
    assert lease is not None
    draft = AssetDraft(
        id=new_id("ast"),
        kind="body",
        name="x",
        licence="",
        group_ids=("g",),
        files={"mesh": mesh},
        info={},
    )
    with stack.sessions.begin() as session:
        made = Outcome(result={}, assets=(draft,), blobs=(mesh,))
        assert commit_outcome(session, lease, made, stack.store)
    age(stack, mesh)
    assert collect(stack.sessions, stack.store, DAY).removed == 0
    with stack.sessions.begin() as session:
        session.delete(session.get_one(Asset, draft.id))
    assert collect(stack.sessions, stack.store, DAY).removed == 1


def test_publishing_again_makes_an_old_blob_young(stack: Engine) -> None:
    sha256 = add(stack, b"again")
    folder = stack.folder / "staging" / "x"
    for staged in (True, False):
        age(stack, sha256)
        if staged:
            stage(b"again", folder)
        stack.store.publish(folder, [sha256])
        assert collect(stack.sessions, stack.store, DAY).removed == 0


def test_a_commit_of_a_blob_that_has_been_collected_is_refused(stack: Engine) -> None:
    sha256 = add(stack, b"too late")
    job_id = stack.submit()
    lease = stack.claim(job_id)
    assert lease is not None
    collect(stack.sessions, stack.store, DAY)
    made = Outcome(result={}, artifacts=(artifact(sha256),), blobs=(sha256,))
    with pytest.raises(BlobVanished), stack.sessions.begin() as session:
        commit_outcome(session, lease, made, stack.store)
    assert stack.job(job_id).status == "running"
    assert stack.artifacts(job_id) == 0


def test_a_collection_waits_for_no_commit_and_loses_nothing(
    stack: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "WAIT_SECONDS", 0.05)
    sha256 = add(stack, b"held")
    with stack.sessions.begin() as session:
        hold(session, stack.store, [sha256])
        age(stack, sha256)
        found = collect(stack.sessions, stack.store, DAY)
        assert (found.busy, found.removed) == (1, 0)
    assert collect(stack.sessions, stack.store, DAY).removed == 1


def test_a_commit_between_look_and_removal_keeps_the_blob(
    stack: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blob is found unreferenced, then committed, then about to be removed."""
    sha256 = add(stack, b"in between")
    look = garbage.unreferenced

    def look_then_commit(*arguments: object) -> list[str]:
        found = look(*arguments)  # type: ignore[arg-type]
        keep_as_artifact(stack, sha256)
        return found

    monkeypatch.setattr(garbage, "unreferenced", look_then_commit)
    assert collect(stack.sessions, stack.store, DAY).removed == 0
    assert exists(stack, sha256)


def race(stack: Engine, seed: int, holding: bool, removals: int) -> list[str]:
    """Publish, commit, delete and collect at once, with nothing too young to be collected.

    Ends after so many removals; returns the committed blobs that are gone then.
    """
    stop = threading.Event()
    counts = {"commits": 0, "removed": 0}
    pool = [f"{seed}-{number}".encode() for number in range(20)]
    job_id = stack.submit()

    def write(number: int) -> None:
        rng = random.Random(f"{seed}:{number}")
        folder = stack.folder / "staging" / f"writer{number}"
        while not stop.is_set():
            data = rng.choice(pool)
            sha256 = hashlib.sha256(data).hexdigest()
            if not exists(stack, sha256) or rng.random() < 0.3:
                stage(data, folder)
                stack.store.publish(folder, [sha256])
            time.sleep(rng.random() * 0.004)
            row = Artifact(tenant_id=stack.principal.tenant_id, job_id=job_id)
            for name, value in artifact(sha256, new_id("art")).model_dump().items():
                setattr(row, name, value)
            try:
                with stack.sessions.begin() as session:
                    if holding:
                        hold(session, stack.store, [sha256])
                    time.sleep(rng.random() * 0.004)
                    session.add(row)
            except BlobVanished:
                continue
            counts["commits"] += 1
            if rng.random() < 0.9:
                with stack.sessions.begin() as session:
                    session.execute(delete(Artifact).where(Artifact.id == row.id))

    def sweep() -> None:
        while not stop.is_set():
            counts["removed"] += collect(stack.sessions, stack.store, -60.0).removed

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    threads += [threading.Thread(target=sweep) for _ in range(2)]
    for thread in threads:
        thread.start()
    eventually(lambda: counts["removed"] >= removals and counts["commits"] >= 2 * removals)
    stop.set()
    for thread in threads:
        thread.join()
    with stack.sessions() as session:
        kept = set(session.scalars(select(Artifact.sha256)))
    return [sha256 for sha256 in kept if not exists(stack, sha256)]


def test_commits_and_collections_at_once_lose_no_blob(stack: Engine) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    assert race(stack, seed, holding=True, removals=25) == []


def test_the_race_is_real_without_the_lock(stack: Engine) -> None:
    """The control: the same without holding blobs loses some."""
    assert any(race(stack, seed, holding=False, removals=10) for seed in range(100))


def test_a_collection_that_has_lost_its_lock_removes_nothing_more(
    stack: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is frozen is cut off by the database, and finds commits of others when it goes on."""
    unused = sorted(add(stack, name.encode()) for name in ("first", "second", "third"))
    unlink = garbage._unlink

    def cut_off_after_the_first(store: BlobStore, sha256: str, before: float) -> int | None:
        size = unlink(store, sha256, before)
        with stack.sessions.begin() as session:
            session.execute(
                text(
                    """SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    """
                )
            )
        return size

    with monkeypatch.context() as patch:
        patch.setattr(garbage, "_unlink", cut_off_after_the_first)
        found = collect(stack.sessions, stack.store, DAY)
    assert found.removed == 0 and found.busy == len(unused), "what it did is not known: for later"
    assert [exists(stack, sha256) for sha256 in unused] == [False, True, True]
    assert collect(stack.sessions, stack.store, DAY).removed == 2


def test_a_round_is_done_once_and_by_one(stack: Engine) -> None:
    settings = Settings(data_dir=stack.folder)
    assert keep_house(stack.sessions, settings, due_only=True) is not None
    assert keep_house(stack.sessions, settings, due_only=True) is None, "not due"
    past = time.time() - settings.housekeeping_hours * 3600 - 60
    os.utime(stack.folder / STAMP, (past, past))
    assert keep_house(stack.sessions, settings, due_only=True) is not None
    import fcntl

    with (stack.folder / STAMP).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert keep_house(stack.sessions, settings) is None, "another is at it"


def test_the_lock_of_writers_is_shared(stack: Engine) -> None:
    with stack.sessions.begin() as one, stack.sessions.begin() as two:
        blob_references.share(one)
        blob_references.share(two)
        assert jobs.database_now(two)
