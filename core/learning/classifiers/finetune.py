"""The backbone itself trained on, end to end."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.learning.contract import FitCost, classifier


class FinetuneParams(BaseModel):
    """Training of all layers with AdamW; the rate rises for one epoch, then falls as a cosine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(20, ge=1, le=500, description="Bound on passes over the images.")
    batch_size: int = Field(32, ge=2, le=1024, description="Images of one step.")
    learning_rate: float = Field(3e-4, gt=0, le=1.0, description="Largest step of AdamW.")
    weight_decay: float = Field(0.01, ge=0, le=10.0, description="Decoupled, on weights alone.")
    sampling: Literal["balanced", "as_given"] = Field(
        "balanced",
        description="balanced: every class is drawn as often as any other; as_given: every image. "
        "Experiments always take as_given, because balance is what their arms compare.",
    )
    augmentation: Literal["turns", "none"] = Field(
        "turns", description="turns: each time an image is drawn in one of its 8 flips and turns."
    )
    patience: int = Field(
        5, ge=1, le=500, description="Stop after so many epochs without a smaller validation loss."
    )
    validation: float = Field(
        0.15,
        gt=0,
        le=0.5,
        description="Share of the training images, whole groups, that early stopping looks at.",
    )


@classifier(
    "finetune",
    params=FinetuneParams,
    sees="pixels",
    weighting="how often an image is drawn",
    of_arms={"sampling": "as_given"},
    caution="A network that was trained end to end on few images fits them closely: its "
    "probabilities are overconfident, and it may have learned the camera.",
    cost=FitCost(fixed=5.0, image=2.5),
    inner_cost=FitCost(fixed=5.0, image=0.8),
    grid=[
        {"learning_rate": rate, "weight_decay": decay}
        for rate, decay in (
            (3e-4, 0.01),
            (1e-4, 0.01),
            (1e-3, 0.01),
            (3e-5, 0.01),
            (3e-4, 0.1),
            (1e-4, 0.1),
            (1e-3, 0.1),
            (3e-5, 0.1),
        )
    ],
    inner={"epochs": 6},
    grouped=True,
)
def build(params: FinetuneParams, seed: int, threads: int) -> Any:
    """The backbone and a linear layer trained end to end on pixels, with early stopping.

    Rows are images (core.learning.pixels). The loss is cross-entropy; bfloat16 where the hardware
    has it. The epoch with the smallest loss on held-out groups of the training side is kept.
    """
    from core.learning.finetuning import Finetuned

    return Finetuned(params, seed, threads)
