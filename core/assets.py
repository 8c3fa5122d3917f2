"""What callers upload to render with: bodies and backgrounds."""

from __future__ import annotations

from typing import Literal

AssetKind = Literal["body", "background"]

ASSET_ID = "^ast_[0-9a-z]{26}$"


def asset_group(asset_id: str) -> str:
    """Return the group that everything rendered with an asset belongs to.

    A scan or a room shows somebody: what is made of it goes where it goes, also when it is erased.
    """
    return f"asset:{asset_id}"
