"""The course of a training end to end: epochs, held-out loss, the best epoch, checkpoints.

Everything random is drawn from the seed and the number of the epoch alone, so that a training that
goes on from a checkpoint ends with the weights of one that was never stopped.
"""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.errors import JobFailed, OutOfMemory
from core.features.contract import Backbone, Weights
from core.learning.pixels import Monitor, PixelRows

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from core.learning.classifiers.finetune import FinetuneParams

DIVERGED = "training_diverged"
EVALUATED = 64
"""Images that are evaluated together."""


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


def new_network(backbone: Backbone, weights: Weights | None, classes: int) -> torch.nn.Module:
    """Return the backbone (weights None: random) and a linear layer that begins at zero."""
    import torch

    head = torch.nn.Linear(backbone.dimension, classes)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    return torch.nn.Sequential(backbone.build(weights), head)


def shares(
    labels: NDArray[np.intp], weights: NDArray[np.float64], balanced: bool
) -> NDArray[np.float64]:
    """Return how often each image counts, in sum 1: by its weight, or every class alike."""
    import numpy as np

    if balanced:
        sums = np.bincount(labels, weights)
        weights = weights / sums[labels]
    return np.asarray(weights / weights.sum())


def drawn(portions: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw rows with these portions, in random order (systematic: n p times, rounded)."""
    import numpy as np

    points = (np.arange(count) + rng.random()) / count
    rows = np.searchsorted(np.cumsum(portions), points, side="right")
    return rng.permutation(np.minimum(rows, len(portions) - 1))


def turned(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return each square of n x s x s x 3 in one of its 8 flips and quarter turns."""
    import numpy as np

    views = rng.integers(0, 8, len(pixels))
    answer = np.empty_like(pixels)
    for view in np.unique(views).tolist():
        own = views == view
        mirrored = pixels[own][:, :, ::-1] if view >= 4 else pixels[own]
        answer[own] = np.rot90(mirrored, view % 4, axes=(1, 2))
    return answer


class Course:
    """One training from its start, or from a checkpoint, to its end."""

    def __init__(
        self,
        params: FinetuneParams,
        seed: int,
        rows: PixelRows,
        labels: NDArray[np.intp],
        weights: NDArray[np.float64],
        held: NDArray[np.bool_],
    ) -> None:
        import numpy as np
        import torch

        from core.features.network import has_bf16

        self.params, self.seed = params, seed
        self.rows, self.labels = rows, labels
        self.train, self.held = np.flatnonzero(~held), np.flatnonzero(held)
        balanced = params.sampling == "balanced"
        self.portions = shares(labels[self.train], weights[self.train], balanced)
        self.judged = shares(labels[self.held], weights[self.held], balanced)
        self.batch = min(params.batch_size, max(2, len(self.train)))
        self.steps = math.ceil(len(self.train) / self.batch)
        start = rows.start
        self.device = torch.device(start.device)
        self.bf16 = has_bf16(start.device)
        torch.manual_seed(seed)
        network = new_network(start.backbone, start.weights, int(labels.max()) + 1)
        _adapt_norms(network, self.steps)
        self.network = network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.best = copy.deepcopy(self.network)
        self.optimizer = torch.optim.AdamW(_with_decay(self.network, params.weight_decay))
        self.history = History(validation_images=len(self.held))
        spec = start.backbone
        self.mean = self._per_channel(spec.mean)
        self.std = self._per_channel(spec.std)

    def _per_channel(self, values: tuple[float, float, float]) -> torch.Tensor:
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
                f"{self.batch} images of {self.rows.start.backbone.name} do not fit into the GPU's "
                "memory in training: lower batch_size"
            ) from error

    def _run(self, monitor: Monitor) -> History:
        state = monitor.restored()
        if state is not None:
            self._restore(state)
        history = self.history
        while history.epochs < self.params.epochs and not self._over():
            self._epoch(monitor)
            if len(self.held):
                loss = self._loss()
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
            own = order[step * self.batch : (step + 1) * self.batch]
            pixels = self.rows.read(own)
            if self.params.augmentation == "turns":
                pixels = turned(pixels, rng)
            for group in self.optimizer.param_groups:
                group["lr"] = self._rate(epoch * self.steps + step)
            self.optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(self._logits(pixels), self._targets(own))
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

    def _logits(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        import torch

        images = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits: torch.Tensor = self.network((images - self.mean) / self.std)
        return logits.float()

    def _targets(self, rows: NDArray[np.intp]) -> torch.Tensor:
        import torch

        return torch.from_numpy(self.labels[rows]).to(self.device)

    def _loss(self) -> float:
        """Return the cross-entropy of the held-out images, weighed as training draws."""
        import torch

        self.network.eval()
        total = 0.0
        with torch.inference_mode():
            for start in range(0, len(self.held), EVALUATED):
                own = self.held[start : start + EVALUATED]
                losses = torch.nn.functional.cross_entropy(
                    self._logits(self.rows.read(own)), self._targets(own), reduction="none"
                )
                weights = self.judged[start : start + EVALUATED]
                total += float((losses.double().cpu() * torch.from_numpy(weights)).sum())
        return total

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
