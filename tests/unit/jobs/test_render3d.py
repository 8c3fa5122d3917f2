"""Synthesis with render3d as jobs: shards, previews, assets; on a ball, so that it is quick."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInput
from core.ingest.images import decode
from core.jobs import shards
from core.jobs.context import Inputs
from core.jobs.kinds import synthesize as kind
from core.jobs.kinds.experiment import ExperimentParams
from core.jobs.kinds.pipeline import PipelineParams, check
from core.jobs.spec import Reference, references
from core.manifest import ImageRecord, manifest_blobs, read_manifest
from core.rendering.annotations import NAMES
from core.synthesis import availability
from core.synthesis.availability import GeneratorMissing
from core.synthesis.contract import GENERATORS, Source
from core.synthesis.production import replay
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.learning_stack import install
from tests.unit.jobs.masked import dataset
from tests.unit.rendering.meshes import ball_obj, png

REAL = "dsv_" + "1" * 26
BALL, ROOM = "ast_" + "0" * 25 + "1", "ast_" + "0" * 25 + "2"


@pytest.fixture
def runner(tmp_path: Path) -> InlineRunner:
    return InlineRunner(tmp_path, threads=2)


def asset(runner: InlineRunner, kind: str, data: bytes, name: str, **more: Any) -> str:
    path = runner.store.root / name
    path.write_bytes(data)
    asked = {"kind": kind, "upload_id": runner.upload(path), "name": name, **more}
    return str(runner.run("import_asset", asked).result["asset_id"])


def ball(runner: InlineRunner) -> str:
    return asset(runner, "body", ball_obj(), "ball.obj", colour="model")


def room(runner: InlineRunner) -> str:
    return asset(runner, "background", png(size=(80, 60)), "room.png")


def asked(version: str, body: str, **params: Any) -> dict[str, Any]:
    options = {"bodies": [body], "rays": 1, "across_mm": [6, 9]}
    return {
        "dataset_version_id": version,
        "generator": "render3d",
        "counts": {"mel": 5},
        "resolution": 64,
        "generator_params": options | params.pop("generator_params", {}),
    } | params


def made(outcome: InlineOutcome) -> list[ImageRecord]:
    return read_manifest(outcome.artifacts["manifest.parquet"])


def told(outcome: InlineOutcome) -> str:
    return "\n".join(m.get("message", "") for m in outcome.messages)


def test_images_have_all_annotations_their_groups_and_replay(runner: InlineRunner) -> None:
    records = {r.image_id: r for r in dataset(runner)}
    body, background = ball(runner), room(runner)
    options = {"backgrounds": [background], "lesions": [1, 2]}
    outcome = runner.run(
        "synthesize",
        asked(runner.version(list(records.values())), body, generator_params=options),
    )

    def load(source: Source) -> Any:
        return decode(runner.store.find(source.sha256))

    blobs = manifest_blobs(outcome.artifacts["manifest.parquet"])
    images = made(outcome)
    assert len(images) == 5
    assert {len(image.parents) for image in images} == {1, 2}
    for image in images:
        own = {g for one in image.parents for g in records[one].group_ids}
        assert set(image.group_ids) == own | {f"asset:{body}", f"asset:{background}"}
        assert (image.label, image.width, image.height) == ("mel", 64, 64)
        files = image.provenance["annotations"]
        assert set(files) == set(NAMES)
        assert set(files.values()) <= blobs
        mask = decode(runner.store.find(files["mask"]))
        assert mask.shape == (64, 64)
        assert set(np.unique(mask)) == {0, 255}
        with np.load(io.BytesIO(runner.store.find(files["depth"]).read_bytes())) as depth:
            assert depth["depth"].shape == (64, 64)
        record = json.loads(runner.store.find(files["record"]).read_bytes())
        assert record["body"] == {"asset": body}
        assert record["donors"] == list(dict.fromkeys(record["donors"]))
        assert set(record["donors"]) == set(image.parent_sha256)
        assert record["labels"] == ["mel"] * len(record["donors"])
        again = replay(image.provenance, load, runner.store.find)
        assert again.data == runner.store.find(image.sha256).read_bytes()
        assert {n: runner.store.add(data) for n, data in again.annotations.items()} == files
    assert outcome.versions[0].licence == "CC0-1.0; unknown"
    assert "Views refused and drawn again" in told(outcome)
    assert "images give a lesion" in told(outcome)
    assert outcome.artifacts["contact_sheet.png"].read_bytes().startswith(b"\x89PNG")


def test_shards_make_the_same_bytes_and_a_preview_is_a_part_of_them(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, body = runner.version(dataset(runner)), ball(runner)
    params = asked(version, body, generator_params={"views_per_body": 2})
    inline = runner.run("synthesize", params)
    few = {r.filename: r.sha256 for r in made(runner.run("synthesize", params | {"limit": 2}))}
    assert len(few) == 2
    assert few.items() <= {r.filename: r.sha256 for r in made(inline)}.items()
    monkeypatch.setattr(kind, "INLINE_IMAGES", 0)
    for count in (1, 2, 5):
        monkeypatch.setattr(shards, "SHARD_IMAGES", -(-5 // count))
        sharded = runner.run("synthesize", params)
        assert sharded.result["manifest_sha256"] == inline.result["manifest_sha256"]
    assert {"synthesize_survey", "synthesize_shard"} <= set(runner.kinds_run)
    other = runner.run("synthesize", params | {"seed": 1})
    assert other.result["manifest_sha256"] != inline.result["manifest_sha256"]


def test_an_asset_of_the_wrong_kind_is_refused_where_it_stands(runner: InlineRunner) -> None:
    version, background = runner.version(dataset(runner)), room(runner)
    with pytest.raises(InvalidInput) as caught:
        runner.run("synthesize", asked(version, background))
    assert caught.value.code == "wrong_asset_kind"
    assert caught.value.errors[0].pointer == "/generator_params/bodies/0"
    step = asked(version, background)
    del step["dataset_version_id"]
    pipeline = PipelineParams.model_validate({"dataset_version_id": version, "synthesize": step})
    inputs = Inputs(versions=runner.versions, assets=runner.assets)
    two = runner.versions[version].classes * 2
    inputs.versions[version] = runner.versions[version].model_copy(update={"classes": two})
    with pytest.raises(InvalidInput) as caught:
        check(pipeline, inputs)
    assert caught.value.errors[0].pointer == "/synthesize/generator_params/bodies/0"


def test_assets_are_found_wherever_a_generator_is_chosen() -> None:
    choice = {
        "generator": "render3d",
        "counts": {"mel": 1},
        "generator_params": {"bodies": [BALL], "backgrounds": [ROOM]},
    }
    whole = {"dataset_version_id": REAL}
    for prefix, params in (
        ("", kind.SynthesizeParams.model_validate(whole | choice)),
        ("/synthesize", PipelineParams.model_validate(whole | {"synthesize": choice})),
        ("/synthesis", ExperimentParams.model_validate(whole | {"synthesis": choice})),
    ):
        assert {r for r in references(params) if r.kind == "asset"} == {
            Reference("asset", BALL, f"{prefix}/generator_params/bodies/0"),
            Reference("asset", ROOM, f"{prefix}/generator_params/backgrounds/0"),
        }


@pytest.mark.parametrize(
    "wrong", [{"generator": "rendr3d"}, {"generator_params": {"bodies": ["ast_1"]}}]
)
def test_parameters_at_fault_name_nothing_until_they_are_refused(wrong: dict[str, Any]) -> None:
    asked = {"dataset_version_id": REAL, "generator": "render3d", "counts": {"mel": 1}} | wrong
    params = kind.SynthesizeParams.model_validate(asked)
    assert [r.kind for r in references(params)] == ["version"]


def test_what_is_not_installed_is_said_with_the_command(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, body = runner.version(dataset(runner)), ball(runner)
    monkeypatch.setattr(availability.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    with pytest.raises(GeneratorMissing, match=r"pip install 'dermsynth3d\[render\]'") as caught:
        runner.run("synthesize", asked(version, body))
    assert caught.value.code == "generator_missing"
    rows = {row["name"]: row for row in availability.available()}
    assert rows["render3d"]["ok"] is False
    assert rows["render3d"]["fix"] == "pip install 'dermsynth3d[render]'"


def test_a_view_that_cannot_be_is_a_typed_error_with_counts(runner: InlineRunner) -> None:
    version, body = runner.version(dataset(runner)), ball(runner)
    options = {"across_mm": [200, 200], "distance_m": [0.1, 0.15], "tries": 4}
    with pytest.raises(Exception, match="too_large") as caught:
        runner.run("synthesize", asked(version, body, generator_params=options))
    assert getattr(caught.value, "code", None) == "no_acceptable_view"


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"parts": ["neck"]}, "unknown_part"), ({"preset": "fairness_sweep"}, "textured_body")],
)
def test_what_an_uploaded_body_cannot_give_is_said(
    runner: InlineRunner, changes: dict[str, Any], code: str
) -> None:
    texture = runner.store.root / "texture.png"
    texture.write_bytes(png())
    colours = {"texture_upload_id": runner.upload(texture)}
    body = asset(runner, "body", ball_obj(), "ball.obj", **colours)
    version = runner.version(dataset(runner))
    with pytest.raises(InvalidInput) as caught:
        runner.run("synthesize", asked(version, body, generator_params=changes))
    assert caught.value.code == code


def test_the_estimate_follows_the_size_and_the_rays(runner: InlineRunner) -> None:
    version = runner.version(dataset(runner))
    inputs = Inputs(versions=runner.versions)

    def seconds(resolution: int | None, rays: int) -> float:
        params = {"dataset_version_id": version, "generator": "render3d", "counts": {"mel": 50}}
        options = {"resolution": resolution, "generator_params": {"rays": rays}}
        return kind.estimate(kind.SynthesizeParams.model_validate(params | options), inputs).seconds

    assert seconds(256, 1) < seconds(512, 1) == seconds(None, 1) < seconds(None, 16)
    spec = GENERATORS.get("render3d")
    usual = spec.image_seconds(spec.params(), None)
    looked_at, started = 10 * spec.survey_seconds, spec.start_seconds
    assert seconds(None, 4) == pytest.approx(1 + 50 * usual + looked_at + started)


def test_a_pipeline_renders_what_it_judges(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    body = ball(runner)
    records = dataset(runner, 12) + dataset(runner, 16, "nv", first=100)
    paired = [replace(r, group_ids=(f"lesion:{r.label}:{n // 2}",)) for n, r in enumerate(records)]
    step = asked("", body, counts={"mel": 4})
    del step["dataset_version_id"]
    outcome = runner.run(
        "pipeline",
        {
            "dataset_version_id": runner.version(paired),
            "synthesize": step,
            "experiment": {
                "arms": ["real", "combined"], "folds": 2, "repeats": 1, "bootstrap": 200,
                "legacy_protocol": False,
            },
        },
    )  # fmt: skip
    assert {row["arm"] for row in outcome.result["table"]} == {"real", "combined"}
    version = runner.versions[outcome.result["synthetic_version_id"]]
    assert version.image_count == 4
    assert (version.generator or {})["name"] == "render3d"
