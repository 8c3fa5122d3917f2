"""The metrics that compare features, by the name under which a job asks for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from core.quality.distances import frechet_rows, infinity_rows, kernel_rows
from core.quality.diversity import manifold_rows, vendi_rows
from core.quality.rows import QualityRow
from core.quality.sides import Pair

RowsOf = Callable[[Pair, str, np.random.Generator], list[QualityRow]]
FEATURE_METRICS: dict[str, RowsOf] = {
    "fd": frechet_rows,
    "kid": kernel_rows,
    "prdc": manifold_rows,
    "fd_infinity": infinity_rows,
    "vendi": vendi_rows,
}
