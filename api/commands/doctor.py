"""doctor: does what the database says lie on the volume? On the server's host only."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from api.commands.exits import Exit
from api.commands.options import add_common
from api.commands.session import Session
from api.commands.terminal import table

if TYPE_CHECKING:
    from core.services.doctor import Diagnosis


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "doctor",
        help="on the server's host only: check the database against the volume",
        description="Exit code 1: something was found, and with --mend could not be mended.",
    )
    parser.add_argument(
        "--mend", action="store_true", help="mend what is safe; says what it cannot"
    )
    parser.add_argument(
        "--quick", action="store_true", help="do not read the blobs, only look at their names"
    )
    parser.add_argument(
        "--gc", action="store_true", help="first do a round of housekeeping, due or not"
    )
    add_common(parser)
    parser.set_defaults(run=doctor)


def doctor(args: argparse.Namespace, session: Session) -> int:
    """Examine, print, and tell by the exit code whether all is well."""
    from sqlalchemy.exc import SQLAlchemyError

    from core.config import get_settings
    from core.db.session import sessions
    from core.services.doctor import Doctor
    from core.services.housekeeping import keep_house

    settings = get_settings()
    done = None
    try:
        if args.gc:
            done = keep_house(sessions(), settings)
            _tell_round(session, asdict(done) if done else None)
        found = Doctor(sessions(), settings, mend=args.mend, hashing=not args.quick).examine()
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        session.terminal.complain(
            f"The database does not answer as it should: {reason}\n"
            "Run this on the server's host, with the settings of the service and migrations done."
        )
        return Exit.SERVER
    _show(session, found)
    document = asdict(found) | {"healthy": found.healthy}
    session.terminal.document(document | ({"housekeeping": asdict(done)} if done else {}))
    return Exit.OK if found.healthy else Exit.JOB


def _tell_round(session: Session, done: dict[str, object] | None) -> None:
    if done is None:
        session.terminal.say("Another process keeps house at this moment.")
        return
    for name, part in done.items():
        counts = part if isinstance(part, dict) else {"removed": part}
        told = ", ".join(f"{key} {value}" for key, value in counts.items())
        session.terminal.say(f"{name}: {told}")


def _show(session: Session, found: Diagnosis) -> None:
    rows = [
        (f.problem, f.subject, f.detail, "yes" if f.mended else "no", f.fix) for f in found.findings
    ]
    if rows:
        session.terminal.show(table(("problem", "what", "detail", "mended", "fix"), rows))
    how = "read and hashed" if found.hashed else "looked at, not read"
    session.terminal.say(f"{found.blobs} blobs ({found.bytes} bytes) were {how}.")
    if not rows:
        session.terminal.say("Database and volume agree.")
