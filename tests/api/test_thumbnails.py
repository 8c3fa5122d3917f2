"""Thumbnails that take long hold up nobody else."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from api import main
from tests.api.world import World, png

_WIDTHS = itertools.count(20)
"""No two images are the same: their thumbnails would be."""


def shrinkers() -> list[int]:
    """Return the processes below this one that make thumbnails."""
    children = [
        pid
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    ]
    return [
        int(pid)
        for pid in children
        if b"core.ingest.shrinking" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@contextmanager
def stopped() -> Iterator[None]:
    """Let a thumbnail take as long as this block."""
    (pid,) = shrinkers()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def images(world: World, client: httpx.Client, count: int) -> list[str]:
    """Return addresses of thumbnails that nobody has asked for; what makes them is warm."""
    pictures = [png(n, (next(_WIDTHS), 16)) for n in range(count + 1)]
    records = [world.record(0, sha256=world.store.add(data)) for data in pictures]
    draft = world.version(records)
    listed = client.get(f"/v1/dataset-versions/{draft.id}/images", params={"limit": 200})
    urls = [f"{item['thumbnail_url']}?size=64" for item in listed.json()["items"]]
    assert client.get(urls.pop()).status_code == 200
    return urls


def test_slow_thumbnails_starve_nobody(
    world: World, api: httpx.Client, stranger: httpx.Client
) -> None:
    urls = images(world, api, main.THREADS + 10)
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda url=url: answers.append(api.get(url).status_code))
        for url in urls
    ]
    with stopped():
        for thread in threads:
            thread.start()
        # more of them are asked for than there are threads: each of these is answered
        for _ in range(5):
            assert stranger.get("/v1/jobs").status_code == 200
        assert answers == []
    for thread in threads:
        thread.join()
    assert answers == [200] * len(urls)


def test_who_waits_too_long_may_come_again(
    world: World, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = images(world, api, 2)
    maker = world.app.state.thumbnails
    monkeypatch.setattr(maker._places, "_seconds", 0.1)
    one = threading.Thread(target=api.get, args=(first,))
    with stopped():
        one.start()
        until = time.monotonic() + 20
        while maker._places._free:
            assert time.monotonic() < until
            time.sleep(0.01)
        answer = api.get(second)
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert answer.headers["retry-after"] == "2"
    one.join()
    assert api.get(second).status_code == 200


def test_an_image_that_cannot_be_shrunk_says_so(world: World, api: httpx.Client) -> None:
    sha256 = world.store.add(b"\xff\xd8\xff nothing")
    draft = world.version([world.record(1, sha256=sha256)])
    (item,) = api.get(f"/v1/dataset-versions/{draft.id}/images").json()["items"]
    answer = api.get(item["thumbnail_url"])
    assert (answer.status_code, answer.json()["code"]) == (422, "no_thumbnail")
    assert answer.json()["reason"] == "unreadable_image"


def test_a_thumbnail_is_made_once(world: World, api: httpx.Client) -> None:
    (url,) = images(world, api, 1)
    first = api.get(url)
    assert first.status_code == 200
    with stopped():
        assert api.get(url).content == first.content
