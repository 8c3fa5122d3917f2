"""``python -m tests.chaos.one CASE SEED SIZE FOLDER OUT``: one case, in this process."""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import Path

from tests.chaos.sizes import SIZES, Size
from tests.chaos.stack import laboratory
from tests.chaos.tally import Tally


def run_case(name: str, seed: int, size: Size, folder: Path) -> Tally:
    """Run a case to its end; an error in it is a problem like any other."""
    from tests.chaos.cases import CASES

    tally, began = Tally(), time.monotonic()
    try:
        with laboratory(folder, size, seed, name, tally) as lab:
            CASES[name](lab)
    except Exception:
        tally.problems.append(traceback.format_exc()[-4000:])
    tally.seconds = time.monotonic() - began
    return tally


def main() -> None:
    name, seed, size, folder, out = sys.argv[1:]
    tally = run_case(name, int(seed), SIZES[size], Path(folder) / name)
    row = tally.row() | {"control_caught": tally.control_caught}
    Path(out).write_text(json.dumps(row, default=str))


if __name__ == "__main__":
    main()
