"""What a job kind is, and the registry of all of them.

A kind is one file in ``core/jobs/kinds`` with one function::

    @job_kind("evaluate", params=EvaluateParams, result=EvaluateResult, queue="gpu")
    def evaluate(ctx: JobContext, params: EvaluateParams) -> EvaluateResult | Children: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from core.assets import ASSET_ID
from core.jobs.context import Children, Inputs, JobContext
from core.registry import Registry

Queue = Literal["gpu", "cpu", "io", "interactive"]
QUEUES: tuple[Queue, ...] = ("gpu", "cpu", "io", "interactive")
Profile = Literal["light", "torch"]
MAX_ATTEMPTS = 3
RefKind = Literal["version", "model", "upload", "asset", "group"]
Scope = Literal["datasets:read", "datasets:write", "models:read", "models:write"]


class Params(BaseModel):
    """Base of all parameter models: unknown fields are errors, an example is required."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Result(BaseModel):
    """Base of all result models."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Ref:
    """Marks a string parameter as the id of something that must exist at submission.

    masks: of a version, that its images with a mask are counted for ``check`` and ``estimate``.
    """

    kind: RefKind
    masks: bool = False


VersionId = Annotated[
    str, Ref("version"), Field(pattern="^dsv_[0-9a-z]{26}$", description="A dataset version.")
]
MaskedVersionId = Annotated[
    str,
    Ref("version", masks=True),
    Field(pattern="^dsv_[0-9a-z]{26}$", description="A dataset version whose images have masks."),
]
ModelId = Annotated[str, Ref("model"), Field(pattern="^mdl_[0-9a-z]{26}$", description="A model.")]
UploadId = Annotated[
    str, Ref("upload"), Field(pattern="^upl_[0-9a-z]{26}$", description="A finished upload.")
]
AssetId = Annotated[str, Ref("asset"), Field(pattern=ASSET_ID, description="An asset.")]
Person = Annotated[
    str,
    Ref("group"),
    Field(
        pattern="^grp_[0-9a-z]{26}$|^asset:ast_[0-9a-z]{26}$",
        description="A group of images, or of an asset: the person that is shown.",
    ),
]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1, description="Same seed, same result.")]


class Cost(BaseModel):
    """What a job is expected to take; ``seconds`` is on one slot of the smallest host."""

    seconds: float = Field(ge=0)
    images: int = Field(0, ge=0)
    children: int = Field(0, ge=0)


P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True, slots=True)
class JobKind(Generic[P, R]):
    """One kind of job. ``check`` raises InvalidInput for what only the inputs can tell."""

    name: str
    params: type[P]
    result: type[R]
    run: Callable[[JobContext, P], R | Children]
    queues: tuple[Queue, ...]
    profile: Profile
    timeout: float
    max_attempts: int
    public: bool
    diagnostic: bool
    check: Callable[[P, Inputs], None] | None
    estimate: Callable[[P, Inputs], Cost] | None
    queue_for: Callable[[P], Queue] | None
    scopes: tuple[Scope, ...]
    summary: str

    @property
    def queue(self) -> Queue:
        """The queue that a job of the kind usually stands in."""
        return self.queues[0]

    def queue_of(self, params: P) -> Queue:
        return self.queue_for(params) if self.queue_for else self.queue


JOB_KINDS: Registry[JobKind[Any, Any]] = Registry("job_kind", "core.jobs.kinds")


def job_kind(
    name: str,
    *,
    params: type[P],
    result: type[R],
    queue: Queue | tuple[Queue, ...],
    profile: Profile = "light",
    timeout: float = 3600.0,
    public: bool = True,
    diagnostic: bool = False,
    check: Callable[[P, Inputs], None] | None = None,
    estimate: Callable[[P, Inputs], Cost] | None = None,
    queue_for: Callable[[P], Queue] | None = None,
    scopes: tuple[Scope, ...] = (),
) -> Callable[[Callable[[JobContext, P], R | Children]], Callable[[JobContext, P], R | Children]]:
    """Register a function as a job kind; its docstring's first line is the summary.

    ``public=False``: only other jobs create it. ``diagnostic``: only with DERMSYNTH_DIAGNOSTICS.
    ``profile``: what the zygote preloads. ``timeout``: seconds of one attempt. ``queue``: several
    when ``queue_for`` chooses between them by the parameters, the usual one first. ``scopes``: what
    a caller needs besides ``jobs:write``, because the job reads or makes it.
    """

    def register(
        run: Callable[[JobContext, P], R | Children],
    ) -> Callable[[JobContext, P], R | Children]:
        summary = (run.__doc__ or "").strip().splitlines()
        kind = JobKind(
            name=name,
            params=params,
            result=result,
            run=run,
            queues=queue if isinstance(queue, tuple) else (queue,),
            profile=profile,
            timeout=timeout,
            max_attempts=MAX_ATTEMPTS,
            public=public,
            diagnostic=diagnostic,
            check=check,
            estimate=estimate,
            queue_for=queue_for,
            scopes=scopes,
            summary=summary[0] if summary else "",
        )
        JOB_KINDS.add(name, kind)
        return run

    return register


@dataclass(frozen=True, slots=True)
class Reference:
    """One id found in parameters: what it names and where it stands."""

    kind: RefKind
    id: str
    pointer: str
    masks: bool = False


@runtime_checkable
class Referring(Protocol):
    """Parameters that name more than their marked fields do."""

    def further_references(self) -> Iterable[Reference]:
        """Return the rest of what they name; pointers are within them."""


def references(params: BaseModel, pointer: str = "") -> Iterator[Reference]:
    """Yield every id in ``params`` that is marked with :class:`Ref`, nested models included."""
    if isinstance(params, Referring):
        for found in params.further_references():
            yield replace(found, pointer=pointer + found.pointer)
    for name, info in type(params).model_fields.items():
        value = getattr(params, name)
        here = f"{pointer}/{name}"
        marks = [m for m in info.metadata if isinstance(m, Ref)] or _item_marks(info.annotation)
        if isinstance(value, BaseModel):
            yield from references(value, here)
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from references(item, f"{here}/{index}")
                elif marks:
                    yield Reference(marks[0].kind, item, f"{here}/{index}", marks[0].masks)
        elif marks and value is not None:
            yield Reference(marks[0].kind, value, here, marks[0].masks)


def _item_marks(annotation: Any) -> list[Ref]:
    """Find marks inside ``list[VersionId]``, ``VersionId | None`` and the like."""
    found = [m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, Ref)]
    for argument in getattr(annotation, "__args__", ()):
        found += _item_marks(argument)
    return found
