"""The course of a training: epochs, held-out loss, the best epoch, checkpoints.

Everything random is drawn from the seed and the number of the epoch alone, so that a training that
goes on from a checkpoint ends with the weights of one that was never stopped.
"""

from __future__ import annotations

import copy
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from core.errors import JobFailed, OutOfMemory
from core.learning.pixels import Monitor

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


DIVERGED = "training_diverged"


class CourseParams(Protocol):
    """What a training is asked for: bounds on epochs and patience, and the steps of AdamW."""

    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def patience(self) -> int: ...


@dataclass(slots=True)
class History:
    """What happened: the validation loss after each epoch (none without held-out images)."""

    epochs: int = 0
    best: int = 0
    validation_images: int = 0
    losses: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "epochs": self.epochs,
            "kept_epoch": self.best,
            "validation_images": self.validation_images,
            "validation_losses": [round(loss, 6) for loss in self.losses],
        }


def drawn(portions: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw rows with these portions, in random order (systematic: n p times, rounded)."""
    import numpy as np

    points = (np.arange(count) + rng.random()) / count
    rows = np.searchsorted(np.cumsum(portions), points, side="right")
    return rng.permutation(np.minimum(rows, len(portions) - 1))


def turned(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return each square of n x s x s x channels in one of its 8 flips and quarter turns."""
    import numpy as np

    views = rng.integers(0, 8, len(pixels))
    answer = np.empty_like(pixels)
    for view in np.unique(views).tolist():
        own = views == view
        mirrored = pixels[own][:, :, ::-1] if view >= 4 else pixels[own]
        answer[own] = np.rot90(mirrored, view % 4, axes=(1, 2))
    return answer


class Course(ABC):
    """One training from its start, or from a checkpoint, to its end.

    train and held are rows, portions how often each of ``train`` is drawn (in sum 1). steps: of an
    epoch; None: as many as show every row once.
    """

    def __init__(
        self,
        params: CourseParams,
        seed: int,
        build: Callable[[], torch.nn.Module],
        device: str,
        *,
        train: NDArray[np.intp],
        held: NDArray[np.intp],
        portions: NDArray[np.float64],
        steps: int | None = None,
    ) -> None:
        import torch

        from core.features.network import has_bf16

        self.params, self.seed = params, seed
        self.train, self.held, self.portions = train, held, portions
        self.batch = min(params.batch_size, max(2, len(train)))
        self.steps = steps or math.ceil(len(train) / self.batch)
        self.device = torch.device(device)
        self.bf16 = has_bf16(device)
        torch.manual_seed(seed)
        network = build()
        _adapt_norms(network, self.steps)
        self.network = network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.best = copy.deepcopy(self.network)
        self.optimizer = torch.optim.AdamW(_with_decay(self.network, params.weight_decay))
        self.history = History(validation_images=len(self.held))

    @property
    @abstractmethod
    def name(self) -> str:
        """What is trained, for a message."""

    @abstractmethod
    def batch_loss(self, rows: NDArray[np.intp], rng: np.random.Generator) -> torch.Tensor:
        """Return the loss of a batch, to be learned from; rng draws its augmentation."""

    @abstractmethod
    def held_loss(self) -> float:
        """Return the loss of the held-out rows."""

    def per_channel(self, values: tuple[float, float, float]) -> torch.Tensor:
        """Return values of channels, 0..1, as a tensor over pixels of 0..255."""
        import torch

        return 255 * torch.tensor(values, device=self.device).view(1, 3, 1, 1)

    def run(self, monitor: Monitor) -> History:
        """Train to the end and return what happened; ``best`` is the network to keep.

        JobFailed (``training_diverged``), OutOfMemory, and what the monitor raises.
        """
        import torch

        try:
            return self._run(monitor)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"{self.batch} images of {self.name} do not fit into the GPU's memory in "
                "training: lower batch_size"
            ) from error

    def _run(self, monitor: Monitor) -> History:
        state = monitor.restored()
        if state is not None:
            self._restore(state)
        history = self.history
        while history.epochs < self.params.epochs and not self._over():
            self._epoch(monitor)
            if len(self.held):
                loss = self.held_loss()
                self._check_finite("validation loss", loss)
                history.losses.append(loss)
            history.epochs += 1
            if not history.losses or history.losses[-1] <= min(history.losses):
                self._remember()
            if monitor.due():
                monitor.keep(self._state())
        return history

    def _over(self) -> bool:
        return bool(self.held.size) and self.history.epochs - self.history.best >= (
            self.params.patience
        )

    def _remember(self) -> None:
        self.best.load_state_dict(self.network.state_dict())
        self.history.best = self.history.epochs

    def _epoch(self, monitor: Monitor) -> None:
        import numpy as np
        import torch

        epoch = self.history.epochs
        rng = np.random.default_rng([self.seed, epoch])
        torch.manual_seed(int(rng.integers(2**62)))
        order = self.train[drawn(self.portions, self.steps * self.batch, rng)]
        self.network.train()
        total = torch.zeros((), device=self.device)
        for step in range(self.steps):
            monitor.step(epoch * self.steps + step, self.params.epochs * self.steps)
            for group in self.optimizer.param_groups:
                group["lr"] = self._rate(epoch * self.steps + step)
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.batch_loss(order[step * self.batch : (step + 1) * self.batch], rng)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total = total + loss.detach()
        self._check_finite("loss", float(total))

    def _check_finite(self, what: str, loss: float) -> None:
        if not math.isfinite(loss):
            raise JobFailed(
                f"The {what} of epoch {self.history.epochs + 1} is no finite number: lower "
                f"learning_rate ({self.params.learning_rate:g})",
                code=DIVERGED,
            )

    def _rate(self, step: int) -> float:
        """Return the learning rate: up for an epoch, then down as half a cosine to zero."""
        total, rise = self.params.epochs * self.steps, self.steps
        if step < rise:
            return self.params.learning_rate * (step + 1) / rise
        done = (step - rise) / max(1, total - rise)
        return self.params.learning_rate * 0.5 * (1 + math.cos(math.pi * done))

    def _state(self) -> bytes:
        """Return everything that the rest of the training depends on, as safetensors."""
        from safetensors.torch import save

        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.state_dict().items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{k}": v for k, v in state.items()}
        history = self.history
        told = json.dumps([history.epochs, history.best, history.losses])
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        return save(plain, {"history": told})

    def _restore(self, data: bytes) -> None:
        from safetensors.torch import load

        length = int.from_bytes(data[:8], "little")
        told = json.loads(data[8 : 8 + length])["__metadata__"]["history"]
        self.history.epochs, self.history.best, self.history.losses = json.loads(told)
        tensors = load(data)
        for name, module in (("network.", self.network), ("best.", self.best)):
            own = {k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)}
            module.load_state_dict(own)
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, number, name = key.split(".")
                state.setdefault(int(number), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _adapt_norms(network: torch.nn.Module, steps: int) -> None:
    """Let the batch norms forget the statistics of ImageNet within a few epochs.

    Momentum min(0.1, 10 / steps of an epoch): Kornblith, Shlens and Le 2019, in
    torch's convention. Lite networks come with 0.01, which a small dataset never fills.
    """
    import torch

    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = min(0.1, 10 / steps)


def _with_decay(network: torch.nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return the parameters in two groups: decay pulls weights, not biases and norms."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [
        {"params": weights, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]
