"""Every setting is read somewhere; limits of the settings are those of a job by default."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import pytest

from core.config import Settings
from core.ingest.archive import ArchiveLimits
from core.ingest.decoder import DecoderLimits
from core.ingest.images import MAX_PIXELS
from core.jobs.context import Limits

ROOT = Path(__file__).resolve().parents[3]


@lru_cache(maxsize=1)
def sources() -> str:
    files = [p for folder in ("api", "core", "worker") for p in (ROOT / folder).rglob("*.py")]
    return "\n".join(p.read_text() for p in files if p != ROOT / "core" / "config.py")


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_setting_is_read(name: str) -> None:
    assert re.search(rf"(settings(\(\))?|Settings\(\))\.{name}\b", sources()), name


def test_the_limits_of_a_job_are_those_of_the_settings() -> None:
    fields, limits, archive = Settings.model_fields, Limits(), ArchiveLimits()
    assert fields["max_archive_files"].default == limits.archive_files == archive.files
    assert fields["max_archive_bytes"].default == limits.archive_bytes == archive.total_bytes
    assert fields["max_archive_ratio"].default == limits.archive_ratio == archive.ratio
    assert fields["max_image_pixels"].default == limits.image_pixels == MAX_PIXELS
    decoder = limits.decoder
    assert decoder == DecoderLimits()
    assert fields["max_decoder_bytes"].default == decoder.memory_bytes
    assert fields["max_decoder_cpu_seconds"].default == decoder.cpu_seconds
    assert fields["max_decoder_seconds"].default == decoder.seconds
