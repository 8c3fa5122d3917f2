"""keys create, list, rotate, revoke."""

from __future__ import annotations

import argparse

from api.commands.exits import Exit
from api.commands.options import add_common
from api.commands.session import Session
from api.commands.terminal import table

SCOPES = (
    "datasets:read",
    "datasets:write",
    "jobs:read",
    "jobs:write",
    "models:read",
    "models:write",
    "keys:admin",
    "metrics:read",
)
DEFAULT_SCOPES = tuple(scope for scope in SCOPES if scope not in ("keys:admin", "metrics:read"))


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    keys = commands.add_parser("keys", help="make, list, rotate and revoke API keys")
    actions = keys.add_subparsers(dest="action", required=True, metavar="ACTION")

    parser = actions.add_parser("create", help="make a key; its secret is shown this once")
    parser.add_argument("--name", help="what the key is for")
    parser.add_argument(
        "--scope", action="append", choices=SCOPES, help="default: all on data and jobs"
    )
    parser.add_argument("--expires-at", metavar="TIME", help="RFC 3339, like 2027-01-31T00:00:00Z")
    parser.add_argument(
        "--admin",
        action="store_true",
        help="on the server's host only: a key with every right, straight from the database",
    )
    add_common(parser)
    parser.set_defaults(run=create)

    parser = actions.add_parser("list", help="list keys, without their secrets")
    add_common(parser)
    parser.set_defaults(run=list_keys)

    parser = actions.add_parser("rotate", help="make a key's successor; its secret is shown once")
    parser.add_argument("key_id", metavar="KEY_ID")
    parser.add_argument(
        "--overlap-hours", type=float, default=24.0, help="so long the old key works on (24)"
    )
    add_common(parser)
    parser.set_defaults(run=rotate)

    parser = actions.add_parser("revoke", help="make a key useless, for good")
    parser.add_argument("key_id", metavar="KEY_ID")
    add_common(parser)
    parser.set_defaults(run=revoke)


def create(args: argparse.Namespace, session: Session) -> int:
    """Make a key over HTTP, or on the server's host with --admin."""
    if args.admin:
        return _create_admin(args, session)
    made = session.client.keys.create(
        args.name or "command line", args.scope or DEFAULT_SCOPES, expires_at=args.expires_at
    )
    session.terminal.line(made.key)
    session.terminal.say(f"{made.id} may {', '.join(made.scopes)}. It is not shown again.")
    session.terminal.document(made)
    return 0


def _create_admin(args: argparse.Namespace, session: Session) -> int:
    """Make the first key; needs the database's settings, not a key."""
    from sqlalchemy.exc import SQLAlchemyError

    from core.services.keys import create_admin_key

    try:
        secret = create_admin_key(args.name or "admin")
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        session.terminal.complain(
            f"The database cannot make a key: {reason}\n"
            "Run this on the server's host, with DATABASE_URL set and the migrations done."
        )
        return Exit.SERVER
    session.terminal.line(secret)
    session.terminal.say("This key may do everything. It is not shown again.")
    session.terminal.document({"key": secret})
    return 0


def list_keys(_: argparse.Namespace, session: Session) -> int:
    """List keys."""
    found = list(session.client.keys.list())
    rows = [
        (
            key.id,
            key.name,
            " ".join(key.scopes),
            f"{key.expires_at:%Y-%m-%d}" if key.expires_at else "never",
            f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never",
        )
        for key in found
    ]
    session.terminal.show(table(("id", "name", "may", "expires", "last used"), rows))
    session.terminal.document(found)
    return 0


def rotate(args: argparse.Namespace, session: Session) -> int:
    """Make the successor of a key."""
    made = session.client.keys.rotate(args.key_id, overlap_seconds=round(args.overlap_hours * 3600))
    session.terminal.line(made.key)
    session.terminal.say(
        f"{made.id} follows {args.key_id}, which works for {args.overlap_hours:g} h more. "
        "It is not shown again."
    )
    session.terminal.document(made)
    return 0


def revoke(args: argparse.Namespace, session: Session) -> int:
    """Revoke a key."""
    session.client.keys.revoke(args.key_id)
    session.terminal.line(f"revoked {args.key_id}")
    session.terminal.document({"revoked": args.key_id})
    return 0
