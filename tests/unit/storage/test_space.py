from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.errors import StorageFull
from core.storage.space import Reserve, is_full, require_space


def test_there_is_room_until_the_reserve(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    require_space(tmp_path, Reserve())
    require_space(tmp_path, Reserve(bytes=free // 2), free // 4)
    with pytest.raises(StorageFull) as refused:
        require_space(tmp_path, Reserve(bytes=free // 2), free)
    assert refused.value.extra["needed_bytes"] == free
    assert refused.value.retry_after
    with pytest.raises(StorageFull, match="stay in reserve"):
        require_space(tmp_path, Reserve(bytes=2 * free + 10**12))


def test_the_larger_of_bytes_and_share_is_kept(tmp_path: Path) -> None:
    with pytest.raises(StorageFull):
        require_space(tmp_path, Reserve(percent=99.999))
    assert not is_full(tmp_path)


def test_a_folder_that_is_not_made_yet_is_on_the_volume_of_its_parent(tmp_path: Path) -> None:
    require_space(tmp_path / "not" / "yet", Reserve(), 1)
    require_space(Path("not/there/either"), Reserve(), 1)
