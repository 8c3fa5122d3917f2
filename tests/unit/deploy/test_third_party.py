"""THIRD_PARTY.md and the rule on licences."""

from __future__ import annotations

import pytest

from scripts import third_party
from scripts.third_party import Package


def test_the_file_is_up_to_date_and_all_licences_are_acceptable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert third_party.main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("licence", "acceptable"),
    [
        ("MIT", True),
        ("BSD-3-Clause AND MIT", True),
        ("LGPL-3.0-only", True),
        ("Mozilla Public License 2.0 (MPL 2.0)", True),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0", False),
        ("AGPL-3.0-or-later", False),
        ("GNU General Public License v3 (GPLv3)", False),
        ("MIT AND GPL-2.0-only", False),
        ("UNKNOWN", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_copyleft_on_us_and_the_unknown_are_refused(licence: str, acceptable: bool) -> None:
    assert Package("name", "1", licence, "").acceptable is acceptable


def test_every_requirement_of_the_project_is_pinned() -> None:
    assert third_party.runtime_names() <= set(third_party.locked())


def test_the_pins_are_public_versions_without_cuda_packages() -> None:
    pins = third_party.locked()
    assert pins["torch"] == "2.13.0"
    cuda = {name for name in pins if name.startswith("nvidia")} - {"nvidia-ml-py"}
    assert not cuda  # nvidia-ml-py is Python alone: it asks the driver, where there is one
    assert not [version for version in pins.values() if "+" in version]


def test_the_api_needs_neither_torch_nor_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(third_party, "RUNTIME_EXTRAS", ("api",))
    heavy = {"torch", "torchvision", "opencv-python-headless", "scikit-learn", "scipy"}
    assert not heavy & third_party.runtime_names()
