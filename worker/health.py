"""Health check of a worker container: ``python -m worker.health``; exit code 0 is healthy.

Unhealthy: this host has not reported itself lately, or due jobs of its queues have waited long
while it claims nothing. ``celery inspect ping`` would say neither.
"""

from __future__ import annotations

import socket
import sys

from core.db.repositories import workers
from core.db.session import sessions

SILENT_SECONDS = 60.0
IDLE_SECONDS = 300.0


def problem() -> str | None:
    """Return what is wrong with this host's workers, or None."""
    host = socket.gethostname()
    with sessions()() as session:
        queues = workers.queues_of_host(session, host, SILENT_SECONDS)
        if queues is None:
            return f"no worker of this host has reported for {SILENT_SECONDS:g} s"
        waiting = workers.count_waiting(session, queues, IDLE_SECONDS)
        running = workers.count_running(session, host)
    if waiting and not running:
        return f"idle while {waiting} due jobs wait on {', '.join(queues)}"
    return None


def main() -> None:
    wrong = problem()
    if wrong is not None:
        sys.exit(wrong)


if __name__ == "__main__":
    main()
