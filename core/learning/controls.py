"""What the controls of an experiment say: whether the tests that stand guard do their work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.learning.arms import COPYCAT


def copycat_member(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``controls.copycat`` of verdict.json from copycat.json."""
    told = {name: report[name] for name in ("made", "quarantined", "by_class", "quality")}
    return told | {"passed": len(report["passed"])}


def refused_arms(controls: Mapping[str, Any]) -> dict[str, str]:
    """Return why the arm of near-copies has no score, by its id; nothing when some passed."""
    copycat = controls.get("copycat")
    if not copycat or copycat["passed"]:
        return {}
    return {
        COPYCAT: f"the privacy gate kept all {copycat['made']} near-copies out of training, as it "
        "must: there is nothing to score"
    }


def control_warnings(controls: Mapping[str, Any]) -> list[str]:
    """Return what must be told when a guard did not do its work."""
    copycat = controls.get("copycat")
    if not copycat or not copycat["passed"]:
        return []
    return [
        f"The privacy gate let {copycat['passed']} of {copycat['made']} near-copies of real images "
        "pass that were declared new: what a generator copies may go unseen in this dataset, and "
        "the arm control_copycat was trained on them"
    ]
