"""Datasets, versions and images as callers see them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from sqlalchemy.orm import Session

from core.annotations import annotation_blobs, media_type
from core.db.models import Dataset, DatasetVersion, Image
from core.db.repositories import datasets
from core.db.repositories.datasets import Newest
from core.services.job_view import stamp
from core.storage.blobs import BlobStore


def dataset_view(dataset: Dataset, newest: Newest | None) -> dict[str, Any]:
    """Return a dataset as a JSON object."""
    return {
        "id": dataset.id,
        "name": dataset.name,
        "kind": dataset.kind,
        "created_at": stamp(dataset.created_at),
        "versions": newest.versions if newest else 0,
        "newest_version_id": newest.id if newest else None,
        "image_count": newest.image_count if newest else 0,
        "links": {
            "self": f"/v1/datasets/{dataset.id}",
            "versions": f"/v1/datasets/{dataset.id}/versions",
        },
    }


def version_view(session: Session, version: DatasetVersion) -> dict[str, Any]:
    """Return a version as a JSON object."""
    info = version.info
    duplicates = info.get("duplicates") or {}
    groups = info.get("groups")
    link = f"/v1/dataset-versions/{version.id}"
    return {
        "id": version.id,
        "dataset_id": version.dataset_id,
        "number": version.number,
        "kind": version.kind,
        "parents": version.parents,
        "image_count": version.image_count,
        "classes": version.classes,
        "imbalance_ratio": imbalance_ratio(version.classes),
        "groups": datasets.count_groups(session, version.id) if groups is None else groups,
        "group_basis": info.get("group_basis", "image"),
        "largest_group": info.get("largest_group"),
        "duplicates": {"exact": duplicates.get("exact", 0), "near": duplicates.get("near", 0)},
        "rejected_count": info.get("rejected_count", 0),
        "manifest_sha256": version.manifest_sha256,
        "licence": version.licence,
        "generator": info.get("generator"),
        "job_id": version.job_id,
        "created_by": version.created_by,
        "created_at": stamp(version.created_at),
        "links": {
            "self": link,
            "dataset": f"/v1/datasets/{version.dataset_id}",
            "images": f"{link}/images",
            "manifest": f"{link}/manifest",
            "rejects": f"{link}/rejects",
        },
    }


def imbalance_ratio(classes: list[Any]) -> float | None:
    """Return the count of the largest class over that of the smallest; None with an empty one."""
    counts = [int(row["count"]) for row in classes]
    if not counts or min(counts) == 0:
        return None
    return round(max(counts) / min(counts), 4)


def image_view(image: Image) -> dict[str, Any]:
    """Return an image of a list as a JSON object."""
    link = f"/v1/images/{image.image_id}"
    return {
        "id": image.image_id,
        "filename": image.filename,
        "label": image.label,
        "split": image.split,
        "group_ids": image.group_ids,
        "source": image.source,
        "quarantined": image.quarantined,
        "width": image.width,
        "height": image.height,
        "media_type": image.media_type,
        "modality": image.modality,
        "sha256": image.sha256,
        "parents": image.parents,
        "thumbnail_url": f"{link}/thumbnail",
        "content_url": f"{link}/content",
    }


def image_detail(image: Image) -> dict[str, Any]:
    """Return an image with everything that is known of it."""
    return {
        **image_view(image),
        "dataset_version_id": image.version_id,
        "metadata": image.details,
        "provenance": image.provenance,
        "annotations": {name: _address(image, name) for name in annotation_blobs(image.provenance)},
    }


def annotation_views(image: Image, store: BlobStore) -> list[dict[str, Any]]:
    """Return what is annotated on an image, by name; NotFound when a file is missing."""
    return [
        {
            "name": name,
            "media_type": media_type(name, image.source),
            "bytes": store.size([sha256]),
            "sha256": sha256,
            "links": {"self": _address(image, name), "image": f"/v1/images/{image.image_id}"},
        }
        for name, sha256 in sorted(annotation_blobs(image.provenance).items())
    ]


def _address(image: Image, name: str) -> str:
    return f"/v1/images/{image.image_id}/annotations/{quote(name, safe='')}"
