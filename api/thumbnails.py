"""Thumbnails of one API process: a few processes beside it, shared by tenants in turn."""

from __future__ import annotations

from pathlib import Path

from anyio import CapacityLimiter, to_thread

from api.fair_places import FairPlaces
from core.config import Settings
from core.ingest.shrinking import Shrinker
from core.services import thumbnails
from core.storage.blobs import BlobStore

MOST_WAITING = 200
"""Of one tenant: a page of images asks for all of them at once."""
WAIT_SECONDS = 10.0


class ThumbnailMaker:
    """Makes thumbnails; who waits for one takes no thread from other requests."""

    def __init__(self, settings: Settings) -> None:
        processes = settings.thumbnail_processes
        limits = thumbnails.limits(settings)
        self._idle = [Shrinker(limits) for _ in range(processes)]
        self._processes = processes
        self._places = FairPlaces(processes, MOST_WAITING, WAIT_SECONDS)
        self._threads: CapacityLimiter | None = None

    async def make(self, tenant_id: str, store: BlobStore, sha256: str, size: int) -> Path:
        """Return a thumbnail that is not there yet; Unavailable while too many are made."""
        async with self._places.place(tenant_id):
            if self._threads is None:
                self._threads = CapacityLimiter(self._processes)
            shrinker = self._idle.pop()
            try:
                return await to_thread.run_sync(
                    thumbnails.make, shrinker, store, sha256, size, limiter=self._threads
                )
            finally:
                self._idle.append(shrinker)

    def close(self) -> None:
        """End the processes that have nothing to do; all others end with this one."""
        for shrinker in self._idle:
            shrinker.close()
