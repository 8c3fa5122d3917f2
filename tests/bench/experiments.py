"""Processor seconds of whole experiments against what ``validate_only`` tells beforehand."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from core.jobs.spec import JOB_KINDS, references
from tests.bench.measure import Row
from tests.unit.jobs.inline import InlineRunner
from tests.unit.jobs.learning_stack import real_images

SIZES: dict[str, Mapping[str, int]] = {
    "small": {"mole": 60, "scar": 30, "wart": 20},
    "medium": {"mole": 360, "scar": 180, "wart": 120},
}


def estimated(size: str, _full: bool) -> Row:
    """Run the default experiment once on one thread, in two folds; the goal is a factor of two."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="dermsynth-bench-") as folder:
        runner = InlineRunner(Path(folder))
        params = {
            "dataset_version_id": runner.version(real_images(runner, dict(SIZES[size]))),
            "synthesis": {"generator": "augment", "balance": {"target": "max"}},
            "folds": 2,
            "repeats": 1,
        }
        kind = JOB_KINDS.get("experiment")
        model = kind.params.model_validate(params)
        assert kind.estimate is not None
        told = kind.estimate(model, runner._inputs(references(model))).seconds
        start = time.process_time()
        runner.run("experiment", params)
        took = time.process_time() - start
    ratio = told / took
    text = f"processor {took:.3g} s"
    return Row(f"estimate_{size}", told, "s", text, ratio, "0.5-2x", 0.5 <= ratio <= 2)


ROWS: dict[str, Callable[[bool], Row]] = {
    f"estimate_{size}": partial(estimated, size) for size in SIZES
}
