"""The command line: exit codes, --json, what is sent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import cli
from api.client import Client, RetryPolicy
from api.commands import following, keys, session
from api.commands.exits import MEANINGS, Exit, epilog
from core.services import principal
from tests.unit.client.scripted import KEY, problem
from tests.unit.client.service import DATASET, REPORT, VERSION, Service


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Service:
    monkeypatch.setenv("DERMSYNTH_URL", "http://service.test")
    monkeypatch.setenv("DERMSYNTH_API_KEY", KEY)
    monkeypatch.setattr(session, "PROJECT", tmp_path)
    monkeypatch.chdir(tmp_path)
    return Service()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("nv/a.jpg", "nv/b.jpg", "mel/c.jpg", "labels.csv"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "photos"


def run(service: Service, *argv: str) -> int:
    return cli.main(argv, connect=service.connect)


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def test_upload_counts_and_prints_the_rejects(
    service: Service, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.rejects = [{"name": "mel/c.jpg", "code": "corrupt_image", "detail": "cut\x1b[2J short"}]
    assert run(service, "upload", str(folder), "--licence", "CC0-1.0") == Exit.OK
    out = capsys.readouterr().out
    assert "accepted  2, rejected 1 of 3 sent" in out and "corrupt_image" in out
    assert "\x1b" not in out
    kind, params = service.submitted[0]
    assert kind == "import" and params == {
        "upload_id": "upl_1",
        "name": "photos",
        "layout": "auto",
        "licence": "CC0-1.0",
    }
    assert service.names() == ["labels.csv", "mel/c.jpg", "nv/a.jpg", "nv/b.jpg"]


def test_a_file_that_vanished_on_the_way_is_an_integrity_failure(
    service: Service, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.lost = 1
    assert run(service, "--json", "upload", str(folder)) == Exit.INTEGRITY
    assert document(capsys)["error"]["code"] == "IncompleteImport"


def test_upload_as_json_holds_all_rejects(
    service: Service, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.rejects = [{"name": "mel/c.jpg", "code": "duplicate", "detail": ""}]
    assert run(service, "upload", str(folder), "--json") == Exit.OK
    body = document(capsys)
    assert (body["sent"], body["accepted"], body["rejected"]) == (3, 2, 1)
    assert body["rejects"][0]["code"] == "duplicate"


def test_a_pipeline_is_one_post_with_the_options_given(
    service: Service, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ["--balance", "40", "--max-per-real", "3", "--arms", "real, combined", "--folds", "2"]
    options += ["--method", "umap", "--set", "experiment.repeats=1", "--seed", "7"]
    code = run(service, "pipeline", "clinic", *options, "--download", str(tmp_path / "out"))
    assert code == Exit.OK
    assert service.submitted == [
        (
            "pipeline",
            {
                "synthesize": {"balance": {"target": 40, "max_per_real": 3.0}},
                "experiment": {"arms": ["real", "combined"], "folds": 2, "repeats": 1},
                "project": {"method": "umap"},
                "seed": 7,
                "dataset_version_id": VERSION,
            },
        )
    ]
    out = capsys.readouterr().out
    assert "No evidence" in out and "not a valid estimate" in out
    assert (tmp_path / "out" / "report.html").read_bytes() == REPORT


@pytest.mark.parametrize(
    ("argv", "kind", "params"),
    [
        (
            ["synthesize", DATASET, "--counts", '{"df": 5}', "--sources", "all"],
            "synthesize",
            {"dataset_version_id": VERSION, "counts": {"df": 5}, "sources": "all"},
        ),
        (
            ["extract", VERSION, "clinic", "--batch-size", "8"],
            "extract_features",
            {"dataset_version_ids": [VERSION, VERSION], "batch_size": 8},
        ),
        (
            ["train", "clinic", "--classifier", "random_forest"],
            "train",
            {"dataset_version_ids": [VERSION], "classifier": "random_forest"},
        ),
        (
            ["evaluate", VERSION, VERSION, "--metrics", "kid,ssim"],
            "evaluate",
            {
                "dataset_version_id": VERSION,
                "synthetic_version_id": VERSION,
                "metrics": ["kid", "ssim"],
            },
        ),
        (
            ["experiment", VERSION, "--generator", "augment", "--ratios", "0.5,2", "--tuning=none"],
            "experiment",
            {
                "tuning": "none",
                "dataset_version_id": VERSION,
                "synthesis": {"generator": "augment"},
                "ratios": [0.5, 2.0],
            },
        ),
        (
            ["outline", VERSION, "--synthetic", VERSION, "--arms", "real,combined", "--size=64"],
            "train_segmentation",
            {
                "dataset_version_id": VERSION,
                "synthetic_version_ids": [VERSION],
                "arms": ["real", "combined"],
                "image_size": 64,
            },
        ),
        (
            ["project", VERSION, "--params", '{"seed": 3}'],
            "project",
            {"dataset_version_ids": [VERSION], "seed": 3},
        ),
    ],
)
def test_each_kind_has_its_command(
    service: Service, argv: list[str], kind: str, params: dict[str, Any]
) -> None:
    assert run(service, *argv) == Exit.OK
    assert service.submitted == [(kind, params)]


def test_masks_taken_along_are_accounted_for(
    service: Service, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.masks = 1
    assert run(service, "upload", str(folder)) == Exit.OK
    assert "accepted  2, rejected 0, 1 masks taken along of 3 sent" in capsys.readouterr().out


def test_labels_go_with_the_job(service: Service) -> None:
    assert run(service, "train", VERSION, "--label", "a", "--label", "b c") == Exit.OK
    assert service.labels == ["a", "b c"]


def test_a_dry_run_creates_nothing(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(service, "train", VERSION, "--dry-run", "--json") == Exit.OK
    assert document(capsys)["cost"] == {"seconds": 12.0}
    assert service.submitted == []


def test_no_wait_prints_the_id(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(service, "train", VERSION, "--no-wait") == Exit.OK
    assert capsys.readouterr().out == "job_1\n"


def test_a_failed_job_is_exit_1_with_the_reason(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.errors["train"] = {"code": "too_few_classes", "detail": "One class only."}
    assert run(service, "train", VERSION, "--json") == Exit.JOB
    captured = capsys.readouterr()
    body = json.loads(captured.out)
    assert body["error"]["job"]["error"]["code"] == "too_few_classes"
    assert "One class only." in captured.err


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, 4), (403, 4), (404, 5), (409, 5), (422, 5), (429, 3), (500, 3), (503, 3), (307, 3)],
)
def test_refusals_have_their_exit_codes(
    service: Service, status: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def connect(url: str, key: str, **options: Any) -> Client:
        transport = httpx.MockTransport(lambda _: problem(status, "no", request_id="req_1"))
        return Client(
            url, key, transport=transport, retry=RetryPolicy(tries=1), sleep=lambda _: None
        )

    assert cli.main(["jobs", "job_1", "--json"], connect=connect) == code
    assert document(capsys)["error"]["request_id"] == ("req_1" if status != 307 else None)


def test_an_unreachable_server_is_exit_3(service: Service) -> None:
    def connect(url: str, key: str, **options: Any) -> Client:
        def refuse(_: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused")

        transport = httpx.MockTransport(refuse)
        return Client(url, key, transport=transport, sleep=lambda _: None)

    assert cli.main(["jobs"], connect=connect) == Exit.SERVER


def test_a_wrong_key_is_exit_4(service: Service) -> None:
    assert run(service, "--key", "dsk_wrong", "jobs") == Exit.UNAUTHORIZED


@pytest.mark.parametrize(
    "argv",
    [
        ["upload", "nowhere.zip"],
        ["train", VERSION, "--params", "[1]"],
        ["train", VERSION, "--params", "@nowhere.json"],
        ["train", VERSION, "--set", "seed"],
        ["train", VERSION, "--seed", "x"],
        ["train", VERSION, "--set", "seed=1", "--set", "seed.a=1"],
        ["train", VERSION, "--no-wait", "--download", "x"],
        ["--url", "ftp://x", "jobs"],
    ],
)
def test_wrong_usage_is_exit_2_and_creates_nothing(service: Service, argv: list[str]) -> None:
    assert run(service, *argv) == Exit.USAGE
    assert service.submitted == []


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["train"], ["jobs", "--status", "x"]])
def test_what_the_parser_refuses_is_exit_2_too(service: Service, argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(service, *argv)
    assert caught.value.code == Exit.USAGE


def test_an_unknown_dataset_name_is_refused(service: Service) -> None:
    assert run(service, "train", "nobody") == Exit.REFUSED


@pytest.mark.parametrize(
    ("option", "cancelled"), [([], []), (["--cancel-on-interrupt"], ["job_1"])]
)
def test_ctrl_c_leaves_the_job_or_cancels_it(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: list[str],
    cancelled: list[str],
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(following._Lines, "tell", interrupt)
    assert run(service, "train", VERSION, *option) == Exit.INTERRUPTED
    assert service.cancelled == cancelled
    said = capsys.readouterr().err
    assert ("being canceled" if option else "dermsynth watch job_1") in said


def test_watch_as_json_is_a_line_a_change(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    run(service, "train", VERSION, "--no-wait")
    capsys.readouterr()
    assert run(service, "watch", "job_1", "--json") == Exit.OK
    assert [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()] == [
        "succeeded"
    ]


def test_logs_cannot_steer_the_terminal(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    run(service, "train", VERSION, "--no-wait")
    capsys.readouterr()
    assert run(service, "logs", "job_1", "-f") == Exit.OK
    assert capsys.readouterr().out == "a\ufffd[2J\n"


def test_download_takes_only_what_is_asked(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(service, "pipeline", VERSION, "--no-wait")
    capsys.readouterr()
    assert run(service, "download", "job_1", "--only", "nothing.png") == Exit.USAGE
    assert run(service, "download", "job_1", "--only", "report.html") == Exit.OK
    assert (tmp_path / "job_1" / "report.html").read_bytes() == REPORT
    (tmp_path / "job_1" / "report.html").write_text("mine")
    assert run(service, "download", "job_1") == Exit.INTEGRITY
    assert run(service, "download", "job_1", "--force") == Exit.OK


def test_export_fetches_the_archive(service: Service, tmp_path: Path) -> None:
    assert run(service, "export", "clinic", "--purpose", "share", "--to", str(tmp_path)) == Exit.OK
    assert service.submitted == [
        (
            "export",
            {"dataset_version_ids": [VERSION], "format": "imagefolder", "purpose": "share"},
        )
    ]
    assert (tmp_path / "report.html").exists()


def test_the_secret_of_a_new_key_is_all_of_stdout(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(service, "keys", "create", "--name", "ci", "--scope", "jobs:read") == Exit.OK
    assert capsys.readouterr().out == "dsk_new\n"


def test_the_scopes_on_offer_are_the_servers() -> None:
    assert keys.SCOPES == principal.SCOPES


def test_every_exit_code_is_explained() -> None:
    assert set(MEANINGS) == set(Exit)
    assert all(str(int(code)) in epilog() for code in Exit)


class TestAddress:
    """Where the server's address and key come from."""

    @pytest.fixture(autouse=True)
    def clean(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("DERMSYNTH_URL", "DERMSYNTH_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(session, "PROJECT", tmp_path)

    def publish(self, url: str, key_file: str = "key") -> None:
        Path("build").mkdir()
        Path("key").write_text("dsk_embedded\n")
        state = {"url": url, "api_key_file": key_file, "pid": 1}
        Path("build/up.json").write_text(json.dumps(state))

    def test_nothing_named_is_wrong_usage(self) -> None:
        assert cli.main(["jobs"]) == Exit.USAGE

    def test_the_running_stack_is_found(self) -> None:
        self.publish("http://127.0.0.1:8000")
        assert session.find_address(None, None) == session.Address(
            "http://127.0.0.1:8000", "dsk_embedded"
        )

    def test_its_key_goes_to_no_other_server(self) -> None:
        self.publish("http://127.0.0.1:8000")
        assert session.find_address("http://other.test", None).key is None

    def test_a_file_that_names_a_foreign_server_is_not_believed(self) -> None:
        self.publish("http://evil.test:8000")
        assert cli.main(["jobs"]) == Exit.USAGE

    def test_options_win_over_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DERMSYNTH_URL", "http://env.test")
        monkeypatch.setenv("DERMSYNTH_API_KEY", "dsk_env")
        assert session.find_address("http://opt.test", "dsk_opt") == session.Address(
            "http://opt.test", "dsk_opt"
        )
        assert session.find_address(None, None) == session.Address("http://env.test", "dsk_env")


def test_the_client_loads_nothing_of_the_server() -> None:
    code = (
        "import api.cli, api.demo, sys; "
        "print([m for m in ('fastapi', 'sqlalchemy', 'numpy', 'torch', 'celery', 'PIL', "
        "'core.config', 'core.db', 'core.services', 'core.embedded') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
