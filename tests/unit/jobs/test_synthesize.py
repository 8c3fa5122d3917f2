"""The synthesize job, run in this process over a small drawn dataset."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput, JobFailed, UnknownName
from core.ids import new_id
from core.ingest.images import decode, pixel_sha256
from core.jobs import shards
from core.jobs.context import Inputs
from core.jobs.kinds import synthesize as kind
from core.jobs.spec import JOB_KINDS
from core.manifest import ImageRecord, Modality, read_manifest
from core.synthesis.contract import Source
from core.synthesis.procedural import Drawing, draw, drawings
from core.synthesis.production import encode, replay
from tests.unit.jobs.inline import InlineOutcome, InlineRunner

SPLITS = ("train", "train", "train", "val", "test")


@cache
def picture(drawing: Drawing, modality: Modality) -> Any:
    return draw(drawing, modality=modality, size=40)[0]


def record(runner: InlineRunner, drawing: Drawing, place: int, **changes: Any) -> ImageRecord:
    modality: Modality = changes.get("modality", "rgb")
    media_type = changes.get("media_type", "image/jpeg")
    pixels = picture(drawing, modality)
    data = encode(pixels, media_type)
    sha256 = runner.blob(data)
    fields: dict[str, Any] = {
        "image_id": new_id("img"),
        "filename": drawing.name,
        "label": drawing.label,
        "sha256": sha256,
        "source_sha256": sha256,
        "pixel_sha256": pixel_sha256(pixels),
        "width": 40,
        "height": 40,
        "media_type": media_type,
        "modality": modality,
        "split": SPLITS[place % 5],
        "source": "real",
        "group_ids": (f"lesion:{drawing.subject}",),
    }
    return ImageRecord(**(fields | changes))


def dataset(runner: InlineRunner, images: int = 40, **changes: Any) -> list[ImageRecord]:
    plan = drawings(images=images, modality=changes.get("modality", "rgb"))
    return [record(runner, drawing, place, **changes) for place, drawing in enumerate(plan)]


@pytest.fixture
def runner(tmp_path: Path) -> InlineRunner:
    return InlineRunner(tmp_path, threads=2)


def run(runner: InlineRunner, version: str, **params: Any) -> InlineOutcome:
    return runner.run("synthesize", {"dataset_version_id": version} | params)


def made(outcome: InlineOutcome) -> list[ImageRecord]:
    return read_manifest(outcome.artifacts["manifest.parquet"])


def test_fills_every_class_to_the_largest_one_and_says_where_images_come_from(
    runner: InlineRunner,
) -> None:
    records = dataset(runner)
    version = runner.version(records, dataset_name="Drawn", licence="CC-BY-4.0")
    outcome = run(runner, version, balance={"target": "max"}, sources="all", seed=3)
    real = {r.image_id: r for r in records}
    synthetic = made(outcome)
    assert outcome.result["per_class"] == {"bcc": 14, "bkl": 8, "mel": 12, "vasc": 16}
    assert outcome.result["generated"] == len(synthetic) == 50
    for image in synthetic:
        parent = real[image.parents[0]]
        assert image.label == parent.label
        assert image.parent_sha256 == (parent.sha256,)
        assert image.group_ids == parent.group_ids
        assert image.split == parent.split
        assert image.source == "synthetic"
        pixels = decode(runner.store.find(image.sha256))
        assert (image.height, image.width) == pixels.shape[:2]
        again = replay(image.provenance, lambda s: decode(runner.store.find(s.sha256)))
        assert image.pixel_sha256 == pixel_sha256(again.pixels)
    draft = outcome.versions[0]
    assert draft.kind == "synthetic"
    assert draft.name == "Drawn + augment"
    assert draft.parents == (version,)
    assert draft.licence == "CC-BY-4.0"
    assert draft.info["group_basis"] == "image"
    assert draft.info["generator"]["novelty"] == "derivative"
    assert draft.info["generator"]["seed"] == 3
    assert outcome.artifacts["contact_sheet.png"].read_bytes().startswith(b"\x89PNG")


def test_an_image_replays_from_its_provenance_to_the_same_bytes(runner: InlineRunner) -> None:
    version = runner.version(dataset(runner))
    outcome = run(runner, version, counts={"mel": 12, "nv": 4}, resolution=32)

    def load(source: Source) -> Any:
        return decode(runner.store.find(source.sha256))

    for image in made(outcome):
        again = replay(image.provenance, load)
        assert again.data == runner.store.find(image.sha256).read_bytes()


@pytest.mark.parametrize("shard", [40, 25, 11])
def test_the_manifest_hash_does_not_depend_on_the_shards(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch, shard: int
) -> None:
    version = runner.version(dataset(runner))
    params: dict[str, Any] = {"counts": {"mel": 20, "vasc": 20}, "sources": "all", "seed": 5}
    inline = run(runner, version, **params)
    monkeypatch.setattr(kind, "INLINE_IMAGES", 0)
    monkeypatch.setattr(shards, "SHARD_IMAGES", shard)
    sharded = run(runner, version, **params)
    assert runner.kinds_run.count("synthesize_shard") == -(-40 // shard)
    assert sharded.result["manifest_sha256"] == inline.result["manifest_sha256"]
    assert [r.filename for r in made(sharded)] == [r.filename for r in made(inline)]
    assert (
        run(runner, version, **(params | {"seed": 6})).result["manifest_sha256"]
        != (inline.result["manifest_sha256"])
    )


def test_shards_share_no_source_but_at_their_edges(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = runner.version(dataset(runner))
    monkeypatch.setattr(kind, "INLINE_IMAGES", 0)
    monkeypatch.setattr(shards, "SHARD_IMAGES", 10)
    slices: list[set[str]] = []
    make = kind.Campaign.make

    def watched(campaign: kind.Campaign, orders: Any, span: float = 1.0) -> list[ImageRecord]:
        slices.append({order.parents[0].sha256 for order in orders})
        return make(campaign, orders, span)

    monkeypatch.setattr(kind.Campaign, "make", watched)
    run(runner, version, counts={"mel": 40}, sources="all")
    assert len(slices) == 4
    assert sum(map(len, slices)) <= len(set().union(*slices)) + len(slices) - 1


def test_shards_of_another_plan_are_not_published(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = runner.version(dataset(runner))
    monkeypatch.setattr(kind, "INLINE_IMAGES", 0)
    monkeypatch.setattr(shards, "SHARD_IMAGES", 10)
    make = kind.Campaign.make

    def older(campaign: kind.Campaign, orders: Any, span: float = 1.0) -> list[ImageRecord]:
        planned = campaign.plan()
        first = orders[0].index == planned[0].index
        plan = sorted(planned, key=lambda order: order.index)
        return make(campaign, plan[: len(orders)] if first else orders, span)

    monkeypatch.setattr(kind.Campaign, "make", older)
    with pytest.raises(JobFailed) as caught:
        run(runner, version, counts={"mel": 40}, sources="all")
    assert caught.value.code == "plan_changed"


def test_the_order_of_rows_and_new_ids_change_nothing(runner: InlineRunner) -> None:
    first, second = dataset(runner), dataset(runner)[::-1]
    hashes = {
        run(runner, runner.version(records), counts={"bcc": 9}).result["manifest_sha256"]
        for records in (first, second)
    }
    assert len(hashes) == 1


def test_sources_are_real_usable_training_images(runner: InlineRunner) -> None:
    records = dataset(runner)
    bad = next(r for r in records if r.label == "nv" and r.split == "train")
    place = records.index(bad)
    records[place] = record(
        runner, drawings(images=40)[place], place, quarantined=True, image_id=bad.image_id
    )
    outcome = run(runner, runner.version(records), counts={"nv": 40})
    allowed = {r.image_id for r in records if r.split == "train" and not r.quarantined}
    used = {image.parents[0] for image in made(outcome)}
    assert used == {i for i in allowed if i in used}
    assert bad.image_id not in used
    assert {image.split for image in made(outcome)} == {"train"}


def test_a_preview_is_a_part_of_the_full_version(runner: InlineRunner) -> None:
    version = runner.version(dataset(runner))
    params: dict[str, Any] = {"balance": {"target": 20}, "sources": "all"}
    full = {r.filename: r.sha256 for r in made(run(runner, version, **params))}
    few = made(run(runner, version, limit=8, **params))
    assert len({r.label for r in few}) == 5
    assert {r.filename: r.sha256 for r in few}.items() <= full.items()
    model = kind.SynthesizeParams(dataset_version_id=version, limit=8, counts={"nv": 10})
    assert JOB_KINDS.get("synthesize").queue_of(model) == "interactive"
    assert JOB_KINDS.get("synthesize").queues == ("cpu", "interactive")


def test_a_jpeg_source_gives_a_jpeg_and_a_png_source_a_png(runner: InlineRunner) -> None:
    for media_type in ("image/jpeg", "image/png"):
        version = runner.version(dataset(runner, media_type=media_type))
        assert {r.media_type for r in made(run(runner, version, counts={"mel": 3}))} == {media_type}


def test_grey_images_of_any_classes_stay_grey(runner: InlineRunner) -> None:
    version = runner.version(dataset(runner, modality="grey", media_type="image/png"))
    outcome = run(runner, version, counts={"no finding": 6, "fracture": 6}, sources="all")
    assert {r.modality for r in made(outcome)} == {"grey"}
    asked = {"policy": [{"op": "flip"}, {"op": "hue"}]}
    with pytest.raises(InvalidInput, match="no meaning for grey") as caught:
        run(runner, version, counts={"fracture": 1}, generator_params=asked)
    assert caught.value.code == "unsuited_operation"
    assert caught.value.errors[0].pointer == "/generator_params/policy/1"


@pytest.mark.parametrize(
    ("params", "code", "pointer"),
    [
        ({"generator": "augmnt", "counts": {"mel": 1}}, "unknown_generator", "/generator"),
        ({}, "invalid_input", "/balance"),
        ({"balance": {}, "counts": {"mel": 1}}, "invalid_input", "/counts"),
        ({"counts": {"m/l": 1}}, "unknown_class", "/counts/m~1l"),
        ({"counts": {"mel": 0}}, "nothing_to_synthesize", "/counts"),
        ({"balance": {"target": 0}}, "nothing_to_synthesize", "/balance"),
        ({"balance": {"classes": ["mel", "x"]}}, "unknown_class", "/balance/classes/1"),
        (
            {"counts": {"mel": 1}, "generator_params": {"policy": [{"op": "rotat"}]}},
            "invalid_input",
            "/generator_params/policy/0",
        ),
        (
            {
                "counts": {"mel": 1},
                "generator_params": {"per_class": {"mel": [{"op": "zoom", "factor": [2, 1]}]}},
            },
            "invalid_input",
            "/generator_params/per_class/mel/0/factor",
        ),
        (
            {"counts": {"mel": 1}, "generator_params": {"per_class": {"xx": "default"}}},
            "unknown_class",
            "/generator_params/per_class/xx",
        ),
    ],
)
def test_what_cannot_be_made_is_refused_at_submission(
    runner: InlineRunner, params: dict[str, Any], code: str, pointer: str
) -> None:
    version = runner.version(dataset(runner))
    with pytest.raises(InvalidInput) as caught:
        run(runner, version, **params)
    assert caught.value.code == code
    assert caught.value.errors[0].pointer == pointer


def test_a_class_without_training_images_is_refused_by_name_only(runner: InlineRunner) -> None:
    records = dataset(runner)
    plan = drawings(images=40)
    records = [
        record(runner, plan[i], i, split="test") if r.label == "vasc" else r
        for i, r in enumerate(records)
    ]
    version = runner.version(records)
    with pytest.raises(InvalidInput) as caught:
        run(runner, version, counts={"vasc": 2})
    assert caught.value.code == "no_sources"
    outcome = run(runner, version, balance={"target": 5})
    assert "vasc" not in outcome.result["per_class"]
    assert any("vasc" in m.get("message", "") for m in outcome.messages)


def test_a_synthetic_version_is_no_source(runner: InlineRunner) -> None:
    version = runner.version(dataset(runner))
    outcome = run(runner, version, counts={"mel": 2})
    with pytest.raises(InvalidInput) as caught:
        run(runner, outcome.result["dataset_version_id"], counts={"mel": 2})
    assert caught.value.code == "not_real"


def test_an_unknown_generator_names_the_close_one() -> None:
    with pytest.raises(UnknownName, match="did you mean augment"):
        kind.check(
            kind.SynthesizeParams(dataset_version_id="dsv_" + "0" * 26, generator="augmet"),
            None,  # type: ignore[arg-type]
        )


def test_cost_counts_images_and_children(runner: InlineRunner) -> None:
    version = runner.version(dataset(runner))
    inputs = Inputs(versions={version: runner.versions[version]})
    model = kind.SynthesizeParams(dataset_version_id=version, counts={"mel": 1000})
    cost = kind.estimate(model, inputs)
    assert (cost.images, cost.children) == (1000, 8)
    assert kind.estimate(model.model_copy(update={"limit": 4}), inputs).images == 4


@pytest.mark.parametrize("images", [1, 127, 128, 129, 1000])
def test_shards_cover_the_plan_without_gap(images: int) -> None:
    bounds = shards.shard_bounds(images)
    covered = [place for start, stop in bounds for place in range(start, stop)]
    assert covered == list(range(images))
    assert max(stop - start for start, stop in bounds) <= shards.SHARD_IMAGES


def test_a_huge_plan_has_no_more_shards_than_are_worth_planning_in() -> None:
    bounds = shards.shard_bounds(1_000_000)
    assert len(bounds) == shards.MOST_SHARDS
    assert (bounds[0][0], bounds[-1][1]) == (0, 1_000_000)


def test_dear_images_make_smaller_shards_that_end_in_time() -> None:
    assert len(shards.shard_bounds(1000, 0.01)) == len(shards.shard_bounds(1000)) == 8
    assert max(stop - start for start, stop in shards.shard_bounds(1000, 10.0)) == 30
    assert shards.shard_bounds(3, 10_000.0) == [(0, 1), (1, 2), (2, 3)]
    for seconds in (0.5, 2.0, 700.0):
        longest = max(b - a for a, b in shards.shard_bounds(100_000, seconds))
        assert longest == 1 or longest * seconds <= shards.LONGEST_SECONDS + seconds
