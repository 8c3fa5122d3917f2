"""The README says what the code does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from api.commands.exits import MEANINGS
from core.config import Settings

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_configuration_table_is_current() -> None:
    script = ROOT / "scripts" / "readme_settings.py"
    command = [sys.executable, str(script), "--check"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_the_exit_codes_are_the_commands(readme: str) -> None:
    for code, meaning in MEANINGS.items():
        assert f"| {code.value} | {meaning} |" in readme


@pytest.mark.parametrize(
    "text",
    [
        "make demo",
        "make test",
        "make up",
        "docker compose up",
        "--root-path",
        "Research use only",
        "legacy_protocol",
        *[
            f"| `{name}` |"
            for name in (
                "generate_synthetic",
                "augment",
                "feature_extraction",
                "train_features",
                "train_combined_features",
                "pca_visualization",
                "evaluate_quality",
                "run",
            )
        ],
    ],
)
def test_it_holds_what_a_reader_looks_for(readme: str, text: str) -> None:
    assert text in readme
