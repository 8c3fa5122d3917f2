"""The doctor finds every kind of damage, mends what is safe, and says what it cannot."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from api.cli import main
from core.config import Settings, get_settings
from core.db.models import Artifact, AuditEntry, Job, Tenant, Upload
from core.db.repositories.jobs import seconds_from_now
from core.db.session import engine as database
from core.db.session import forget_engine
from core.ids import new_id
from core.jobs.context import Artifact as StagedArtifact
from core.jobs.runtime import Outcome
from core.services.commit import commit_outcome
from core.services.doctor import Diagnosis, Doctor
from core.services.principal import NO_TENANT
from tests.integration.engine import Engine, engine


@pytest.fixture
def stack(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("DATABASE_URL", empty_database)
    monkeypatch.setenv("DERMSYNTH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DERMSYNTH_DIAGNOSTICS", "1")
    get_settings.cache_clear()
    forget_engine()
    with engine(empty_database, tmp_path) as made:
        yield made
    database().dispose()
    forget_engine()
    get_settings.cache_clear()


def examine(stack: Engine, *, mend: bool = False, hashing: bool = True) -> Diagnosis:
    settings = Settings(data_dir=stack.folder)
    return Doctor(stack.sessions, settings, mend=mend, hashing=hashing).examine()


def problems(found: Diagnosis) -> list[tuple[str, str, bool]]:
    return [(f.problem, f.subject, f.mended) for f in found.findings]


def artifact(stack: Engine, data: bytes, size: int | None = None) -> tuple[str, str]:
    """Publish an artifact; returns its id and its blob."""
    sha256 = stack.store.add(data)
    staged = StagedArtifact(
        id=new_id("art"), name="a", sha256=sha256,
        bytes=len(data) if size is None else size, media_type="text/plain",
    )  # fmt: skip
    job_id = stack.submit()
    lease = stack.claim(job_id)
    assert lease is not None
    made = Outcome(result={}, artifacts=(staged,), blobs=(sha256,))
    with stack.sessions.begin() as session:
        assert commit_outcome(session, lease, made, stack.store)
    return staged.id, sha256


def test_a_healthy_stack(stack: Engine) -> None:
    artifact(stack, b"fine")
    found = examine(stack)
    assert problems(found) == []
    assert (found.blobs, found.bytes, found.healthy) == (1, 4, True)


def test_a_missing_blob_is_named_with_its_owner_and_cannot_be_mended(stack: Engine) -> None:
    artifact_id, sha256 = artifact(stack, b"lost")
    stack.store.path(sha256).unlink()
    found = examine(stack, mend=True)
    assert problems(found) == [("missing", sha256, False)]
    assert artifact_id in found.findings[0].detail
    assert "backup" in found.findings[0].fix
    assert not found.healthy


def test_damaged_bytes_are_found_by_their_hash_and_set_aside(stack: Engine) -> None:
    _, sha256 = artifact(stack, b"good")
    stack.store.path(sha256).write_bytes(b"evil")
    assert problems(examine(stack, hashing=False)) == [], "the size is right"
    assert problems(examine(stack)) == [("corrupted", sha256, False)]
    assert problems(examine(stack, mend=True)) == [("corrupted", sha256, False)]
    assert (stack.folder / "damaged" / sha256).read_bytes() == b"evil"
    assert problems(examine(stack)) == [("missing", sha256, False)]
    stack.store.add(b"good")
    assert problems(examine(stack)) == []


def test_a_blob_that_was_published_anew_is_not_set_aside(stack: Engine) -> None:
    _, sha256 = artifact(stack, b"good")
    assert stack.store.set_aside(sha256) is None
    assert stack.store.find(sha256).read_bytes() == b"good"


def test_a_wrong_size_is_found_without_reading(stack: Engine) -> None:
    artifact_id, _ = artifact(stack, b"four", size=5)
    assert problems(examine(stack, hashing=False)) == [("wrong_size", artifact_id, False)]


def test_orphans_are_reported_once_they_are_old_and_mended_by_removal(stack: Engine) -> None:
    old, young = stack.store.add(b"old"), stack.store.add(b"young")
    past = stack.store.now() - 48 * 3600
    os.utime(stack.store.path(old), (past, past))
    assert problems(examine(stack)) == [("orphaned", old, False)]
    assert problems(examine(stack, mend=True)) == [("orphaned", old, True)]
    assert not stack.store.path(old).exists()
    assert stack.store.path(young).exists()


def test_dead_staging_and_lost_uploads_are_removed(stack: Engine) -> None:
    staging = stack.store.staging("job_nobody", 1)
    lost = stack.folder / "uploads" / "upl_nobody"
    for path in (staging, lost.parent):
        path.mkdir(parents=True)
    lost.touch()
    os.utime(lost, (1, 1))
    with stack.sessions.begin() as session:
        session.add(
            Upload(
                id="upl_cut", tenant_id=stack.principal.tenant_id, filename="a", length=10,
                received=10, expires_at=seconds_from_now(60),
            )
        )  # fmt: skip
        session.execute(update(Tenant).values(bytes_used=10))
    assert problems(examine(stack, mend=True)) == [
        ("upload_damaged", "upl_cut", False),
        ("upload_orphaned", "upl_nobody", True),
        ("dead_staging", "staging/job_nobody", True),
    ]
    assert not staging.exists() and not lost.exists()
    with stack.sessions() as session:
        (told,) = session.scalars(select(AuditEntry).where(AuditEntry.action == "doctor.mend"))
    assert (told.tenant_id, told.actor_id) == (NO_TENANT, "system")
    assert told.details == {"upload_orphaned": 1, "dead_staging": 1}


def test_files_that_are_no_blobs_are_named(stack: Engine) -> None:
    strange = stack.folder / "blobs" / "note.txt"
    strange.parent.mkdir()
    strange.touch()
    assert problems(examine(stack, mend=True)) == [("stranger", str(strange), False)]
    assert strange.exists()


def test_counters_are_counted_anew(stack: Engine) -> None:
    artifact(stack, b"12345")
    stack.submit()
    tenant = stack.principal.tenant_id
    with stack.sessions.begin() as session:
        session.execute(update(Tenant).values(jobs_active=7, bytes_used=-3))
    expected = [
        ("counter", f"tenants.{column} of {tenant}") for column in ("jobs_active", "bytes_used")
    ]
    assert [p[:2] for p in problems(examine(stack))] == expected
    assert [f.mended for f in examine(stack, mend=True).findings] == [True, True]
    with stack.sessions() as session:
        row = session.execute(select(Tenant.jobs_active, Tenant.bytes_used)).one()
    assert tuple(row) == (1, 5)
    assert problems(examine(stack)) == []


def test_a_parent_that_waits_for_nobody_goes_on(stack: Engine) -> None:
    parent = stack.submit()
    lease = stack.claim(parent)
    assert lease is not None and stack.commit(lease, children=1)
    child = stack.claim(stack.children(parent)[0])
    assert child is not None and stack.commit(child)
    with stack.sessions.begin() as session:
        session.execute(
            update(Job)
            .where(Job.id == parent)
            .values(pending_children=1, status="running", lease_token=None)
        )
    found = examine(stack, mend=True)
    assert problems(found) == [("counter", f"jobs.pending_children of {parent}", True)]
    assert (stack.job(parent).status, stack.job(parent).pending_children) == ("queued", 0)
    stack.check_invariants()


def test_the_command_prints_a_document_and_tells_by_its_exit_code(
    stack: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact(stack, b"fine")
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["healthy"] is True
    with stack.sessions.begin() as session:
        session.execute(update(Tenant).values(bytes_used=0))
    assert main(["doctor", "--quick"]) == 1
    assert "bytes_used" in capsys.readouterr().out
    assert main(["doctor", "--mend", "--gc", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["findings"][0]["mended"], told["housekeeping"]["garbage"]["removed"]) == (True, 0)
    with stack.sessions.begin() as session:
        stack.store.path(session.scalars(select(Artifact.sha256)).one()).unlink()
    assert main(["doctor"]) == 1
    assert "missing" in capsys.readouterr().out


def test_the_command_says_what_is_wrong_without_a_database(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("DERMSYNTH_DATA_DIR", str(tmp_path))
    get_settings.cache_clear()
    forget_engine()
    assert main(["doctor"]) == 3
    assert "server's host" in capsys.readouterr().err
    forget_engine()
    get_settings.cache_clear()
