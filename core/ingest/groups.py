"""Groups: images that must never stand on two sides of a split."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.ids import id_of
from core.ingest.layouts import GroupBasis
from core.ingest.metadata import GROUP_KEYS

LARGE_SHARE = 0.05
_MAJORITY = 0.5


class UnionFind:
    """Disjoint sets of 0..n-1."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def find(self, member: int) -> int:
        root = member
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[member] != root:
            self._parent[member], member = root, self._parent[member]
        return root

    def union(self, first: int, second: int) -> None:
        """Join two sets; the root is the smaller one, so that the order of joins is no matter."""
        low, high = sorted((self.find(first), self.find(second)))
        self._parent[high] = low

    def sets(self) -> list[list[int]]:
        """Return the sets, members ascending, sets by their first member."""
        found: dict[int, list[int]] = defaultdict(list)
        for member in range(len(self._parent)):
            found[self.find(member)].append(member)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class LargestGroup:
    """The largest group: its size and the class of which it holds the largest share."""

    group_id: str
    size: int
    label: str
    share: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "group_id": self.group_id,
            "size": self.size,
            "label": self.label,
            "share": round(self.share, 4),
        }


def connect(keys: Sequence[Iterable[str]], pairs: Iterable[tuple[int, int]]) -> UnionFind:
    """Join images that share a key, and the given pairs."""
    union = UnionFind(len(keys))
    owner: dict[str, int] = {}
    for index, own in enumerate(keys):
        for key in own:
            union.union(owner.setdefault(key, index), index)
    for first, second in pairs:
        union.union(first, second)
    return union


def metadata_keys(metadata: Mapping[str, Any], pixel_sha256: str) -> list[str]:
    """Return the keys that tie an image to others: what its metadata names, and its pixels.

    A lesion number counts within its patient when there is one: many datasets number the lesions of
    each patient from 1.
    """
    keys = [f"pixels\n{pixel_sha256}"]
    patient = metadata.get("patient_id", "")
    for name in GROUP_KEYS:
        value = metadata.get(name)
        if value is not None:
            within = "" if name in ("patient_id", "group") else patient
            keys.append(f"{name}\n{within}\n{value}")
    return keys


def group_id(members: Iterable[str]) -> str:
    """Return the id of a group, from the pixel hashes of its members and nothing else."""
    digest = hashlib.sha256("\n".join(sorted(set(members))).encode()).digest()
    return id_of("grp", digest)


def group_basis(
    metadata: Sequence[Mapping[str, Any]], group_column: str | None = None
) -> tuple[GroupBasis, int]:
    """Return what the groups rest on and how many images lack it.

    patient or lesion when more than half of the images name one (a case, a source or a group column
    counts as a lesion, a group column called after patients as a patient), else image.
    """
    patient_like = group_column is not None and "patient" in group_column.casefold()
    patients = sum("patient_id" in m or (patient_like and "group" in m) for m in metadata)
    lesions = sum(any(key in m for key in GROUP_KEYS) for m in metadata)
    if patients > _MAJORITY * len(metadata):
        return "patient", len(metadata) - patients
    if lesions > _MAJORITY * len(metadata):
        return "lesion", len(metadata) - lesions
    return "image", 0


def largest_group(group_ids: Sequence[str], labels: Sequence[str]) -> LargestGroup | None:
    """Return the group with most images (the first by id when tied); None without images."""
    sizes = Counter(group_ids)
    if not sizes:
        return None
    chosen = min(sizes, key=lambda g: (-sizes[g], g))
    totals = Counter(labels)
    inside = Counter(label for g, label in zip(group_ids, labels, strict=True) if g == chosen)
    label, count = max(inside.items(), key=lambda kv: (kv[1] / totals[kv[0]], kv[0]))
    return LargestGroup(chosen, sizes[chosen], label, count / totals[label])


def large_group_warning(largest: LargestGroup | None) -> list[str]:
    """Warn of a group of several images that is more than 5 % of a class."""
    if largest is None or largest.size < 2 or largest.share <= LARGE_SHARE:
        return []
    return [
        f"large_group: group {largest.group_id} has {largest.size} images and holds "
        f"{largest.share:.0%} of class {largest.label!r}; near-duplicates may have chained"
    ]
