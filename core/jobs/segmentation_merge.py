"""The merge phase of training segmentation networks: scores, document, overlays, report, model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.jobs.context import ChildResult, JobContext
from core.jobs.environment import environment, environment_sha256, versions
from core.jobs.experiment_plan import gate_report
from core.jobs.experiment_record import ENVIRONMENT, SOFTWARE
from core.jobs.privacy_gate import REPORT, report_of
from core.jobs.segmentation_plan import Material, model_arm
from core.learning.caveats import cannot_exclude
from core.learning.folds import write_folds
from core.learning.segmentation.analysis import analyse
from core.learning.segmentation.scores import Scores, merge_parts, read_scores
from core.learning.segmentation.verdict import segmentation_document
from core.manifest import canonical_json

if TYPE_CHECKING:
    from core.jobs.kinds.train_segmentation import TrainSegmentationParams

DOCUMENT = "segmentation.json"


def merge(
    ctx: JobContext, params: TrainSegmentationParams, found: Material
) -> tuple[str, str, dict[str, Any]]:
    """Publish predictions, folds, segmentation.json, overlays, report.html and the model.

    Returns the model's id, its arm, and segmentation.json.
    """
    from core.jobs.kinds.train_segmentation import arms_of
    from core.plots.segmentation_report import segmentation_report

    arms = arms_of(params)
    merged, folds = ctx.scratch / "predictions.parquet", ctx.scratch / "folds.parquet"
    shards = [c for c in ctx.children if c.role == "fold"]
    parts = [c.artifacts["part.parquet"] for c in shards if "part.parquet" in c.artifacts]
    merge_parts([ctx.blob(part.sha256) for part in parts], merged)
    write_folds(found.table, found.members, folds)
    ctx.progress("bootstrap", 0, 1)
    scores = read_scores(merged, found.members, found.table, arms)
    document = segmentation_document(
        analyse(scores, replicates=params.bootstrap, seed=params.seed),
        found.members.classes,
        arms,
        training=_training(shards, arms),
        fold_table_sha256=found.table.sha256,
        images=_images(ctx, found, scores),
        settings=_settings(ctx, params),
        warnings=_warnings(ctx, params, found, scores, shards),
        cannot_exclude=cannot_exclude(found.members),
        seed=params.seed,
    )
    ctx.progress("report", 0.5, 1)
    sheet = _overlays(ctx, params, found, scores)
    dataset = ctx.inputs.versions[params.dataset_version_id].model_dump(mode="json")
    page = segmentation_report(document, dataset, {"overlays.png": sheet} if sheet else {})
    ctx.artifact("predictions.parquet", merged, "application/vnd.apache.parquet")
    ctx.artifact("folds.parquet", folds, "application/vnd.apache.parquet")
    ctx.artifact(DOCUMENT, canonical_json(document).encode(), "application/json")
    ctx.artifact(ENVIRONMENT, canonical_json(environment()).encode(), "application/json")
    gate = gate_report(ctx)
    if gate:
        ctx.artifact(REPORT, ctx.blob(gate).read_bytes(), "application/json")
    if sheet:
        ctx.artifact("overlays.png", sheet, "image/png")
    ctx.artifact("report.html", page.encode(), "text/html")
    model_id, arm = _publish(ctx, params, found, document)
    return model_id, arm, document


def _training(shards: list[ChildResult], arms: tuple[str, ...]) -> dict[str, float]:
    """Return by arm how many images its networks were trained on, in the mean over folds."""
    trained = {a: [c.result["trained"] for c in shards if c.params["arm"] == a] for a in arms}
    return {arm: sum(counts) / len(counts) for arm, counts in trained.items()}


def _images(ctx: JobContext, found: Material, scores: Scores) -> dict[str, int]:
    counts = scores.of("real")[0]
    truth = counts[:, 0] + counts[:, 2]
    gate = gate_report(ctx)
    copies = {row["image_id"] for row in report_of(ctx, gate)["copies"]} if gate else set()
    return {
        "real": len(found.members),
        "groups": len(set(found.members.group_of)),
        "real_without_mask": len(found.whole) - len(found.members),
        "empty_masks": int((truth == 0).sum()),
        "full_masks": int((truth == counts[:, 3]).sum()),
        "synthetic": sum(r.image_id not in copies for r in found.synthetic),
        "synthetic_without_mask": found.without_mask,
        "synthetic_unused": found.unused,
        "synthetic_copies": len(copies),
    }


def _settings(ctx: JobContext, params: TrainSegmentationParams) -> dict[str, Any]:
    real = ctx.inputs.versions[params.dataset_version_id]
    made = [ctx.inputs.versions[v] for v in params.synthetic_version_ids]
    last = next(c for c in ctx.children if c.role == "model")
    return {
        "request": params.model_dump(mode="json"),
        "dataset_manifest_sha256": real.manifest_sha256,
        "group_basis": real.group_basis,
        "synthetic_manifests": [
            {
                "generator": (v.generator or {}).get("name"),
                "images": v.image_count,
                "manifest_sha256": v.manifest_sha256,
            }
            for v in made
        ],
        "begin_sha256": last.result["begin_sha256"],
        "software": versions(SOFTWARE),
        "code_sha256": environment()["code_sha256"],
        "environment_sha256": environment_sha256(),
    }


def _warnings(
    ctx: JobContext,
    params: TrainSegmentationParams,
    found: Material,
    scores: Scores,
    shards: list[ChildResult],
) -> list[str]:
    from core.learning.merge import told_once
    from core.learning.splits import sparse_classes

    labels = [record.label for record in found.members.records]
    sparse = sparse_classes(labels, found.members.group_of, params.folds)
    images = _images(ctx, found, scores)
    facts = {
        "real_without_mask": "real images have no mask and were left out",
        "synthetic_without_mask": "synthetic images have no mask and were left out",
        "synthetic_unused": "synthetic images were never used: a parent or its group is not among "
        "the usable real images of this version",
        "synthetic_copies": "synthetic images show a real image that they do not declare: the "
        "privacy gate kept them out of training",
        "empty_masks": "real masks are empty: they count 1 where nothing is predicted, else 0",
        "full_masks": "real masks are full: nothing of the image is outside the lesion",
    }
    return (
        [f"{images[name]} {text}" for name, text in facts.items() if images[name]]
        + [f"Class {c} has only {n} groups for {params.folds} folds" for c, n in sparse.items()]
        + told_once((note for c in shards for note in c.result["notes"]), len(shards))
    )


def _overlays(
    ctx: JobContext, params: TrainSegmentationParams, found: Material, scores: Scores
) -> bytes | None:
    """Draw the outlines on the best, median and worst images of the first seed."""
    import numpy as np

    from core.ingest.images import decode
    from core.learning.segmentation.samples import read_mask
    from core.learning.segmentation.scores import image_dice
    from core.plots.overlays import Outlined, chosen, overlay_sheet

    arm = model_arm(params)
    if not scores.complete(arm):
        return None
    seed = found.table.seeds[0]
    kept = {
        c.params["fold"]: np.load(ctx.blob(c.artifacts["masks.npy"].sha256))
        for c in ctx.children
        if "masks.npy" in c.artifacts and c.params["arm"] == arm
    }
    dice = image_dice(scores.of(arm)[0])

    def outlined(row: int) -> Outlined:
        record, fold = found.members.records[row], int(found.table.folds[0, row])
        place = int(np.flatnonzero(found.table.sides(seed, fold)[1] == row)[0])
        size = params.image_size
        predicted = np.unpackbits(kept[fold][place])[: size * size].reshape(size, size)
        mask = read_mask(ctx.blob, record)
        return Outlined(decode(ctx.blob(record.sha256)), mask, predicted, dice[row], record.label)

    rows = {name: [outlined(i) for i in own] for name, own in chosen(dice).items()}
    return overlay_sheet(rows, arm=arm, images=len(dice))


def _publish(
    ctx: JobContext, params: TrainSegmentationParams, found: Material, document: dict[str, Any]
) -> tuple[str, str]:
    """Hand in the network that was trained on all images, with its papers; return id and arm."""
    from core.jobs.kinds.train_segmentation import NetworkParams
    from core.jobs.model_sources import sources
    from core.learning.model_file import library_versions
    from core.learning.segmentation.contract import ARCHITECTURES
    from core.learning.segmentation.model_card import segmenter_card
    from core.learning.segmentation.model_file import (
        INFO_FILE,
        WEIGHTS_FILE,
        SegmenterInfo,
        dump_info,
        preprocessing,
    )

    trained = next(c for c in ctx.children if c.role == "model")
    arm, weights = trained.params["arm"], trained.artifacts[WEIGHTS_FILE]
    entry, own = ARCHITECTURES.get(params.architecture), params.model_dump(mode="json")
    ids = (params.dataset_version_id, *(params.synthetic_version_ids if arm != "real" else ()))
    info = SegmenterInfo(
        architecture=entry.name,
        size=params.image_size,
        arm=arm,
        begin_sha256=trained.result["begin_sha256"],
        params={name: own[name] for name in NetworkParams.model_fields},
        seed=params.seed,
        training_images=trained.result["trained"],
        training_version_ids=ids,
        classes=found.members.classes,
        versions=library_versions(),
        history=trained.result["history"],
        scores=next(row["scores"] for row in document["arms"] if row["arm"] == arm),
        model_sha256=weights.sha256,
        preprocessing=preprocessing(params.image_size),
    )
    name = params.name or f"{entry.name} on {ctx.inputs.versions[ids[0]].dataset_name}"[:200]
    begun = {"ResNet-50 (ImageNet)": entry.licence} if entry.licence and info.begin_sha256 else {}
    described = info.as_json()
    card = segmenter_card(name, described, document, *sources(ctx, ids, begun))
    ctx.artifact("model_card.md", card.encode(), "text/markdown")
    files = {WEIGHTS_FILE: ctx.blob(weights.sha256).read_bytes(), INFO_FILE: dump_info(info)}
    return ctx.publish_model(name, files, described).id, arm
