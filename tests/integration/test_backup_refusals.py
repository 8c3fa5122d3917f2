"""What a backup must refuse: what is not whole, what is not empty, what is newer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError

from core.backup import programs
from core.backup.create import create
from core.backup.errors import BackupFailure
from core.backup.manifest import backups_in
from core.backup.place import Place
from core.backup.restore import find, restore, verify
from core.config import get_settings
from core.db.models import Artifact, Worker
from core.db.repositories import blob_references, snapshots
from core.errors import Unauthorized
from core.services.browser_sessions import (
    authenticate_cookie,
    new_login_token,
    redeem_login_token,
)
from core.services.keys import create_key, ensure_tenant, has_keys, revoke_key
from core.services.principal import SCOPES, system
from core.storage.blobs import BlobStore
from tests.conftest import create_database, drop_database
from tests.integration.engine import Engine


def quiet(_: str) -> None:
    return


@pytest.fixture
def service(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A service with one job that has an artifact, and one job that a worker holds."""
    place = Place(empty_database, tmp_path / "data")
    monkeypatch.setenv("DERMSYNTH_DATA_DIR", str(place.data_dir))
    get_settings.cache_clear()
    engine = Engine(empty_database, place.data_dir)
    done, held = engine.submit(), engine.submit()
    lease = engine.claim(done)
    assert lease is not None
    engine.commit(lease, artifact=True)
    assert engine.claim(held) is not None
    engine.database.dispose()
    with place.sessions()() as session:
        sha256 = BlobStore(place.data_dir).add(b"what the artifact holds")
        session.execute(update(Artifact).values(sha256=sha256))
        session.commit()
    return place


@pytest.fixture
def other(fresh_database: str, tmp_path: Path) -> Iterator[Place]:
    """An empty target."""
    name = f"target_{tmp_path.name}"
    yield Place(create_database(name), tmp_path / "other")
    drop_database(name)


def test_a_backup_comes_back_and_interrupted_jobs_are_queued(
    service: Place, other: Place, tmp_path: Path
) -> None:
    made, manifest = create(service, tmp_path / "backups", quiet)
    assert manifest.damaged == ()
    restore(other, made, quiet)
    with other.sessions()() as session:
        rows = session.execute(text("SELECT status, uncounted FROM jobs ORDER BY id")).all()
        needed = [found.sha256 for found in blob_references.certain(session)]
        assert needed
        for sha256 in needed:
            BlobStore(other.data_dir).find(sha256)
        counted = session.execute(text("SELECT count(*) FROM job_measures")).scalar_one()
    assert [tuple(row) for row in rows] == [("succeeded", False), ("queued", True)]
    with service.sessions()() as session:
        # loading rows is no submission: what was counted is what was counted before
        assert counted == session.execute(text("SELECT count(*) FROM job_measures")).scalar_one()


@pytest.mark.parametrize(
    ("hurt", "code"),
    [
        ("blob", "backup_damaged"),
        ("dump", "backup_damaged"),
        ("sums", "backup_damaged"),
        ("manifest", "backup_incomplete"),
        ("newer", "backup_is_newer"),
    ],
)
def test_a_damaged_backup_changes_nothing(
    service: Place, other: Place, tmp_path: Path, hurt: str, code: str
) -> None:
    made, _ = create(service, tmp_path / "backups", quiet)
    manifest = made / "manifest.json"
    if hurt == "blob":
        victim = next(path for path in (made / "blobs").rglob("*") if path.is_file())
        victim.write_bytes(b"x" * victim.stat().st_size)
    elif hurt == "dump":
        (made / "database.dump").unlink()
    elif hurt == "sums":
        (made / "SHA256SUMS").write_text("")
    elif hurt == "newer":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"revision": "9999"}))
    else:
        manifest.unlink()
    with pytest.raises(BackupFailure) as refused:
        restore(other, made, quiet)
    assert refused.value.code == code
    assert not other.data_dir.exists()
    with other.sessions()() as session:
        assert not snapshots.has_tables(session)


def test_a_list_of_files_cannot_lead_out_of_the_backup(service: Place, tmp_path: Path) -> None:
    from core.backup.files import read_sums

    for name in ("../../etc/passwd", "/etc/passwd"):
        (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  {name}\n")
        with pytest.raises(BackupFailure):
            read_sums(tmp_path)


def test_a_target_that_holds_something_must_be_named(service: Place, tmp_path: Path) -> None:
    made, _ = create(service, tmp_path / "backups", quiet)
    with pytest.raises(BackupFailure, match="not empty") as refused:
        restore(service, made, quiet)
    assert refused.value.code == "backup_target_not_empty"
    restore(service, made, quiet, replace=True)


def test_a_database_with_live_workers_is_not_replaced(service: Place, tmp_path: Path) -> None:
    made, _ = create(service, tmp_path / "backups", quiet)
    with service.sessions().begin() as session:
        session.add(Worker(id="wrk_1", host="h", pid=1, queues=["cpu"], slots=1, available=[]))
    with pytest.raises(BackupFailure, match="Stop the service") as refused:
        restore(service, made, quiet, replace=True)
    assert refused.value.code == "backup_stack_runs"
    stopped = Place(service.database_url, service.data_dir, exclusive=True)
    restore(stopped, made, quiet, replace=True)


def test_an_aborted_backup_leaves_nothing_that_looks_whole(
    service: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups"
    monkeypatch.setattr(programs, "client_programs", lambda _: [])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupFailure) as refused:
        create(service, folder, quiet)
    assert refused.value.code == "backup_program_missing"
    assert backups_in(folder) == []
    (folder / ".2026-01-01.partial").mkdir()  # of one that was killed
    monkeypatch.undo()
    made, _ = create(service, folder, quiet)
    assert [path for path in folder.iterdir() if path.name != ".lock"] == [made]


def test_what_the_service_has_lost_is_told(service: Place, tmp_path: Path) -> None:
    blob = next(path for path in (service.data_dir / "blobs").rglob("*") if path.is_file())
    good, _ = create(service, tmp_path / "backups", quiet)
    blob.write_bytes(b"y" * blob.stat().st_size)
    shutil.rmtree(good)  # else the good copy of the earlier backup is taken
    made, manifest = create(service, tmp_path / "backups", quiet)
    assert [(Path(d.name).name, d.why) for d in manifest.damaged] == [(blob.name, "corrupt")]
    blob.unlink()
    made, manifest = create(service, tmp_path / "backups", quiet)
    assert [(Path(d.name).name, d.why) for d in manifest.damaged] == [(blob.name, "missing")]
    verify(made)
    assert find(tmp_path / "backups") == made


def test_rot_in_one_backup_does_not_go_into_the_next(service: Place, tmp_path: Path) -> None:
    said: list[str] = []
    first, _ = create(service, tmp_path / "backups", said.append)
    blob = next(path for path in (first / "blobs").rglob("*") if path.is_file())
    blob.write_bytes(b"y" * blob.stat().st_size)  # of the same size
    second, manifest = create(service, tmp_path / "backups", said.append)
    verify(second)
    assert manifest.damaged == ()
    assert [line for line in said if "damaged" in line] == [
        f"earlier_backup_damaged: {blob}, and where that is linked to"
    ]
    third, _ = create(service, tmp_path / "backups", quiet)
    name = blob.relative_to(first)
    assert (second / name).stat().st_ino == (third / name).stat().st_ino


def test_who_may_come_in_after_a_restore(service: Place, other: Place, tmp_path: Path) -> None:
    with service.sessions().begin() as session:
        tenant = ensure_tenant(session)
        key, _ = create_key(session, tenant.id, "clinic", SCOPES)
        cookie = redeem_login_token(session, new_login_token(session, tenant.id))
        link = new_login_token(session, tenant.id)
    made, _ = create(service, tmp_path / "backups", quiet)
    with service.sessions().begin() as session:
        revoke_key(session, system(tenant.id), key.id)
    _, entry = restore(other, made, quiet)
    assert (entry.sessions_ended, entry.keys_revoked) == (2, 0)
    assert entry.keys == (f"{key.id} {key.hint} clinic",)
    with other.sessions()() as session:
        with pytest.raises(Unauthorized):
            authenticate_cookie(session, cookie)
        with pytest.raises(Unauthorized):
            redeem_login_token(session, link)
        assert has_keys(session)
    _, entry = restore(other, made, quiet, replace=True, revoke_keys=True)
    assert (entry.keys_revoked, entry.keys) == (1, ())
    with other.sessions()() as session:
        assert not has_keys(session)
        told = session.execute(
            text(
                "SELECT action, actor_kind FROM audit_log WHERE target_id = :id"
                " AND action = 'key.revoke'"
            ),
            {"id": key.id},
        ).all()
    assert [tuple(row) for row in told] == [("key.revoke", "system")]


def test_garbage_collection_waits_for_a_backup(service: Place, tmp_path: Path) -> None:
    def collect(_: str) -> None:
        with service.sessions()() as session:
            try:
                blob_references.exclude(session, 0.05)
            except OperationalError:
                free.append(False)
            else:
                free.append(True)

    free: list[bool] = []
    create(service, tmp_path / "backups", collect)
    assert free
    assert not any(free)
    collect("")
    assert free[-1]


def test_the_password_is_not_on_the_command_line() -> None:
    address, password = programs.connection(
        "postgresql+psycopg://me:s%40cret@db.example:5433/derm?sslmode=require"
    )
    assert password == "s@cret"
    assert "cret" not in address
    assert set(address.split()) == {
        *("host=db.example", "port=5433", "user=me", "dbname=derm", "sslmode=require")
    }
