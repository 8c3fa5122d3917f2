"""Guarantee 9 and the slow disk."""

from __future__ import annotations

import os
import time

from core.ids import new_id
from tests.chaos.caller import Caller
from tests.chaos.stack import Lab, Stack
from tests.integration.small_disk import SmallDisk, small_disk

MIB = 1024**2
NO_RESERVE = {"DERMSYNTH_DISK_RESERVE_BYTES": "0", "DERMSYNTH_DISK_RESERVE_PERCENT": "0"}


def disk_full(lab: Lab) -> None:
    """Fill a disk of 64 MB, and free it again: typed refusals, nothing partial, no restart."""
    with small_disk(lab.folder / "disk", "64m") as disk, lab.stack(disk) as stack:
        stack.start_api(**NO_RESERVE)
        stack.start_worker(slots=2, **NO_RESERVE)
        stack.wait_for_workers(1)
        for _ in range(lab.size.count(10, 2)):
            _once(lab, stack, disk)


def _once(lab: Lab, stack: Stack, disk: SmallDisk) -> None:
    with stack.caller() as caller:
        before = caller.submit("sleep", {"seconds": 0.1})
        stack.wait_for(before, "succeeded")
        filler = disk.fill()
        lab.tally.faults["disk full"] += 1
        status = _upload(caller, lab, 8 * MIB)
        lab.tally.expect(status == 507, f"an upload on a full disk was answered {status}")
        ids = [caller.submit("sleep", {"seconds": 0.1}) for _ in range(2)]
        for job_id in ids:
            job = stack.wait_for(job_id, "failed", "succeeded")
            code = (job.error or {}).get("code")
            fine = (job.status, code) == ("failed", "storage_full")
            lab.tally.expect(fine, f"a job on a full disk {job.status} {code}")
        answer = caller.get(f"/v1/jobs/{before}")
        lab.tally.expect(answer.status_code == 200, "reading failed on a full disk")
        filler.unlink()
        status = _upload(caller, lab, 2 * MIB)
        lab.tally.expect(status == 204, f"an upload after a full disk was answered {status}")
        after = caller.submit("sleep", {"seconds": 0.1})
        job = stack.wait_for(after, "failed", "succeeded")
        lab.tally.expect(job.status == "succeeded", f"a job after a full disk {job.error}")
        lab.tally.problems += caller.broken


def _upload(caller: Caller, lab: Lab, size: int) -> int:
    """Announce and send an upload; returns the first refusal, else 204."""
    announced = {"length": size, "filename": f"{new_id('req')}.zip"}
    made = caller.request("POST", "/v1/uploads", json=announced)
    if made.status_code != 201:
        return made.status_code
    sent = caller.request(
        "PATCH",
        made.headers["Location"],
        content=os.urandom(size),
        headers={"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
    )
    return sent.status_code


def disk_slow(lab: Lab) -> None:
    """A disk that takes longer for a flush than a lease lasts: nothing is lost or done twice."""
    seconds = lab.size.lease * 1.2
    with lab.stack() as stack:
        stack.start_api()
        stack.start_worker(slots=2, CHAOS_FSYNC_SECONDS=str(seconds / 3))
        began = time.monotonic()
        ids = stack.submit_many(lab.size.count(10, 2), "sleep", seconds=0.7)
        stack.wait_for_all()
        lab.tally.faults["slow flush"] += len(ids)
        lab.tally.notes["flush_s"] = round(seconds / 3, 1)
        lab.tally.notes["seconds"] = round(time.monotonic() - began, 1)
        odd = [job.id for job in stack.jobs(ids) if (job.status, job.claims) != ("succeeded", 1)]
        lab.tally.expect(not odd, f"{len(odd)} jobs were disturbed by a slow disk")
