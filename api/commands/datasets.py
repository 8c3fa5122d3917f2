"""upload, datasets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from api.client import Client, Imported, IncompleteImport, Job, UploadFailed
from api.client.imports import default_name, imported
from api.client.sources import Source, open_source
from api.commands.following import follow, upload_bar
from api.commands.options import add_common, add_following
from api.commands.session import Session
from api.commands.terminal import Terminal, table

LAYOUTS = ("auto", "imagefolder", "csv", "ham10000", "isic", "derm7pt", "fitzpatrick17k", "masks")
MAX_REJECTS_SHOWN = 50


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("upload", help="send a folder or an archive and import it")
    parser.add_argument("path", type=Path, help="a folder, zip, tar or tar.gz")
    parser.add_argument("--name", help="of the dataset (default: that of the folder or archive)")
    parser.add_argument("--layout", choices=LAYOUTS, default="auto")
    parser.add_argument("--licence", help="under which the images may be used (default unknown)")
    parser.add_argument("--label-column", help="of a CSV layout")
    parser.add_argument("--group-column", help="patient or lesion, of a CSV layout")
    parser.add_argument("--append-to", metavar="VERSION", help="add to this dataset version")
    parser.add_argument("--seed", type=int, help="of the train/val/test split")
    parser.add_argument("--resume", metavar="UPLOAD", help="go on with an upload that stopped")
    add_following(parser)
    add_common(parser)
    parser.set_defaults(run=upload)

    parser = commands.add_parser("datasets", help="list datasets, or show one with its versions")
    parser.add_argument("dataset", nargs="?", metavar="DATASET", help="id or name")
    parser.add_argument("--delete", action="store_true", help="delete the dataset")
    add_common(parser)
    parser.set_defaults(run=datasets)


def upload(args: argparse.Namespace, session: Session) -> int:
    """Send, import, count: accepted + rejected must be what was sent."""
    source = open_source(args.path)
    job = send(
        session.client, session.terminal, source, args.path, _import_params(args), args.resume
    )
    if args.no_wait:
        session.terminal.line(job.id)
        session.terminal.document(job)
        return 0
    job = follow(
        session.terminal, session.client, job.id, cancel_on_interrupt=args.cancel_on_interrupt
    )
    show_import(session, imported(job, source))
    return 0


def send(
    client: Client,
    terminal: Terminal,
    source: Source,
    path: Path,
    params: dict[str, Any],
    upload_id: str | None = None,
) -> Job:
    """Upload with a bar and submit the import; a failure says how to resume."""
    if source.skipped:
        left = ", ".join(f"{count} {reason}" for reason, count in sorted(source.skipped.items()))
        terminal.say(f"not sent: {left}")
    name = params.pop("name", None) or default_name(path)
    try:
        with upload_bar(terminal, source.filename) as tell:
            return client.submit_import(source, name, upload_id=upload_id, tell=tell, **params)
    except UploadFailed as error:
        terminal.complain(f"Resume it with: dermsynth upload {path} --resume {error.upload_id}")
        raise


def show_import(session: Session, outcome: Imported) -> None:
    """Print what was taken and each file that was not, with the reason."""
    terminal, client = session.terminal, session.client
    rejects = list(client.datasets.rejects(outcome.dataset_version_id)) if outcome.rejected else []
    if len(rejects) != outcome.rejected:
        raise IncompleteImport(
            outcome.sent or outcome.accepted + outcome.rejected, outcome.accepted, len(rejects)
        )
    terminal.line(f"dataset   {outcome.dataset_id}")
    terminal.line(f"version   {outcome.dataset_version_id}")
    sent = "" if outcome.sent is None else f" of {outcome.sent} sent"
    masks = f", {outcome.annotations} masks taken along" if outcome.annotations else ""
    terminal.line(f"accepted  {outcome.accepted}, rejected {outcome.rejected}{masks}{sent}")
    for warning in outcome.warnings:
        terminal.line(f"warning   {warning}")
    if rejects:
        shown = rejects[:MAX_REJECTS_SHOWN]
        terminal.show(
            table(("file", "code", "reason"), [(r.name, r.code, r.detail) for r in shown])
        )
    if len(rejects) > MAX_REJECTS_SHOWN:
        terminal.line(f"… and {len(rejects) - MAX_REJECTS_SHOWN} more (--json lists all)")
    terminal.document(
        {
            "job_id": outcome.job.id,
            "dataset_id": outcome.dataset_id,
            "dataset_version_id": outcome.dataset_version_id,
            "sent": outcome.sent,
            "accepted": outcome.accepted,
            "rejected": outcome.rejected,
            "annotations": outcome.annotations,
            "warnings": list(outcome.warnings),
            "rejects": rejects,
        }
    )


def datasets(args: argparse.Namespace, session: Session) -> int:
    """List, show or delete."""
    api, terminal = session.client.datasets, session.terminal
    if args.dataset is None:
        found = list(api.list())
        listed = [(d.id, d.name, d.kind, _day(d.created_at)) for d in found]
        terminal.show(table(("id", "name", "kind", "created"), listed))
        terminal.document(found)
        return 0
    dataset_id = api.find(args.dataset)
    if args.delete:
        api.delete(dataset_id)
        terminal.line(f"deleted {dataset_id}")
        terminal.document({"deleted": dataset_id})
        return 0
    versions = list(api.versions(dataset_id))
    for version in versions:
        terminal.line(f"{version.id}  {version.kind}  {version.image_count} images")
        rows = [
            (c.name, c.count, c.target, "weak" if c.weak else "", c.groups) for c in version.classes
        ]
        terminal.show(table(("class", "images", "target", "", "groups"), rows))
    terminal.document(versions)
    return 0


def _import_params(args: argparse.Namespace) -> dict[str, Any]:
    names = ("name", "layout", "licence", "label_column", "group_column", "append_to", "seed")
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def _day(moment: Any) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
