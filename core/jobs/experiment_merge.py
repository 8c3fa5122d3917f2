"""The merge phase of an experiment: from the folds' predictions to verdict and report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.features.contract import open_backbone
from core.jobs.context import ChildResult, JobContext
from core.jobs.experiment_children import FEATURES
from core.jobs.experiment_choices import classifiers, tuning_budget
from core.jobs.experiment_plan import copycat_report, gate_report
from core.jobs.experiment_record import record, record_warnings
from core.jobs.experiment_tone import tone_statement, tones
from core.jobs.experiment_versions import (
    given_versions,
    synthesized,
    synthesized_by_seed,
    synthetic_of,
)
from core.jobs.experiment_worth import worth_found
from core.jobs.kinds.experiment import external
from core.jobs.kinds.experiment_shard import load_features
from core.jobs.privacy_gate import REPORT, SHEET, report_of
from core.learning.analysis import analyse
from core.learning.arms import parse_arms
from core.learning.caveats import cannot_exclude
from core.learning.cohort import (
    Cohort,
    usable_real,
    usable_synthetic_records,
    with_usable_parents,
)
from core.learning.comparison import Question
from core.learning.contract import CLASSIFIERS
from core.learning.controls import copycat_member
from core.learning.exploratory import EXTERNAL
from core.learning.external import write_external
from core.learning.folds import FoldTable, seeds_of, write_folds
from core.learning.merge import (
    class_tables,
    method_settings,
    told_once,
    training_table,
    verdict_figures,
)
from core.learning.predictions import merge_parts, read_predictions
from core.learning.protocol import LegacyTable, file_order, legacy_protocol
from core.learning.splits import sparse_classes
from core.learning.subgroups import subgroup_member, tested_metadata
from core.learning.tuning_tables import tuning_document, tuning_statement, tuning_table
from core.learning.verdict import verdict_document
from core.manifest import ImageRecord, canonical_json, read_manifest
from core.plots.report import experiment_report

if TYPE_CHECKING:
    from core.jobs.kinds.experiment import ExperimentParams


def merge(
    ctx: JobContext, params: ExperimentParams, members: Cohort, table: FoldTable
) -> tuple[str, dict[str, Any]]:
    """Publish predictions, folds, verdict.json, figures and report.html from the folds' parts.

    Returns the experiment's id and its verdict.json.
    """
    order = [
        (arm.id, name)
        for arm in parse_arms(params.arms, params.ratios)
        for name in classifiers(params)
    ]
    shards = [child for child in ctx.children if child.role == "fold"]
    merged, folds = ctx.scratch / "predictions.parquet", ctx.scratch / "folds.parquet"
    question = question_of(ctx, params, members)
    parts = [ctx.blob(c.artifacts["part.parquet"].sha256) for c in shards]
    elsewhere = external(ctx, params, members, table)
    if elsewhere is not None:
        parts += write_external(elsewhere, members, table, ctx.scratch)
        order.append((EXTERNAL, EXTERNAL))
    merge_parts(parts, merged, members, question)
    write_folds(table, members, folds)
    ctx.progress("bootstrap", 0, 1)
    predictions = read_predictions(merged, members, table, order)
    found = analyse(predictions, replicates=params.bootstrap, seed=params.seed)
    worth = worth_found(ctx, params, members, table, question, predictions)
    legacy = _legacy(ctx, params) if params.legacy_protocol else None
    gate, seen = _gate(ctx), tones(ctx)
    verdict = verdict_document(
        found,
        question,
        order=order,
        design=params.design,
        fold_table_sha256=table.sha256,
        legacy=legacy,
        settings=_settings(ctx, params, question, table)
        | record(ctx, params, members, table)
        | {"privacy_gate": gate, "apparent_tone": tone_statement(seen)},
        warnings=_kept_out(gate)
        + record_warnings(ctx, members)
        + _warnings(params, members, table, shards)
        + _unused(ctx, params, members),
        controls={"copycat": _copycat(ctx)},
        worth=worth,
        subgroups=subgroup_member(predictions, tested_metadata(members, table, seen), question),
        cannot_exclude=cannot_exclude(members),
    )
    fitted = [child for child in ctx.children if child.kind == "experiment_shard"]
    tuned = [row for shard in fitted for row in shard.result["tuning"]]
    figures = verdict_figures(found, question, verdict, predictions) | _sheets(ctx)
    tables = {
        "Scores by class": class_tables(found, question),
        "Training images over all folds": training_table(c.result for c in fitted),
        "Hyperparameters chosen over all folds": tuning_table(tuned),
        "Settings": verdict["settings"],
    }
    dataset = ctx.inputs.versions[params.dataset_version_id].model_dump(mode="json")
    page = experiment_report(
        verdict=verdict,
        dataset=dataset | {"groups": len(set(members.group_of))},
        figures=figures,
        tables=tables,
    )
    kept = ctx.artifact("predictions.parquet", merged, "application/vnd.apache.parquet")
    ctx.artifact("folds.parquet", folds, "application/vnd.apache.parquet")
    document = tuning_document(tuned, classifiers(params), tuning_budget(params))
    ctx.artifact("tuning.json", canonical_json(document).encode(), "application/json")
    ctx.artifact("verdict.json", canonical_json(verdict).encode(), "application/json")
    for name, data in figures.items():
        ctx.artifact(name, data, "image/png")
    ctx.artifact("report.html", page.encode(), "text/html")
    draft = ctx.publish_experiment(params.dataset_version_id, verdict, kept)
    return draft.id, verdict


def question_of(ctx: JobContext, params: ExperimentParams, members: Cohort) -> Question:
    """Return what is asked of the predictions."""
    return Question(
        members.classes,
        params.classifier,
        tuple(parse_arms(params.arms, params.ratios)),
        _augmented(ctx, params),
        params.seed,
        synthesized_by_seed(params),
    )


def _generators(ctx: JobContext, params: ExperimentParams) -> set[str]:
    """Return the generators of all synthetic images; "" for a version that does not say."""
    names = {params.synthesis.generator} if params.synthesis else set()
    return names | {
        str((ctx.inputs.versions[v].generator or {}).get("name", ""))
        for v in given_versions(params)
    }


def _augmented(ctx: JobContext, params: ExperimentParams) -> bool:
    """Tell whether all synthetic images come from the generator augment.

    Beside images of another generator they do not spare that one the comparator ``augment``.
    """
    return _generators(ctx, params) == {"augment"}


def _settings(
    ctx: JobContext, params: ExperimentParams, question: Question, table: FoldTable
) -> dict[str, Any]:
    return method_settings(
        question,
        folds=params.folds if params.design == "cv" else 1,
        repeats=params.repeats,
        seeds=list(table.seeds),
        bootstrap=params.bootstrap,
        classifiers=classifiers(params),
        hyperparameters=tuning_statement(tuning_budget(params)),
        tuning=tuning_budget(params),
        backbone=params.backbone,
        backbone_use=_backbone_use(params),
        backbone_sha256=_backbone_sha256(ctx, params),
        dataset_version_id=params.dataset_version_id,
        synthetic_version_ids=list(params.synthetic_version_ids),
        synthetic_version_per_repeat=list(params.synthetic_version_per_repeat),
        synthesized=synthesized(ctx),
        generators=sorted(name or "unknown" for name in _generators(ctx, params)),
        synthesis_by_seed=_by_seed(params),
        dropped_by_holdout=table.dropped,
        seed=params.seed,
    )


def _backbone_use(params: ExperimentParams) -> str:
    seen = {CLASSIFIERS.get(name).sees for name in classifiers(params)}
    ways = {"features": "frozen, to extract features", "pixels": "trained end to end from there"}
    return " and ".join(ways[way] for way in sorted(seen))


def _backbone_sha256(ctx: JobContext, params: ExperimentParams) -> str:
    """Return the hash of the pretrained weights: as the features have them, or as found here."""
    for child in ctx.children:
        if child.role == FEATURES:
            return str(child.result["backbone_sha256"])
    return open_backbone(params.backbone, ctx.weights_dir).find(ctx.weights_dir).sha256


def _warnings(
    params: ExperimentParams, members: Cohort, table: FoldTable, shards: list[ChildResult]
) -> list[str]:
    labels = [record.label for record in members.records]
    told = told_once((note for c in shards for note in c.result["notes"]), len(shards))
    if params.design == "cv":
        sparse = sparse_classes(labels, members.group_of, params.folds)
        told += [
            f"Class {c} has only {n} groups for {params.folds} folds" for c, n in sparse.items()
        ]
    if table.dropped:
        told.append(f"{table.dropped} training images dropped: their group is on the test side")
    return told


def _gate(ctx: JobContext) -> dict[str, Any] | None:
    """Publish the gate's privacy.json anew; returns it with the number of copies, not the list."""
    sha256 = gate_report(ctx)
    if sha256 is None:
        return None
    told = report_of(ctx, sha256)
    ctx.artifact(REPORT, ctx.blob(sha256).read_bytes(), "application/json")
    return told | {"copies": len(told["copies"])}


def _copycat(ctx: JobContext) -> dict[str, Any] | None:
    """Publish copycat.json anew; returns what verdict.json tells of it, None when not asked."""
    sha256 = copycat_report(ctx)
    if sha256 is None:
        return None
    ctx.artifact("copycat.json", ctx.blob(sha256).read_bytes(), "application/json")
    return copycat_member(report_of(ctx, sha256))


def _kept_out(gate: dict[str, Any] | None) -> list[str]:
    if gate is None or not gate["copies"]:
        return []
    return [
        f"{gate['copies']} of {gate['examined']} synthetic images show a real image that they do "
        "not declare: the privacy gate kept them out of training"
    ]


def _sheets(ctx: JobContext) -> dict[str, bytes]:
    """Return the sheets of copies beside their sources: the gate's, and that of its control."""
    return {
        name: ctx.blob(child.artifacts[name].sha256).read_bytes()
        for child in ctx.children
        for name in (SHEET, "copycat.png")
        if child.role in ("gate", "copycat") and name in child.artifacts
    }


def _by_seed(params: ExperimentParams) -> str:
    own = synthesized_by_seed(params)
    if own is None:
        return "none"
    if not own:
        return "the given versions serve all seeds: the spread over seeds leaves synthesis out"
    return "each seed has a synthetic version of its own"


def _unused(ctx: JobContext, params: ExperimentParams, members: Cohort) -> list[str]:
    """Tell of synthetic images with a parent that is not among the real images."""
    known = {group for record in members.records for group in record.group_ids}
    versions = [
        r for seed in seeds_of(params.seed, params.repeats) for r in synthetic_of(ctx, params, seed)
    ]
    images = {r.image_id: r for r in usable_synthetic_records(versions)}
    kept = with_usable_parents(images.values(), members.records)
    foreign = len(images) - sum(known.issuperset(r.group_ids) for r in kept)
    if not foreign:
        return []
    return [
        f"{foreign} synthetic images were never used: a parent or its group is not among the "
        "usable real images of this version (another dataset, or dropped, quarantined or "
        "given another label since)"
    ]


def _legacy(ctx: JobContext, params: ExperimentParams) -> dict[str, Any]:
    """Run the course project's protocol on the same features."""
    ctx.progress("legacy protocol", 0, 1)
    made = {c.role: c for c in ctx.children if c.kind == "synthesize"}

    def images(role: str) -> list[ImageRecord]:
        child = made.get(role)
        path = ctx.blob(child.artifacts["manifest.parquet"].sha256) if child else None
        return file_order(read_manifest(path)) if path else []

    real = file_order(usable_real(ctx.manifest(params.dataset_version_id)) + images("legacy_real"))
    synthetic = images("legacy")
    matrix = load_features(ctx, [(r.sha256, 0) for r in real + synthetic], params.backbone)
    labels = [r.label for r in real + synthetic]
    cut = len(real)
    tables = {
        "real": LegacyTable(matrix[:cut], labels[:cut]),
        "synthetic": LegacyTable(matrix[cut:], labels[cut:]),
        "combined": LegacyTable(matrix, labels),
    }
    return legacy_protocol(tables, threads=ctx.threads, real_is_augmented=params.real_is_augmented)
