"""What a generator must know of every source before it plans; found once, kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.jobs.context import JobContext
from core.synthesis.planning import key_digest

if TYPE_CHECKING:
    from core.synthesis.contract import GeneratorParams, GeneratorSpec, Source

NAME = "survey.json"
MOST = 1000
"""Most images of a class that are surveyed, those with masks or named first."""
PREVIEWED = 24
"""The same for a preview."""

Facts = dict[str, dict[str, Any]]
"""By image id."""


def surveyed(
    sources: Sequence[Source], named: frozenset[str], seed: int, *, preview: bool
) -> list[Source]:
    """Return the sources that are looked at: all, or so many of a large class, chosen by seed."""
    found: dict[str, list[Source]] = {}
    for source in sources:
        found.setdefault(source.label, []).append(source)

    def turn(source: Source) -> tuple[bool, bytes]:
        chosen = source.mask_sha256 is not None or source.image_id in named
        return (not chosen, key_digest("survey", seed, source.sha256))

    most = PREVIEWED if preview else MOST
    return [s for label in sorted(found) for s in sorted(found[label], key=turn)[:most]]


def survey_size(classes: Iterable[int], *, preview: bool) -> int:
    """Return how many sources of classes of these sizes are looked at."""
    return sum(min(size, PREVIEWED if preview else MOST) for size in classes)


def survey(
    ctx: JobContext,
    spec: GeneratorSpec,
    params: GeneratorParams,
    sources: Sequence[Source],
    span: float = 1.0,
) -> Facts:
    """Look at every source, on the job's threads; ``span`` is the part of its progress."""
    import cv2

    from core.ingest.images import decode
    from core.synthesis.contract import Surveying
    from core.synthesis.production import PixelCache

    instance = spec.instance
    if not isinstance(instance, Surveying):
        return {}
    cv2.setNumThreads(1)
    load = PixelCache(lambda sha256: decode(ctx.blob(sha256)), size=2 * ctx.threads + 2)
    facts: Facts = {}
    batch = 4 * ctx.threads
    with ThreadPoolExecutor(ctx.threads) as pool:
        for start in range(0, len(sources), batch):
            chosen = sources[start : start + batch]
            answers = pool.map(lambda source: instance.survey(params, source, load), chosen)
            facts |= {
                source.image_id: answer for source, answer in zip(chosen, answers, strict=True)
            }
            ctx.progress("survey", span * len(facts) / len(sources), 1)
    return facts


def with_facts(sources: Sequence[Source], facts: Mapping[str, Mapping[str, Any]]) -> list[Source]:
    """Return the sources with what is known of them."""
    return [replace(source, facts=facts.get(source.image_id, {})) for source in sources]


def as_json(facts: Facts, sources: Sequence[Source]) -> bytes:
    """Return a survey as a document: a row an image, in the order of sources."""
    rows = [
        {"image_id": s.image_id, "label": s.label, "facts": facts[s.image_id]}
        for s in sources
        if s.image_id in facts
    ]
    return json.dumps({"images": rows}, indent=1).encode()


def read(ctx: JobContext, blobs: Sequence[str]) -> Facts:
    """Return what several surveys say together."""
    facts: Facts = {}
    for sha256 in blobs:
        for row in json.loads(ctx.blob(sha256).read_bytes())["images"]:
            facts[row["image_id"]] = row["facts"]
    return facts
