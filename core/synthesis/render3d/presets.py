"""Presets: named sets of the parameters of ``render3d``."""

from __future__ import annotations

from typing import Any, Literal

PresetName = Literal[
    "dermoscopy", "clinical", "regional", "whole_body", "fairness_sweep", "medIA2024"
]

FITZPATRICK = ("I", "II", "III", "IV", "V", "VI")

PRESETS: dict[str, dict[str, Any]] = {
    "dermoscopy": {"mode": "dermoscopy", "lesions": (1, 1)},
    "clinical": {},
    "regional": {"mode": "regional", "lesions": (1, 5)},
    "whole_body": {"mode": "whole_body", "lesions": (3, 10)},
    "fairness_sweep": {"sweep": True, "tone": {"fitzpatrick": FITZPATRICK}},
    "medIA2024": {
        "lesions": (1, 4),
        "across_mm": (10.0, 50.0),
        "places": "even",
        "min_skin": 0.1,
        "distance_m": (0.1, 1.3),
        "field_of_view": (30.0, 30.0),
    },
}
"""What each sets beyond the defaults. ``medIA2024`` has the ranges of Sinha et al., Medical Image
Analysis 2024: distance and field of view, lesions as large as those pasted from 0.4 to 0.6 m, at
least 10 % of skin, and no regard to where a diagnosis occurs."""
