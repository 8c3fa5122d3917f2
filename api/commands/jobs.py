"""jobs, watch, logs, cancel, retry."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from api.client import ApiProblem, Job, JobNotSucceeded
from api.commands.arms import arms_table, verdict_sentence
from api.commands.following import follow
from api.commands.options import add_common, add_following
from api.commands.session import Session
from api.commands.terminal import plain, table

STATUSES = ("queued", "running", "succeeded", "failed", "canceled")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("jobs", help="list jobs, newest first, or show one")
    parser.add_argument("job", nargs="?", metavar="JOB")
    parser.add_argument("--kind")
    parser.add_argument("--status", choices=STATUSES)
    parser.add_argument("--label")
    parser.add_argument("--limit", type=int, default=20, help="how many to list (default 20)")
    add_common(parser)
    parser.set_defaults(run=jobs)

    parser = commands.add_parser("watch", help="show a job until it has ended")
    parser.add_argument("job", metavar="JOB")
    parser.add_argument("--cancel-on-interrupt", action="store_true", help="Ctrl-C cancels the job")
    add_common(parser)
    parser.set_defaults(run=watch)

    parser = commands.add_parser("logs", help="print the log of a job")
    parser.add_argument("job", metavar="JOB")
    parser.add_argument("-f", "--follow", action="store_true", help="until the job has ended")
    add_common(parser)
    parser.set_defaults(run=logs)

    parser = commands.add_parser("cancel", help="stop a job and its children")
    parser.add_argument("job", metavar="JOB")
    add_common(parser)
    parser.set_defaults(run=cancel)

    parser = commands.add_parser("retry", help="run a failed or canceled job again, as a new one")
    parser.add_argument("job", metavar="JOB")
    add_following(parser)
    add_common(parser)
    parser.set_defaults(run=retry)


def jobs(args: argparse.Namespace, session: Session) -> int:
    """List jobs, or show one of them."""
    if args.job is not None:
        show_job(session, session.client.jobs.get(args.job))
        return 0
    found: list[Job] = []
    for job in session.client.jobs.list(kind=args.kind, status=args.status, label=args.label):
        if len(found) >= max(0, args.limit):
            break
        found.append(job)
    rows = [
        (
            j.id,
            j.kind,
            j.status,
            j.progress.phase,
            _percent(j),
            f"{j.created_at:%m-%d %H:%M}" if j.created_at else "",
        )
        for j in found
    ]
    session.terminal.show(table(("id", "kind", "status", "phase", "done", "created"), rows))
    session.terminal.document(found)
    return 0


def watch(args: argparse.Namespace, session: Session) -> int:
    """Follow a job; with --json one line for each change."""
    job = follow(
        session.terminal,
        session.client,
        args.job,
        cancel_on_interrupt=args.cancel_on_interrupt,
        each=session.terminal.document if session.terminal.as_json else None,
    )
    if not session.terminal.as_json:
        show_job(session, job)
    return 0


def logs(args: argparse.Namespace, session: Session) -> int:
    """Print the log; characters that could steer the terminal are replaced."""
    pieces = session.client.jobs.logs(args.job, follow=args.follow)
    if session.terminal.as_json:
        session.terminal.document({"job_id": args.job, "log": "".join(pieces)})
        return 0
    for piece in pieces:
        sys.stdout.write(plain(piece))
        sys.stdout.flush()
    return 0


def cancel(args: argparse.Namespace, session: Session) -> int:
    """Ask a job to stop."""
    job = session.client.jobs.cancel(args.job)
    state = "canceled" if job.status == "canceled" else "is being canceled"
    session.terminal.line(f"{job.id} {state}")
    session.terminal.document(job)
    return 0


def retry(args: argparse.Namespace, session: Session) -> int:
    """Create a new job like an old one and follow it."""
    return conclude(args, session, session.client.jobs.retry(args.job))


def conclude(
    args: argparse.Namespace, session: Session, job: Job, folder: Path | None = None
) -> int:
    """Follow a job that was just made, unless told not to; fetch its files if asked; show it."""
    if args.no_wait:
        session.terminal.line(job.id)
        session.terminal.document(job)
        return 0
    job = follow(
        session.terminal, session.client, job.id, cancel_on_interrupt=args.cancel_on_interrupt
    )
    paths = session.client.artifacts.download_all(job, folder) if folder else []
    show_job(session, job)
    for path in paths:
        session.terminal.line(str(path))
    return 0


def show_job(session: Session, job: Job) -> None:
    """Print a job: its state, result, arms table and artifacts."""
    terminal = session.terminal
    terminal.line(f"{job.id}  {job.kind}  {job.status}")
    if job.error:
        terminal.line(f"error     {job.error.get('code')}: {job.error.get('detail')}")
    result = job.result or {}
    for name, value in result.items():
        if value is None or isinstance(value, (str, int, float, bool)):
            terminal.line(f"{name:<9} {value}")
    if isinstance(result.get("table"), list):
        terminal.show(arms_table(result))
        terminal.line(verdict_sentence(result.get("verdict")))
    for artifact in job.artifacts:
        terminal.line(f"file      {artifact.name}  {artifact.bytes or 0:,} bytes  {artifact.id}")
    terminal.document(job)


def failure_of(error: ApiProblem | JobNotSucceeded) -> str:
    """Return what to say about an error, invalid fields included."""
    if isinstance(error, JobNotSucceeded):
        return f"{error}\nIts log: dermsynth logs {error.job.id}"
    fields = "".join(f"\n  {e['pointer'] or '/'}: {e['detail']}" for e in error.errors)
    request = f"\n  request {error.request_id}" if error.request_id else ""
    return f"{error.detail} ({error.code}){fields}{request}"


def _percent(job: Job) -> str:
    if job.ended or job.progress.fraction is None:
        return ""
    return f"{job.progress.fraction:.0%}"
