"""A backbone and a linear layer, trained end to end on pixels.

Results are the same for the same wheels, kind of processor, number of threads and device.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput
from core.features.contract import BACKBONES, Backbone
from core.learning.contract import COST_BACKBONE
from core.learning.course import History
from core.learning.finetune_course import EVALUATED, FinetuneCourse, new_network
from core.learning.pixels import Monitor, PixelRows, Unwatched
from core.learning.splits import grouped_folds
from core.pointers import invalid

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from core.learning.classifiers.finetune import FinetuneParams


def trainable() -> list[str]:
    """Return the names of the backbones that can be trained end to end."""
    return [name for name, one in BACKBONES if one.trainable]


def require_trainable(backbone: str, pointer: str) -> None:
    """Refuse a backbone that cannot be trained end to end."""
    if backbone not in trainable():
        raise invalid(
            pointer,
            f"finetune trains the backbone itself, and {backbone} is not made for it here: take "
            f"one of {', '.join(trainable())}",
            code="not_trainable",
        )


def relative_cost(backbone: str) -> float:
    """Return what a training costs in units of the same one of COST_BACKBONE."""
    own, measured = (BACKBONES.get(b).epoch_seconds for b in (backbone, COST_BACKBONE))
    if own is None or measured is None:
        raise ValueError(f"{backbone} is not made for training end to end")
    return own / measured


class Finetuned:
    """A classifier on PixelRows, with the methods of one of scikit-learn."""

    def __init__(self, params: FinetuneParams, seed: int, threads: int) -> None:
        self.params = params
        self.seed = seed
        self.threads = threads
        self.history = History()
        self.classes_: NDArray[np.int64]
        self.network: torch.nn.Module
        """Images to logits in the order of classes_, on the CPU, in eval mode."""

    def fit(
        self,
        X: PixelRows,
        y: NDArray[np.int64],
        sample_weight: NDArray[np.float64] | None = None,
        groups: NDArray[Any] | None = None,
        monitor: Monitor | None = None,
    ) -> Finetuned:
        """Train; groups None: every image is independent. Raises what the monitor raises."""
        import numpy as np

        self.classes_, labels = np.unique(np.asarray(y), return_inverse=True)
        weights = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
        tied = np.arange(len(X)) if groups is None else np.asarray(groups)
        held = held_out(labels, tied, self.params.validation, self.seed)
        with repeatable_torch(self.threads):
            course = FinetuneCourse(self.params, self.seed, X, labels, weights, held)
            self.history = course.run(monitor or Unwatched())
            self.network = course.best.cpu().eval()
        return self

    def dump(self) -> bytes:
        """Return the network as safetensors."""
        from safetensors.torch import save

        return save({k: v.contiguous() for k, v in self.network.state_dict().items()})

    def predict_proba(self, X: PixelRows) -> NDArray[np.float64]:
        """Return probabilities, rows x classes; always in float32, so that hosts agree."""
        import numpy as np
        from scipy.special import softmax

        from core.features.network import Network

        network = self.network
        spec = replace(
            X.start.backbone,
            dimension=len(self.classes_),
            build=lambda _: copy.deepcopy(network),
        )
        with repeatable_torch(self.threads):
            run = Network(spec, None, X.start.device, bf16=False)
            starts = range(0, len(X), EVALUATED)
            parts = [run(X.read(slice(start, start + EVALUATED))) for start in starts]
        logits = np.concatenate(parts) if parts else np.empty((0, len(self.classes_)))
        return np.asarray(softmax(logits.astype(np.float64), axis=1))


def load_network(data: bytes, backbone: Backbone, params: Any, classes: int) -> Finetuned:
    """Return the classifier of these weights; raises what safetensors and torch raise."""
    import numpy as np
    from safetensors.torch import load

    from core.learning.classifiers.finetune import FinetuneParams

    found = Finetuned(FinetuneParams.model_validate(params), 0, 1)
    network = new_network(backbone, None, classes)
    network.load_state_dict(load(data))
    found.classes_, found.network = np.arange(classes), network.eval()
    return found


def preprocessing(backbone: Backbone) -> dict[str, Any]:
    """Return what a network on this backbone is fed, as model.json records it."""
    from core.features.preprocess import VERSION

    return {
        "size": backbone.size,
        "mean": list(backbone.mean),
        "std": list(backbone.std),
        "version": VERSION,
    }


def held_out(
    labels: NDArray[Any], groups: NDArray[Any], share: float, seed: int
) -> NDArray[np.bool_]:
    """Mark about this share of the images, whole groups, stratified by class.

    Every class keeps an image that is not marked. Nothing is marked when the groups are too few.
    """
    import numpy as np

    none = np.zeros(len(labels), dtype=bool)
    folds = max(2, round(1 / share))
    try:
        fold_of = grouped_folds(
            [str(label) for label in labels.tolist()],
            [str(group) for group in groups.tolist()],
            folds,
            seed,
        )
    except InvalidInput:
        return none
    held = fold_of == 0
    lost = np.setdiff1d(labels, labels[~held])
    kept_groups = groups[np.isin(labels, lost)]
    return np.asarray(held & ~np.isin(groups, kept_groups))


@contextmanager
def repeatable_torch(threads: int) -> Iterator[None]:
    """Give torch its threads and choose algorithms that repeat; put back what it had."""
    import torch

    before = torch.get_num_threads()
    flags = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = flags
