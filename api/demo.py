"""``make demo``: a dataset in, the whole pipeline over HTTP, a report and a table out.

A stack of its own, on a fresh data folder, is started and stopped; a running ``make up`` is not
touched. Exit code 0 only if every promise held.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from api.client import Client, Imported, Job, JobNotSucceeded, Version
from api.client.imports import imported
from api.client.sources import open_source
from api.commands.arms import arms_table, interval, number, verdict_sentence
from api.commands.datasets import send
from api.commands.exits import Exit
from api.commands.following import follow
from api.commands.terminal import Terminal, table

ARMS = (
    "real",
    "class_weight",
    "logit_adjust",
    "oversample",
    "augment",
    "synthetic",
    "combined",
)
VERDICTS = frozenset({"helps", "no_evidence", "hurts", "not_estimable"})
HOMES = Path("build/demo-home")
STALE_SECONDS = 600.0
LOG_LINES = 25


@dataclass(frozen=True, slots=True)
class Findings:
    """What a demonstration has brought out."""

    name: str
    taken: Imported
    version: Version
    job: Job
    report: Path | None
    seconds: float

    @property
    def result(self) -> dict[str, Any]:
        return self.job.result or {}


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m api.demo [DATASET]``, the same as ``dermsynth demo``."""
    from api.cli import main as command_line

    return command_line(["demo", *(sys.argv[1:] if argv is None else argv)])


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Start a stack, demonstrate on it, stop it; ClientError and EmbeddedFailure pass through."""
    from core.embedded import control

    begun = time.monotonic()
    for name in ("report.html", "summary.json"):  # what an earlier run left is not our result
        (args.out / name).unlink(missing_ok=True)
    with _terminable(), _home(terminal) as home:
        dataset = args.dataset or _built_in(home, args.seed, terminal)
        source_name = args.name or ("procedural" if args.dataset is None else None)
        terminal.say("starting PostgreSQL, Valkey, API and worker")
        with (
            control.running(home) as stack,
            Client(stack.url, stack.api_key) as client,
        ):
            terminal.say(f"the service answers at {stack.url}")
            findings = demonstrate(client, terminal, args, dataset, source_name, begun)
            terminal.say("stopping what was started")
    return conclude(findings, terminal, args.out)


def demonstrate(
    client: Client,
    terminal: Terminal,
    args: argparse.Namespace,
    dataset: Path,
    name: str | None,
    begun: float,
) -> Findings:
    """Upload, run the pipeline, fetch the report; IncompleteImport, JobNotSucceeded pass."""
    source = open_source(dataset)
    params = {"name": name, "layout": args.layout, "licence": args.licence, "seed": args.seed}
    chosen = {key: value for key, value in params.items() if value is not None}
    job = send(client, terminal, source, dataset, chosen)
    taken = imported(_followed(client, terminal, job), source)
    version = client.datasets.version(taken.dataset_version_id)
    terminal.line(f"accepted {taken.accepted}, rejected {taken.rejected} of {taken.sent} sent")
    classes = ", ".join(f"{c.name} {c.count}" for c in version.classes)
    terminal.line(f"classes: {classes}")
    for warning in taken.warnings:
        terminal.say(f"warning: {warning}")
    job = client.jobs.submit("pipeline", pipeline_params(args, version.id))
    job = _followed(client, terminal, job)
    return Findings(
        name=name or source.filename.rpartition(".")[0] or source.filename,
        taken=taken,
        version=version,
        job=job,
        report=_fetch_report(client, job, args.out),
        seconds=round(time.monotonic() - begun, 1),
    )


def pipeline_params(args: argparse.Namespace, version_id: str) -> dict[str, Any]:
    """Return the body of ``POST /v1/jobs/pipeline``; what is not given is the server's default."""
    experiment: dict[str, Any] = {"arms": list(ARMS)}
    for name in ("folds", "repeats"):
        if getattr(args, name) is not None:
            experiment[name] = getattr(args, name)
    params = {"dataset_version_id": version_id, "experiment": experiment, "seed": args.seed}
    return params | ({"backbone": args.backbone} if args.backbone else {})


def conclude(findings: Findings, terminal: Terminal, out: Path) -> int:
    """Write the summary, print the table, name every promise that did not hold."""
    summary = summarise(findings)
    path = out / "summary.json"
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    terminal.show(arms_table(findings.result))
    terminal.line(verdict_sentence(findings.result.get("verdict")))
    _show_quality(summary["quality"], terminal)
    terminal.line(f"report:  {findings.report or 'none'}")
    terminal.line(f"summary: {path}")
    terminal.line(f"{findings.seconds:.0f} s. Research use only, not a medical device.")
    terminal.document(summary)
    broken = broken_promises(findings)
    for promise in broken:
        terminal.complain(f"promise broken: {promise}")
    return Exit.INTEGRITY if broken else Exit.OK


def summarise(findings: Findings) -> dict[str, Any]:
    """Return what ``build/demo/summary.json`` holds."""
    result = findings.result
    quality = result.get("quality")
    columns = ("arm", "classifier", "balanced_accuracy", "interval", "valid")
    return {
        "dataset": findings.name,
        "images": findings.version.image_count,
        "accepted": findings.taken.accepted,
        "rejected": findings.taken.rejected,
        "classes": [{"name": c.name, "count": c.count} for c in findings.version.classes],
        "arms": [{name: row.get(name) for name in columns} for row in result.get("table") or ()],
        "verdict": result.get("verdict"),
        "legacy_protocol": result.get("legacy_protocol"),
        "quality": quality if isinstance(quality, dict) else {"rows": quality or []},
        "seconds": findings.seconds,
    }


def broken_promises(findings: Findings) -> list[str]:
    """Return what was promised and did not hold; empty when all is well."""
    result, taken = findings.result, findings.taken
    scored = {
        str(row.get("arm"))
        for row in result.get("table") or ()
        if isinstance(row.get("balanced_accuracy"), (int, float))
    }
    legacy = result.get("legacy_protocol")
    report = findings.report
    checks = {
        "the pipeline succeeds": findings.job.succeeded,
        "accepted + rejected is what was sent": taken.complete,
        f"every arm has a score (missing: {', '.join(sorted(set(ARMS) - scored))})": (
            set(ARMS) <= scored
        ),
        "there is a verdict": result.get("verdict") in VERDICTS,
        "legacy_protocol is there and marked invalid": isinstance(legacy, dict)
        and legacy.get("valid") is False,
        "the report is a page of HTML": report is not None and _is_page(report),
    }
    return [promise for promise, held in checks.items() if not held]


def _is_page(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"<html" in file.read(4096).lower()
    except OSError:
        return False


def _fetch_report(client: Client, job: Job, out: Path) -> Path | None:
    artifact = job.artifact("report.html")
    if artifact is None:
        return None
    return client.artifacts.download(artifact, out, name="report.html", overwrite=True)


def _followed(client: Client, terminal: Terminal, job: Job) -> Job:
    """Show a job to its end; when it fails, its last words too: the stack goes away with it."""
    try:
        return follow(terminal, client, job.id)
    except JobNotSucceeded as error:
        lines = "".join(client.jobs.logs(error.job.id)).splitlines()[-LOG_LINES:]
        for line in lines:
            terminal.complain(f"  {line}")
        raise


def _show_quality(quality: dict[str, Any], terminal: Terminal) -> None:
    rows = [
        (
            row.get("metric"),
            number(row.get("value")),
            interval(row.get("interval")),
            row.get("n"),
            "" if row.get("estimable", True) else f"not estimable: {row.get('reason') or ''}",
        )
        for row in quality.get("rows") or ()
        if isinstance(row, dict) and row.get("scope") == "overall"
    ]
    if rows:
        terminal.show(table(("quality", "value", "95 % interval", "n", ""), rows))


def _built_in(home: Path, seed: int, terminal: Terminal) -> Path:
    """Draw the built-in dataset, in a process of its own: the client loads no image library."""
    folder = home / "procedural"
    terminal.say("drawing the built-in procedural dataset")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "core.synthesis.procedural",
            "--out",
            str(folder),
            "--seed",
            str(seed),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    return folder


@contextmanager
def _home(terminal: Terminal) -> Iterator[Path]:
    """Give a fresh data folder; it goes away again, except when something failed."""
    from core.embedded import control

    HOMES.mkdir(parents=True, exist_ok=True)
    for old in HOMES.glob("run-*"):
        _remove_stale(old)
    home = Path(tempfile.mkdtemp(prefix="run-", dir=HOMES)).resolve()
    try:
        yield home
    except KeyboardInterrupt:
        control.discard(home)
        raise
    except BaseException:
        terminal.complain(f"The logs of the services are kept in {home / 'logs'}")
        raise
    control.discard(home)


def _remove_stale(home: Path) -> None:
    """Remove the folder of a demonstration that is over; a running one is left alone."""
    from core.embedded import control, paths
    from core.embedded.folder import FolderLock

    try:
        young = time.time() - home.stat().st_mtime < STALE_SECONDS
    except OSError:
        return
    if young or FolderLock(paths.lock(home)).owner() is not None:
        return
    control.discard(home)  # with servers that a killed parent may have left


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop the stack in order, as Ctrl-C does."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
