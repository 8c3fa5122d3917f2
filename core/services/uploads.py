"""Resumable uploads: the row's ``received`` is the truth, the file follows it."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from io import FileIO
from pathlib import Path
from threading import Lock

from sqlalchemy.orm import Session, sessionmaker

from core.config import get_settings
from core.db.models import Upload
from core.db.repositories import jobs, uploads
from core.errors import Conflict, InvalidInput, PayloadTooLarge, TooManyRequests
from core.ids import new_id
from core.services.audit import record
from core.services.inputs import upload_path
from core.services.principal import Principal, system
from core.services.quota import charge, require_room
from core.storage.blobs import BlobStore, disk_errors, flush, sha256_of

UPLOAD_RETRY_SECONDS = 60

Buffer = bytes | bytearray


def begin(
    session: Session, principal: Principal, *, length: int, sha256: str | None, filename: str
) -> Upload:
    """Announce an upload, all of whose bytes count from now on.

    PayloadTooLarge, TooManyRequests above the limits; StorageFull, QuotaExceeded when there is no
    room for it.
    """
    settings = get_settings()
    for limit in (settings.max_upload_bytes, settings.max_open_upload_bytes):
        if length > limit:
            raise PayloadTooLarge(
                f"An upload has at most {limit} bytes, this one {length}",
                extra={"limit_bytes": limit},
            )
    _check_room(session, principal, length)
    require_room(length)
    charge(session, principal.tenant_id, length)
    row = Upload(
        id=new_id("upl"),
        tenant_id=principal.tenant_id,
        filename=filename,
        length=length,
        sha256=sha256,
    )
    record(session, principal, "upload.create", "upload", row.id, {"length": length})
    return uploads.add(session, row, _ttl())


def _check_room(session: Session, principal: Principal, length: int) -> None:
    """Refuse an announcement when too much is announced and has not arrived."""
    settings = get_settings()
    count, announced = uploads.lock_open(session, principal)
    if count >= settings.max_open_uploads:
        raise TooManyRequests(
            f"{count} uploads are unfinished; the limit is {settings.max_open_uploads}. Finish "
            "one, or wait until one expires",
            code="too_many_uploads",
            retry_after=UPLOAD_RETRY_SECONDS,
        )
    if announced + length > settings.max_open_upload_bytes:
        raise TooManyRequests(
            f"{announced} bytes of unfinished uploads are announced; with {length} more the limit "
            f"of {settings.max_open_upload_bytes} is passed. Finish an upload first",
            code="too_many_upload_bytes",
            retry_after=UPLOAD_RETRY_SECONDS,
            extra={"limit_bytes": settings.max_open_upload_bytes},
        )


@dataclass(slots=True)
class Arrival:
    """A file that has arrived in one piece; ``wanted`` from when its row is about to be kept."""

    wanted: bool = False


@contextmanager
def arrival(path: Path) -> Iterator[Arrival]:
    """Put a file on the disk under its name; remove it at the end unless it is wanted.

    Whoever writes its row sets ``wanted`` before the commit: once that has been sent, nobody knows
    what became of it when the database goes away. A file that stays without a row is an orphan.
    """
    made = Arrival()
    try:
        _flush_name(path)
        yield made
    finally:
        if not made.wanted:
            path.unlink(missing_ok=True)


def record_whole(
    session: Session, principal: Principal, upload_id: str, *, length: int, filename: str
) -> Upload:
    """Write the row of an upload whose file has arrived in one piece; QuotaExceeded."""
    charge(session, principal.tenant_id, length)
    row = Upload(
        id=upload_id,
        tenant_id=principal.tenant_id,
        filename=filename,
        length=length,
        received=length,
        completed_at=jobs.database_now(session),
    )
    record(session, principal, "upload.complete", "upload", row.id, {"length": length})
    return uploads.add(session, row, _ttl())


def _ttl() -> timedelta:
    return timedelta(hours=get_settings().upload_ttl_hours)


def wrong_offset(upload: Upload) -> Conflict:
    """Return the refusal of a chunk that does not follow what is there."""
    return Conflict(
        f"The upload has {upload.received} of {upload.length} bytes",
        code="wrong_offset",
        extra={"upload_offset": upload.received, "headers": position(upload)},
    )


def position(upload: Upload) -> dict[str, str]:
    """Return the headers that tell how far an upload is."""
    return {"Upload-Offset": str(upload.received), "Upload-Length": str(upload.length)}


@dataclass(slots=True)
class Chunk:
    """An open place for the next bytes of one upload; nobody else can write to it.

    ``lock`` is held while the file is used. A request may be cancelled while a thread of it still
    writes: the file is closed after that, never under it, and not written to once it is closed
    (ValueError). A descriptor closed too early is soon that of another file. ``digest``: of the
    whole file so far; None when its beginning came with another request, or no hash was announced.
    """

    upload: Upload
    file: FileIO
    offset: int
    digest: hashlib._Hash | None
    lock: Lock = field(default_factory=Lock)

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Append; PayloadTooLarge for bytes beyond the announced length, StorageFull."""
        size = sum(map(len, pieces))
        if self.offset + size > self.upload.length:
            raise PayloadTooLarge(
                f"The upload was announced with {self.upload.length} bytes",
                code="upload_too_long",
            )
        require_room(size)
        with self.lock, disk_errors():
            for piece in pieces:
                self._append(piece)

    def _append(self, piece: Buffer) -> None:
        view = memoryview(piece)
        while view:
            written = os.pwrite(self.file.fileno(), view, self.offset)
            if self.digest is not None:
                self.digest.update(view[:written])
            self.offset += written
            view = view[written:]

    def close(self) -> None:
        """Let others write, once nobody uses the file any more."""
        with self.lock:
            self.file.close()


def _flush_name(path: Path) -> None:
    """Put the name of an upload on the disk, and that of its folder: a row will rely on them."""
    with disk_errors():
        for folder in (path.parent, path.parent.parent):
            flush(folder)


@contextmanager
def chunk(
    factory: sessionmaker[Session], principal: Principal, upload_id: str, offset: int
) -> Iterator[Chunk]:
    """Open an upload at ``offset``; Conflict when it is elsewhere, or being written to.

    The lock is on the file, so that it ends with the process, whatever happens to it.
    """
    with factory() as session:
        uploads.live(session, principal, upload_id)
    path = upload_path(upload_id)
    with disk_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    with file:
        _lock(file)
        with factory() as session:
            upload = uploads.live(session, principal, upload_id)
        if upload.completed_at is not None or upload.received != offset:
            raise wrong_offset(upload)
        _match_row(file, upload.received)
        hashed = offset == 0 and upload.sha256 is not None
        with closing(Chunk(upload, file, offset, hashlib.sha256() if hashed else None)) as part:
            yield part


def _lock(file: FileIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict(
            "Another request writes to this upload", code="upload_busy", retry_after=1
        ) from None


def _match_row(file: FileIO, received: int) -> None:
    """Cut off what a crashed process wrote and never recorded."""
    if os.fstat(file.fileno()).st_size < received:
        raise Conflict(
            "Bytes of this upload were lost on the server; begin a new one", code="upload_damaged"
        )
    file.truncate(received)


def save(factory: sessionmaker[Session], principal: Principal, part: Chunk) -> Upload:
    """Record what has arrived, durably; at full length the hash decides.

    InvalidInput ``checksum_mismatch``: the upload is empty again.
    """
    with part.lock:
        return _save(factory, principal, part)


def _save(factory: sessionmaker[Session], principal: Principal, part: Chunk) -> Upload:
    with disk_errors():
        os.fdatasync(part.file.fileno())
    if part.upload.received == 0:  # nothing relied on the name before
        _flush_name(upload_path(part.upload.id))
    whole = part.offset == part.upload.length
    mismatch = whole and _mismatch(part)
    with factory.begin() as session:
        upload = uploads.live(session, principal, part.upload.id, lock=True)
        upload.received = 0 if mismatch else part.offset
        if whole and not mismatch:
            upload.completed_at = jobs.database_now(session)
            details = {"length": upload.length}
            record(session, principal, "upload.complete", "upload", upload.id, details)
    if mismatch:
        part.file.truncate(0)
        raise InvalidInput(
            f"The bytes that arrived do not have the sha256 {upload.sha256}; send them again",
            code="checksum_mismatch",
            extra={"upload_offset": 0, "headers": position(upload)},
        )
    return upload


def _mismatch(part: Chunk) -> bool:
    expected, digest = part.upload.sha256, part.digest
    if expected is None:
        return False
    # read again only what came in several requests
    arrived = digest.hexdigest() if digest else sha256_of(upload_path(part.upload.id))
    return arrived != expected.lower()


def remove_expired(factory: sessionmaker[Session]) -> int:
    """Remove expired uploads that no unfinished job needs, rows first; returns how many."""
    with factory.begin() as session:
        gone = uploads.take_expired(session)
        for upload_id, tenant_id in gone:
            record(session, system(tenant_id), "upload.delete", "upload", upload_id)
    for upload_id, _ in gone:
        upload_path(upload_id).unlink(missing_ok=True)
    return len(gone)


def remove_orphans(factory: sessionmaker[Session]) -> None:
    """Remove old files without a row."""
    for path in orphans(factory):
        path.unlink(missing_ok=True)


def orphans(factory: sessionmaker[Session]) -> list[Path]:
    """Return old files without a row: their request died before it could write one."""
    # by the clock of the volume: that of this host may be wrong
    limit = BlobStore(upload_path("").parent).now() - _ttl().total_seconds()
    old = []
    with suppress(FileNotFoundError), os.scandir(upload_path("")) as files:
        for file in files:
            with suppress(FileNotFoundError):
                if file.is_file() and file.stat().st_mtime < limit:
                    old.append(file.name)
    if not old:
        return []
    with factory() as session:
        return [upload_path(name) for name in sorted(set(old) - uploads.known(session, old))]
