"""One job in one process, forked from the zygote; torch lives here and dies with it."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from typing import Any, NoReturn

from core.errors import DermSynthError, JobCancelled, JobFailed, OutOfMemory, StorageFull
from core.jobs.runtime import JobRuntime, JobTask, run_kind
from core.processes import die_with_parent, prefer_for_oom
from core.storage.blobs import disk_errors
from core.storage.space import is_full


class Link:
    """The socket to the supervisor: JSON lines, one way."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.setblocking(True)

    def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "log":
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            with suppress(OSError):  # a full disk costs a line of the log, not the job
                sys.stderr.write(f"{stamp} {message['message']}\n")
                sys.stderr.flush()
            return
        self._connection.sendall(json.dumps(message).encode() + b"\n")


class StopFlag:
    """Set by SIGTERM; job code sees it in check_cancelled()."""

    def __init__(self) -> None:
        self.raised = False
        signal.signal(signal.SIGTERM, self._raise)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _raise(self, *_: object) -> None:
        self.raised = True

    def __call__(self) -> bool:
        return self.raised


def main(task: int, connection: socket.socket, log: int, parent: int) -> NoReturn:
    """Run the task that a file holds and leave; never returns into the zygote's code."""
    code = 1
    try:
        stop = StopFlag()
        _become_job_process(log, parent)
        with os.fdopen(task, "rb") as file:
            given = JobTask.model_validate_json(file.read())
        code = _run(given, Link(connection), stop)
    except BaseException:  # whatever it is, it must not reach the zygote's loop
        _print_traceback()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)


def _become_job_process(log: int, parent: int) -> None:
    os.setsid()
    die_with_parent(parent)
    prefer_for_oom()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", force=True)
    random.seed()
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(int.from_bytes(os.urandom(4), "big"))


def _run(task: JobTask, link: Link, stop: StopFlag) -> int:
    link.send({"type": "log", "message": f"claim {task.attempt} of {task.kind} {task.job_id}"})
    try:
        if "torch" in sys.modules:
            import torch

            torch.set_num_threads(task.threads)
        with disk_errors():
            outcome = run_kind(JobRuntime(task, link.send, stop), task)
    except JobCancelled:
        link.send({"type": "stopped"})
        return 0
    except MemoryError:
        link.send(_error(OutOfMemory("The job ran out of memory")))
        return 0
    except DermSynthError as error:
        _print_traceback()
        link.send(_error(error))
        return 0
    except Exception as error:
        _print_traceback()
        if _is_gpu_memory(error):
            link.send(_error(OutOfMemory("The GPU ran out of memory")))
        elif is_full(task.data_dir):  # libraries have errors of their own for it
            link.send(_error(StorageFull(f"The disk is full: {type(error).__name__}")))
        else:
            detail = f"{type(error).__name__}; the traceback is in the job's log"
            link.send(_error(JobFailed(detail, code="internal_error")))
        return 0
    link.send({"type": "outcome", "outcome": outcome.model_dump(mode="json")})
    return 0


def _print_traceback() -> None:
    with suppress(OSError):  # the disk may be full: the error itself must still get out
        traceback.print_exc()
        sys.stderr.flush()


def _is_gpu_memory(error: Exception) -> bool:
    return type(error).__name__ == "OutOfMemoryError" and type(error).__module__ == "torch"


def _error(error: DermSynthError) -> dict[str, Any]:
    return {"type": "error", "problem": error.as_problem()}
