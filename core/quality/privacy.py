"""How close synthetic images come to what their generator saw, beside real images it never saw.

``members`` are real images that it could use, ``held_out`` ones that it could not, of another
group; both sets are drawn equally large, class by class. Copies have rows of their own
(:mod:`core.quality.copies`): these numbers say nothing about single persons.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.manifest import ImageRecord
from core.quality.copies import Screening
from core.quality.nearest import nearest
from core.quality.resampling import group_draws, percentiles, ratio_interval
from core.quality.rows import QualityRow, metric_name
from core.quality.sides import Index, Side

LEAST = 50
"""With fewer images in a set, its nearest neighbours tell of n, not of what was learnt."""
MOST_IMAGES = 3000
"""In each set; larger ones are drawn from."""
METRICS = ("distance_ratio", "authpct", "membership_auc")
Values = NDArray[np.float64]
_FEW_GROUPS = "too few groups for an interval"
_ENDLESS = "the interval has no finite end: too many images equal a held-out one"


@dataclass(frozen=True, slots=True)
class Membership:
    """Which real images the generator could not use; why it is not known, where it is not.

    novel: it makes images of nobody. derivative: its images are made of real ones that they name.
    """

    held_out: NDArray[np.bool_]
    novel: bool
    unknown: str = ""


def membership(
    generator: Mapping[str, object] | None,
    made_of: Collection[str],
    version_id: str,
    real: Sequence[ImageRecord],
    novel: bool,
) -> Membership:
    """Read off what a version says of its generator which real images were held out.

    made_of: the real versions that it was made of. real: the images of ``version_id``; of another
    version than those the generator may have seen none, so it has neither members nor held-out.
    """
    sources = (generator or {}).get("sources")
    held_out = np.array([record.split != "train" for record in real], dtype=bool)
    unknown = ""
    if not made_of:
        unknown = "the version does not say which real images it was made of, or they were deleted"
    elif version_id not in made_of:
        unknown = (
            f"the synthetic images were made of {', '.join(sorted(made_of))}, not of {version_id}: "
            "compare them with that"
        )
    elif sources == "all":
        unknown = "the generator could use every real image (sources: all): none is held out"
    elif sources != "train":
        unknown = "the version does not say which real images its generator could use"
    return Membership(held_out, novel, unknown)


def privacy_rows(
    real: Side, synthetic: Side, told: Membership, backbone: str, rng: np.random.Generator
) -> list[QualityRow]:
    """Return distance ratio, AuthPct and membership AUC, over all shared classes and of each.

    distance_ratio: the median of the distance to the nearest member over that to the nearest
    held-out image; 1: no closer to what was seen, below: closer. Members that an image of a
    derivative generator declares (by group) do not count; one that declares them all is left out.
    authpct (Alaa et al. 2022): the share of images farther from their nearest member than that is
    from the next member; floor: the same of held-out images. membership_auc: how well the distance
    to the nearest synthetic image tells members from held-out ones; 0.5: not at all. Both only for
    novel generators. Refused below LEAST images in a set, and where the median is not finite.
    """
    labels = sorted(set(real.labels) & set(synthetic.labels))
    scopes: list[tuple[str | None, list[str]]] = [(None, labels)]
    scopes += [(label, [label]) for label in labels]
    return [
        row
        for scope, names in scopes
        for row in _Scope.draw(scope, names, real, synthetic, told, rng).rows(told, backbone, rng)
    ]


@dataclass(frozen=True, slots=True)
class _Found:
    """What came of one measure; without a value, the reason. n: None for that of the scope."""

    value: float | None
    interval: tuple[float, float] | None = None
    floor: float | None = None
    n: int | None = None
    left_out: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Scope:
    """Equal sets of members and held-out images, and the synthetic ones, of some classes."""

    label: str | None
    members: Side
    held_out: Side
    made: Side

    @classmethod
    def draw(
        cls,
        label: str | None,
        names: Sequence[str],
        real: Side,
        synthetic: Side,
        told: Membership,
        rng: np.random.Generator,
    ) -> _Scope:
        rows = {name: real.rows_of(name) for name in names}
        sets = [{n: r[told.held_out[r] == held] for n, r in rows.items()} for held in (False, True)]
        counts = {n: min(len(sets[0][n]), len(sets[1][n])) for n in names}
        share = min(1.0, MOST_IMAGES / max(1, sum(counts.values())))
        quota = {n: int(count * share) for n, count in counts.items()}
        sides = [real.part(_drawn(own, quota, rng)) for own in sets]
        mine = [synthetic.rows_of(name) for name in names]
        made = rng.permutation(np.concatenate(mine) if mine else np.empty(0, dtype=np.intp))
        return cls(label, sides[0], sides[1], synthetic.part(np.sort(made[:MOST_IMAGES])))

    @property
    def n(self) -> int:
        return min(len(self.members.labels), len(self.made.labels))

    def rows(self, told: Membership, backbone: str, rng: np.random.Generator) -> list[QualityRow]:
        reasons = dict.fromkeys(METRICS, told.unknown or self._too_few())
        if not told.novel:
            for name in METRICS[1:]:
                reasons[name] = (
                    "for novel generators only: a derivative image is as private as the images "
                    "that it was made of"
                )
        compute = {
            "distance_ratio": lambda: self._distance_ratio(told.novel, rng),
            "authpct": lambda: self._authenticity(rng),
            "membership_auc": lambda: self._attack(rng),
        }
        rows = []
        for name in METRICS:
            metric = metric_name(name, backbone)
            if reasons[name]:
                rows.append(_refused(metric, self.label, backbone, self.n, reasons[name]))
                continue
            found = compute[name]()
            n = self.n if found.n is None else min(self.n, found.n)
            if found.value is None:
                rows.append(_refused(metric, self.label, backbone, n, found.reason))
                continue
            reason = found.reason or (None if found.interval else _FEW_GROUPS)
            row = QualityRow(
                metric, self.label, backbone, n, found.value, found.interval, found.floor,
                reason=reason, left_out=found.left_out,
            )  # fmt: skip
            rows.append(row)
        return rows

    def _too_few(self) -> str:
        if self.n >= LEAST:
            return ""
        return (
            f"{len(self.members.labels)} members, as many held-out and {len(self.made.labels)} "
            f"synthetic images, at least {LEAST} of each are needed"
        )

    def _distance_ratio(self, novel: bool, rng: np.random.Generator) -> _Found:
        declared = None if novel else _related(self.made, self.members)
        # an image that declares every member is as near to none of them
        rows = np.arange(len(self.made.labels))
        if declared is not None:
            rows = np.flatnonzero(~declared.all(axis=1))
            declared = declared[rows]
        made, left_out = self.made.part(rows), len(self.made.labels) - len(rows)
        if len(rows) < LEAST:
            return _Found(None, n=len(rows), reason=_all_declared(len(rows), left_out))
        seen, _ = nearest(made.features, self.members.features, declared)
        unseen, _ = nearest(made.features, self.held_out.features)
        ratios = np.divide(seen, unseen, out=np.full(len(seen), np.inf), where=unseen > 0)
        ratios[(seen == 0) & (unseen == 0)] = 1.0
        median = float(np.median(ratios))
        if not np.isfinite(median):
            reason = "half of the images or more equal a held-out one: the ratio is endless"
            return _Found(None, n=len(rows), reason=reason)
        draws = group_draws(made.groups(), made.labels, rng)
        interval, reason = None, ""
        if draws is not None:
            medians = _medians(ratios, draws)
            interval = percentiles(medians) if np.isfinite(medians).all() else None
            reason = "" if interval else _ENDLESS
        return _Found(median, interval, 1.0, len(rows), left_out, reason)

    def _authenticity(self, rng: np.random.Generator) -> _Found:
        members = self.members.features
        itself = np.eye(len(members), dtype=bool)
        apart, _ = nearest(members, members, itself)

        def authentic(side: Side) -> Values:
            distance, which = nearest(side.features, members)
            return (distance > apart[which]).astype(np.float64)

        values = authentic(self.made)
        draws = group_draws(self.made.groups(), self.made.labels, rng)
        interval = ratio_interval(values, np.ones(len(values)), draws)
        return _Found(float(values.mean()), interval, float(authentic(self.held_out).mean()))

    def _attack(self, rng: np.random.Generator) -> _Found:
        sides = (self.members, self.held_out)
        far = [nearest(side.features, self.made.features)[0] for side in sides]
        wins = (far[0][:, None] < far[1]).astype(np.float32)
        wins += 0.5 * (far[0][:, None] == far[1])
        interval = None
        ours, theirs = (group_draws(side.groups(), [""] * len(side.labels), rng) for side in sides)
        if ours is not None and theirs is not None:
            sums = ((ours.astype(np.float32) @ wins) * theirs).sum(axis=1, dtype=np.float64)
            pairs = ours.sum(axis=1, dtype=np.float64) * theirs.sum(axis=1, dtype=np.float64)
            interval = percentiles(sums / pairs)
        return _Found(float(wins.mean()), interval, 0.5)


def _all_declared(left: int, left_out: int) -> str:
    return (
        f"{left} synthetic images have a member that they do not declare, {left_out} declare every "
        f"one; at least {LEAST} are needed"
    )


def _drawn(sets: Mapping[str, Index], quota: Mapping[str, int], rng: np.random.Generator) -> Index:
    parts = [rng.permutation(sets[name])[:n] for name, n in sorted(quota.items())]
    return np.sort(np.concatenate(parts)) if parts else np.empty(0, dtype=np.intp)


def _related(made: Side, members: Side) -> NDArray[np.bool_]:
    """Mark which members share a group with each synthetic image."""
    by_group: dict[str, list[int]] = defaultdict(list)
    for place, groups in enumerate(members.group_ids):
        for group in groups:
            by_group[group].append(place)
    found = np.zeros((len(made.labels), len(members.labels)), dtype=bool)
    for row, groups in enumerate(made.group_ids):
        for group in groups:
            found[row, by_group.get(group, [])] = True
    return found


def _medians(values: Values, draws: NDArray[np.uint16]) -> Values:
    """Return the lower median of each replicate of values."""
    order = np.argsort(values)
    ranked = values[order]
    found = np.empty(len(draws))
    for place, draw in enumerate(draws):
        reached = np.cumsum(draw[order], dtype=np.int64)
        found[place] = ranked[np.searchsorted(reached, (reached[-1] + 1) // 2)]
    return found


def _refused(metric: str, label: str | None, backbone: str, n: int, reason: str) -> QualityRow:
    return QualityRow(metric, label, backbone, n, None, estimable=False, reason=reason)


def copies_rows(found: Screening, left_out: Counter[str]) -> list[QualityRow]:
    """Return the share of exact and of near copies, over all images examined and by class.

    left_out: images by class that were not looked at, because they are quarantined already.
    """
    classes = found.by_class()
    rows = []
    for metric, ways in (("copies_exact", ("exact",)), ("copies_near", ("near", "aligned"))):
        hits = {label: sum(counts[w] for w in ways) for label, counts in classes.items()}
        sizes = {label: counts["examined"] for label, counts in classes.items()}
        total, hit = sum(sizes.values()), sum(hits.values())
        rows.append(_share(metric, None, hit, total, sum(left_out.values())))
        rows += [_share(metric, c, hits[c], sizes[c], left_out[c]) for c in classes]
    return rows


def _share(metric: str, label: str | None, hits: int, examined: int, left_out: int) -> QualityRow:
    return QualityRow(
        metric,
        label,
        None,
        examined,
        hits / examined if examined else None,
        estimable=examined > 0,
        reason=None if examined else "no image to look at",
        left_out=left_out,
    )
