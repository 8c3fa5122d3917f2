"""The Dockerfiles: linted, non-root, pinned, and without what they must not hold."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FILES = ["Dockerfile.api", "Dockerfile.worker"]


@pytest.mark.parametrize("name", FILES)
def test_hadolint_finds_nothing(name: str) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    ended = subprocess.run(
        [hadolint, "--config", ".hadolint.yaml", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("name", FILES)
def test_the_last_stage_runs_as_a_numbered_user_with_a_health_check(name: str) -> None:
    last = (ROOT / name).read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    assert "\nHEALTHCHECK " in last
    assert last.rfind("\nUSER ") > last.rfind("\nRUN ")


@pytest.mark.parametrize("name", FILES)
def test_the_base_is_an_argument_with_a_pinned_default(name: str) -> None:
    text = (ROOT / name).read_text()
    assert re.search(r"^ARG BASE=python:3\.\d+\.\d+-slim-bookworm$", text, re.MULTILINE)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${BASE}", "${BASE}"]


def test_the_api_image_holds_neither_worker_nor_its_packages() -> None:
    text = (ROOT / "Dockerfile.api").read_text()
    assert "'.[api,backup,otel]'" in text
    assert "worker /app" not in text
    assert "torch " not in text.replace("no torch", "")


def test_what_is_copied_is_not_ignored() -> None:
    allowed = {
        line[1:].rstrip("/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = set()
    for name in FILES:
        for line in re.findall(r"^COPY (?!--from)(.+)$", (ROOT / name).read_text(), re.MULTILINE):
            copied |= set(line.split()[:-1])
    assert copied == allowed
    assert all((ROOT / path).exists() for path in allowed)
