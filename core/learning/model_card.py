"""model_card.md: what a model is, what it saw, how it did and what it is not for.

The sections are those of Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.learning.contract import CLASSIFIERS
from core.learning.model_file import INTENDED_USE, WEIGHT_FILES

PART_HEADS = ("attribute", "value", "images / groups", "balanced accuracy", "95 % interval")


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """A dataset version as the card tells it; generator is that of a synthetic one."""

    id: str
    dataset: str
    kind: str
    images: int
    group_basis: str
    licence: str
    generator: str | None


@dataclass(frozen=True, slots=True)
class Permission:
    """What the licence of a source grants; ``of`` says what it is the licence of."""

    of: str
    licence: str
    redistribute: bool
    derivatives: bool
    commercial: bool


def model_card(
    name: str,
    info: Mapping[str, Any],
    report: Mapping[str, Any],
    versions: Sequence[TrainedOn],
    permissions: Sequence[Permission],
) -> str:
    """Return the card as Markdown; foreign text cannot leave its line or become markup."""
    sections = {
        "Model details": _details(info),
        "Intended use": _use(),
        "Factors": _factors(report),
        "Metrics": _metrics(report),
        "Evaluation data": _evaluation(report),
        "Training data": _training(report, versions),
        "Quantitative analyses": _analyses(report),
        "Licences": licence_lines(permissions),
        "Ethical considerations": ethics(),
        "Caveats and recommendations": _caveats(info),
    }
    lines = [f"# {plain(name)}", "", f"**Intended use: {INTENDED_USE}.**", ""]
    for title, body in sections.items():
        lines += [f"## {title}", "", *body, ""]
    return "\n".join(lines)


def _details(info: Mapping[str, Any]) -> list[str]:
    entry = CLASSIFIERS.get(info["classifier"])
    params = ", ".join(f"{key}={value}" for key, value in sorted(info["params"].items()))
    versions = ", ".join(f"{key} {value}" for key, value in sorted(info["versions"].items()))
    lines = [
        f"- Classifier: `{entry.name}`. {plain(entry.summary)}",
        f"- Parameters: {plain(params)}",
        f"- Backbone: {plain(info['backbone'])}, {info['dimension']} features, weights of sha256 "
        f"`{info['backbone_sha256']}`"
        + (", trained on as well" if entry.sees == "pixels" else ", not trained on"),
        f"- Weights: `{WEIGHT_FILES[entry.sees]}`, sha256 `{info['model_sha256']}`",
        f"- Seed: {info['seed']}; libraries: {plain(versions)}",
    ]
    if info.get("preprocessing"):
        lines.append(f"- Preprocessing: {plain(_pairs(info['preprocessing']))}")
    history = info.get("history")
    if history:
        kept, epochs = history["kept_epoch"], history["epochs"]
        lines.append(
            f"- Training: epoch {kept} of {epochs} was kept; early stopping looked at "
            f"{history['validation_images']} training images of other groups"
            + ("." if history["validation_images"] else ": there were too few groups to hold out.")
        )
    return lines


def _use() -> list[str]:
    return [
        "Research on how training data change a classifier of skin images, on data like those it",
        "was trained on. Out of scope: diagnosis, triage, screening or any other decision about a",
        "person, alone or as a second opinion. It is no medical device and has not been validated",
        "on other hospitals, cameras or populations.",
    ]


def _factors(report: Mapping[str, Any]) -> list[str]:
    found = sorted({row["attribute"] for row in report["subgroups"]})
    told = (
        f"The dataset tells of the test images: {', '.join(found)}; results by value are below."
        if found
        else "The dataset tells neither skin type, sex, age nor body site of the test images, so "
        "nothing is known of how the model does on different people."
    )
    return [told, "Camera, lighting and clinic are not told apart and may be what it has learned."]


def _metrics(report: Mapping[str, Any]) -> list[str]:
    return [
        "Balanced accuracy (the mean of the recalls), accuracy, macro F1; macro AUROC and AUPRC,",
        "which no threshold moves; ECE, the gap between stated and true probability, in 15 bins of",
        f"equal size. Intervals: {report['interval']}; ECE has none, because resampling",
        "inflates it. They are conditional on this dataset and this training set.",
    ]


def _evaluation(report: Mapping[str, Any]) -> list[str]:
    return [
        f"{report['n_test']} real images of {report['test_groups']} independent groups: the split "
        "`test` that was made at import.",
        "No group (patient, lesion or near-duplicate) is on both sides; that was checked before "
        "the fit. No synthetic image is tested.",
    ]


def _training(report: Mapping[str, Any], versions: Sequence[TrainedOn]) -> list[str]:
    made = sum(row["train_synthetic"] for row in report["per_class"])
    return [
        *version_lines(versions),
        "",
        f"- Trained on {report['n_train']} images of the split `train`, {made} of them synthetic",
        f"- Synthetic images left out because a parent's group is not on the training side: "
        f"{report['excluded_synthetic']}",
        f"- Training images left out because a version tests an image of the same patient or "
        f"lesion, by name: {report['excluded_namesakes']}",
    ]


def version_lines(versions: Sequence[TrainedOn]) -> list[str]:
    """Return the table of the versions that were trained on."""
    heads = ("version", "dataset", "kind", "images", "generator", "groups by", "licence")
    rows = [
        (v.id, v.dataset, v.kind, str(v.images), v.generator or "", v.group_basis, v.licence)
        for v in versions
    ]
    return table_lines(heads, rows)


def _analyses(report: Mapping[str, Any]) -> list[str]:
    overall = [
        (metric, score_text(score["value"]), between(score["interval"]))
        for metric, score in report["scores"].items()
    ]
    by_class = [
        (
            row["class"],
            str(row["train"]),
            str(row["train_synthetic"]),
            f"{row['support']} / {row['test_groups']}",
            score_text(row["precision"]),
            f"{score_text(row['recall'])} {between(row['recall_interval'])}",
            score_text(row["f1"]),
        )
        for row in report["per_class"]
    ]
    heads = ("class", "trained", "synthetic", "tested / groups", "precision", "recall", "F1")
    lines = [
        *table_lines(("metric", "value", "95 % interval"), overall),
        "",
        *table_lines(heads, by_class),
        "",
        "A recall without an interval is of too few test groups to be estimated.",
    ]
    parts = [
        (
            row["attribute"],
            row["level"],
            f"{row['n_images']} / {row['n_groups']}",
            score_text(row["balanced_accuracy"]),
            between(row["interval"]) if row["reason"] is None else row["reason"],
        )
        for row in report["subgroups"]
    ]
    if parts:
        lines += ["", *table_lines(PART_HEADS, parts)]
    return lines


def licence_lines(permissions: Sequence[Permission]) -> list[str]:
    """Return the table of what the licences of all sources grant."""
    rows = [
        (p.of, p.licence, *(_yes(x) for x in (p.redistribute, p.derivatives, p.commercial)))
        for p in permissions
    ]
    return [
        *table_lines(
            ("source", "licence", "pass on", "pass on what is made of it", "for money"), rows
        ),
        "",
        "The model is made from all of these. What one of them forbids is not allowed.",
    ]


def ethics() -> list[str]:
    """Return what holds for every model of people's skin."""
    return [
        "The images show people's skin. The model can repeat what its data got wrong about groups",
        "of people that are rare in them, and a network can keep traces of single images: treat",
        "its weights as being as private as the images.",
    ]


def _caveats(info: Mapping[str, Any]) -> list[str]:
    caution = CLASSIFIERS.get(info["classifier"]).caution
    return [
        *([f"- **{caution}**"] if caution else []),
        "- One split was tested once: another split of the same data would give other numbers.",
        "- Probabilities are not calibrated for any decision about a person.",
        "- Whether synthetic images help is the question of an experiment, not of this card.",
    ]


def table_lines(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table; foreign text in its cells cannot become markup."""
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return lines + [f"| {' | '.join(plain(cell) for cell in row)} |" for row in rows]


def _pairs(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(facts.items()))


def score_text(value: float | None) -> str:
    """Return a score with three digits, or that there is none."""
    return "not estimable" if value is None else f"{value:.3f}"


def between(found: Sequence[float] | None) -> str:
    """Return an interval in brackets; nothing for none."""
    return "" if found is None else f"({found[0]:.3f} to {found[1]:.3f})"


def _yes(allowed: bool) -> str:
    return "yes" if allowed else "no"


def plain(text: str) -> str:
    """Return foreign text as one harmless line of Markdown."""
    line = " ".join(text.split())
    for mark in "\\`*_|<>[]#":
        line = line.replace(mark, f"\\{mark}")
    return line
