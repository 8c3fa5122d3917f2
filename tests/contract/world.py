"""A stack with a worker, uploads, and one of everything that a job can refer to."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from core.db.models import Job, Upload
from core.db.repositories.jobs import NOW, database_now
from core.ids import new_id
from core.ingest.images import encode_png
from core.storage.blobs import BlobStore
from core.synthesis.procedural import draw, drawings
from tests.integration.harness import Harness

TINY_EXPERIMENT: dict[str, Any] = {
    "arms": ["real", "class_weight", "oversample", "augment", "combined", "control_copycat"],
    "folds": 2,
    "repeats": 1,
    "bootstrap": 200,
    "legacy_protocol": False,
}

TINY_SEGMENTATION: dict[str, Any] = {"image_size": 32, "epochs": 1, "folds": 2, "bootstrap": 200}


def zipped(tree: Path, archive: Path) -> Path:
    """Zip all files below a folder."""
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(tree.rglob("*")):
            file.write(path, path.relative_to(tree))
    return archive


def write_masked(folder: Path, images: int = 24, size: int = 64) -> Path:
    """Write drawn images in folders of their classes, each with the mask of its lesion."""
    for drawing in drawings(seed=4, images=images):
        place = folder / drawing.label
        place.mkdir(parents=True, exist_ok=True)
        for pixels, name in zip(draw(drawing, seed=4, size=size), ("", "_mask"), strict=True):
            (place / f"{drawing.name}{name}.png").write_bytes(encode_png(pixels))
    return folder


def zip_of(files: Mapping[str, bytes], archive: Path) -> Path:
    """Zip bytes by name."""
    with zipfile.ZipFile(archive, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return archive


@dataclass
class World:
    """What the contract tests stand on."""

    stack: Harness
    upload: str = ""
    real: str = ""
    synthetic: str = ""
    model: str = ""
    room: str = ""
    masked: str = ""
    moved: str = ""
    picture: str = ""

    def add_upload(self, archive: Path) -> str:
        """Put a finished upload where the service looks for it."""
        upload_id = new_id("upl")
        size = archive.stat().st_size
        with self.stack.sessions.begin() as session:
            session.add(
                Upload(
                    id=upload_id, tenant_id=self.stack.principal.tenant_id, filename=archive.name,
                    length=size, received=size, completed_at=NOW,
                    expires_at=database_now(session) + timedelta(hours=1),
                )
            )  # fmt: skip
        path = self.stack.folder / "uploads" / upload_id
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(archive.read_bytes())
        return upload_id

    def import_(self, archive: Path, **params: Any) -> Job:
        """Import an archive and wait for the end, whatever it is."""
        upload_id = self.add_upload(archive)
        job_id = self.stack.submit("import", upload_id=upload_id, name=archive.name, **params)
        return self.stack.wait(job_id)

    def params(self, kind: str) -> dict[str, Any]:
        """Return the parameters of a tiny run; KeyError for a kind that has none."""
        real = {"dataset_version_id": self.real}
        both = {"dataset_version_ids": [self.real, self.synthetic]}
        known: dict[str, dict[str, Any]] = {
            "import": {"upload_id": self.upload, "name": "tiny"},
            "import_asset": {"kind": "background", "upload_id": self.room, "name": "room"},
            "synthesize": {**real, "counts": {"mel": 70}, "sources": "all", "seed": 7},
            "extract_features": {**both, "dihedral": [0, 1, 2, 3]},  # more than one shard takes
            "train": {"dataset_version_ids": [self.real]},
            "train_segmentation": {
                "dataset_version_id": self.masked,
                "synthetic_version_ids": [self.moved],
                **TINY_SEGMENTATION,
            },
            "predict": {
                "model_id": self.model,
                "images": [{"filename": "a.jpg", "sha256": self.picture}],
            },
            "experiment": {**real, "synthetic_version_ids": [self.synthetic], **TINY_EXPERIMENT},
            "evaluate": {**real, "synthetic_version_id": self.synthetic},
            "project": both,
            "pipeline": {
                **real,
                "synthesize": {"counts": {"mel": 10}},
                "experiment": TINY_EXPERIMENT,
            },
            "export": {"dataset_version_ids": [self.real], "format": "csv"},
            "noop": {},
            "sleep": {"seconds": 1.0},
            "crash": {"how": "signal", "until_claim": 2},
        }
        return known[kind]

    def run(self, kind: str, **params: Any) -> Job:
        """Run a job (its tiny parameters when none are given) that must succeed."""
        job = self.stack.wait(self.stack.submit(kind, **(params or self.params(kind))))
        assert job.status == "succeeded", (kind, job.error, self.log(job.id))
        return job

    def log(self, job_id: str) -> str:
        path = BlobStore(self.stack.folder).log(job_id)
        return path.read_text()[-3000:] if path.exists() else "no log"
