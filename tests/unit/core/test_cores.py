from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import cores


@given(st.integers(1, 512), st.integers(0, 600))
def test_slots_share_the_cores_and_each_has_one_at_least(available: int, slots: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores, "available_cores", lambda: available)
        threads = cores.threads_of_a_slot(slots)
    assert threads >= 1
    assert threads == 1 or threads * slots <= available
