"""One hostile upload and what must become of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.unit.ingest.made import class_folders

GOOD: Mapping[str, bytes] = class_folders({"mel": 3, "nv": 3})
"""Stand in every archive that is otherwise sound: a hostile file must not take them along."""


@dataclass(frozen=True, slots=True)
class Case:
    """``outcome`` in one line; the forms are

    - ``job CODE``: the import fails with this code and publishes nothing;
    - ``reject CODE``: the good images are taken, the rest is listed with this code;
    - ``ignored``: neither taken nor listed (leftovers of desktop systems);
    - ``taken MEDIA MODALITY WxH``: the hostile file is taken as this, without any of ``absent``;
    - ``escaped``: taken, and no table that we write holds a cell that a spreadsheet would run.
    """

    name: str
    outcome: str
    make: Callable[[Path], Path]
    absent: tuple[bytes, ...] = ()

    def write(self, folder: Path) -> Path:
        """Write the upload into a folder of its own."""
        here = folder / self.name
        here.mkdir(parents=True)
        return self.make(here)
