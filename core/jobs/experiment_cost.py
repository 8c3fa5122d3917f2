"""What an experiment will cost, told before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.jobs.context import Inputs
from core.jobs.spec import JOB_KINDS, Cost

if TYPE_CHECKING:
    from core.jobs.kinds.experiment import ExperimentParams
    from core.learning.arms import Arm

IMAGES_PER_SECOND = 30.0
"""Through the backbone, as in the kind extract_features."""
GATE_SHARE = 0.04
"""Looking at an image for copies, against its features."""
SHARD_SECONDS = 2.0
"""Of a fold beside its fits: libraries, manifests, features and firewall."""
REPORT_SECONDS = 10.0
"""Bootstrap of 10,000 replicates and report, for the default arms of one classifier."""
TONE_SECONDS = 0.05
"""Looking at an image's skin."""
TURNS = 7
MEASURED_DIMENSION = 1280


@dataclass(frozen=True, slots=True)
class Sizes:
    """Images by class: the real ones, and the synthetic ones that the folds of a seed may use."""

    real: Mapping[str, int]
    made: Mapping[str, int]
    planned: int
    """Of ``made``, those that the experiment makes itself, anew for each seed."""

    def arm(self, arm: Arm) -> float:
        """Return the images that an arm would train on if no fold were held out."""
        real, made = sum(self.real.values()), sum(self.made.values())
        if not arm.needs_synthetic:
            return real
        if arm.id == "synthetic":
            return made
        if arm.ratio is None:
            return real + made
        largest = max(self.real.values())
        return real + sum(
            min(self.made.get(name, 0), arm.ratio * count)
            for name, count in self.real.items()
            if count < largest
        )

    def on_share(self, share: int) -> float:
        """Return the same for real and synthetic images on a share of the weak classes' groups."""
        largest = max(self.real.values())
        weak = sum(n for n in self.real.values() if n < largest)
        return sum(self.real.values()) - weak + share / 100 * (weak + sum(self.made.values()))

    @property
    def turned(self) -> int:
        """Flips and turns that the arm augment shows, each once: whole rounds over a class."""
        rounds = {name: -(-self.made.get(name, 0) // max(1, n)) for name, n in self.real.items()}
        return sum(n * min(TURNS, rounds[name]) for name, n in self.real.items())


def estimate(params: ExperimentParams, inputs: Inputs) -> Cost:
    """Estimate the images' way through the backbone, and every fit of every arm and fold.

    Networks that are trained end to end read their images in their fits.
    """
    from core.jobs.experiment_choices import on_features
    from core.learning.arms import COPYCAT
    from core.learning.copycat import MOST

    sizes = sizes_of(params, inputs)
    handed_in = (*params.synthetic_version_ids, *params.synthetic_version_per_repeat)
    given = sum(inputs.versions[v].image_count for v in handed_in)
    made = given + params.repeats * sizes.planned
    real = sum(sizes.real.values())
    images = real + made
    if "augment" in params.arms:
        images += sizes.turned
    if "control_noise" in params.arms:
        images += made
    copied = 0
    if COPYCAT in params.arms:
        copied = min(MOST, real)
        images += copied
    seen = images if on_features(params) else copied
    if params.legacy_protocol:
        legacy = params.legacy_per_class * (len(sizes.real) - 1)
        images += legacy
        seen += legacy if on_features(params) else real + legacy
    folds = params.folds if params.design == "cv" else 1
    sides = params.repeats * folds
    shards = sides * (2 if params.worth else 1)
    seconds = seen / IMAGES_PER_SECOND + (made + copied) * GATE_SHARE / IMAGES_PER_SECOND
    seconds += _synthesis_seconds(params, inputs) * params.repeats
    if params.apparent_tone:
        seconds += real * TONE_SECONDS
    seconds += shards * SHARD_SECONDS + sides * _fold_seconds(params, sizes)
    return Cost(seconds=seconds + REPORT_SECONDS, images=images, children=shards + 3)


def sizes_of(params: ExperimentParams, inputs: Inputs) -> Sizes:
    """Return the images that there are and those that the plan will make."""
    from core.synthesis.planning import balance_counts, explicit_counts

    real = {c.name: c.count for c in inputs.versions[params.dataset_version_id].classes}
    made: dict[str, int] = {}
    first = params.synthetic_version_per_repeat[:1]  # those of the other repeats are alike
    for version_id in (*params.synthetic_version_ids, *first):
        for found in inputs.versions[version_id].classes:
            made[found.name] = made.get(found.name, 0) + found.count
    plan, planned = params.synthesis, dict[str, int]()
    if plan is not None and plan.counts is not None:
        planned = explicit_counts(real, plan.counts)
    elif plan is not None and plan.balance is not None:
        planned = balance_counts(real, plan.balance)
    for name, count in planned.items():
        made[name] = made.get(name, 0) + count
    return Sizes(real, made, sum(planned.values()))


def _synthesis_seconds(params: ExperimentParams, inputs: Inputs) -> float:
    """Return what one seed's synthesis takes, by the kind synthesize."""
    from core.jobs.kinds.experiment import synthesis_params

    kind = JOB_KINDS.get("synthesize")
    if params.synthesis is None or kind.estimate is None:
        return 0.0
    child = kind.params.model_validate(synthesis_params(params, params.seed))
    return kind.estimate(child, inputs).seconds


def _fold_seconds(params: ExperimentParams, sizes: Sizes) -> float:
    """Return what the fits of one fold take, tuning included."""
    from core.features.contract import known_dimension
    from core.jobs.experiment_choices import arms_of, classifiers
    from core.learning.arms import COPYCAT
    from core.learning.contract import CLASSIFIERS
    from core.learning.finetuning import relative_cost
    from core.learning.shares import COMBINED_SHARES, REAL_SHARES

    share = 1 - 1 / params.folds if params.design == "cv" else 0.8
    fits = params.inner_folds * params.tuning_candidates if params.tuning == "grid" else 0
    kept = 1 - 1 / params.inner_folds
    # the privacy gate leaves the near-copies' arm nothing to train on
    trained = [sizes.arm(arm) for arm in arms_of(params) if arm.id != COPYCAT]
    more = REAL_SHARES + COMBINED_SHARES if params.worth else ()
    seconds = 0.0
    dimension = known_dimension(params.backbone) or MEASURED_DIMENSION
    for place, (name, chosen) in enumerate(classifiers(params).items()):
        entry = CLASSIFIERS.get(name)
        on_features = entry.sees == "features"
        wide = dimension / MEASURED_DIMENSION if on_features else relative_cost(params.backbone)
        for count in trained + ([] if place else [sizes.on_share(s) for s in more]):
            images = share * count
            final = entry.cost.seconds(images) * entry.passes(chosen)
            inner = entry.inner_cost.seconds(kept * images) * entry.inner_passes(chosen)
            seconds += wide * (final + fits * inner)
    return seconds
