"""The corpus of hostile uploads.

``python -m tests.security.corpus`` sends every case through the import and prints case, expected
outcome and outcome; with a folder as argument it only writes the uploads and ``corpus.tsv`` there.
Exit code 0 only if every outcome was the expected one.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.security.archives import archives
from tests.security.case import Case
from tests.security.door import outcome_of
from tests.security.images import images

CASES: tuple[Case, ...] = (*archives(), *images())


def write(folder: Path) -> None:
    """Write all uploads and the table of expected outcomes."""
    lines = [f"{c.write(folder).relative_to(folder)}\t{c.name}\t{c.outcome}" for c in CASES]
    (folder / "corpus.tsv").write_text("\n".join(["file\tcase\toutcome", *lines]) + "\n")


def check() -> int:
    """Print the table; return how many outcomes are not the expected ones."""
    table = Table(box=None, pad_edge=False)
    for column in ("case", "expected", "outcome", ""):
        table.add_column(column)
    wrong = 0
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="dermsynth-corpus-") as folder:
            found = outcome_of(case, Path(folder))
        wrong += found != case.outcome
        table.add_row(case.name, case.outcome, found, "ok" if found == case.outcome else "WRONG")
    console = Console(width=140)
    console.print(table)
    console.print(f"{len(CASES)} cases, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write(Path(sys.argv[1]))
    else:
        sys.exit(min(1, check()))
