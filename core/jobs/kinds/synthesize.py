"""Makes synthetic images of weak classes and publishes them as a dataset version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field

from core.errors import JobFailed
from core.jobs.context import Children, ChildResult, ChildSpec, Inputs, JobContext
from core.jobs.generator_choice import GeneratorChoice, assets_of, licence_of, require_kinds
from core.jobs.made_sheet import contact_sheet_of, per_class
from core.jobs.shards import shard_bounds
from core.jobs.spec import Cost, Params, Queue, Result, Seed, VersionId, job_kind
from core.jobs.survey import (
    NAME,
    Facts,
    as_json,
    read,
    survey,
    survey_size,
    surveyed,
    with_facts,
)
from core.pointers import invalid
from core.synthesis.planning import (
    Balance,
    Count,
    balance_counts,
    explicit_counts,
    preview,
)

if TYPE_CHECKING:
    from core.manifest import ImageRecord
    from core.synthesis.contract import GeneratorParams, GeneratorSpec, Order, Source

INLINE_IMAGES = 64
INLINE_SECONDS = 120
"""Up to so many images, that take up to so long, are made without children."""


class SynthesizeParams(GeneratorChoice, Params):
    """What to make; exactly one of ``balance`` and ``counts`` says how many."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_version_id": "dsv_" + "0" * 26,
                    "generator": "augment",
                    "generator_params": {"policy": "default"},
                    "balance": {"target": "max", "max_per_real": 5},
                    "sources": "train",
                    "seed": 0,
                }
            ]
        }
    )

    dataset_version_id: VersionId
    balance: Balance | None = None
    counts: dict[str, Count] | None = Field(
        None, min_length=1, description="Images to make, by class."
    )
    sources: Literal["train", "all"] = Field(
        "train", description="Real images to start from: of the training split, or all."
    )
    seed: Seed = 0
    resolution: int | None = Field(
        None, ge=16, le=4096, description="Pixels of the longer side; as made when left out."
    )
    limit: int | None = Field(
        None, ge=1, le=16, description="Make only so many, spread over the classes: a preview."
    )
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="Name of the new dataset."
    )


class SynthesizeResult(Result):
    dataset_id: str
    dataset_version_id: str
    generated: int
    per_class: dict[str, int]
    manifest_sha256: str
    quarantined: int = Field(
        0, description="Of a novel generator: images that show a real one; nothing trains on them."
    )


def check(params: SynthesizeParams, inputs: Inputs) -> None:
    """Refuse what the version's classes or the generator cannot do."""
    from core.synthesis.contract import GENERATORS
    from core.synthesis.parameters import generator_params

    spec = GENERATORS.get(params.generator, pointer="/generator")
    if (params.balance is None) == (params.counts is None):
        both = params.balance is not None
        raise invalid(
            "/counts" if both else "/balance",
            f"Say how many images to make by exactly one of balance and counts, "
            f"not by {'both' if both else 'neither'}",
        )
    version = inputs.versions[params.dataset_version_id]
    if version.kind != "real":
        raise invalid(
            "/dataset_version_id",
            "Synthetic images are made from a version of real images, this one is synthetic",
            code="not_real",
        )
    classes = _submitted_classes(params, inputs)
    require_kinds(generator_params(spec, params.generator_params, classes), inputs)
    wanted(params, classes)


def estimate(params: SynthesizeParams, inputs: Inputs) -> Cost:
    """Estimate from the generator's measured time per image, and per source that it looks at."""
    from core.synthesis.contract import GENERATORS
    from core.synthesis.parameters import generator_params

    spec = GENERATORS.get(params.generator, pointer="/generator")
    classes = _submitted_classes(params, inputs)
    counts = wanted(params, classes)
    total = sum(counts.values())
    images = min(total, params.limit) if params.limit else total
    asked = generator_params(spec, params.generator_params, classes)
    looked_at = 0
    if spec.survey_seconds:
        further = asked.further_classes()
        sizes = [classes.get(label, 0) for label in counts.keys() | further]
        looked_at = survey_size(sizes, preview=params.limit is not None)
    each = spec.image_seconds(asked, params.resolution)
    children, makers = 0, 1
    if not _inline(params, images, each):
        surveys = shard_bounds(looked_at, spec.survey_seconds) if looked_at else []
        makers = len(shard_bounds(images, each))
        children = makers + len(surveys)
    seconds = 1.0 + images * each + looked_at * spec.survey_seconds + makers * spec.start_seconds
    return Cost(seconds=seconds, images=images, children=children)


def queue_for(params: SynthesizeParams) -> Queue:
    return "interactive" if params.limit else "cpu"


@job_kind(
    "synthesize",
    params=SynthesizeParams,
    result=SynthesizeResult,
    queue=("cpu", "interactive"),
    check=check,
    estimate=estimate,
    queue_for=queue_for,
    scopes=("datasets:write",),
)
def synthesize(ctx: JobContext, params: SynthesizeParams) -> SynthesizeResult | Children:
    """Make synthetic images of weak classes."""
    campaign = Campaign(ctx, params)
    small = _inline(params, campaign.images, campaign.seconds)
    surveys = [c.artifacts[NAME].sha256 for c in ctx.children if c.kind == "synthesize_survey"]
    shards = [c for c in ctx.children if c.kind == "synthesize_shard"]
    if campaign.surveyed and not surveys and not small:
        slices = shard_bounds(len(campaign.surveyed), campaign.spec.survey_seconds)
        found = _parts(params, "synthesize_survey", slices, {})
        return Children(phase="survey", children=found, span=(0.01, 0.2))
    orders = campaign.plan(surveys, span=0.2)
    if shards:
        made = _merged(ctx, shards, orders)
    elif small:
        made = campaign.make(orders, span=0.9)
    else:
        extra = {"surveys": surveys} if surveys else {}
        slices = shard_bounds(len(orders), campaign.seconds)
        parts = _parts(params, "synthesize_shard", slices, extra)
        return Children(phase="synthesize", children=parts, span=(0.2 if surveys else 0.02, 0.92))
    return _publish(ctx, params, campaign, made)


class SynthesizeSlice(SynthesizeParams):
    """The parameters of a synthesize job, and the slice of its images that a child is for."""

    start: int = Field(ge=0, description="First image of the slice.")
    stop: int = Field(ge=1, description="First image after the slice.")


def check_slice(params: SynthesizeSlice, _: Inputs) -> None:
    """Refuse a slice without images."""
    if params.start >= params.stop:
        raise invalid("/stop", "The slice is empty")


class Campaign:
    """The plan of one synthesize job, the same in the parent and in each of its children."""

    def __init__(self, ctx: JobContext, params: SynthesizeParams) -> None:
        from core.synthesis.availability import require_installed
        from core.synthesis.contract import GENERATORS, Surveying, Workplace
        from core.synthesis.parameters import generator_params
        from core.synthesis.production import (
            require_images,
            require_modalities,
            usable_sources,
        )

        ctx.progress("plan", 0, 1)
        records = ctx.manifest(params.dataset_version_id)
        sources = usable_sources(records, params.sources)
        labels = {record.label for record in records}
        classes = {label: sum(s.label == label for s in sources) for label in labels}
        self._ctx = ctx
        self._asked = params
        self.real: dict[str, ImageRecord] = {r.image_id: r for r in records}
        spec = GENERATORS.get(params.generator, pointer="/generator")
        self.spec: GeneratorSpec = spec.at(Workplace(ctx.weights_dir))
        require_installed(self.spec)
        self.params: GeneratorParams = generator_params(self.spec, params.generator_params, classes)
        self._assets = assets_of(self.params, ctx.inputs, ctx.blob)
        self._counts = wanted(params, classes)
        drawn_from = self._counts.keys() | self.params.further_classes()
        self._used: list[Source] = [s for s in sources if s.label in drawn_from]
        require_modalities(self.spec, self._used)
        require_images(self.params, self._used)
        self.empty = sorted(label for label, count in classes.items() if not count)
        total = sum(self._counts.values())
        self.images = min(total, params.limit) if params.limit else total
        self.seconds = self.spec.image_seconds(self.params, params.resolution)
        self.facts: Facts = {}
        self.surveyed: list[Source] = []
        if isinstance(self.spec.instance, Surveying):
            named = frozenset(self.params.named_images())
            self.surveyed = surveyed(
                self._used, named, params.seed, preview=params.limit is not None
            )

    def plan(self, surveys: Sequence[str] = (), span: float = 1.0) -> list[Order]:
        """Return the orders, those of one source together; surveys here unless children have."""
        from core.synthesis.contract import Surveying
        from core.synthesis.production import near_each_other, with_assets

        instance = self.spec.instance
        if surveys:
            self.facts = read(self._ctx, surveys)
        elif self.surveyed:
            self.facts = survey(self._ctx, self.spec, self.params, self.surveyed, span)
        sources = with_facts(self._used, self.facts)
        if isinstance(instance, Surveying):
            sources = [source for source in sources if source.facts]
        orders = instance.plan(self.params, sources, self._counts, self._asked.seed)
        limit = self._asked.limit
        chosen = preview(orders, limit) if limit else orders
        return near_each_other(with_assets(chosen, self._assets))

    def tell(self, made: Sequence[ImageRecord]) -> None:
        """Write into the log what the survey found, what was left out why, and how it went."""
        from core.synthesis.contract import Reporting, Surveying

        lines: list[str] = []
        if isinstance(self.spec.instance, Surveying):
            lines += self.spec.instance.summary(with_facts(self.surveyed, self.facts))
        if isinstance(self.spec.instance, Reporting):
            lines += self.spec.instance.report(record.provenance for record in made)
        for line in lines:
            self._ctx.log(line)

    def make(self, orders: Sequence[Order], span: float = 1.0) -> list[ImageRecord]:
        """Make orders on the job's threads; returns their records by index.

        ``span`` is the part of the job's progress that this fills.
        """
        import cv2

        from core.ingest.images import decode
        from core.synthesis.production import PixelCache, produce, record_of

        ctx, resolution = self._ctx, self._asked.resolution
        cv2.setNumThreads(1)
        load = PixelCache(lambda sha256: decode(ctx.blob(sha256)), size=4 * ctx.threads + 2)
        finished = produce(
            self.spec, self.params, orders, load, threads=ctx.threads, resolution=resolution
        )
        made: dict[int, ImageRecord] = {}
        for image in finished:
            masks = {name: ctx.put(data) for name, data in image.annotations.items()}
            made[image.order.index] = record_of(image, ctx.put(image.data), self.real, masks)
            ctx.progress("synthesize", span * len(made) / len(orders), 1)
        return [made[index] for index in sorted(made)]


def _inline(params: SynthesizeParams, images: int, seconds: float) -> bool:
    """Tell whether one job makes all images itself; a preview does, as somebody waits for it."""
    few = images <= INLINE_IMAGES and images * seconds <= INLINE_SECONDS
    return few or params.limit is not None


def wanted(params: SynthesizeParams, classes: Mapping[str, int]) -> dict[str, int]:
    """Return how many images to make by class, given the usable real ones."""
    if params.counts is not None:
        return explicit_counts(classes, params.counts)
    return balance_counts(classes, params.balance or Balance())


def _parts(
    params: SynthesizeParams, kind: str, slices: Sequence[tuple[int, int]], extra: Mapping[str, Any]
) -> tuple[ChildSpec, ...]:
    common = params.model_dump(mode="json") | dict(extra)
    return tuple(
        ChildSpec(
            kind=kind,
            params=common | {"start": start, "stop": stop},
            weight=stop - start,
            role=f"{start}-{stop}",
        )
        for start, stop in slices
    )


def _merged(
    ctx: JobContext, shards: Sequence[ChildResult], orders: Sequence[Order]
) -> list[ImageRecord]:
    """Return what the shards made, by index; JobFailed when that is not the plan."""
    from core.manifest import read_manifest

    found: list[ImageRecord] = []
    for child in shards:
        found += read_manifest(ctx.blob(child.artifacts["shard.parquet"].sha256))
    found.sort(key=lambda record: record.provenance["index"])
    if [r.provenance["index"] for r in found] != sorted(order.index for order in orders):
        raise JobFailed(
            "The shards have not made the images of the plan, each once: the program differs "
            "between workers. Retry the job when all workers run the same version.",
            code="plan_changed",
        )
    return found


def _submitted_classes(params: SynthesizeParams, inputs: Inputs) -> dict[str, int]:
    version = inputs.versions[params.dataset_version_id]
    return {
        c.name: c.count if params.sources == "all" else c.by_split.get("train", 0)
        for c in version.classes
    }


def _publish(
    ctx: JobContext, params: SynthesizeParams, campaign: Campaign, made: list[ImageRecord]
) -> SynthesizeResult:
    if campaign.empty and params.balance and params.balance.classes is None:
        ctx.log(f"Without usable real images, so left out: {', '.join(campaign.empty)}")
    campaign.tell(made)
    made = _gated(ctx, campaign, made)
    ctx.progress("publish", 0.95, 1)
    version = ctx.inputs.versions[params.dataset_version_id]
    preview_mark = " (preview)" if params.limit else ""
    draft = ctx.publish_version(
        made,
        kind="synthetic",
        name=params.name or f"{version.dataset_name} + {params.generator}{preview_mark}",
        parents=(version.id,),
        licence=licence_of(campaign.params, ctx.inputs, version.licence),
        info={"generator": _description(params, campaign), "group_basis": version.group_basis},
    )
    manifest = ctx.blob(draft.manifest_blob).read_bytes()
    ctx.artifact("manifest.parquet", manifest, "application/vnd.apache.parquet")
    sheet = contact_sheet_of(ctx, made, title=draft.name)
    ctx.artifact("contact_sheet.png", sheet, "image/png")
    if campaign.facts:
        ctx.artifact(NAME, as_json(campaign.facts, campaign.surveyed), "application/json")
    return SynthesizeResult(
        dataset_id=draft.dataset_id,
        dataset_version_id=draft.id,
        generated=len(made),
        per_class=per_class(made),
        manifest_sha256=draft.manifest_sha256,
        quarantined=sum(record.quarantined for record in made),
    )


def _gated(ctx: JobContext, campaign: Campaign, made: list[ImageRecord]) -> list[ImageRecord]:
    """Quarantine what of a novel generator shows a real image; a derivative one declares it."""
    from core.jobs.privacy_gate import publish, screened

    if campaign.spec.novelty != "novel":
        return made
    real = list(campaign.real.values())
    found = screened(ctx, real, made, (r.image_id for r in made), span=(0.92, 0.95))
    publish(ctx, found)
    return [replace(r, quarantined=r.image_id in found.image_ids) for r in made]


def _description(params: SynthesizeParams, campaign: Campaign) -> dict[str, Any]:
    """Return what the version says of how it was made."""
    return {
        "name": campaign.spec.name,
        "version": campaign.spec.version,
        "novelty": campaign.spec.novelty,
        "params": campaign.params.model_dump(mode="json"),
        "seed": params.seed,
        "sources": params.sources,
        "balance": params.balance.model_dump(mode="json") if params.balance else None,
        "counts": params.counts,
        "resolution": params.resolution,
        "limit": params.limit,
    }
