"""What is left of the memory, by the kernel and by the cgroup."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import memory


def test_the_kernel_tells_what_is_free() -> None:
    found = memory.available_memory()
    assert found is not None
    assert 0 < found < 2**50


@pytest.mark.parametrize(
    ("most", "expected"), [("max", None), ("3000", 2000), ("500", 0), (None, None)]
)
def test_a_limit_of_the_cgroup_counts(
    monkeypatch: pytest.MonkeyPatch, most: str | None, expected: int | None
) -> None:
    files = {"/sys/fs/cgroup/memory.max": most, "/sys/fs/cgroup/memory.current": "1000"}

    def read(path: Path) -> str:
        text = files[str(path)]
        if text is None:
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr(Path, "read_text", read)
    assert memory._of_cgroup() == expected
