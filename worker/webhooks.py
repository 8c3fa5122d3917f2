"""Sends web hooks: threads of a worker's main process, or ``python -m worker.webhooks`` alone.

Alone it needs a way out of the network and nothing else, so that workers which decode foreign
images need none. ``--check`` is its health check.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings, get_settings
from core.db.repositories.webhooks import Claim, forget_older
from core.db.session import sessions
from core.logs import set_up_logging
from core.services.webhook_sending import Post, claim_due, deliver
from core.webhooks.sending import post

log = logging.getLogger(__name__)

FORGET_SECONDS = 3600.0
SILENT_SECONDS = 120.0
ALIVE = Path(tempfile.gettempdir()) / "dermsynth-webhooks-alive"


class Sender:
    """Looks for due deliveries and sends each in a thread of its own.

    A web hook gets one delivery at a time, and those that fail share half of the threads: a slow
    receiver holds up itself alone.
    """

    def __init__(
        self, factory: sessionmaker[Session], settings: Settings, send: Post = post
    ) -> None:
        self._factory = factory
        self._settings = settings
        self._send = send
        self._lock = threading.Lock()
        self._busy = {True: 0, False: 0}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._forget_at = 0.0

    def run(self) -> None:
        """Work until :meth:`stop`."""
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self._start_due()
                self._forget()
            except SQLAlchemyError as error:
                log.warning("web hooks were disturbed: %s", error)
            except Exception:  # this thread must outlive every surprise
                log.exception("web hooks were disturbed")
            self._wake.wait(self._settings.webhook_poll_seconds)

    def stop(self) -> None:
        """Begin no further delivery."""
        self._stopping.set()
        self._wake.set()

    def wait(self, seconds: float) -> bool:
        """Wait for deliveries that are under way; False when some still are."""
        until = time.monotonic() + seconds
        while (busy := self._count()) and time.monotonic() < until:
            time.sleep(0.05)
        return not busy

    def _count(self) -> int:
        with self._lock:
            return sum(self._busy.values())

    def _start_due(self) -> None:
        half = self._settings.webhook_threads // 2
        for failing in (False, True):
            with self._lock:
                free = self._settings.webhook_threads - sum(self._busy.values())
                most = min(free, half - self._busy[True]) if failing else free
            for held in claim_due(self._factory, self._settings, failing=failing, most=most):
                self._start(held, failing)

    def _start(self, held: Claim, failing: bool) -> None:
        with self._lock:
            self._busy[failing] += 1
        name = f"webhook-{held.delivery_id}"
        threading.Thread(target=self._deliver, args=(held, failing), daemon=True, name=name).start()

    def _deliver(self, held: Claim, failing: bool) -> None:
        try:
            deliver(self._factory, self._settings, held, self._send)
        except SQLAlchemyError as error:
            # its lease runs out, then it is sent again: at least once
            log.warning("what came of %s could not be written: %s", held.delivery_id, error)
        except Exception:
            log.exception("%s was disturbed", held.delivery_id)
        finally:
            with self._lock:
                self._busy[failing] -= 1
            self._wake.set()

    def _forget(self) -> None:
        if time.monotonic() < self._forget_at:
            return
        self._forget_at = time.monotonic() + FORGET_SECONDS
        with self._factory.begin() as session:
            forget_older(session, self._settings.webhook_keep_days * 24 * 3600)


def start() -> None:
    """Start sending beside this process's other duties, unless the settings say no."""
    settings = get_settings()
    if settings.webhook_sender:
        sender = Sender(sessions(), settings)
        threading.Thread(target=sender.run, daemon=True, name="webhooks").start()


def healthy() -> bool:
    """Tell whether the sender of this host has been alive lately."""
    return ALIVE.is_file() and time.time() - ALIVE.stat().st_mtime < SILENT_SECONDS


def main() -> int:
    """Send until SIGTERM; with ``--check`` only tell whether somebody does."""
    parser = argparse.ArgumentParser(description="Send web hooks")
    parser.add_argument("--check", action="store_true", help="exit code 0: it is alive")
    if parser.parse_args().check:
        return 0 if healthy() else 1
    settings = get_settings()
    set_up_logging(settings)
    sender = Sender(sessions(), settings)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    thread = threading.Thread(target=sender.run, name="webhooks", daemon=True)
    thread.start()
    while not stopped.is_set() and thread.is_alive():
        ALIVE.touch()
        stopped.wait(min(10.0, settings.webhook_poll_seconds))
    sender.stop()
    thread.join(settings.webhook_timeout_seconds)
    finished = sender.wait(settings.webhook_timeout_seconds)
    ALIVE.unlink(missing_ok=True)
    return 0 if stopped.is_set() and finished else 1


if __name__ == "__main__":
    sys.exit(main())
