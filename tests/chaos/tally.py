"""What a case has seen, and how the cases add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """Numbers of one case; ``problems`` are broken promises in words."""

    jobs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    stale_commits: int = 0
    stale_refused: int = 0
    worst_recovery: float = 0.0
    control_caught: bool | None = None
    problems: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def expect(self, holds: object, problem: str) -> None:
        """Note a broken promise; the case goes on."""
        if not holds:
            self.problems.append(problem)

    @property
    def ok(self) -> bool:
        counts = self.lost + self.doubled + self.stale_commits
        return not self.problems and not counts and self.control_caught is not False

    def row(self) -> dict[str, Any]:
        """Return this case as a row of ``by_fault``."""
        return {
            "jobs": self.jobs,
            "faults": dict(sorted(self.faults.items())),
            "lost": self.lost,
            "doubled": self.doubled,
            "stale_commits": self.stale_commits,
            "stale_refused": self.stale_refused,
            "worst_recovery_s": round(self.worst_recovery, 2),
            "seconds": round(self.seconds, 1),
            "notes": self.notes,
            "problems": self.problems,
            "ok": self.ok,
        }


def summary(
    seed: int, bound: float, rows: dict[str, dict[str, Any]], caught: bool
) -> dict[str, Any]:
    """Return the content of ``build/chaos.json``."""
    return {
        "seed": seed,
        "jobs": sum(row["jobs"] for row in rows.values()),
        "faults": sum(sum(row["faults"].values()) for row in rows.values()),
        "lost": sum(row["lost"] for row in rows.values()),
        "doubled": sum(row["doubled"] + row["stale_commits"] for row in rows.values()),
        "stale_refused": sum(row["stale_refused"] for row in rows.values()),
        "worst_recovery_s": max((row["worst_recovery_s"] for row in rows.values()), default=0.0),
        "recovery_bound_s": bound,
        "control_caught": caught,
        "by_fault": rows,
    }
