"""Places are handed on by turns, and never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.fair_places import FairPlaces
from core.errors import Unavailable


class Crowd:
    """Callers of one place; each stays until it is told to leave."""

    def __init__(self, places: FairPlaces) -> None:
        self.places = places
        self.order: list[str] = []
        self.leave = asyncio.Event()

    async def come(self, tenant: str) -> None:
        async with self.places.place(tenant):
            self.order.append(tenant)
            await self.leave.wait()

    async def all(self, tenants: Sequence[str]) -> list[asyncio.Task[None]]:
        tasks = []
        for tenant in tenants:
            tasks.append(asyncio.create_task(self.come(tenant)))
            await asyncio.sleep(0)
        return tasks


def test_tenants_have_their_turns() -> None:
    async def go() -> list[str]:
        crowd = Crowd(FairPlaces(1, 100, 60))
        tasks = await crowd.all(["a", "a", "a", "a", "b", "c", "b"])
        crowd.leave.set()
        await asyncio.gather(*tasks)
        return crowd.order

    assert asyncio.run(go()) == ["a", "a", "b", "c", "a", "b", "a"]


def test_one_place_is_left_for_other_tenants() -> None:
    async def go() -> None:
        crowd = Crowd(FairPlaces(3, 100, 60))
        tasks = await crowd.all(["a", "a", "a", "a", "b", "b", "c"])
        assert crowd.order == ["a", "a", "b"]
        crowd.leave.set()
        await asyncio.gather(*tasks)
        assert sorted(crowd.order) == list("aaaabbc")

    asyncio.run(go())


def test_who_may_not_have_the_place_keeps_nobody_from_it() -> None:
    async def go() -> None:
        fair = FairPlaces(2, 100, 60)
        one, other = Crowd(fair), Crowd(fair)
        held = [*await one.all(["a"]), *await other.all(["b"])]
        waiting = await one.all(["a", "c"])
        other.leave.set()
        await asyncio.gather(held[1])
        await asyncio.sleep(0)
        assert one.order == ["a", "c"]
        one.leave.set()
        await asyncio.gather(held[0], *waiting)
        assert one.order == ["a", "c", "a"]

    asyncio.run(go())


def test_one_tenants_queue_is_bounded_and_others_may_still_wait() -> None:
    async def go() -> None:
        crowd = Crowd(FairPlaces(1, 2, 60))
        tasks = await crowd.all(["a", "a", "a"])
        with pytest.raises(Unavailable) as caught:
            await crowd.come("a")
        assert (caught.value.code, caught.value.retry_after) == ("busy", 2)
        tasks += await crowd.all(["b"])
        crowd.leave.set()
        await asyncio.gather(*tasks)
        assert sorted(crowd.order) == ["a", "a", "a", "b"]

    asyncio.run(go())


def test_who_waits_too_long_is_refused() -> None:
    async def go() -> None:
        crowd = Crowd(FairPlaces(1, 2, 0.01))
        tasks = await crowd.all(["a"])
        for _ in range(3):  # more than may wait: who was refused waits no longer
            with pytest.raises(Unavailable):
                await crowd.come("b")
        crowd.leave.set()
        await asyncio.gather(*tasks)
        await crowd.come("b")
        assert crowd.order == ["a", "b"]

    asyncio.run(go())


@settings(deadline=None)
@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12),
)
def test_no_place_is_lost(places: int, callers: list[tuple[str, bool]]) -> None:
    """However many give up at whatever moment, all places are there in the end."""

    async def go() -> None:
        fair = FairPlaces(places, 100, 60)
        crowd = Crowd(fair)
        tasks = await crowd.all([tenant for tenant, _ in callers])
        crowd.leave.set()
        for task, (_, gives_up) in zip(tasks, callers, strict=True):
            if gives_up:
                task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(e is None or isinstance(e, asyncio.CancelledError) for e in ended)
        assert not fair._held
        fresh = Crowd(fair)
        held = await fresh.all([f"z{number}" for number in range(places)])
        assert len(fresh.order) == places
        fresh.leave.set()
        await asyncio.gather(*held)

    asyncio.run(go())
