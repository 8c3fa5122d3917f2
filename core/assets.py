"""What callers upload to render with: bodies and backgrounds."""

from __future__ import annotations

from typing import Literal

AssetKind = Literal["body", "background"]

ASSET_ID = "^ast_[0-9a-z]{26}$"
