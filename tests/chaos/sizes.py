"""How large a campaign is, and with which timings of the engine."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Size:
    """``part`` of the counts that the guarantees name; engine settings; how long waits may take."""

    name: str
    part: float
    settings: dict[str, str] = field(default_factory=dict)
    patience: float = 120.0
    boot_allowance: float = 0.0
    """Added to the bound of a recovery where a host shares its cores with other tests."""

    @property
    def lease(self) -> float:
        return float(self.settings["DERMSYNTH_LEASE_SECONDS"])

    @property
    def formula(self) -> float:
        """Return lease + reaper + the longest backoff of a second or third attempt."""
        names = ("LEASE", "REAPER", "BACKOFF_MAX")
        return sum(float(self.settings[f"DERMSYNTH_{name}_SECONDS"]) for name in names)

    def count(self, whole: int, least: int = 1) -> int:
        """Return this size's part of the number that a guarantee names."""
        return max(least, round(whole * self.part))


SMALL = Size(
    "small",
    0.1,
    {
        "DERMSYNTH_LEASE_SECONDS": "2",
        "DERMSYNTH_HEARTBEAT_SECONDS": "0.3",
        "DERMSYNTH_REAPER_SECONDS": "0.5",
        "DERMSYNTH_BACKOFF_SECONDS": "0.2",
        "DERMSYNTH_BACKOFF_MAX_SECONDS": "0.4",
        "DERMSYNTH_HINT_AGE_SECONDS": "1",
        "DERMSYNTH_KILL_GRACE_SECONDS": "1",
        "DERMSYNTH_EVENT_POLL_SECONDS": "0.1",
    },
    boot_allowance=20.0,
)
FULL = Size(
    "full",
    1.0,
    {
        "DERMSYNTH_LEASE_SECONDS": "60",
        "DERMSYNTH_HEARTBEAT_SECONDS": "1",
        "DERMSYNTH_REAPER_SECONDS": "15",
        "DERMSYNTH_BACKOFF_SECONDS": "5",
        "DERMSYNTH_BACKOFF_MAX_SECONDS": "10",
        "DERMSYNTH_HINT_AGE_SECONDS": "5",
        "DERMSYNTH_KILL_GRACE_SECONDS": "5",
        "DERMSYNTH_EVENT_POLL_SECONDS": "0.5",
    },
    patience=600.0,
)
SIZES = {size.name: size for size in (SMALL, FULL)}
