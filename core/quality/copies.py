"""Synthetic images that show a real photograph which they do not declare: copies passed as new.

What is derived from a real image is like it, and says so: likeness to a declared parent, or to
another image of the parent's group, is expected of it. Any other likeness is a copy. What a novel
generator makes has nothing to declare: there every likeness counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.ingest.alignment import AlignThreshold, align
from core.ingest.duplicates import Candidates, NearThreshold, candidates, correlations, normalised
from core.ingest.fingerprints import Fingerprint, fingerprint
from core.ingest.keypoints import RECORD, keypoints
from core.ingest.retrieval import likely_pairs
from core.ingest.thorough import MOST_IMAGES
from core.manifest import ImageRecord
from core.synthesis.contract import Pixels

Way = Literal["exact", "near", "aligned"]
"""The same bytes or pixels; alike as a whole; alike where one is laid over the other."""
_RANK: dict[Way, int] = {"exact": 2, "near": 1, "aligned": 0}
_PAIRS = 4096
_IMAGES = 64
"""Looked at between two reports of progress."""

LoadPixels = Callable[[str], Pixels]
Progress = Callable[[float], None]
Places = frozenset[int]


@dataclass(frozen=True, slots=True)
class Copy:
    """A synthetic image and the real one that it shows; likeness is 1 for an exact copy, else r."""

    synthetic: ImageRecord
    real: ImageRecord
    way: Way
    likeness: float

    def as_json(self) -> dict[str, Any]:
        return {
            "image_id": self.synthetic.image_id,
            "filename": self.synthetic.filename,
            "label": self.synthetic.label,
            "real_image_id": self.real.image_id,
            "real_filename": self.real.filename,
            "real_label": self.real.label,
            "real_split": self.real.split,
            "way": self.way,
            "likeness": round(self.likeness, 4),
        }


@dataclass(frozen=True, slots=True)
class Screening:
    """The copies among ``examined`` synthetic images, each beside its most alike real image.

    novel: images to which every likeness counts. aligned: how many were also laid over real images,
    so that crops and free turns are found. too_many: that would have been too many.
    """

    copies: tuple[Copy, ...]
    examined: Mapping[str, int]
    novel: int
    aligned: int
    too_many: bool
    near: NearThreshold
    threshold: AlignThreshold

    @property
    def image_ids(self) -> frozenset[str]:
        return frozenset(copy.synthetic.image_id for copy in self.copies)

    def by_class(self) -> dict[str, dict[str, int]]:
        """Return how many images of each class were examined, and what kinds of copies they are."""
        counts = {
            label: {"examined": n} | dict.fromkeys(_RANK, 0)
            for label, n in sorted(self.examined.items())
        }
        for copy in self.copies:
            counts[copy.synthetic.label][copy.way] += 1
        return counts

    def as_json(self) -> dict[str, Any]:
        return {
            "examined": sum(self.examined.values()),
            "novel": self.novel,
            "searched_for_crops_and_turns": self.aligned,
            "too_many_for_crops_and_turns": self.too_many,
            "threshold": self.near.as_dict() | {"aligned": self.threshold.as_dict()},
            "by_class": self.by_class(),
            "copies": [copy.as_json() for copy in self.copies],
        }


def screen(
    real: Sequence[ImageRecord],
    made: Sequence[ImageRecord],
    load: LoadPixels,
    *,
    novel: Callable[[ImageRecord], bool],
    threads: int = 1,
    progress: Progress = lambda _done: None,
) -> Screening:
    """Return which of the made images show a real one that they do not declare.

    ``real`` is every real image there is, quarantined or not; ``load`` decodes a blob; ``novel``
    tells whose declarations do not excuse it. Exact copies are those of bytes or pixels. All images
    are compared as wholes (flips, quarter turns, sizes, compression), those that
    declare nothing also laid over each other (crops, free turns), up to MOST_IMAGES in all.
    """
    photographs = list({r.sha256: r for r in real if r.source == "real"}.values())
    images = list({r.image_id: r for r in made if r.source == "synthetic"}.values())
    declared = _declared(photographs, images, novel)
    search = _Search(photographs, images, declared, load, threads, progress)
    search.exact()
    search.whole(NearThreshold())
    suspects = [place for place, own in enumerate(declared) if not own]
    too_many = bool(suspects) and len(photographs) + len(suspects) > MOST_IMAGES
    if not too_many:
        search.aligned(suspects, AlignThreshold())
    examined: dict[str, int] = defaultdict(int)
    for record in images:
        examined[record.label] += 1
    return Screening(
        copies=tuple(search.copies()),
        examined=dict(examined),
        novel=sum(map(novel, images)),
        aligned=0 if too_many else len(suspects),
        too_many=too_many,
        near=NearThreshold(),
        threshold=AlignThreshold(),
    )


def _declared(
    real: Sequence[ImageRecord],
    made: Sequence[ImageRecord],
    novel: Callable[[ImageRecord], bool],
) -> list[Places]:
    """Return the positions of the real images that each made one may be like."""
    by_name: dict[str, int] = {}
    by_group: dict[str, list[int]] = defaultdict(list)
    for place, record in enumerate(real):
        by_name |= {record.image_id: place, record.sha256: place}
        for group in record.group_ids:
            by_group[group].append(place)
    found: list[Places] = []
    for record in made:
        if novel(record):
            found.append(frozenset())
            continue
        names = (*record.parents, *record.parent_sha256)
        parents = {by_name[name] for name in names if name in by_name}
        groups = {*record.group_ids, *(g for p in parents for g in real[p].group_ids)}
        found.append(frozenset(parents.union(*(by_group[g] for g in groups if g in by_group))))
    return found


class _Search:
    """The best copy of each made image, found in several ways."""

    def __init__(
        self,
        real: Sequence[ImageRecord],
        made: Sequence[ImageRecord],
        declared: Sequence[Places],
        load: LoadPixels,
        threads: int,
        progress: Progress,
    ) -> None:
        self._real, self._made, self._declared = real, made, declared
        self._load, self._threads, self._progress = load, max(1, threads), progress
        self._best: dict[int, Copy] = {}

    def copies(self) -> list[Copy]:
        """Return the copies in the order of the made images."""
        return [self._best[place] for place in sorted(self._best)]

    def exact(self) -> None:
        """Find the same bytes, as stored or as sent, and the same pixels."""
        owner: dict[str, list[int]] = defaultdict(list)
        for place, record in enumerate(self._real):
            for content in _contents(record):
                owner[content].append(place)
        for place, record in enumerate(self._made):
            for content in _contents(record):
                for other in owner.get(content, ()):
                    self._found(other, place, "exact", 1.0)

    def whole(self, near: NearThreshold) -> None:
        """Find images that are alike as wholes, by hash and thumbnail."""
        prints = self._prints([record.sha256 for record in self._made], 0.0, 0.6)
        hashes = self._hashes()
        bits = np.array([p.bits for p in prints], dtype=np.uint64)
        blocks = candidates(hashes, bits, near.hash_bits, threads=self._threads)
        none = np.empty((0, 3), dtype=np.int64)
        waiting = np.concatenate([none, *map(self._undeclared, blocks)])
        thumbnails = self._thumbnails(np.unique(waiting[:, 0]).tolist())
        for start in range(0, len(waiting), _PAIRS):
            rows = waiting[start : start + _PAIRS]
            values = correlations(
                normalised([thumbnails[i] for i in rows[:, 0].tolist()]),
                normalised([prints[j].thumbnail for j in rows[:, 1].tolist()]),
                rows[:, 2],
            )
            for (i, j, _), value in zip(rows.tolist(), values.tolist(), strict=True):
                if value >= near.correlation:
                    self._found(i, j, "near", float(value))
        self._progress(0.7)

    def _undeclared(self, found: Candidates) -> Candidates:
        """Return the candidates of which the made image does not declare the real one."""
        kept = [real not in self._declared[made] for real, made in found[:, :2].tolist()]
        return np.asarray(found[np.array(kept, dtype=bool)])

    def aligned(self, suspects: Sequence[int], threshold: AlignThreshold) -> None:
        """Find crops and free turns of real images among the suspects that are no copies yet."""
        suspects = [place for place in suspects if place not in self._best]
        if not suspects:
            return
        mine = [self._made[place].sha256 for place in suspects]
        names = [record.sha256 for record in self._real] + mine
        records = np.zeros(len(names), RECORD)
        for place, one in enumerate(self._each(names, keypoints, 0.7, 0.9)):
            records[place] = one
        pairs = likely_pairs(records, apart=len(self._real)).tolist()

        def look(pair: list[int]) -> float | None:
            seen = align(records[pair[0]], records[pair[1]], threshold.inliers)
            return seen.correlation if seen.passes(threshold) else None

        with ThreadPoolExecutor(self._threads) as pool:
            for (real, place), value in zip(pairs, pool.map(look, pairs), strict=True):
                if value is not None:
                    self._found(real, suspects[place - len(self._real)], "aligned", value)
        self._progress(1.0)

    def _found(self, real: int, made: int, way: Way, likeness: float) -> None:
        if real in self._declared[made]:
            return
        copy = Copy(self._made[made], self._real[real], way, likeness)
        before = self._best.get(made)
        if before is None or (_RANK[way], likeness) > (_RANK[before.way], before.likeness):
            self._best[made] = copy

    def _hashes(self) -> NDArray[np.uint64]:
        """Return the hashes of the real images; the import has kept them."""
        unknown = [r.sha256 for r in self._real if not r.perceptual_hash]
        looked = dict(zip(unknown, self._prints(unknown, 0.6, 0.6), strict=True))
        values = [
            int(r.perceptual_hash, 16) if r.perceptual_hash else looked[r.sha256].bits
            for r in self._real
        ]
        return np.array(values, dtype=np.uint64)

    def _thumbnails(self, places: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
        prints = self._prints([self._real[place].sha256 for place in places], 0.6, 0.7)
        return {place: one.thumbnail for place, one in zip(places, prints, strict=True)}

    def _prints(self, names: Sequence[str], start: float, stop: float) -> list[Fingerprint]:
        return list(self._each(names, fingerprint, start, stop))

    def _each(
        self, names: Sequence[str], look: Callable[[Pixels], Any], start: float, stop: float
    ) -> Iterable[Any]:
        """Yield what ``look`` sees in each image, in order, telling the progress."""
        with ThreadPoolExecutor(self._threads) as pool:
            for step in range(0, len(names), _IMAGES):
                self._progress(start + (stop - start) * step / len(names))
                yield from pool.map(lambda n: look(self._load(n)), names[step : step + _IMAGES])


def _contents(record: ImageRecord) -> set[str]:
    return {record.sha256, record.source_sha256, record.pixel_sha256} - {""}
