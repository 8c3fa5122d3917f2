"""The demonstration: what it writes, and that a broken promise is not exit code 0."""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from api import demo
from api.client import IncompleteImport, Job, JobNotSucceeded, Version
from api.client.imports import Imported
from api.commands.exits import Exit
from api.commands.terminal import Terminal
from core.embedded import control
from tests.unit.client.scripted import KEY, job
from tests.unit.client.service import REPORT, Service, pipeline_result


def arguments(**given: Any) -> argparse.Namespace:
    defaults: dict[str, Any] = {
        "dataset": None,
        "out": Path("build/demo"),
        "name": None,
        "layout": "auto",
        "licence": None,
        "backbone": None,
        "folds": None,
        "repeats": None,
        "seed": 0,
    }
    return argparse.Namespace(**(defaults | given))


@pytest.fixture
def findings(tmp_path: Path) -> demo.Findings:
    (tmp_path / "report.html").write_bytes(REPORT)
    finished = Job.model_validate(job(status="succeeded", result=pipeline_result()))
    return demo.Findings(
        name="clinic",
        taken=Imported(finished, "ds_1", "dsv_1", 10, 8, 2, 0, ()),
        version=Version(id="dsv_1", dataset_id="ds_1", kind="real", image_count=8),
        job=finished,
        report=tmp_path / "report.html",
        seconds=12.5,
    )


def with_result(findings: demo.Findings, change: Callable[[dict[str, Any]], Any]) -> demo.Findings:
    result = pipeline_result()
    change(result)
    return replace(findings, job=Job.model_validate(job(status="succeeded", result=result)))


def test_nothing_is_broken_when_all_is_well(findings: demo.Findings) -> None:
    assert demo.broken_promises(findings) == []


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        (lambda r: r["table"].pop(), "combined"),
        (lambda r: r["table"][0].update(balanced_accuracy=None), "real"),
        (lambda r: r.pop("table"), "every arm"),
        (lambda r: r.update(verdict="great"), "verdict"),
        (lambda r: r.pop("verdict"), "verdict"),
        (lambda r: r["legacy_protocol"].update(valid=True), "legacy_protocol"),
        (lambda r: r.update(legacy_protocol=None), "legacy_protocol"),
    ],
)
def test_each_missing_part_of_the_result_is_named(
    findings: demo.Findings, change: Callable[[dict[str, Any]], Any], promise: str
) -> None:
    broken = demo.broken_promises(with_result(findings, change))
    assert len(broken) == 1 and promise in broken[0]


@pytest.mark.parametrize("content", [None, b"", b"not a page"])
def test_a_report_that_is_none_is_named(findings: demo.Findings, content: bytes | None) -> None:
    assert findings.report is not None
    if content is not None:
        findings.report.write_bytes(content)
    changed = replace(findings, report=None) if content is None else findings
    assert demo.broken_promises(changed) == ["the report is a page of HTML"]


def test_lost_files_are_named(findings: demo.Findings) -> None:
    changed = replace(findings, taken=replace(findings.taken, accepted=7))
    assert demo.broken_promises(changed) == ["accepted + rejected is what was sent"]


def test_a_broken_promise_is_not_exit_0(
    findings: demo.Findings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = with_result(findings, lambda r: r["table"].pop())
    assert demo.conclude(changed, Terminal(), tmp_path) == Exit.INTEGRITY
    assert "promise broken" in capsys.readouterr().err
    assert demo.conclude(findings, Terminal(), tmp_path) == Exit.OK


def test_the_summary_has_its_shape(findings: demo.Findings) -> None:
    summary = json.loads(json.dumps(demo.summarise(findings)))
    assert {"dataset", "images", "classes", "arms", "verdict", "legacy_protocol", "quality"} < set(
        summary
    )
    assert summary["seconds"] == 12.5 and summary["legacy_protocol"]["valid"] is False
    assert {"arm", "balanced_accuracy", "interval", "valid"} <= set(summary["arms"][0])


@dataclass
class Stack:
    url: str = "http://127.0.0.1:1"
    api_key: str = KEY


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Service:
    """Put a service in memory where the embedded stack would be; notes that it was stopped."""
    made = Service()

    @contextlib.contextmanager
    def running(home: Path) -> Iterator[Stack]:
        made.home = home  # type: ignore[attr-defined]
        try:
            yield Stack()
        finally:
            made.stopped = True  # type: ignore[attr-defined]

    monkeypatch.setattr(control, "running", running)
    monkeypatch.setattr(demo, "Client", made.connect)
    monkeypatch.chdir(tmp_path)
    for name in ("nv/a.jpg", "mel/b.jpg"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    return made


def test_a_folder_goes_in_and_report_and_summary_come_out(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.run(arguments(dataset=Path("set"), folds=3, seed=5), Terminal()) == Exit.OK
    assert Path("build/demo/report.html").read_bytes() == REPORT
    summary = json.loads(Path("build/demo/summary.json").read_text())
    assert (summary["dataset"], summary["verdict"], summary["images"]) == ("set", "no_evidence", 2)
    kind, params = service.submitted[1]
    assert kind == "pipeline" and params["seed"] == 5
    assert params["experiment"] == {"arms": list(demo.ARMS), "folds": 3}
    captured = capsys.readouterr()
    assert "not a valid estimate" in captured.out and "No evidence" in captured.out
    assert service.stopped  # type: ignore[attr-defined]
    assert not service.home.exists()  # type: ignore[attr-defined]
    assert len(captured.err.splitlines()) < 20


def test_a_failed_pipeline_stops_the_stack_and_shows_its_last_words(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.errors["pipeline"] = {"code": "child_failed", "detail": "No."}
    Path("build/demo").mkdir(parents=True)
    Path("build/demo/report.html").write_text("an older one")
    with pytest.raises(JobNotSucceeded):
        demo.run(arguments(dataset=Path("set")), Terminal())
    assert service.stopped  # type: ignore[attr-defined]
    assert not Path("build/demo/report.html").exists()
    said = capsys.readouterr().err
    assert "logs of the services are kept" in said and "[2J" in said


def test_lost_files_end_the_demonstration(service: Service) -> None:
    service.lost = 1
    with pytest.raises(IncompleteImport):
        demo.run(arguments(dataset=Path("set")), Terminal())


def test_ctrl_c_stops_the_stack_and_leaves_no_folder(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "follow", interrupt)
    with pytest.raises(KeyboardInterrupt):
        demo.run(arguments(dataset=Path("set")), Terminal())
    assert service.stopped  # type: ignore[attr-defined]
    assert not service.home.exists()  # type: ignore[attr-defined]


def test_without_a_dataset_the_built_in_one_is_drawn_and_sent(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def draw(command: list[str], **_: Any) -> None:
        commands.append(command)
        folder = Path(command[command.index("--out") + 1])
        folder.mkdir()
        (folder / "x.jpg").write_bytes(b"x")

    monkeypatch.setattr(subprocess, "run", draw)
    assert demo.run(arguments(), Terminal()) == Exit.OK
    assert commands[0][1:3] == ["-m", "core.synthesis.procedural"]
    assert service.names() == ["x.jpg"]
    assert service.submitted[0][1]["name"] == "procedural"
