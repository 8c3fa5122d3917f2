"""The gate before training: copies passed as new are kept out and shown beside their sources."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from core.errors import LeakDetected
from core.features.extract import FeatureItem
from core.ids import new_id
from core.ingest.images import decode, encode_png, pixel_sha256
from core.learning.verdict_schema import json_schema
from core.manifest import ImageRecord, read_manifest
from core.quality.frechet import frechet_distance
from core.synthesis.contract import (
    GENERATORS,
    GeneratorParams,
    GeneratorSpec,
    Made,
    Order,
    Source,
)
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.learning_stack import install, real_images, statistics

COUNTS = {"mole": 48, "scar": 24, "wart": 12}
NOVEL = {"name": "copycat", "novelty": "novel"}
PNG = b"\x89PNG"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InlineRunner:
    install(monkeypatch)
    return InlineRunner(tmp_path)


def near_copy(runner: InlineRunner, source: ImageRecord, number: int, **more: Any) -> ImageRecord:
    """Return a brighter or darker flip of a real image that declares nothing."""
    pixels = decode(runner.store.find(source.sha256)).astype(float)
    pixels = np.clip(pixels * (0.96 + 0.04 * number), 0, 255).astype(np.uint8)
    pixels = np.ascontiguousarray(pixels[:, ::-1] if number % 2 else pixels[::-1])
    sha256 = runner.blob(encode_png(pixels))
    made = replace(
        source,
        image_id=new_id("img"),
        filename=f"new_{number}_{source.filename}",
        sha256=sha256,
        source_sha256=sha256,
        pixel_sha256=pixel_sha256(pixels),
        source="synthetic",
        split="train",
        group_ids=(),
        perceptual_hash="",
    )
    return replace(made, **more)


def copycat(runner: InlineRunner, records: list[ImageRecord]) -> list[ImageRecord]:
    weak = [r for r in records if r.label != "mole"]
    return [near_copy(runner, r, number) for r in weak for number in (0, 1, 2)]


def experiment(runner: InlineRunner, version: str, made: list[str], **more: Any) -> InlineOutcome:
    params: dict[str, Any] = {
        "dataset_version_id": version,
        "synthetic_version_ids": made,
        "arms": ["real", "combined"],
        "folds": 3,
        "repeats": 1,
        "bootstrap": 300,
        "legacy_protocol": False,
    }
    return runner.run("experiment", params | more)


def test_the_copycat_is_close_in_features_and_fails_the_gate(runner: InlineRunner) -> None:
    records = real_images(runner, COUNTS)
    copies = copycat(runner, records)
    outcome = experiment(
        runner,
        runner.version(records),
        [runner.version(copies, kind="synthetic", generator=NOVEL)],
    )
    verdict = json.loads(outcome.artifacts["verdict.json"].read_bytes())
    jsonschema.validate(verdict, json_schema())
    assert verdict["primary"]["verdict"] == "not_estimable"
    assert [a["arm"] for a in verdict["arms"] if a["valid"]] == ["real"]
    gate = verdict["settings"]["privacy_gate"]
    assert (gate["examined"], gate["copies"], gate["novel"]) == (108, 108, 108)
    told = "108 of 108 synthetic images show a real image"
    assert any(w.startswith(told) for w in verdict["warnings"])
    listed = json.loads(outcome.artifacts["privacy.json"].read_bytes())
    sources = {r.filename: r.image_id for r in records}
    for row in listed["copies"]:
        assert row["real_image_id"] == sources[row["filename"].split("_", 2)[2]]
    assert outcome.artifacts["privacy.png"].read_bytes().startswith(PNG)
    page = outcome.artifacts["report.html"].read_text()
    assert "<h2>Privacy</h2>" in page
    assert told in page

    def features(images: list[ImageRecord]) -> Any:
        class Files:
            blob = staticmethod(runner.store.find)

        return statistics(Files, [FeatureItem(r.sha256) for r in images], "any").matrix

    weak = [r for r in records if r.label != "mole"]
    halves = (
        [r for r in weak if int(r.image_id[-2:]) % 4 < 2],
        [r for r in weak if int(r.image_id[-2:]) % 4 > 1],
    )
    floor = frechet_distance(features(halves[0]), features(halves[1])).value
    assert frechet_distance(features(weak), features(copies)).value < floor / 3


def test_copies_are_kept_out_of_what_is_trained_on_and_the_rest_stays(
    runner: InlineRunner,
) -> None:
    records = real_images(runner, COUNTS)
    version = runner.version(records)
    plan = {"dataset_version_id": version, "counts": {"scar": 20, "wart": 30}, "sources": "all"}
    honest = runner.run("synthesize", plan).versions[0].id
    copies = runner.version(copycat(runner, records), kind="synthetic")
    both = experiment(runner, version, [honest, copies])
    alone = experiment(runner, version, [honest])
    tables = [json.loads(o.artifacts["verdict.json"].read_bytes())["arms"] for o in (both, alone)]
    assert tables[0] == tables[1]
    gates = [
        json.loads(o.artifacts["verdict.json"].read_bytes())["settings"]["privacy_gate"]
        for o in (both, alone)
    ]
    assert [(g["examined"], g["copies"]) for g in gates] == [(158, 108), (50, 0)]
    assert "privacy.png" not in alone.artifacts
    assert (
        "None of 50 synthetic images shows a real image"
        in alone.artifacts["report.html"].read_text()
    )


def test_a_declared_parent_whose_group_is_hidden_is_the_firewalls_affair(
    runner: InlineRunner,
) -> None:
    records = real_images(runner, COUNTS)
    parent, other = records[0], records[-1]
    liars = [
        near_copy(runner, parent, 1, parents=(parent.image_id,), group_ids=other.group_ids),
        near_copy(runner, parent, 2, parent_sha256=(parent.sha256,)),
    ]
    version = runner.version(records)
    with pytest.raises(LeakDetected) as caught:
        experiment(runner, version, [runner.version(liars, kind="synthetic")])
    assert caught.value.image_ids == tuple(liar.image_id for liar in liars)
    assert "experiment_gate" not in runner.kinds_run


def test_without_synthetic_images_there_is_no_gate(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    outcome = experiment(runner, version, [], arms=["real"])
    assert "experiment_gate" not in runner.kinds_run
    assert "privacy.json" not in outcome.artifacts
    verdict = json.loads(outcome.artifacts["verdict.json"].read_bytes())
    assert verdict["settings"]["privacy_gate"] is None
    assert "<h2>Privacy</h2>" not in outcome.artifacts["report.html"].read_text()


class Repainter:
    """Makes images of nobody: every second one is a training image, turned."""

    def plan(
        self, params: Any, sources: Sequence[Source], counts: Mapping[str, int], seed: int
    ) -> list[Order]:
        wanted = [label for label, n in counts.items() for _ in range(n)]
        pool = {label: [s for s in sources if s.label == label] for label in counts}
        return [
            Order(i, label, (), seed + i, {"seen": pool[label][i % len(pool[label])].sha256})
            for i, label in enumerate(wanted)
        ]

    def make(self, params: Any, order: Order, load: Any) -> Made:
        if order.index % 2:
            seen = Source("", order.settings["seen"], order.label, (), 16, 16, "rgb")
            return Made(np.rot90(load(seen)).copy(), {"operations": []}, None)
        pixels = np.random.default_rng(order.seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        return Made(pixels, {"operations": []}, None)


@pytest.fixture
def repainter(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = GeneratorSpec(
        "repainter", "1", GeneratorParams, "novel", ("rgb",), Repainter(), "Test of the gate."
    )
    GENERATORS.load()
    monkeypatch.setitem(GENERATORS._entries, "repainter", spec)


@pytest.mark.usefixtures("repainter")
def test_a_novel_generator_publishes_its_copies_quarantined(runner: InlineRunner) -> None:
    records = real_images(runner, COUNTS)
    version = runner.version(records)
    plan = {
        "dataset_version_id": version,
        "generator": "repainter",
        "counts": {"scar": 10, "wart": 6},
    }
    outcome = runner.run("synthesize", plan)
    made = read_manifest(outcome.artifacts["manifest.parquet"])
    assert [r.quarantined for r in made] == [bool(r.provenance["index"] % 2) for r in made]
    assert (outcome.result["generated"], outcome.result["quarantined"]) == (16, 8)
    listed = json.loads(outcome.artifacts["privacy.json"].read_bytes())
    assert (listed["novel"], len(listed["copies"])) == (16, 8)
    assert outcome.artifacts["privacy.png"].read_bytes().startswith(PNG)
    asked = {"dataset_version_id": version, "synthetic_version_id": outcome.versions[0].id}
    judged = runner.run("evaluate", asked | {"metrics": ["privacy"]})
    rows = {(r["metric"], r["class"]): r for r in judged.result["rows"]}
    assert rows["copies_near", None]["value"] == 0
    assert (rows["copies_near", None]["n"], rows["copies_near", None]["left_out"]) == (8, 8)
    attack = rows["membership_auc_efficientnet_lite0", "wart"]
    assert not attack["estimable"]
    assert "at least 50" in attack["reason"]
    another = runner.version(records)
    asked["dataset_version_id"] = another
    rows = runner.run("evaluate", asked | {"metrics": ["privacy"]}).result["rows"]
    told = {r["reason"] for r in rows if r["metric"].startswith(("distance", "authpct", "member"))}
    says = f"the synthetic images were made of {version}, not of {another}: compare them with that"
    assert told == {says}


def test_a_derivative_generator_is_not_held_up(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    outcome = runner.run("synthesize", {"dataset_version_id": version, "counts": {"wart": 5}})
    assert outcome.result["quarantined"] == 0
    assert "privacy.json" not in outcome.artifacts


def test_evaluate_shows_the_copies_of_a_version(runner: InlineRunner) -> None:
    records = real_images(runner, COUNTS)
    copies = copycat(runner, records)[:9]
    parent = next(r for r in records if r.label == "wart")
    honest = near_copy(runner, parent, 1, parents=(parent.image_id,), group_ids=parent.group_ids)
    asked = {
        "dataset_version_id": runner.version(records),
        "synthetic_version_id": runner.version([*copies, honest], kind="synthetic"),
    }
    outcome = runner.run("evaluate", asked | {"metrics": ["privacy"]})
    rows = {(r["metric"], r["class"]): r for r in outcome.result["rows"]}
    assert (rows["copies_near", None]["n"], rows["copies_near", None]["value"]) == (10, 0.9)
    assert rows["copies_near", "wart"]["value"] == 0
    assert "does not say" in rows["distance_ratio_efficientnet_lite0", None]["reason"]
    assert outcome.artifacts["privacy.png"].read_bytes().startswith(PNG)
    listed = json.loads(outcome.artifacts["privacy.json"].read_bytes())["copies"]
    assert {row["image_id"] for row in listed} == {c.image_id for c in copies}


def test_a_model_is_not_trained_on_copies(runner: InlineRunner) -> None:
    records = real_images(runner, COUNTS)
    copies = runner.version(copycat(runner, records), kind="synthetic")
    version = runner.version(records)
    both = runner.run("train", {"dataset_version_ids": [version, copies]})
    alone = runner.run("train", {"dataset_version_ids": [version]})
    assert both.result["n_train"] == alone.result["n_train"]
    listed = json.loads(both.artifacts["privacy.json"].read_bytes())
    assert len(listed["copies"]) == 108
    assert "privacy.json" not in alone.artifacts
