"""download, export, predict."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from api.client import Artifact, Job
from api.client.records import Predictions
from api.commands.exits import UsageError
from api.commands.following import follow
from api.commands.options import add_common, add_following
from api.commands.session import Session
from api.commands.terminal import plain, table

FORMATS = ("imagefolder", "csv", "coco", "hf", "croissant")
"""What the job kind ``export`` writes; this package imports nothing of the server."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("download", help="fetch the files that a job published")
    parser.add_argument("source", metavar="JOB|ARTIFACT")
    parser.add_argument("--to", type=Path, metavar="DIR", help="default: a folder named JOB")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this file")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    add_common(parser)
    parser.set_defaults(run=download)

    parser = commands.add_parser("export", help="fetch datasets as one archive with checksums")
    parser.add_argument("datasets", metavar="DATASET", nargs="+", help="version, dataset or name")
    parser.add_argument("--format", choices=FORMATS, default="imagefolder")
    parser.add_argument(
        "--purpose", choices=("internal", "share", "commercial"), default="internal"
    )
    parser.add_argument("--to", type=Path, default=Path(), metavar="DIR", help="default: here")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    add_following(parser)
    add_common(parser)
    parser.set_defaults(run=export)

    parser = commands.add_parser("predict", help="classify photographs (research only)")
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("images", metavar="IMAGE", type=Path, nargs="+")
    add_common(parser)
    parser.set_defaults(run=predict)


def download(args: argparse.Namespace, session: Session) -> int:
    """Fetch all artifacts of a job, some of them, or one artifact."""
    if args.source.startswith("art_"):
        wanted: Sequence[Artifact] = [session.client.artifacts.get(args.source)]
    else:
        wanted = _chosen(session.client.jobs.get(args.source), args.only)
    folder = args.to or Path(args.source if not args.source.startswith("art_") else ".")
    paths = fetch(session, wanted, folder, overwrite=args.force)
    for path in paths:
        session.terminal.line(str(path))
    session.terminal.document([str(path) for path in paths])
    return 0


def export(args: argparse.Namespace, session: Session) -> int:
    """Have the archive made, then fetch it."""
    versions = [session.client.datasets.resolve(item) for item in args.datasets]
    job = session.client.export(versions, layout=args.format, purpose=args.purpose)
    if args.no_wait:
        session.terminal.line(job.id)
        session.terminal.document(job)
        return 0
    job = follow(
        session.terminal, session.client, job.id, cancel_on_interrupt=args.cancel_on_interrupt
    )
    paths = fetch(session, job.artifacts, args.to, overwrite=args.force)
    for path in paths:
        session.terminal.line(str(path))
    session.terminal.document({"job": job, "files": [str(path) for path in paths]})
    return 0


def predict(args: argparse.Namespace, session: Session) -> int:
    """Send photographs to a model; waits when the server answers with a job."""
    answer = session.client.models.predict(args.model, args.images)
    if isinstance(answer, Job):
        answer = Predictions.model_validate(
            follow(session.terminal, session.client, answer.id).result
        )
    rows = [
        (
            item.filename,
            item.label or item.error,
            f"{item.probabilities[item.label]:.3f}"
            if item.probabilities and item.label in item.probabilities
            else "",
        )
        for item in answer.predictions
    ]
    session.terminal.show(table(("image", "label", "probability"), rows))
    session.terminal.line(answer.intended_use)
    session.terminal.document(answer)
    return 0


def fetch(
    session: Session, artifacts: Sequence[Artifact], folder: Path, *, overwrite: bool
) -> list[Path]:
    """Download into a folder, with a bar on a terminal."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    paths = []
    with Progress(
        *columns, console=session.terminal.err, disable=not session.terminal.live
    ) as progress:
        for artifact in artifacts:
            task = progress.add_task(plain(artifact.name), total=artifact.bytes)

            def tell(done: int, task: TaskID = task) -> None:
                progress.update(task, completed=done)

            download = session.client.artifacts.download
            paths.append(download(artifact, folder, overwrite=overwrite, tell=tell))
    return paths


def _chosen(job: Job, names: Sequence[str]) -> Sequence[Artifact]:
    if not names:
        return job.artifacts
    there = {artifact.name: artifact for artifact in job.artifacts}
    missing = [name for name in names if name not in there]
    if missing:
        raise UsageError(
            f"Job {job.id} published no {', '.join(missing)}; it has {', '.join(there) or 'none'}."
        )
    return [there[name] for name in names]
