"""How a fold of an experiment survives the end of its process: no fit is done twice."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from core.jobs import training_watch
from core.jobs.context import JobContext
from core.learning.fold_fits import Answer

if TYPE_CHECKING:
    from core.learning.pixels import Monitor


class FoldWatch:
    """A keeper of fits (core.learning.fold_fits) that writes checkpoints of its job.

    A checkpoint holds what every fit so far has answered, and the course of a training that is
    under way. One that was written with other wheels or other code is not gone on from: a fold is
    fitted in one environment.
    """

    def __init__(self, ctx: JobContext, environment_sha256: str) -> None:
        self._ctx = ctx
        self._environment = environment_sha256
        self._answers: dict[str, Answer] = {}
        self._training: dict[str, str] = {}
        self._kept_at = time.monotonic()
        kept = ctx.restored()
        if kept is not None and kept["environment_sha256"] == environment_sha256:
            self._restore(kept)

    def answer(self, name: str) -> Answer | None:
        return self._answers.get(name)

    def keep(self, name: str, answer: Answer) -> None:
        self._ctx.check_cancelled()
        self._answers[name] = answer
        self._training = {}
        if self.due():
            self._write()

    def monitor(self, name: str) -> Monitor:
        return _Course(self, name)

    def check_cancelled(self) -> None:
        self._ctx.check_cancelled()

    def due(self) -> bool:
        return time.monotonic() - self._kept_at >= training_watch.CHECKPOINT_SECONDS

    def keep_training(self, name: str, state: bytes) -> None:
        self._training = {name: self._ctx.put(state)}
        self._write()

    def training(self, name: str) -> bytes | None:
        sha256 = self._training.get(name)
        return None if sha256 is None else self._ctx.blob(sha256).read_bytes()

    def _write(self) -> None:
        from safetensors.numpy import save

        arrays = {name: answer.probabilities for name, answer in self._answers.items()}
        state: dict[str, Any] = {
            "environment_sha256": self._environment,
            "answers": self._ctx.put(save(arrays)),
            "unconverged": [n for n, answer in self._answers.items() if not answer.converged],
            "training": self._training,
        }
        self._ctx.checkpoint(state)
        self._kept_at = time.monotonic()

    def _restore(self, kept: dict[str, Any]) -> None:
        from safetensors.numpy import load

        arrays = load(self._ctx.blob(kept["answers"]).read_bytes())
        limited = set(kept["unconverged"])
        self._answers = {name: Answer(array, name not in limited) for name, array in arrays.items()}
        self._training = dict(kept["training"])
        self._ctx.log(
            f"The fold goes on from the checkpoint of an earlier attempt: {len(arrays)} fits are "
            "not done again"
        )


class _Course:
    """The monitor of one training of a fold."""

    def __init__(self, fold: FoldWatch, name: str) -> None:
        self._fold = fold
        self._name = name

    def step(self, done: float, total: float) -> None:
        """Go on, or raise when the job was told to stop; the bar moves with the arms."""
        self._fold.check_cancelled()

    def due(self) -> bool:
        return self._fold.due()

    def keep(self, state: bytes) -> None:
        self._fold.keep_training(self._name, state)

    def restored(self) -> bytes | None:
        return self._fold.training(self._name)
