"""torchvision imports beside whatever torch is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

_TRY = """
import sys, torch
from core.features import torchvision_loader
assert 'torchvision' not in sys.modules
if {pretend}:
    torchvision_loader._compiled_library_loads = lambda: False
first = torchvision_loader.load_torchvision()
assert first is torchvision_loader.load_torchvision()
from torchvision.models import resnet18
from torchvision.transforms import v2
print('loaded', resnet18(weights=None).fc.in_features)
"""


@pytest.mark.parametrize("pretend", [False, True], ids=["as installed", "library cannot load"])
def test_models_work(pretend: bool) -> None:
    if pretend and _compiled():
        pytest.skip("the compiled library loads here and declares its operators itself")
    code = _TRY.format(pretend=pretend)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "loaded 512", done.stderr


def _compiled() -> bool:
    code = "from core.features.torchvision_loader import _compiled_library_loads as c; print(c())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() == "True"
