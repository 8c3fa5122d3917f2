"""Long work as it goes on: bars on a terminal, sparse lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from api.client import ApiProblem, Client, ClientError, Job, JobNotSucceeded
from api.client.uploads import Tell
from api.commands.terminal import Terminal, plain

LINE_SECONDS = 10.0
CHILDREN_SECONDS = 1.0
MAX_CHILDREN_SHOWN = 6


class Interrupted(Exception):
    """Ctrl-C while a job was being followed."""

    def __init__(self, job_id: str, *, cancelled: bool) -> None:
        super().__init__(job_id)
        self.job_id, self.cancelled = job_id, cancelled


def duration(seconds: float) -> str:
    """Return seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def progress_line(job: Job) -> str:
    """Return what a job is doing, in one line."""
    progress = job.progress
    parts = [job.kind, progress.phase or job.status]
    if job.status == "queued" and job.queue_position:
        parts.append(f"{job.queue_position} ahead of it in queue {job.queue}")
    if progress.fraction is not None and job.status == "running":
        parts.append(f"{progress.fraction:.0%}")
    if progress.eta_seconds is not None and not job.ended:
        parts.append(f"about {duration(progress.eta_seconds)} left")
    if job.ended:
        parts[1] = job.status
    return "  ".join(parts)


class _Lines:
    """Plain lines: one a phase, and at most one every ten seconds."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._phase = ""
        self._at = float("-inf")

    def tell(self, job: Job, children: list[Job]) -> None:
        phase = f"{job.status}/{job.progress.phase}/{','.join(sorted({c.kind for c in children}))}"
        now = time.monotonic()
        if phase == self._phase and now - self._at < LINE_SECONDS:
            return
        kinds = ", ".join(sorted({child.kind for child in children}))
        self._terminal.say(progress_line(job) + (f"  [{kinds}]" if kinds else ""))
        self._phase, self._at = phase, now


class _Bars:
    """A bar for the job and one for each of the jobs that it waits for."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def tell(self, job: Job, children: list[Job]) -> None:
        shown = [job, *children[:MAX_CHILDREN_SHOWN]]
        for gone in set(self._tasks) - {item.id for item in shown}:
            self._progress.remove_task(self._tasks.pop(gone))
        for item in shown:
            self._show(item, "" if item is job else "  ")

    def _show(self, job: Job, indent: str) -> None:
        eta = job.progress.eta_seconds
        phase = plain(job.status if job.ended else job.progress.phase or job.status)
        left = "" if eta is None or job.ended else f"{duration(eta)} left"
        if job.id not in self._tasks:
            name = f"{indent}{plain(job.kind)}"
            self._tasks[job.id] = self._progress.add_task(name, total=None, phase="", eta="")
        done = 1.0 if job.succeeded else job.progress.fraction
        self._progress.update(
            self._tasks[job.id],
            total=None if done is None else 1.0,
            completed=done or 0.0,
            phase=phase,
            eta=left,
        )


class _Each:
    """Hands every change to a callable."""

    def __init__(self, each: Callable[[Job], None]) -> None:
        self._each = each

    def tell(self, job: Job, children: list[Job]) -> None:
        self._each(job)


@contextmanager
def _display(
    terminal: Terminal, each: Callable[[Job], None] | None
) -> Iterator[_Bars | _Lines | _Each]:
    if each is not None:
        yield _Each(each)
        return
    if not terminal.live:
        yield _Lines(terminal)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[phase]}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[eta]}", markup=False),
    )
    with Progress(*columns, console=terminal.err, transient=False) as progress:
        yield _Bars(progress)


def follow(
    terminal: Terminal,
    client: Client,
    job_id: str,
    *,
    cancel_on_interrupt: bool = False,
    each: Callable[[Job], None] | None = None,
) -> Job:
    """Show a job until it has ended and return it; JobNotSucceeded, or Interrupted at Ctrl-C.

    ``each`` gets every change instead of the display.
    """
    try:
        job = _follow(terminal, client, job_id, each)
    except KeyboardInterrupt:
        raise Interrupted(
            job_id, cancelled=cancel_on_interrupt and _cancel(terminal, client, job_id)
        ) from None
    if not job.succeeded:
        raise JobNotSucceeded(job)
    return job


def _follow(
    terminal: Terminal, client: Client, job_id: str, each: Callable[[Job], None] | None
) -> Job:
    children: list[Job] = []
    looked = float("-inf")
    with _display(terminal, each) as display:
        for job in client.jobs.watch(job_id):
            now = time.monotonic()
            if job.ended:
                children = []
            elif now - looked >= CHILDREN_SECONDS and not terminal.as_json:
                looked, children = now, _children(client, job)
            display.tell(job, children)
    return job


def _children(client: Client, job: Job) -> list[Job]:
    """Return the children being run; their absence must not end the watching."""
    try:
        return list(client.jobs.running_children(job))
    except ClientError:
        return []


def _cancel(terminal: Terminal, client: Client, job_id: str) -> bool:
    try:
        client.jobs.cancel(job_id)
    except ApiProblem as problem:
        terminal.complain(f"Job {job_id} could not be canceled: {problem}")
        return False
    return True


@contextmanager
def upload_bar(terminal: Terminal, name: str) -> Iterator[Tell]:
    """Show the bytes of an upload."""
    if not terminal.live:
        yield _upload_lines(terminal, name)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=terminal.err) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(f"{phase} {plain(name)}", total=total)
            progress.update(tasks[phase], completed=done, total=total)

        yield tell


def _upload_lines(terminal: Terminal, name: str) -> Tell:
    last: dict[str, float] = {}

    def tell(phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done < total and now - last.setdefault(phase, now) < LINE_SECONDS:
            return
        if last.get(phase) == float("inf"):
            return
        last[phase] = float("inf") if done == total else now
        terminal.say(f"{phase} {name}  {done / total:.0%} of {total:,} bytes")

    return tell
