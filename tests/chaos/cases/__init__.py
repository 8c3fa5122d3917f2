"""All cases by name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.cases import (
    clocks,
    deaths,
    disks,
    ends,
    freezes,
    requests,
    servers,
    shards,
    transfers,
)
from tests.chaos.stack import Lab

CASES: dict[str, Callable[[Lab], None]] = {
    "api_killed": requests.api_killed,
    "worker_killed": deaths.worker_killed,
    "worker_frozen": freezes.worker_frozen,
    "unfenced_control": freezes.unfenced_control,
    "broker_lost": servers.broker_lost,
    "database_restarted": servers.database_restarted,
    "hints_tripled": servers.hints_tripled,
    "canceled": ends.canceled,
    "poisoned": ends.poisoned,
    "disk_full": disks.disk_full,
    "disk_slow": disks.disk_slow,
    "events_dropped": requests.events_dropped,
    "shards_killed": shards.shards_killed,
    "clock_wrong": clocks.clock_wrong,
    "drained": ends.drained,
    "rolling_restart": requests.rolling_restart,
    "transfers_restarted": transfers.transfers_restarted,
}
