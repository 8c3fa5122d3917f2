"""What a data-protection officer checks: after an erasure nothing of the person is anywhere.

Every kind of job has used the person's images before; then the whole data folder is searched for
their bytes, and every row of every table for what names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from core.db.models import Base, DatasetVersion, Image
from core.features.forgetting import count_rows
from core.manifest import ImageRecord, manifest_sha256, read_manifest
from core.services.erasure import erase
from core.services.erasure_plan import make_plan
from core.storage.blobs import BlobStore
from core.synthesis.procedural import write_dataset
from tests.contract.world import World, zipped
from tests.integration.harness import Harness

SLICE = 48
"""So many bytes from the middle of a compressed picture occur in no other."""


@pytest.fixture(scope="module")
def world(shared_stack: Harness, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("persons")
    write_dataset(folder / "tiny", seed=5, images=60, size=64)
    made = World(shared_stack)
    made.upload = made.add_upload(zipped(folder / "tiny", folder / "tiny.zip"))
    made.real = str((made.run("import").result or {})["dataset_version_id"])
    made.synthetic = str((made.run("synthesize").result or {})["dataset_version_id"])
    made.model = str((made.run("train").result or {})["model_id"])
    return made


def records_of(world: World, version_id: str) -> list[ImageRecord]:
    with world.stack.sessions() as session:
        version = session.get_one(DatasetVersion, version_id)
    return read_manifest(BlobStore(world.stack.folder).find(version.manifest_blob))


def dump(world: World) -> Iterator[tuple[str, str]]:
    """Yield every row of every table as text."""
    with world.stack.sessions() as session:
        for table in Base.metadata.tables:
            for row in session.scalars(text(f'SELECT to_jsonb(t)::text FROM "{table}" t')):
                yield table, row


def files_with(folder: Path, needles: list[bytes]) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(needle in path.read_bytes() for needle in needles)
    )


def middle(data: bytes) -> bytes:
    return data[len(data) // 2 :][:SLICE]


def test_nothing_of_the_person_is_left(world: World) -> None:
    store = BlobStore(world.stack.folder)
    before = records_of(world, world.real)
    children = records_of(world, world.synthetic)
    parents = {p for child in children for p in child.parents}
    person = next(r for r in before if r.image_id in parents and r.split == "train")
    (group,) = person.group_ids
    images = [r for r in before if group in r.group_ids]
    own = {r.image_id for r in images}
    derived = [c for c in children if own & set(c.parents)]
    others = [r for r in before if r.image_id not in own]
    assert derived
    assert len(derived) < len(children)

    world.picture = store.add(store.find(images[0].sha256).read_bytes())
    for kind in ("export", "extract_features", "project", "predict", "evaluate"):
        world.run(kind)
    world.run("pipeline")
    with world.stack.sessions() as session:
        plan = make_plan(session, world.stack.principal, group, store)
        query = select(Image.sha256).where(Image.image_id.in_(plan.all_images)).distinct()
        hashes = set(session.scalars(query))
    assert not plan.unfinished
    assert plan.synthetic > {r.image_id for r in derived}  # the pipeline made its own
    needles = [middle(store.find(sha256).read_bytes()) for sha256 in hashes]
    kept = [middle(store.find(r.sha256).read_bytes()) for r in others]
    found = files_with(world.stack.folder, needles)
    for place in ("uploads/", "blobs/"):
        assert any(name.startswith(place) for name in found), found
    assert count_rows(world.stack.folder / "features", hashes) > 0

    erasure = erase(world.stack.sessions, world.stack.principal, group, store)
    assert erasure.completed_at is not None
    assert erasure.counts["images"] == len(images)

    assert files_with(world.stack.folder, needles) == []
    words = [*hashes, *plan.all_images, *(r.source_sha256 for r in images), group]
    words += [r.filename for r in images]
    left = [(table, word) for table, row in dump(world) for word in words if word in row]
    assert left == []
    in_files = [word.encode() for word in words]
    assert files_with(world.stack.folder, in_files) == []
    assert count_rows(world.stack.folder / "features", hashes) == 0
    assert not list((world.stack.folder / "features").rglob("*.tmp"))

    assert len(files_with(world.stack.folder, kept)) == len(others)
    assert count_rows(world.stack.folder / "features", {r.sha256 for r in others}) > 0
    with world.stack.sessions() as session:
        versions = session.scalars(select(DatasetVersion)).all()
        for version in versions:
            records = read_manifest(store.find(version.manifest_blob))
            assert version.manifest_sha256 == manifest_sha256(records)
            assert version.image_count == len(records)
            ids = session.scalars(
                select(Image.image_id)
                .where(Image.version_id == version.id)
                .order_by(Image.position)
            ).all()
            assert list(ids) == [r.image_id for r in records]
            for record in records:
                assert store.find(record.sha256)
    assert records_of(world, world.real) == others


def test_work_goes_on_with_the_others(world: World) -> None:
    world.run("train", dataset_version_ids=[world.real])
    world.run("export", dataset_version_ids=[world.real, world.synthetic], format="csv")
