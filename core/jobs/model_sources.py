"""What a model card tells of the versions, and of the licences of all that a model was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.jobs.context import JobContext
from core.learning.model_card import Permission, TrainedOn


def sources(
    ctx: JobContext, version_ids: Sequence[str], weights: Mapping[str, str]
) -> tuple[list[TrainedOn], list[Permission]]:
    """Return versions and permissions; weights are licences of pretrained ones by their name."""
    from core.export.licences import lineage

    versions = [ctx.inputs.versions[v] for v in dict.fromkeys(version_ids)]
    trained = [
        TrainedOn(
            id=v.id,
            dataset=v.dataset_name,
            kind=v.kind,
            images=v.image_count,
            group_basis=v.group_basis,
            licence=v.licence or "unknown",
            generator=str(v.generator.get("name")) if v.generator else None,
        )
        for v in versions
    ]
    texts = {f"dataset {v.dataset_name}": v.licence for v in versions}
    texts |= {f"weights of {name}": licence for name, licence in weights.items()}
    return trained, [
        Permission(source, row.source or row.id, row.redistribute, row.derivatives, row.commercial)
        for source, text in texts.items()
        for row in lineage([text])
    ]
