"""What an experiment says beforehand that it will cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.jobs.context import ClassSummary, Inputs, VersionInput
from core.jobs.experiment_choices import MOST_REPLICATES, check_size
from core.jobs.experiment_cost import Sizes, estimate, sizes_of
from core.jobs.kinds.experiment import ExperimentParams, check
from core.learning.arms import BASE_ARMS, Side, compose, parse_arms
from core.learning.contract import CLASSIFIERS

REAL = "dsv_" + "0" * 26
MADE = "dsv_" + "1" * 26
COUNTS = {"mole": 60, "scar": 40, "wart": 20}


def version(version_id: str, counts: dict[str, int], kind: Any = "real") -> VersionInput:
    return VersionInput(
        id=version_id,
        dataset_id="ds_" + "0" * 26,
        dataset_name="drawn",
        kind=kind,
        manifest_sha256="0" * 64,
        manifest_blob="0" * 64,
        image_count=sum(counts.values()),
        classes=tuple(
            ClassSummary(name=name, count=n, by_split={}, weak=False, target=n, groups=n)
            for name, n in counts.items()
        ),
        licence="CC0-1.0",
        group_basis="image",
    )


def asked(**changes: Any) -> tuple[ExperimentParams, Inputs]:
    plan = {"generator": "augment", "balance": {"target": "max"}}
    fields = {"dataset_version_id": REAL, "synthesis": plan, "legacy_protocol": False} | changes
    params = ExperimentParams.model_validate(fields)
    made = version(MADE, {"wart": 30}, "synthetic")
    return params, Inputs(versions={REAL: version(REAL, COUNTS), MADE: made})


def seconds(**changes: Any) -> float:
    return estimate(*asked(**changes)).seconds


def test_the_plan_and_the_given_versions_are_counted_by_class() -> None:
    sizes = sizes_of(*asked(synthetic_version_ids=[MADE]))
    assert sizes.real == COUNTS
    assert {name: n for name, n in sizes.made.items() if n} == {"scar": 20, "wart": 70}
    assert sizes.planned == 60


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 60)), min_size=2, max_size=5),
    st.sampled_from([0.5, 1.0, 3.0]),
)
def test_an_arm_is_counted_as_it_will_be_composed(
    counts: list[tuple[int, int]], ratio: float
) -> None:
    real = [n for n, _ in counts]
    made = [m for _, m in counts]
    side = Side(
        np.arange(sum(real)),
        np.repeat(np.arange(len(real)), real),
        np.arange(sum(made)),
        np.repeat(np.arange(len(made)), made),
        np.array(real) < max(real),
    )
    names = [str(i) for i in range(len(counts))]
    sizes = Sizes(dict(zip(names, real, strict=True)), dict(zip(names, made, strict=True)), 0)
    for arm in parse_arms(BASE_ARMS, [ratio]):
        training = compose(arm, side, np.random.default_rng(0))
        assert sizes.arm(arm) == pytest.approx(len(training.labels), abs=len(counts))
        if arm.id == "augment":
            views = set(zip(training.real.tolist(), training.dihedral.tolist(), strict=True))
            assert 0 <= sizes.turned - (len(views) - sum(real)) <= sum(real)


def test_every_fit_has_its_price() -> None:
    entry = CLASSIFIERS.get("logistic_regression")
    untuned, tuned = seconds(tuning="none", repeats=1), seconds(repeats=1)
    assert tuned - untuned >= 5 * 7 * 4 * 3 * entry.inner_cost.fixed
    assert seconds(repeats=1, tuning_candidates=8) - untuned == pytest.approx(2 * (tuned - untuned))
    assert seconds(other_classifiers=["random_forest"]) > seconds() > seconds(arms=["real"])
    assert seconds(design="holdout") < seconds()
    assert seconds(ratios=[1.0]) > seconds()


def test_images_go_through_the_backbone_once() -> None:
    params, inputs = asked(repeats=3)
    turned = sizes_of(params, inputs).turned
    assert estimate(params, inputs).images == 120 + 3 * 60 + turned
    without = asked(repeats=3, arms=["real", "combined"])
    assert estimate(*without).images == 120 + 3 * 60
    copied = asked(repeats=3, arms=["real", "control_copycat"])
    assert estimate(*copied).images == 120 + 3 * 60 + 120
    legacy = asked(repeats=3, arms=["real"], legacy_protocol=True)
    assert estimate(*legacy).images == 120 + 3 * 60 + 2 * 30


def test_the_versions_of_the_repeats_are_looked_at_each_and_trained_on_one_a_side() -> None:
    three = [f"dsv_{number:026d}" for number in range(2, 5)]
    params, inputs = asked(synthesis=None, arms=["real", "combined"], repeats=3)
    made = {name: version(name, {"wart": 30}, "synthetic") for name in three}
    own = params.model_copy(update={"synthetic_version_per_repeat": three})
    inputs = inputs.model_copy(update={"versions": inputs.versions | made})
    assert sizes_of(own, inputs).made == {"wart": 30}
    assert estimate(own, inputs).images == 120 + 3 * 30


def test_more_replicates_than_memory_are_refused_before_anything_is_fitted() -> None:
    ratios = [round(0.1 * step, 1) for step in range(1, 21)]
    other = ["knn"]
    params, inputs = asked(bootstrap=100_000, repeats=20, ratios=ratios, other_classifiers=other)
    with pytest.raises(InvalidInput) as caught:
        check(params, inputs)
    assert [e.pointer for e in caught.value.errors] == ["/bootstrap"]
    assert caught.value.code == "too_many_replicates"
    most = MOST_REPLICATES // (2 * 27 * 20)
    assert f"at most {most:,} replicates" in caught.value.detail
    check_size(params.model_copy(update={"bootstrap": most}), 3)
