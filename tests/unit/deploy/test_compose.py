"""docker-compose.yml: valid, and what matters in it; and that the checker can refuse."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import check_compose

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = ROOT / "docker-compose.yml"


@pytest.fixture
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return copy.deepcopy(loaded)


def test_the_compose_file_has_no_problem() -> None:
    assert check_compose.main([str(COMPOSE)]) == 0


def test_its_services_are_those_of_the_architecture(document: dict[str, Any]) -> None:
    assert set(document["services"]) == {
        *("postgres", "redis", "migrate", "api"),
        *("worker-gpu", "worker-cpu", "worker-interactive", "webhooks"),
        *("prometheus", "grafana"),
    }


def test_workers_that_open_foreign_files_have_no_way_out(document: dict[str, Any]) -> None:
    services = document["services"]
    for name in ("worker-gpu", "worker-cpu", "worker-interactive"):
        assert services[name]["networks"] == ["internal"]
        assert services[name]["environment"]["DERMSYNTH_WEBHOOK_SENDER"] == "false"
    assert services["webhooks"]["networks"] == ["internal", "outside"]
    assert "DERMSYNTH_WEBHOOK_SENDER" not in services["webhooks"]["environment"]


def test_data_survives_in_volumes(document: dict[str, Any]) -> None:
    services = document["services"]
    assert services["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    for name in ("api", "worker-gpu", "worker-cpu", "worker-interactive"):
        assert services[name]["volumes"] == ["data:/data"]


def test_the_broker_keeps_every_write_and_evicts_nothing(document: dict[str, Any]) -> None:
    command = " ".join(document["services"]["redis"]["command"])
    assert "--appendonly yes --appendfsync always --maxmemory-policy noeviction" in command


def test_only_the_gpu_worker_asks_for_a_gpu_and_can_be_switched_off(
    document: dict[str, Any],
) -> None:
    services = document["services"]
    deploy = services["worker-gpu"]["deploy"]
    assert deploy["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert deploy["replicas"] == "${DERMSYNTH_GPU_WORKERS:-1}"
    assert [name for name, service in services.items() if "deploy" in service] == ["worker-gpu"]


@pytest.mark.parametrize(("gpu_workers", "queues"), [("0", "gpu,cpu,io"), ("1", "cpu,io")])
def test_in_cpu_mode_the_cpu_worker_serves_the_gpu_queue(
    document: dict[str, Any], tmp_path: Path, gpu_workers: str, queues: str
) -> None:
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    _, option, script = document["services"]["worker-cpu"]["command"]
    said = subprocess.run(
        [shutil.which("sh") or "/bin/sh", option, script.replace("$$", "$")],
        env={"PATH": str(tmp_path), "DERMSYNTH_GPU_WORKERS": gpu_workers, "SLOTS": "3"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said[said.index("-Q") + 1] == queues
    assert said[said.index("-c") + 1] == "3"


def test_the_interactive_queue_has_a_slot_of_its_own(document: dict[str, Any]) -> None:
    owners = [
        name
        for name, service in document["services"].items()
        if "interactive" in map(str, service.get("command", []))
    ]
    assert owners == ["worker-interactive"]


def test_database_and_broker_are_not_published(document: dict[str, Any]) -> None:
    published = [name for name, service in document["services"].items() if "ports" in service]
    assert published == ["api", "grafana"]
    assert document["services"]["grafana"]["ports"][0].startswith("127.0.0.1:")
    assert document["networks"]["internal"] == {"internal": True}
    assert document["services"]["postgres"]["networks"] == ["internal"]


def test_observability_is_a_profile_and_asks_for_no_variable(document: dict[str, Any]) -> None:
    """Compose fills in variables of services that are not started, too."""
    watching = {name: document["services"][name] for name in ("prometheus", "grafana")}
    assert all(service["profiles"] == ["observability"] for service in watching.values())
    assert ":?" not in str(watching)
    others = [s for name, s in document["services"].items() if name not in watching]
    assert not any("profiles" in service for service in others)


def test_no_secret_of_the_example_has_a_value() -> None:
    lines = (ROOT / "deploy" / "env.example").read_text().splitlines()
    secrets = [line for line in lines if "PASSWORD" in line and not line.startswith("#")]
    assert sorted(secrets) == ["POSTGRES_PASSWORD=", "REDIS_PASSWORD="]


Change = Callable[[dict[str, Any]], object]
REFUSED: dict[str, tuple[Change, str]] = {
    "unknown key": (lambda s: s["api"].update(imgae="x"), "imgae"),
    "wrong type": (lambda s: s["api"].update(ports=8000), "ports"),
    "no tag": (lambda s: s["postgres"].update(image="postgres"), "not pinned"),
    "latest": (lambda s: s["postgres"].update(image="postgres:latest"), "not pinned"),
    "root": (lambda s: s["api"].update(user="0:0"), "runs as root"),
    "no user": (lambda s: s["api"].pop("user"), "runs as root"),
    "writable": (lambda s: s["api"].update(read_only=False), "read_only"),
    "capabilities": (lambda s: s["api"].pop("cap_drop"), "cap_drop"),
    "privileged": (lambda s: s["api"].update(privileged=True), "no privileges"),
    "no restart": (lambda s: s["api"].pop("restart"), "not restarted"),
    "no health check": (lambda s: s["worker-cpu"].pop("healthcheck"), "no health check"),
    "no grace": (lambda s: s["worker-cpu"].pop("stop_grace_period"), "stop_grace_period"),
    "default password": (
        lambda s: s["postgres"]["environment"].update(POSTGRES_PASSWORD="${P:-x}"),
        "has a default",
    ),
    "password in an address": (
        lambda s: s["api"]["environment"].update(DATABASE_URL="postgresql://a:b@c/d"),
        "has a default",
    ),
    "unknown service": (lambda s: s["api"]["depends_on"].update(x={"condition": "service_started"}),
                        "does not exist"),
    "unknown volume": (lambda s: s["api"].update(volumes=["x:/data"]), "not declared"),
    "unknown secret": (lambda s: s["api"].update(secrets=["x"]), "not declared"),
    "unknown network": (lambda s: s["api"].update(networks=["x"]), "not declared"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_the_checker_refuses(document: dict[str, Any], name: str) -> None:
    change, words = REFUSED[name]
    change(document["services"])
    found = check_compose.problems(document)
    assert any(words in problem for problem in found), found
