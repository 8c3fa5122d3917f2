"""Reports: one self-contained HTML page each, for reading, printing and archiving.

A page asks nothing of the network and runs no script. Every text is escaped: class and dataset
names are whatever somebody typed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.plots.report_controls import copycat_view
from core.plots.report_exploratory import exploratory_view
from core.plots.report_methods import method_sections
from core.plots.report_numbers import count, finite, number
from core.plots.report_pictures import Picture, pictures
from core.plots.report_privacy import gate_view
from core.plots.report_quality import quality_tables
from core.plots.report_tables import (
    arms_tables,
    class_table,
    comparisons_table,
    legacy_table,
    verdict_name,
)
from core.plots.report_wording import (
    INTENDED_USE,
    LEGACY_WHY,
    arm_name,
    group_statement,
    headline,
)
from core.plots.report_worth import worth_view

if TYPE_CHECKING:
    from jinja2 import Environment

_CONFUSIONS = ("confusion_real", "confusion_combined")
"""Shown side by side; those of other arms stand with the further figures."""

_PLACED = (
    "contact_sheet",
    "class_balance",
    "pca_by_class",
    "pca_by_source",
    "dose_response",
    "calibration",
    "privacy",
    "copycat",
    "worth",
)
"""Pictures that stand in a section of their own."""

_SHOWN_WARNINGS = 3
"""Below the headline; the others stand under Methods."""

_TEMPLATES = Path(__file__).parent / "templates"


def experiment_report(
    *,
    verdict: dict[str, Any],
    dataset: dict[str, Any],
    figures: dict[str, bytes],
    tables: dict[str, Any],
) -> str:
    """Return the page of one experiment.

    verdict: verdict.json. dataset: ``VersionInput.model_dump()`` (dataset_name, id,
    manifest_sha256, image_count, classes, licence, group_basis; plus ``groups`` where known).
    figures: PNG, JPEG or WebP bytes by name (``confusion_<arm>.png``, ``arms.png``, any other).
    tables: by title, either a list of dictionaries (one a row) or a dictionary (settings, versions,
    hashes; may be nested).
    Whatever is missing is left out or named as not estimable.
    """
    view = _common(verdict, dataset, figures)
    shown = [appendix(title, content) for title, content in tables.items()]
    return render("experiment.html", view | {"appendix": shown})


def pipeline_report(
    *,
    dataset: dict[str, Any],
    synthesis: dict[str, Any],
    verdict: dict[str, Any],
    quality: list[dict[str, Any]],
    projection: dict[str, Any],
    figures: dict[str, bytes],
    provenance: dict[str, Any],
) -> str:
    """Return the page of a whole run, from the dataset to the verdict.

    synthesis: {dataset_version_id, generator, generator_params, generated, per_class,
    manifest_sha256, sources} of the first repeat, and versions, one a repeat. quality: rows of
    quality.json. projection: {method, points, explained_variance}. figures as for
    :func:`experiment_report`, with ``contact_sheet``, ``class_balance``, ``pca_by_class``,
    ``pca_by_source``. provenance: tables by title, as above.
    """
    view = _common(verdict, dataset, figures)
    recipe = {"Synthesis": {k: v for k, v in synthesis.items() if k != "per_class"}}
    made = {
        "generator": str(synthesis.get("generator", "")),
        "generated": count(synthesis.get("generated")),
        "versions": len(synthesis.get("versions") or ()),
        "classes": [
            (str(name), count(n))
            for name, n in sorted(
                (synthesis.get("per_class") or {}).items(), key=lambda kv: (-kv[1], kv[0])
            )
            if n
        ],
    }
    more = {
        "synthesis": made,
        "quality": quality_tables(quality),
        "projection": _projection(projection),
        "appendix": [appendix(title, content) for title, content in (recipe | provenance).items()],
    }
    return render("pipeline.html", view | more)


def _common(
    verdict: Mapping[str, Any], dataset: Mapping[str, Any], figures: Mapping[str, bytes]
) -> dict[str, Any]:
    primary = verdict.get("primary") or {}
    classes = [c for c in dataset.get("classes") or () if isinstance(c, Mapping)]
    chance = 1 / len(classes) if classes else None
    shown = pictures(figures)
    told = _warnings(verdict, primary)
    return {
        "dataset": _dataset(dataset, classes),
        "primary": primary,
        "primary_arm": arm_name(str(primary.get("arm", "combined"))),
        "verdict": str(primary.get("verdict") or "not_estimable"),
        "headline": headline(primary),
        "warnings": told[:_SHOWN_WARNINGS],
        "further_warnings": told[_SHOWN_WARNINGS:],
        "arms": arms_tables(verdict, chance),
        "chance": number(chance),
        "comparisons": comparisons_table(primary),
        "smallest": number(primary.get("smallest_detectable"))
        if finite(primary.get("smallest_detectable")) is not None
        else "",
        "per_class": class_table(verdict, dataset),
        "explored": exploratory_view(verdict),
        "gate": gate_view(verdict),
        "copycat": copycat_view(verdict),
        "worth": worth_view(verdict),
        "legacy": legacy_table(verdict),
        "legacy_why": LEGACY_WHY,
        "methods": method_sections(verdict, dataset),
        "treatment": bool((verdict.get("settings") or {}).get("generator_augment_is_treatment")),
        "groups_say": group_statement(str(dataset.get("group_basis") or "image")),
        "hashes": _hashes(verdict, dataset),
        "pictures": shown,
        "confusions": [shown[n] for n in _CONFUSIONS if n in shown],
        "others": _others(shown),
        "intended_use": INTENDED_USE,
        "verdict_name": verdict_name,
    }


def _dataset(dataset: Mapping[str, Any], classes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    weak = [str(c.get("name")) for c in classes if c.get("weak")]
    sizes = [c["count"] for c in classes if finite(c.get("count"))]
    return {
        "name": str(dataset.get("dataset_name") or dataset.get("name") or "Unnamed dataset"),
        "version": str(dataset.get("id") or ""),
        "images": count(dataset.get("image_count")),
        "classes": count(len(classes)),
        "weak": weak,
        "imbalance": number(max(sizes) / min(sizes), 1) if sizes else "",
        "licence": str(dataset.get("licence") or "unknown"),
        "group_basis": str(dataset.get("group_basis") or "image"),
        "groups": count(dataset["groups"]) if dataset.get("groups") else "",
        "manifest_sha256": str(dataset.get("manifest_sha256") or ""),
    }


def _warnings(verdict: Mapping[str, Any], primary: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    if primary.get("threshold_effect_possible"):
        found.append(
            "Threshold effect possible: balanced accuracy differs, macro AUROC does not. The "
            "gain may come from where the decision threshold lies, not from better images."
        )
    found += [str(w) for part in (primary, verdict) for w in _texts(part)]
    return list(dict.fromkeys(found))


def _texts(part: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = []
    for key in ("warnings", "notes"):
        value = part.get(key) or []
        found += [value] if isinstance(value, str) else list(value)
    return found


def _hashes(verdict: Mapping[str, Any], dataset: Mapping[str, Any]) -> list[tuple[str, str]]:
    settings = verdict.get("settings") or {}
    pairs = [
        ("Dataset version", dataset.get("id")),
        ("Dataset manifest sha256", dataset.get("manifest_sha256")),
        ("Fold table sha256", verdict.get("fold_table_sha256")),
        ("Weights of the features sha256", settings.get("backbone_sha256")),
        ("Code sha256", settings.get("code_sha256")),
        ("Environment sha256", settings.get("environment_sha256")),
    ]
    pairs += [
        (f"Synthetic manifest sha256 ({row.get('role')})", row.get("manifest_sha256"))
        for row in settings.get("synthetic_manifests") or ()
    ]
    return [(name, str(value)) for name, value in pairs if value]


def _projection(projection: Mapping[str, Any]) -> dict[str, str]:
    explained = projection.get("explained_variance")
    shares = [finite(v) for v in explained] if isinstance(explained, (list, tuple)) else []
    known = [v for v in shares[:2] if v is not None]
    return {
        "method": str(projection.get("method", "")).upper().replace("TSNE", "t-SNE"),
        "points": count(projection.get("points")),
        "explained": " and ".join(f"{100 * v:.1f} %" for v in known),
    }


def _others(shown: Mapping[str, Picture]) -> list[Picture]:
    placed = {*_CONFUSIONS, *_PLACED}
    return [p for name, p in shown.items() if name not in placed]


def appendix(title: str, content: Any) -> dict[str, Any]:
    """Return a table of rows, or a list of facts, under a title."""
    if isinstance(content, (list, tuple)) and all(isinstance(r, Mapping) for r in content):
        columns = list(dict.fromkeys(key for row in content for key in row))
        rows = [[_text(row.get(c)) for c in columns] for row in content]
        return {"title": title, "columns": columns, "rows": rows, "facts": []}
    facts = _facts(content) if isinstance(content, Mapping) else [("", _text(content))]
    return {"title": title, "columns": [], "rows": [], "facts": facts}


def _facts(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found += _facts(value, f"{name}.")
        else:
            found.append((name, _text(value)))
    return found


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, Mapping) and not value:
        return "none given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        return ", ".join(_text(v) for v in value) or "–"
    return str(value)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, view: Mapping[str, Any]) -> str:
    """Return the page of a template; every text in the view is escaped."""
    return _environment().get_template(template).render(**view)
