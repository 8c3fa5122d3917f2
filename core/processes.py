"""Small facts of Linux processes that worker and decoders rely on."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when its parent's thread ends.

    ``parent`` is the pid that the caller knows; if it is gone already, this process ends now.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(1)


def prefer_for_oom(score: int = 500) -> None:
    """Make the kernel end this process rather than its supervisor when memory runs out."""
    Path("/proc/self/oom_score_adj").write_text(str(score))
