"""model_card.md of a segmentation network.

The sections are those of Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.learning.model_card import (
    Permission,
    TrainedOn,
    between,
    ethics,
    licence_lines,
    plain,
    score_text,
    table_lines,
    version_lines,
)
from core.learning.model_file import INTENDED_USE

_METRICS = {
    "dice": "Dice, mean over images",
    "iou": "IoU, mean over images",
    "dice_pooled": "Dice over all pixels",
    "iou_pooled": "IoU over all pixels",
}


def segmenter_card(
    name: str,
    info: Mapping[str, Any],
    document: Mapping[str, Any],
    versions: Sequence[TrainedOn],
    permissions: Sequence[Permission],
) -> str:
    """Return the card as Markdown; document is segmentation.json."""
    sections = {
        "Model details": _details(info),
        "Intended use": _USE,
        "Metrics": _MEASURED,
        "Evaluation data": _evaluation(document["images"]),
        "Training data": [
            *version_lines(versions),
            "",
            f"- Trained on {info['training_images']} images with masks (arm `{info['arm']}`)",
        ],
        "Quantitative analyses": _analyses(info, document),
        "Licences": licence_lines(permissions),
        "Ethical considerations": ethics(),
        "Caveats and recommendations": _CAVEATS,
    }
    lines = [f"# {plain(name)}", "", f"**Intended use: {INTENDED_USE}.**", ""]
    for title, body in sections.items():
        lines += [f"## {title}", "", *body, ""]
    return "\n".join(lines)


_USE = [
    "Research on how training data change the outlines that a network draws around lesions, on",
    "data like those it was trained on. Out of scope: diagnosis, measuring a person's lesion, or",
    "any other decision about a person. It is no medical device and has not been validated on",
    "other hospitals, cameras or populations.",
]
_MEASURED = [
    "Dice and IoU of the predicted and the true mask at the image's own size (at most 2,048",
    "pixels a side); two empty masks count 1. Intervals: 95 %, bootstrap over test groups.",
]
_CAVEATS = [
    "- The scores are of networks trained alike on parts of the data, each tested on images whose",
    "  groups it had not seen; this network was trained on all of them and is tested on none.",
    "- It outlines something in every image that looks like its training data, and is not asked",
    "  whether there is a lesion at all.",
    "- Masks by other hands or rules are drawn wider or narrower; the network repeats those here.",
]


def _details(info: Mapping[str, Any]) -> list[str]:
    params = ", ".join(f"{key}={value}" for key, value in sorted(info["params"].items()))
    versions = ", ".join(f"{key} {value}" for key, value in sorted(info["versions"].items()))
    begin = info["begin_sha256"]
    history = info["history"]
    return [
        f"- Network: `{info['architecture']}` on squares of {info['size']} pixels",
        f"- Parameters: {plain(params)}",
        "- Began with "
        + (f"ImageNet weights of sha256 `{begin}`" if begin else "random weights")
        + f"; weights: `model.safetensors`, sha256 `{info['model_sha256']}`",
        f"- Training: epoch {history['kept_epoch']} of {history['epochs']} was kept; early "
        f"stopping looked at {history['validation_images']} training images of other groups",
        f"- Seed: {info['seed']}; libraries: {plain(versions)}",
    ]


def _evaluation(images: Mapping[str, int]) -> list[str]:
    return [
        f"{images['real']} real images with masks of {images['groups']} independent groups, each "
        "tested once a seed in grouped cross-validation.",
        f"Left out for want of a mask: {images['real_without_mask']} real images.",
    ]


def _analyses(info: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    overall = [
        (_METRICS[metric], score_text(score["value"]), between(score["interval"]))
        for metric, score in info["scores"].items()
    ]
    rows = [
        (
            row["class"],
            f"{row['n_images']} / {row['n_groups']}",
            f"{score_text(own['dice']['value'])} {between(own['dice']['interval'])}",
            f"{score_text(own['iou']['value'])} {between(own['iou']['interval'])}",
        )
        for row in document["per_class"]
        if (own := row["arms"].get(info["arm"])) is not None
    ]
    return [
        *table_lines(("metric", "value", "95 % interval"), overall),
        "",
        *table_lines(("class", "images / groups", "Dice", "IoU"), rows),
        "",
        "A score without an interval is of too few test groups to be estimated.",
    ]
