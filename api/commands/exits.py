"""What the exit codes of ``dermsynth`` mean."""

from __future__ import annotations

from enum import IntEnum

from api.client import (
    ApiProblem,
    ClientError,
    DownloadRefused,
    IncompleteImport,
    InvalidAddress,
    JobNotSucceeded,
    NoSuchDataset,
    SourceRefused,
    UploadFailed,
)


class Exit(IntEnum):
    """One meaning a code; README's table is this docstring's neighbour, :data:`MEANINGS`."""

    OK = 0
    JOB = 1
    USAGE = 2
    SERVER = 3
    UNAUTHORIZED = 4
    REFUSED = 5
    INTEGRITY = 6
    INTERRUPTED = 130
    PIPE = 141


MEANINGS: dict[Exit, str] = {
    Exit.OK: "done, and what was promised held",
    Exit.JOB: "the job failed or was canceled",
    Exit.USAGE: "wrong usage: an unknown option, a file that is not there, no server named",
    Exit.SERVER: "the server cannot be reached, is overloaded, or answers nonsense",
    Exit.UNAUTHORIZED: "no key, a wrong key, or a key without the right",
    Exit.REFUSED: "the server refused the request: invalid, not found, in conflict",
    Exit.INTEGRITY: "files are missing, a hash is wrong, or another file is in the way",
    Exit.INTERRUPTED: "interrupted (Ctrl-C); a running job goes on unless --cancel-on-interrupt",
    Exit.PIPE: "the reader of our output went away",
}
_BY_KIND: tuple[tuple[tuple[type[ClientError], ...], Exit], ...] = (
    ((JobNotSucceeded,), Exit.JOB),
    ((SourceRefused, InvalidAddress), Exit.USAGE),
    ((IncompleteImport, DownloadRefused), Exit.INTEGRITY),
    ((NoSuchDataset,), Exit.REFUSED),
)


class UsageError(ClientError):
    """The command line cannot be carried out as it is."""


def exit_of(error: BaseException) -> Exit:
    """Return the exit code for an error of the client."""
    if isinstance(error, UsageError):
        return Exit.USAGE
    if isinstance(error, UploadFailed) and isinstance(error.__cause__, ClientError):
        return exit_of(error.__cause__)
    if isinstance(error, ApiProblem):
        return _exit_of_status(error.status)
    for kinds, code in _BY_KIND:
        if isinstance(error, kinds):
            return code
    return Exit.SERVER


def _exit_of_status(status: int) -> Exit:
    if status in (401, 403):
        return Exit.UNAUTHORIZED
    if status >= 500 or status < 400 or status == 429:
        return Exit.SERVER
    return Exit.REFUSED


def epilog() -> str:
    """Return the table of exit codes for ``--help``."""
    return "exit codes:\n" + "\n".join(f"  {code:>3}  {text}" for code, text in MEANINGS.items())
