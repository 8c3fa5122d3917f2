"""A synthesize job whose generator looks at the images first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput
from core.ingest.images import decode
from core.jobs import shards, survey
from core.jobs.context import Inputs
from core.jobs.kinds import synthesize as kind
from core.jobs.spec import Cost
from core.manifest import ImageRecord, manifest_blobs, read_manifest
from core.synthesis.contract import GENERATORS, Source
from core.synthesis.production import replay
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.masked import dataset


@pytest.fixture
def runner(tmp_path: Path) -> InlineRunner:
    return InlineRunner(tmp_path, threads=2)


def run(runner: InlineRunner, version: str, **params: Any) -> InlineOutcome:
    asked = {"dataset_version_id": version, "generator": "transplant", "counts": {"mel": 6}}
    return runner.run("synthesize", asked | params)


def made(outcome: InlineOutcome) -> list[ImageRecord]:
    return read_manifest(outcome.artifacts["manifest.parquet"])


def test_images_carry_both_groups_their_mask_and_how_they_were_made(runner: InlineRunner) -> None:
    records = {r.image_id: r for r in dataset(runner)}
    outcome = run(runner, runner.version(list(records.values())))

    def load(source: Source) -> Any:
        return decode(runner.store.find(source.sha256))

    blobs = manifest_blobs(outcome.artifacts["manifest.parquet"])
    for image in made(outcome):
        parents = [records[one] for one in image.parents]
        assert len(parents) == 2
        assert set(image.group_ids) == {g for p in parents for g in p.group_ids}
        assert len(image.group_ids) == 2
        assert image.label == "mel"
        mask = image.provenance["annotations"]["mask"]
        assert mask in blobs
        assert decode(runner.store.find(mask)).shape == (image.height, image.width)
        again = replay(image.provenance, load)
        assert again.data == runner.store.find(image.sha256).read_bytes()
        assert again.annotations["mask"] == runner.store.find(mask).read_bytes()


def test_what_was_left_out_is_published_with_its_reason(runner: InlineRunner) -> None:
    version = runner.version(dataset(runner))
    outcome = run(runner, version, generator_params={"automatic_masks": False})
    rows = json.loads(outcome.artifacts["survey.json"].read_bytes())["images"]
    facts = {row["image_id"]: row["facts"] for row in rows}
    assert len(facts) == 10
    assert facts[f"img_{0:026d}"]["donor"] == "no_mask"
    assert all(row["facts"]["origin"] == "supplied" for row in rows if row["facts"]["quality"])
    used = {image.parents[0] for image in made(outcome)}
    assert all(facts[one]["donor"] is None for one in used)
    assert any("left out" in str(message) for message in outcome.messages)


def test_surveys_and_shards_give_the_same_manifest(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = runner.version(dataset(runner))
    inline = run(runner, version, seed=5)
    assert not runner.kinds_run.count("synthesize_survey")
    monkeypatch.setattr(kind, "INLINE_IMAGES", 0)
    monkeypatch.setattr(shards, "SHARD_IMAGES", 4)
    sharded = run(runner, version, seed=5)
    assert runner.kinds_run.count("synthesize_survey") == 3
    assert runner.kinds_run.count("synthesize_shard") == 2
    assert sharded.result["manifest_sha256"] == inline.result["manifest_sha256"]
    assert (
        run(runner, version, seed=6).result["manifest_sha256"] != (inline.result["manifest_sha256"])
    )


def test_a_preview_looks_at_few_images_those_with_masks_first(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "PREVIEWED", 9)
    outcome = run(runner, runner.version(dataset(runner)), limit=2)
    rows = json.loads(outcome.artifacts["survey.json"].read_bytes())["images"]
    assert len(rows) == 9
    assert f"img_{0:026d}" not in {row["image_id"] for row in rows}
    assert outcome.result["generated"] == 2


def test_the_estimate_counts_the_sources_that_are_looked_at(runner: InlineRunner) -> None:
    version = runner.version(dataset(runner))
    inputs = Inputs(versions={version: runner.versions[version]})

    def cost(**changes: Any) -> Cost:
        asked = {"dataset_version_id": version, "generator": "transplant", "counts": {"mel": 300}}
        return kind.estimate(kind.SynthesizeParams.model_validate(asked | changes), inputs)

    spec = GENERATORS.get("transplant")
    whole = cost()
    assert whole.children == 3 + 1
    assert whole.seconds == pytest.approx(1 + 300 * spec.seconds + 10 * spec.survey_seconds)
    assert cost(generator="augment").children == 3
    assert cost(limit=4).children == 0
    run(runner, version, counts={"mel": 300})
    children = ("synthesize_survey", "synthesize_shard")
    assert sum(map(runner.kinds_run.count, children)) == whole.children


def test_a_box_of_an_unknown_image_fails_before_anything_is_looked_at(
    runner: InlineRunner,
) -> None:
    boxes = {"boxes": {"img_gone": [0, 0, 9, 9]}}
    with pytest.raises(InvalidInput) as caught:
        run(runner, runner.version(dataset(runner)), generator_params=boxes)
    assert caught.value.code == "unknown_image"
    assert caught.value.errors[0].pointer == "/generator_params/boxes/img_gone"
