"""assets, asset."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from api.client import Job
from api.client.assets import FILES
from api.commands.following import follow, upload_bar
from api.commands.options import add_common, add_following
from api.commands.session import Session
from api.commands.terminal import table

_PARAMS = ("licence", "group_id", "colour", "units", "up")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("asset", help="send a body or a background to render with")
    parser.add_argument("kind", choices=("body", "background"))
    parser.add_argument("path", type=Path, help="a mesh (OBJ or GLB), or an image")
    parser.add_argument("--name", help="default: that of the file")
    parser.add_argument("--licence", help="under which it may be used (default unknown)")
    parser.add_argument(
        "--person",
        dest="group_id",
        metavar="GROUP_ID",
        help="whom it shows: a group of images, or of another asset",
    )
    parser.add_argument("--texture", type=Path, help="image that colours a body")
    parser.add_argument("--non-skin", type=Path, help="mask, white where a body has no skin")
    parser.add_argument("--parts", type=Path, help="the part of every vertex: JSON, or one a line")
    parser.add_argument("--colour", choices=("texture", "model"), help="model: by the skin model")
    parser.add_argument("--units", choices=("auto", "m", "dm", "cm", "mm"))
    parser.add_argument("--up", choices=("auto", "y", "z"))
    parser.add_argument(
        "--group", action="append", default=[], help="only this group of an OBJ; may be repeated"
    )
    add_following(parser)
    add_common(parser)
    parser.set_defaults(run=send)

    parser = commands.add_parser("assets", help="list bodies and backgrounds, or delete one")
    parser.add_argument("asset", nargs="?", metavar="ASSET")
    parser.add_argument("--delete", action="store_true", help="delete the asset")
    add_common(parser)
    parser.set_defaults(run=assets)


def send(args: argparse.Namespace, session: Session) -> int:
    """Upload the files, and wait until they have been checked."""
    job = _submit(args, session)
    if args.no_wait:
        session.terminal.line(job.id)
        session.terminal.document(job)
        return 0
    job = follow(
        session.terminal, session.client, job.id, cancel_on_interrupt=args.cancel_on_interrupt
    )
    result = job.result or {}
    session.terminal.line(f"asset     {result.get('asset_id')}")
    for warning in result.get("warnings") or ():
        session.terminal.line(f"warning   {warning}")
    session.terminal.document(result)
    return 0


def _submit(args: argparse.Namespace, session: Session) -> Job:
    params: dict[str, Any] = {name: getattr(args, name) for name in _PARAMS}
    if args.group:
        params["groups"] = args.group
    files = {name: getattr(args, name) for name in FILES if getattr(args, name) is not None}
    with upload_bar(session.terminal, args.path.name) as tell:
        return session.client.assets.submit(
            args.kind, args.path, args.name or args.path.stem, files=files, tell=tell, **params
        )


def assets(args: argparse.Namespace, session: Session) -> int:
    """List, show or delete."""
    api, terminal = session.client.assets, session.terminal
    if args.asset is None:
        found = list(api.list())
        terminal.show(
            table(
                ("id", "kind", "name", "licence"),
                [(a.id, a.kind, a.name, a.licence) for a in found],
            )
        )
        terminal.document(found)
        return 0
    if args.delete:
        api.delete(args.asset)
        terminal.line(f"deleted {args.asset}")
        terminal.document({"deleted": args.asset})
        return 0
    asset = api.get(args.asset)
    terminal.line(f"{asset.id}  {asset.kind}  {asset.name}")
    terminal.document(asset)
    return 0
