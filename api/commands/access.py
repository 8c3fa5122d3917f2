"""audit, erase."""

from __future__ import annotations

import argparse
from itertools import islice

from api.commands.options import add_common
from api.commands.session import Session
from api.commands.terminal import table


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("audit", help="who did what, newest first (admin)")
    parser.add_argument("--action", help="like key.create, dataset.delete, group.erase_done")
    parser.add_argument("--actor", metavar="ID", help="a key, a session, or system")
    parser.add_argument("--target", metavar="ID", help="what it was done to")
    parser.add_argument("--request", metavar="ID", help="the X-Request-ID of a request")
    parser.add_argument("--after", metavar="TIME", help="RFC 3339, like 2027-01-31T00:00:00Z")
    parser.add_argument("--before", metavar="TIME", help="RFC 3339")
    parser.add_argument("--most", type=int, default=100, metavar="N", help="default: 100")
    add_common(parser)
    parser.set_defaults(run=audit)

    parser = commands.add_parser(
        "erase", help="list a patient or lesion and all derived from it; with --yes remove it"
    )
    parser.add_argument("group_id", metavar="GROUP_ID")
    parser.add_argument("--yes", action="store_true", help="remove it, for good")
    add_common(parser)
    parser.set_defaults(run=erase)


def audit(args: argparse.Namespace, session: Session) -> int:
    """List the audit log."""
    entries = session.client.audit.list(
        action=args.action,
        actor_id=args.actor,
        target_id=args.target,
        request_id=args.request,
        after=args.after,
        before=args.before,
    )
    found = list(islice(entries, max(0, args.most)))
    rows = [
        (f"{e.at:%Y-%m-%d %H:%M:%S}", e.actor.id, e.action, f"{e.target.kind} {e.target.id}")
        for e in found
    ]
    session.terminal.show(table(("at", "who", "did", "to"), rows))
    session.terminal.document(found)
    return 0


def erase(args: argparse.Namespace, session: Session) -> int:
    """Say what would go; with ``--yes`` remove it."""
    if args.yes:
        erasure = session.client.groups.erase(args.group_id)
        session.terminal.document(erasure)
        counts = erasure.counts
        closing = (
            f"Erased ({erasure.id})."
            if erasure.status == "done"
            else f"Erased from the database ({erasure.id}); the last files go within minutes."
        )
    else:
        group = session.client.groups.get(args.group_id)
        session.terminal.document(group)
        counts = group.counts
        closing = "Nothing was removed. To erase all of this for good, repeat with --yes."
        if group.unfinished_jobs:
            closing += f" Unfinished jobs use it: {', '.join(group.unfinished_jobs[:5])}."
    rows = [(name.replace("_", " "), str(count)) for name, count in counts.items()]
    session.terminal.show(table(("what", "count"), rows))
    session.terminal.say(closing)
    return 0
