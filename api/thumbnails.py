"""Thumbnails of one API process: a few processes beside it, shared by tenants in turn."""

from __future__ import annotations

from pathlib import Path
from threading import Condition

from anyio import CapacityLimiter, to_thread

from api.fair_places import RETRY_SECONDS, FairPlaces
from api.known_failures import KnownFailures
from core.config import Settings
from core.errors import Unavailable
from core.ingest.rejects import Rejected
from core.ingest.shrinking import Shrinker
from core.services import thumbnails
from core.storage.blobs import BlobStore

MOST_WAITING = 200
"""Of one tenant: a page of images asks for all of them at once."""
WAIT_SECONDS = 10.0
FAILED_SECONDS = 300.0
"""So long an image that could not be shrunk is not tried again."""


class ThumbnailMaker:
    """Makes thumbnails; who waits for one takes no thread from other requests."""

    def __init__(self, settings: Settings) -> None:
        processes = settings.thumbnail_processes
        limits = thumbnails.limits(settings)
        self._idle = [Shrinker(limits) for _ in range(processes)]
        self._closed = False
        self._changed = Condition()
        """Guards the two above."""
        self._places = FairPlaces(processes, MOST_WAITING, WAIT_SECONDS)
        self._failures = KnownFailures(FAILED_SECONDS)
        self._threads = CapacityLimiter(processes)

    async def make(self, tenant_id: str, store: BlobStore, sha256: str, size: int) -> Path:
        """Return a thumbnail that is not there yet; Unavailable while too many are made.

        InvalidInput ``no_thumbnail`` when the image cannot be shrunk, or could not a moment ago.
        """
        name = f"{sha256}_{size}"
        self._check(name)
        async with self._places.place(tenant_id):
            self._check(name)  # again: it may have failed while this waited
            try:
                return await to_thread.run_sync(
                    self._make, store, sha256, size, limiter=self._threads
                )
            except Rejected as reason:
                self._failures.keep(name, reason)
                raise thumbnails.refusal(reason) from None

    def _check(self, name: str) -> None:
        reason = self._failures.find(name)
        if reason is not None:
            raise thumbnails.refusal(reason)

    def _make(self, store: BlobStore, sha256: str, size: int) -> Path:
        """Run in a thread, which goes on when the request is cancelled: it gives back itself."""
        shrinker = self._take()
        try:
            return thumbnails.make(shrinker, store, sha256, size)
        finally:
            self._give_back(shrinker)

    def _take(self) -> Shrinker:
        """Wait for a process that a cancelled request may still have."""
        with self._changed:
            self._changed.wait_for(lambda: self._idle or self._closed)
            if self._closed:
                raise Unavailable(
                    "The service is being restarted; ask again soon",
                    code="restarting",
                    retry_after=RETRY_SECONDS,
                )
            return self._idle.pop()

    def _give_back(self, shrinker: Shrinker) -> None:
        with self._changed:
            if self._closed:
                shrinker.close()
            else:
                self._idle.append(shrinker)
                self._changed.notify()

    def close(self) -> None:
        """End the processes: those with nothing to do now, each other one after its picture."""
        with self._changed:
            self._closed = True
            while self._idle:
                self._idle.pop().close()
            self._changed.notify_all()
