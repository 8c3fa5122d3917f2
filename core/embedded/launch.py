"""Becomes another program: as the identity asked for, and gone when its parent is gone.

Run as a script with nothing but the standard library, so that it costs 20 ms::

    python -I -S launch.py PARENT_PID SIGNAL IDENTITY PROGRAM [ARGUMENT ...]

IDENTITY is ``same``, ``namespace:UID:GID`` (a user namespace that shows this user under that id)
or ``user:UID:GID`` (that user, only root can). SIGNAL reaches the program when the thread that
started it dies; it is set last, for a change of credentials clears it. Exit 125: the parent had
already gone; 124: the identity was refused; 126: the program cannot be executed.
"""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
EXIT_IDENTITY, EXIT_ORPHAN, EXIT_PROGRAM = 124, 125, 126


def main(arguments: list[str]) -> int:
    """Execute the program; returns an exit code only when that failed."""
    parent, signal_number, identity, *program = arguments
    os.umask(0o077)
    try:
        _assume(identity)
    except OSError as error:
        print(f"cannot run as {identity}: {error}", file=sys.stderr)
        return EXIT_IDENTITY
    if not _die_with(int(parent), int(signal_number)):
        return EXIT_ORPHAN
    try:
        os.execv(program[0], program)  # noqa: S606
    except OSError as error:
        print(f"cannot execute {program[0]}: {error}", file=sys.stderr)
    return EXIT_PROGRAM


def _assume(identity: str) -> None:
    form, *ids = identity.split(":")
    if form == "same":
        return
    uid, gid = int(ids[0]), int(ids[1])
    if form == "namespace":
        _enter_namespace(uid, gid)
    else:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def _enter_namespace(uid: int, gid: int) -> None:
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER)")
    # Without "deny" the kernel refuses a group map that an unprivileged user writes.
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {outer_uid} 1"),
        ("gid_map", f"{gid} {outer_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 (pathlib costs 10 ms)
            file.write(text)


def _die_with(parent: int, signal_number: int) -> bool:
    """Ask for the signal at the parent's death; False when the parent is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    return os.getppid() == parent


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
