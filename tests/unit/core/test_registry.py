from __future__ import annotations

import pytest

from core.errors import UnknownName
from core.registry import DuplicateName, Registry


@pytest.fixture
def fruit() -> Registry[int]:
    registry: Registry[int] = Registry("fruit", "core.storage")
    registry.add("apple", 1)
    registry.add("pear", 2)
    return registry


def test_a_second_entry_of_one_name_is_refused(fruit: Registry[int]) -> None:
    with pytest.raises(DuplicateName, match="apple"):
        fruit.add("apple", 3)
    assert fruit.get("apple") == 1


def test_an_unknown_name_lists_close_matches_and_carries_the_pointer(fruit: Registry[int]) -> None:
    with pytest.raises(UnknownName, match="did you mean apple") as caught:
        fruit.get("aple", "/fruit")
    problem = caught.value.as_problem()
    assert problem["code"] == "unknown_fruit"
    assert problem["status"] == 422
    assert problem["errors"][0]["pointer"] == "/fruit"
    assert problem["close_matches"][0] == "apple"


def test_names_and_iteration_are_sorted(fruit: Registry[int]) -> None:
    assert fruit.names() == ["apple", "pear"]
    assert list(fruit) == [("apple", 1), ("pear", 2)]
    assert "apple" in fruit
    assert "plum" not in fruit
