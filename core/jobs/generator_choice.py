"""The generator that a job asks for, its parameters, and what these name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from core.errors import InvalidInput
from core.jobs.context import Inputs
from core.jobs.spec import Reference
from core.pointers import invalid

if TYPE_CHECKING:
    from core.synthesis.contract import Asset, GeneratorParams


class GeneratorChoice(BaseModel):
    """Part of all parameters that say by what images are made."""

    generator: Annotated[str, Field(min_length=1, max_length=64)] = "augment"
    generator_params: dict[str, Any] = Field(default_factory=dict)

    def further_references(self) -> Iterator[Reference]:
        """Yield the assets that the generator's parameters name.

        None of a generator or of parameters that are at fault: the kind's check says so.
        """
        from core.synthesis.contract import GENERATORS
        from core.synthesis.parameters import POINTER

        try:
            spec = GENERATORS.get(self.generator)
            params = spec.params.model_validate(self.generator_params)
        except (InvalidInput, ValidationError):
            return
        for place, (asset_id, _) in params.named_assets().items():
            yield Reference("asset", asset_id, POINTER + place)


def require_kinds(params: GeneratorParams, inputs: Inputs) -> None:
    """Refuse assets that are of another kind than the parameters need."""
    from core.synthesis.parameters import POINTER

    for place, (asset_id, kind) in params.named_assets().items():
        found = inputs.assets[asset_id].kind
        if found != kind:
            raise invalid(
                POINTER + place, f"Asset {asset_id} is a {found}, not a {kind}", "wrong_asset_kind"
            )


def assets_of(
    params: GeneratorParams, inputs: Inputs, find: Callable[[str], Path]
) -> Mapping[str, Asset]:
    """Return the assets that the parameters name, by id; ``find`` tells where a blob lies."""
    from core.synthesis.contract import Asset

    found = {}
    for asset_id, kind in params.named_assets().values():
        given = inputs.assets[asset_id]
        found[asset_id] = Asset(asset_id, kind, given.files, given.group_ids, find)
    return found


def licence_of(params: GeneratorParams, inputs: Inputs, sources: str) -> str:
    """Return the licence of what is made of sources and rendered with assets: all of theirs."""
    named = [inputs.assets[asset_id].licence for asset_id, _ in params.named_assets().values()]
    return "; ".join(dict.fromkeys(one.strip() or "unknown" for one in (sources, *named)))
