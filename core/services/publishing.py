"""Manifests that are written outside of jobs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from core.ids import new_id
from core.manifest import ImageRecord, write_manifest
from core.storage.blobs import BlobStore, stage


def publish_manifest(records: Sequence[ImageRecord], store: BlobStore) -> str:
    """Store a manifest durably; returns the sha256 of its blob."""
    folder = store.root / "staging" / "direct" / new_id("req")
    try:
        folder.mkdir(parents=True)
        path = folder / "manifest.parquet"
        write_manifest(records, path)
        sha256 = stage(path, folder)
        store.publish(folder, [sha256])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return sha256
