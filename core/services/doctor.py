"""Compares the database with the volume, and mends what can be mended without losing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.db.repositories import blob_references, consistency
from core.db.repositories.consistency import Counter
from core.services import garbage, staging, uploads
from core.services.audit import record
from core.services.blob_inspection import Blob, BlobInspection
from core.services.inputs import upload_path
from core.services.lifecycle import recount_children
from core.services.principal import NO_TENANT, system
from core.services.transaction import transaction
from core.storage.blobs import BlobStore

RESTORE = "restore it from a backup, or make its owner again"


@dataclass(slots=True)
class Finding:
    """One thing that is not as it ought to be; ``fix``: what was done, or what to do."""

    problem: str
    subject: str
    detail: str
    fix: str = ""
    mended: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was looked at, and what was found."""

    blobs: int
    bytes: int
    hashed: bool
    findings: list[Finding]

    @property
    def healthy(self) -> bool:
        """Tell whether nothing is left to be done."""
        return all(finding.mended for finding in self.findings)


class Doctor:
    """One examination; with ``mend`` also the treatment."""

    def __init__(
        self, factory: sessionmaker[Session], settings: Settings, *, mend: bool, hashing: bool
    ) -> None:
        self._factory = factory
        self._settings = settings
        self._store = BlobStore(settings.data_dir)
        self._mend = mend
        self._hashing = hashing
        self._removed: dict[str, int] = {}
        """How many files were taken away, by problem."""

    def examine(self) -> Diagnosis:
        """Look at everything; takes as long as reading all blobs once when they are hashed."""
        seen = BlobInspection(self._store, hashing=self._hashing)
        seen.look()
        findings = [
            *self._blobs(seen),
            *self._strangers(),
            *self._orphans(seen),
            *self._uploads(),
            *self._staging(),
            *self._counters(),
        ]
        self._tell()
        return Diagnosis(len(seen.blobs), seen.bytes, self._hashing, findings)

    def _tell(self) -> None:
        """Write into the audit log how much was removed or set aside; no hash of anybody's file."""
        if self._removed:
            with self._factory.begin() as session:
                by, details = system(NO_TENANT), dict(self._removed)
                record(session, by, "doctor.mend", "volume", "volume", details)

    # Blobs

    def _blobs(self, seen: BlobInspection) -> Iterator[Finding]:
        """Yield what is missing, damaged or of another size than its artifact says."""
        told: set[str] = set()
        with self._factory() as session:
            for reference in blob_references.certain(session):
                sha256 = reference.sha256
                blob = seen.blobs.get(sha256) or seen.look_again(sha256)
                if sha256 in told or (blob is not None and blob.whole):
                    continue
                told.add(sha256)
                owner = f"{reference.source} {reference.owner} needs it"
                if blob is not None:
                    yield self._damaged(blob, owner)
                elif blob_references.among(session, [sha256]):  # not deleted meanwhile
                    yield Finding("missing", sha256, owner, RESTORE)
            sizes = consistency.artifact_sizes(session)
        for artifact_id, sha256, size in sizes:
            blob = seen.blobs.get(sha256)
            if blob is not None and blob.size != size:
                detail = f"{size} bytes were recorded, the file has {blob.size}"
                yield Finding("wrong_size", artifact_id, detail, RESTORE)

    def _damaged(self, blob: Blob, owner: str) -> Finding:
        finding = Finding(
            "corrupted", blob.sha256, f"its bytes hash to {blob.found}; {owner}", RESTORE
        )
        if self._mend:
            target = self._store.set_aside(blob.sha256)
            if target is None:
                finding.mended, finding.fix = True, "it was published anew meanwhile"
            else:
                self._count(finding)
                finding.fix = f"set aside as {target}, so that nobody reads it; {RESTORE}"
        return finding

    def _strangers(self) -> Iterator[Finding]:
        for path in garbage.strangers(self._store):
            yield Finding("stranger", str(path), "it is no blob", "look at it, then remove it")

    def _orphans(self, seen: BlobInspection) -> Iterator[Finding]:
        """Yield blobs that nothing refers to and that are old enough to be garbage."""
        before = self._store.now() - self._settings.garbage_hours * 3600
        old = (blob.sha256 for blob in seen.blobs.values() if blob.modified < before)
        for blobs in garbage.batches(old, garbage.LOOK_AT):
            orphans = garbage.unreferenced(self._factory, blobs)
            for some in garbage.batches(orphans, garbage.REMOVE):
                yield from self._orphaned(some, before)

    def _orphaned(self, blobs: list[str], before: float) -> list[Finding]:
        findings = [Finding("orphaned", b, "nothing refers to it", "--mend") for b in blobs]
        if self._mend:
            try:
                garbage.remove(self._factory, self._store, blobs, before)
            except OperationalError:
                return findings  # commits are under way: the next collection takes them
            for finding in findings:
                finding.mended, finding.fix = True, "removed"
                self._count(finding)
        return findings

    # What lies beside the blobs

    def _uploads(self) -> Iterator[Finding]:
        with self._factory() as session:
            rows = consistency.uploads(session)
        for upload_id, received in rows:
            path = upload_path(upload_id)
            size = path.stat().st_size if path.is_file() else 0
            if size < received:
                detail = f"{received} bytes were received, the file has {size}"
                yield Finding("upload_damaged", upload_id, detail, "send it again")
        for path in uploads.orphans(self._factory):
            finding = Finding("upload_orphaned", path.name, "no upload has this file", "--mend")
            yield self._removal(finding, partial(path.unlink, missing_ok=True))

    def _staging(self) -> Iterator[Finding]:
        dead = staging.dead_staging(self._factory, self._store)
        for folder in dead:
            name = str(folder.relative_to(self._store.root))
            finding = Finding("dead_staging", name, "no attempt will come back to it", "--mend")
            yield self._removal(finding, partial(staging.remove, folder))

    def _counters(self) -> Iterator[Finding]:
        with self._factory() as session:
            wrong = consistency.wrong_counters(session)
        for counter in wrong:
            finding = Finding(
                "counter",
                f"{counter.table}.{counter.column} of {counter.row_id}",
                f"it says {counter.kept}, there are {counter.counted}",
                "--mend" if counter.mendable else "import or synthesize the version again",
            )
            if counter.mendable:
                self._treat(finding, partial(self._recount, counter))
            yield finding

    def _recount(self, counter: Counter) -> None:
        with transaction(self._factory) as session:
            if counter.table == "jobs":
                recount_children(session, counter.row_id)
            else:
                consistency.recount_tenant(session, counter)

    def _count(self, finding: Finding) -> None:
        self._removed[finding.problem] = self._removed.get(finding.problem, 0) + 1

    def _removal(self, finding: Finding, treat: Callable[[], object]) -> Finding:
        self._treat(finding, treat)
        if finding.mended:
            self._count(finding)
        return finding

    def _treat(self, finding: Finding, treat: Callable[[], object]) -> None:
        if self._mend:
            treat()
            finding.mended, finding.fix = True, "done"
