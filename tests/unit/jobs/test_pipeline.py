"""The pipeline from one request to report and summary, with all of its children."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput
from core.jobs.context import ClassSummary, Inputs, VersionInput
from core.jobs.kinds.pipeline import PLACEHOLDERS, PipelineParams, check, estimate, step_params
from core.jobs.spec import JOB_KINDS, references
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.learning_stack import real_images

REAL = "dsv_" + "1" * 26
COUNTS = {"mole": 24, "scar": 12, "wart": 8}
ARMS = ["real", "oversample", "augment", "synthetic", "combined"]
QUICK = {"arms": ARMS, "folds": 2, "repeats": 1, "bootstrap": 300, "legacy_per_class": 6}


def version(counts: dict[str, int], **changes: Any) -> VersionInput:
    target = max(counts.values(), default=0)
    classes = tuple(
        ClassSummary(name=n, count=c, by_split={}, weak=c < target, target=target, groups=c)
        for n, c in counts.items()
    )
    fields: dict[str, Any] = {
        "id": REAL,
        "dataset_id": "ds_" + "1" * 26,
        "dataset_name": "made by hand",
        "kind": "real",
        "manifest_sha256": "0" * 64,
        "manifest_blob": "0" * 64,
        "image_count": sum(counts.values()),
        "classes": classes,
        "licence": "CC0-1.0",
        "group_basis": "image",
    }
    return VersionInput(**(fields | changes))


def refused(
    counts: dict[str, int] | None = None, kind: str = "real", **changes: Any
) -> InvalidInput:
    inputs = Inputs(versions={REAL: version(counts or COUNTS, kind=kind)})
    params = PipelineParams.model_validate({"dataset_version_id": REAL} | changes)
    with pytest.raises(InvalidInput) as caught:
        check(params, inputs)
    return caught.value


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> InlineRunner:
    return InlineRunner(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def outcome(runner: InlineRunner) -> InlineOutcome:
    first, *others = real_images(runner, COUNTS)
    tied = replace(first, group_ids=(*first.group_ids, "a second name of the same group"))
    real = runner.version([tied, *others], dataset_name="<script>alert(1)</script> & co")
    return runner.run("pipeline", {"dataset_version_id": real, "experiment": QUICK, "seed": 7})


def summary(outcome: InlineOutcome) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(outcome.artifacts["summary.json"].read_bytes())
    return found


def test_every_step_ran_in_its_round(runner: InlineRunner, outcome: InlineOutcome) -> None:
    steps = ["synthesize", "extract_features", "experiment", "project", "evaluate"]
    assert [kind for kind in runner.kinds_run if kind in ("pipeline", *steps[2:])] == [
        "pipeline",
        "experiment",
        "project",
        "evaluate",
    ]
    assert runner.kinds_run[:3] == ["pipeline", *steps[:2]]


def test_summary_says_what_a_script_needs(outcome: InlineOutcome) -> None:
    found = summary(outcome)
    assert found["images"] == sum(COUNTS.values())
    assert {c["name"]: c["real"] for c in found["classes"]} == COUNTS
    assert {c["name"]: c["synthetic"] for c in found["classes"]} == {
        "mole": 0,
        "scar": 12,
        "wart": 16,
    }
    assert {"real", "oversample", "synthetic", "combined"} <= {a["arm"] for a in found["arms"]}
    assert all({"arm", "balanced_accuracy", "interval", "valid"} <= a.keys() for a in found["arms"])
    assert found["verdict"] in ("helps", "no_evidence", "hurts", "not_estimable")
    assert found["legacy_protocol"]["valid"] is False
    assert any(name.startswith("fd") for name in found["quality"])


def test_result_names_the_report(runner: InlineRunner, outcome: InlineOutcome) -> None:
    result, found = outcome.result, summary(outcome)
    assert result["synthetic_version_id"] == found["synthetic_version_id"]
    assert result["synthetic_version_id"] in runner.versions
    assert result["report_artifact"].startswith("art_")
    assert result["verdict"] == found["verdict"]
    assert result["table"] == found["arms"]


def test_report_is_whole_and_asks_nothing_of_the_network(outcome: InlineOutcome) -> None:
    page = outcome.artifacts["report.html"].read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; co" in page
    sources = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page)
    assert len(sources) >= 6  # contact sheet, balance, two projections, two confusion matrices
    assert all(source.startswith("data:image/") for source in sources)
    assert "legacy_protocol" in page
    assert "efficientnet_lite0" in page


def test_a_group_with_two_names_counts_once(outcome: InlineOutcome) -> None:
    page = outcome.artifacts["report.html"].read_text()
    groups = sum(COUNTS.values()) // 2  # two images each
    assert f"<b>{groups}</b><span>independent groups</span>" in page


def test_small_classes_end_well_and_say_so(outcome: InlineOutcome) -> None:
    page = outcome.artifacts["report.html"].read_text()
    assert "Not estimable" in page  # no class here has 20 test groups
    assert "fewer than 20 test groups" in page


def test_steps_get_the_shared_seed_backbone_and_all_sources() -> None:
    params = PipelineParams.model_validate(
        {"dataset_version_id": REAL, "backbone": "resnet18", "seed": 9}
    )
    made = step_params(params, "synthesize", ())
    assert made["sources"] == "all"
    assert made["balance"] == {"target": "max", "classes": None, "max_per_real": 5}
    for step in ("experiment", "project", "evaluate"):
        child = step_params(params, step, PLACEHOLDERS[:3])
        assert (child["backbone"], child["seed"]) == ("resnet18", 9)
        model = JOB_KINDS.get(step).params.model_validate(child)
        used = PLACEHOLDERS[: 3 if step == "experiment" else 1]
        assert {r.id for r in references(model)} == {REAL, *used}


def test_every_parameter_of_the_experiment_can_be_given() -> None:
    ours = set(
        type(PipelineParams.model_validate({"dataset_version_id": REAL}).experiment).model_fields
    )
    theirs = set(JOB_KINDS.get("experiment").params.model_fields)
    shared = {"dataset_version_id", "synthesis", "backbone", "seed"}
    shared |= {"synthetic_version_ids", "synthetic_version_per_repeat"}
    # predictions made elsewhere need the fold table of an experiment that was run before
    external = {"external_upload_id", "external_fold_table_sha256"}
    assert ours == theirs - shared - external


def test_what_is_asked_of_a_step_reaches_it() -> None:
    asked = {"arms": ["real", "combined"], "folds": 4, "legacy_protocol": False}
    params = PipelineParams.model_validate({"dataset_version_id": REAL, "experiment": asked})
    child = step_params(params, "experiment", PLACEHOLDERS[:3])
    assert asked.items() <= child.items()


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"synthesize": {"generator": "augmnt"}}, "unknown_generator", "/synthesize/generator"),
        ({"backbone": "resnet19"}, "unknown_backbone", "/backbone"),
        ({"experiment": {"arms": ["real", "magic"]}}, "unknown_arm", "/experiment/arms/1"),
        (
            {"experiment": {"classifier": "oracle"}},
            "unknown_classifier",
            "/experiment/classifier",
        ),
        (
            {"synthesize": {"counts": {"scra": 3}}},
            "unknown_class",
            "/synthesize/counts/scra",
        ),
        (
            {"synthesize": {"balance": {"target": "max", "classes": ["naevus"]}}},
            "unknown_class",
            "/synthesize/balance/classes/0",
        ),
        (
            {"synthesize": {"balance": {"target": 5}, "counts": {"scar": 1}}},
            "invalid_input",
            "/synthesize/counts",
        ),
        (
            {"synthesize": {"generator_params": {"policy": "no such"}}},
            "invalid_input",
            "/synthesize/generator_params/policy",
        ),
        ({"evaluate": {"metrics": ["beauty"]}}, "invalid_input", "/evaluate/metrics/0"),
        ({"experiment": {"folds": 20}}, None, "/experiment/folds"),
    ],
)
def test_what_a_step_would_refuse_is_refused_at_once(
    changes: dict[str, Any], code: str | None, pointer: str
) -> None:
    error = refused({"mole": 12, "scar": 6}, **changes)
    assert error.status == 422
    assert code is None or error.code == code
    assert [e.pointer for e in error.errors][:1] == [pointer] or error.errors[0].pointer.startswith(
        pointer
    )


def test_one_class_is_too_few() -> None:
    assert refused({"mole": 30}).code == "too_few_classes"
    assert refused({"mole": 30, "gone": 0}).code == "too_few_classes"


def test_a_balanced_dataset_needs_counts() -> None:
    error = refused({"mole": 20, "scar": 20})
    assert error.code == "nothing_to_synthesize"
    assert error.errors[0].pointer == "/synthesize/balance"


def test_a_synthetic_version_is_no_start() -> None:
    assert refused(kind="synthetic").errors[0].pointer == "/dataset_version_id"


def test_estimate_grows_with_images_and_counts_all_steps() -> None:
    params = PipelineParams.model_validate({"dataset_version_id": REAL})
    small = estimate(params, Inputs(versions={REAL: version(COUNTS)}))
    many = {name: 100 * n for name, n in COUNTS.items()}
    large = estimate(params, Inputs(versions={REAL: version(many)}))
    assert large.seconds > small.seconds
    assert small.children >= 5
    assert large.images >= sum(many.values())


def test_example_is_valid_and_the_kind_is_public(tmp_path: Path) -> None:
    extra: Any = PipelineParams.model_config["json_schema_extra"]
    for example in extra["examples"]:
        PipelineParams.model_validate(example)
    assert JOB_KINDS.get("pipeline").public
