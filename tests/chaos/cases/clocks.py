"""A worker whose host's clock is wrong: leases are on the database's clock, so nothing changes."""

from __future__ import annotations

import signal
import time

from tests.chaos.stack import Lab, Loss
from tests.integration.harness import eventually

HOUR = 3600.0


def clock_wrong(lab: Lab) -> None:
    """One worker is hours ahead, one hours behind; one dies, its job is taken over in time."""
    ahead, behind = lab.rng.uniform(25, 60) * HOUR, -lab.rng.uniform(0.1, 60) * HOUR
    lab.tally.notes["hours"] = [round(ahead / HOUR, 1), round(behind / HOUR, 1)]
    with lab.stack() as stack, stack.caller() as caller:
        stack.start_api()
        fast = stack.start_worker(slots=2, CHAOS_CLOCK_SECONDS=str(ahead))
        stack.start_worker(slots=2, CHAOS_CLOCK_SECONDS=str(behind))
        stack.wait_for_workers(2)
        direct = stack.volume / "staging" / "direct" / "upload_of_an_api"
        direct.mkdir(parents=True)
        upload = stack.volume / "uploads" / "upl_without_a_row_yet"
        upload.parent.mkdir(exist_ok=True)
        upload.touch()
        quiet = [caller.submit("sleep", {"seconds": 0.5}) for _ in range(lab.size.count(60, 6))]
        for job_id in quiet:
            stack.wait_for(job_id, "succeeded", "failed")
        odd = [j.id for j in stack.jobs(quiet) if (j.status, j.claims) != ("succeeded", 1)]
        lab.tally.expect(not odd, f"{len(odd)} jobs were disturbed by a wrong clock")
        ids = [caller.submit("sleep", {"seconds": 2}) for _ in range(4)]
        eventually(lambda: len(stack.running(fast.slot_names())) == 2, stack.size.patience)
        stack.losses += [Loss(job.id, stack.now()) for job in stack.running(fast.slot_names())]
        fast.signal_all(signal.SIGKILL)
        lab.tally.faults["wrong clock"] += 2
        lab.tally.faults["kill worker with wrong clock"] += 1
        stack.wait_for_all()
        odd = [j.id for j in stack.jobs(ids) if j.status != "succeeded"]
        lab.tally.expect(not odd, f"{len(odd)} jobs did not recover")
        time.sleep(2 * float(lab.size.settings["DERMSYNTH_REAPER_SECONDS"]))
        for young in (direct, upload):
            lab.tally.expect(
                young.exists(), f"a wrong clock removed {young.parent.name}, just made"
            )
