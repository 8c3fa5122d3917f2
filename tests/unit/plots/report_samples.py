"""A full set of report inputs, made up, for tests of the reports."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

REMEDIES = ("real", "class_weight", "logit_adjust", "oversample", "augment")
NAMES = (
    "melanocytic nevus",
    "melanoma",
    "benign keratosis-like lesion (solar lentigo, seborrhoeic keratosis, lichen-planus-like)",
    "basal cell carcinoma",
    "actinic keratosis",
    "vascular lesion",
    "dermatofibroma",
)


def png(width: int = 320, height: int = 240) -> bytes:
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def noise_png(side: int = 900) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def dataset(names: tuple[str, ...] = NAMES) -> dict[str, Any]:
    classes = [
        {
            "name": name,
            "count": max(900 // (i + 1) ** 2, 6),
            "groups": max(700 // (i + 1) ** 2, 4),
            "weak": i > 0,
            "target": 900,
            "by_split": {},
        }
        for i, name in enumerate(names)
    ]
    return {
        "id": "dsv_" + "0" * 26,
        "dataset_name": "HAM-like sample",
        "manifest_sha256": "a1" * 32,
        "image_count": sum(c["count"] for c in classes),
        "classes": classes,
        "licence": "CC-BY-NC-4.0",
        "group_basis": "lesion",
        "groups": sum(c["groups"] for c in classes),
    }


def arm(name: str, value: float, classifier: str, valid: bool = True) -> dict[str, Any]:
    return {
        "arm": name,
        "classifier": classifier,
        "valid": valid,
        "invalid_reason": None if valid else "version was made by this generator",
        "scores": {
            "balanced_accuracy": {"value": value, "interval": [value - 0.031, value + 0.029]},
            "macro_f1": {"value": value - 0.02, "interval": None},
            "macro_auroc": {"value": value + 0.2, "interval": [value + 0.18, value + 0.22]},
            "accuracy": {"value": value + 0.1, "interval": None},
            "ece": {"value": 0.081, "interval": None},
        },
    }


def verdict(word: str = "helps", names: tuple[str, ...] = NAMES) -> dict[str, Any]:
    shift = {"helps": 0.06, "no_evidence": 0.0, "hurts": -0.08}.get(word, 0.0)
    compared = [
        {
            "comparator": remedy,
            "difference": shift + 0.01 * (4 - i),
            "interval": [shift + 0.01 * (4 - i) - 0.03, shift + 0.01 * (4 - i) + 0.03],
            "p": 0.0001 if word == "helps" else 0.41,
        }
        for i, remedy in enumerate(REMEDIES)
    ]
    arms = [arm(r, 0.58 + 0.01 * i, "logistic_regression") for i, r in enumerate(REMEDIES)]
    arms += [
        arm("synthetic", 0.49, "logistic_regression"),
        arm("combined", 0.66, "logistic_regression"),
        arm("augment", 0.6, "random_forest", valid=False),
        arm("combined", 0.57, "random_forest"),
    ]
    return {
        "design": "cv",
        "settings": {
            "folds": 5,
            "repeats": 3,
            "hyperparameters": "the same for all arms, not tuned",
        },
        "fold_table_sha256": "f0" * 32,
        "primary": {
            "metric": "balanced_accuracy",
            "classifier": "logistic_regression",
            "arm": "combined",
            "verdict": word,
            "comparisons": compared,
            "smallest_detectable": 0.043,
        },
        "per_class": [
            {
                "class": name,
                "n_groups": max(700 // (i + 1) ** 2, 4),
                "verdict": "not_estimable" if i > 4 else ("helps" if i == 1 else "no_evidence"),
                "difference": None if i > 4 else 0.02 * i,
                "interval": None if i > 4 else [0.02 * i - 0.05, 0.02 * i + 0.06],
                "p_holm": None if i > 4 else 0.2,
            }
            for i, name in enumerate(names)
        ],
        "arms": arms,
        "exploratory": {
            "dose_response": [
                {
                    "arm": f"combined_r{ratio:g}",
                    "ratio": ratio,
                    "difference": 0.02 * ratio,
                    "band": [0.02 * ratio - 0.03, 0.02 * ratio + 0.03],
                }
                for ratio in (0.5, 1.0, 2.0)
            ],
            "knee": {"ratio": 0.5, "best_ratio": 2.0, "differences_to_best": []},
            "with_seeds": [{"comparator": r, "interval": [-0.061, 0.083]} for r in REMEDIES],
            "seeds": [],
        },
        "subgroups": [
            {
                "attribute": "sex",
                "level": level,
                "n_images": 812,
                "n_groups": 640,
                "classes": list(names[:2]) if known else [],
                "combined": 0.7 if known else None,
                "real": 0.6 if known else None,
                "difference": 0.1 if known else None,
                "interval": [0.04, 0.16] if known else None,
                "reason": None if known else "fewer than two classes have 20 test groups here",
            }
            for level, known in (("female", True), ("male", False))
        ],
        "cannot_exclude": ["All 120 images with dx_type “follow_up” are of one class."],
        "legacy_protocol": {
            "valid": False,
            "note": "not a valid estimate",
            "real": {"accuracy": 0.78, "balanced_accuracy": 0.61},
            "synthetic": {"accuracy": 0.93, "balanced_accuracy": 0.93},
            "combined": {"accuracy": 0.88, "balanced_accuracy": 0.85},
        },
    }


def empty_verdict() -> dict[str, Any]:
    return {
        "design": "cv",
        "fold_table_sha256": None,
        "primary": {
            "verdict": "not_estimable",
            "comparisons": [],
            "reason": "class 'b' has 1 group, 2 folds need 2",
        },
        "per_class": [],
        "arms": [],
        "legacy_protocol": None,
    }


def quality(names: tuple[str, ...] = NAMES) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for i, name in enumerate([None, *names]):
        scope = "overall" if name is None else "class"
        common = {
            "scope": scope,
            "class": name,
            "backbone": "efficientnet_lite0",
            "n": 400 - 50 * i,
        }
        good = i == 0
        why = None if good else "n is not above the feature dimension 1280"
        rows += [
            common
            | {
                "metric": "fd_efficientnet_lite0",
                "value": 131.19 + i,
                "interval": None,
                "floor": 41.2,
                "estimable": good,
                "reason": why,
            },
            common
            | {
                "metric": "kid_efficientnet_lite0",
                "value": 0.0312,
                "interval": [0.0211, 0.0409],
                "floor": 0.0008,
                "estimable": True,
                "reason": None,
            },
            common
            | {
                "metric": "ssim_aligned",
                "value": 0.87,
                "interval": [0.86, 0.88],
                "floor": None,
                "estimable": True,
                "reason": None,
            },
        ]
    return rows


def synthesis(names: tuple[str, ...] = NAMES) -> dict[str, Any]:
    return {
        "dataset_version_id": "dsv_" + "1" * 26,
        "generator": "augment",
        "generator_params": {"policy": "default"},
        "generated": 1234,
        "per_class": {name: 30 * i for i, name in enumerate(names)},
        "manifest_sha256": "b2" * 32,
        "sources": "all",
    }
