"""A small neural network on standardised features."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core.learning.contract import FitCost, classifier


class MlpParams(BaseModel):
    """Steps of up to 200 images; training stops when its own loss does, nothing is held out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hidden: int = Field(128, ge=1, le=4096, description="Units of the one hidden layer (ReLU).")
    alpha: float = Field(1e-2, ge=0, le=1e4, description="Strength of the L2 penalty.")
    learning_rate: float = Field(1e-3, gt=0, le=1.0, description="First step of Adam.")
    max_iter: int = Field(2000, ge=1, le=100_000, description="Bound on passes over the images.")


@classifier(
    "mlp",
    params=MlpParams,
    weighting="the loss",
    cost=FitCost(fixed=0.15, image=0.0009),
    inner_cost=FitCost(fixed=1.2, image=0.0011),
    grid=[
        {"alpha": alpha, "hidden": hidden}
        for alpha, hidden in (
            (1e-2, 128),
            (1.0, 128),
            (1e-4, 64),
            (10.0, 64),
            (0.1, 256),
            (0.1, 32),
            (1.0, 32),
            (3.0, 128),
        )
    ],
    trusted=(
        "core.learning.standardised.StandardisedMLP",
        "sklearn.preprocessing._label.LabelBinarizer",
    ),
)
def build(params: MlpParams, seed: int, _threads: int) -> Any:
    """Multi-layer perceptron, one hidden layer, Adam (Kingma and Ba 2015), on scaled features.

    Threads are those of the linear algebra library.
    """
    from core.learning.standardised import StandardisedMLP

    return StandardisedMLP(
        hidden_layer_sizes=(params.hidden,),
        alpha=params.alpha,
        learning_rate_init=params.learning_rate,
        max_iter=params.max_iter,
        random_state=seed,
    )
