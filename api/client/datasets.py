"""Datasets and their versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, Literal

from api.client.downloads import Artifacts
from api.client.failures import NoSuchDataset
from api.client.records import Dataset, Image, Job, Reject, Version, parse
from api.client.transport import Transport, decoded, path_of

MANIFEST_TYPES = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv"}


class Datasets:
    """``/v1/datasets`` and ``/v1/dataset-versions``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Dataset]:
        """Yield datasets, newest first."""
        return (
            parse(Dataset, item) for item in self._transport.pages(path_of("datasets"), limit=100)
        )

    def get(self, dataset_id: str) -> Dataset:
        return parse(Dataset, self._transport.get(path_of("datasets", dataset_id)))

    def delete(self, dataset_id: str) -> None:
        """Delete a dataset; ApiProblem 409 names what depends on it."""
        self._transport.send("DELETE", path_of("datasets", dataset_id))

    def versions(self, dataset_id: str) -> Iterator[Version]:
        """Yield the versions of a dataset, newest first."""
        items = self._transport.pages(path_of("datasets", dataset_id, "versions"), limit=100)
        return (parse(Version, item) for item in items)

    def version(self, version_id: str) -> Version:
        return parse(Version, self._transport.get(path_of("dataset-versions", version_id)))

    def create_version(self, dataset_id: str, changes: dict[str, Any]) -> Version | Job:
        """Append, relabel, drop, quarantine or release images: a version, or the job making it."""
        answer = self._transport.create(path_of("datasets", dataset_id, "versions"), changes)
        body = decoded(answer)
        return parse(Job, body) if answer.status_code == 202 else parse(Version, body)

    def images(
        self,
        version_id: str,
        *,
        label: str | None = None,
        split: Literal["train", "val", "test"] | None = None,
        source: Literal["real", "synthetic"] | None = None,
        quarantined: bool | None = None,
    ) -> Iterator[Image]:
        """Yield the images of a version."""
        items = self._transport.pages(
            path_of("dataset-versions", version_id, "images"),
            label=label,
            split=split,
            source=source,
            quarantined=None if quarantined is None else str(quarantined).lower(),
            limit=200,
        )
        return (parse(Image, item) for item in items)

    def rejects(self, version_id: str) -> Iterator[Reject]:
        """Yield the files that the import did not take, with the reasons."""
        items = self._transport.pages(path_of("dataset-versions", version_id, "rejects"), limit=200)
        return (parse(Reject, item) for item in items)

    def manifest(
        self,
        version_id: str,
        file: IO[bytes],
        *,
        format: Literal["parquet", "csv"] = "parquet",  # noqa: A002 - as in the contract
    ) -> None:
        """Write the manifest of a version to an open binary file."""
        path = path_of("dataset-versions", version_id, "manifest")
        Artifacts(self._transport).fetch(path, file, accept=MANIFEST_TYPES[format])

    def content(self, image_id: str, file: IO[bytes]) -> None:
        """Write the stored bytes of an image to an open binary file."""
        Artifacts(self._transport).fetch(path_of("images", image_id, "content"), file)

    def resolve(self, reference: str) -> str:
        """Return the version meant by a version id, a dataset id (its newest) or its name."""
        if reference.startswith("dsv_"):
            return reference
        newest = next(self.versions(self.find(reference)), None)
        if newest is None:
            raise NoSuchDataset(f"Dataset {reference!r} has no version yet.")
        return newest.id

    def find(self, name: str) -> str:
        """Return the id of the one dataset with this name; an id is returned as it is."""
        if name.startswith("ds_"):
            return name
        found = [dataset.id for dataset in self.list() if dataset.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise NoSuchDataset(f"{len(found)} datasets are called {name!r}: {', '.join(found)}.")
        raise NoSuchDataset(f"There is no dataset called {name!r}.")
