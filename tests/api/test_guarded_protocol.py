"""What a connection may cost before, behind and beside the bodies of its requests."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from api.guarded_protocol import GuardedProtocol
from core.config import Settings
from tests.api.sockets import DEADLINE, connected, problem, to_the_end
from tests.api.world import World

POST = b"POST /v1/jobs/noop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def test_a_head_without_end_is_cut_off(world: World) -> None:
    most = Settings().max_header_bytes
    with connected(world) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Filler: ")
        connection.sendall(b"a" * (most + 1))
        assert problem(to_the_end(connection)) == (431, "head_too_large")


def test_many_headers_are_too_much_as_well(world: World) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (n, b"a" * 100) for n in range(1000))
    with connected(world) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n")
        assert problem(to_the_end(connection)) == (431, "head_too_large")


def test_a_head_below_the_limit_is_read(world: World) -> None:
    filler = "a" * (Settings().max_header_bytes - 1000)
    assert world.client().get("/healthz", headers={"X-Filler": filler}).status_code == 200


def test_a_slow_head_is_given_up(world: World) -> None:
    with connected(world) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        assert problem(to_the_end(connection)) == (408, "head_too_slow")


def test_a_silent_connection_is_closed(world: World) -> None:
    with connected(world) as connection:
        assert to_the_end(connection) == b""


def test_a_second_request_on_a_connection_has_the_same_limits(world: World) -> None:
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(world) as connection:
        connection.sendall(whole)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(whole[:-1])
        assert problem(to_the_end(connection)) == (408, "head_too_slow")


def test_an_empty_line_after_a_request_starts_the_clock(world: World) -> None:
    with connected(world) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"\r\n")
        assert problem(to_the_end(connection)) == (408, "head_too_slow")


@pytest.mark.parametrize("rest", [b"x", b"x" * 1000], ids=["a part", "all"])
def test_the_rest_of_a_body_that_was_refused_holds_no_connection(world: World, rest: bytes) -> None:
    with connected(world) as connection:
        connection.sendall(POST + b"Content-Length: 1000\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        connection.sendall(rest)
        assert to_the_end(connection) == b""


def test_a_slow_second_head_does_not_break_into_the_first_answer(world: World) -> None:
    key = f"Authorization: Bearer {world.key()}\r\nPrefer: wait=2\r\n".encode()
    with connected(world) as connection:
        connection.sendall(POST + key + b"Content-Length: 2\r\n\r\n{}GET /healthz HT")
        assert connection.recv(65536).startswith(b"HTTP/1.1 202")


def send_fields(connection: socket.socket, count: int) -> None:
    for _ in range(count):
        connection.sendall(b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(60)))


def test_trailers_without_end_are_cut_off(world: World) -> None:
    with connected(world) as connection:
        connection.sendall(POST + CHUNKED + b"0\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_fields(connection, 400)


def test_one_trailer_without_end_is_cut_off(world: World) -> None:
    with connected(world) as connection:
        connection.sendall(POST + CHUNKED + b"0\r\nX-Filler: ")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(400):
                connection.sendall(b"y" * 60_000)


Talk = Callable[[GuardedProtocol, asyncio.StreamReader], Awaitable[None]]


def wired(talk: Talk) -> None:
    """Let ``talk`` feed the protocol read by read; the application answers with what it was sent.

    The answer has a line for each header and one for the body.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        lines = [f"{name}={value}" for name, value in request.headers.items()]
        await PlainTextResponse("\n".join([*lines, f"{len(body)} bytes"]))(scope, receive, send)

    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        config = uvicorn.Config(application, ws="none", access_log=False, log_level="warning")
        transport, protocol = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: GuardedProtocol(config, ServerState(), {}), sock=ours
        )
        reader, writer = await asyncio.open_connection(sock=theirs)
        try:
            async with asyncio.timeout(DEADLINE):
                await talk(protocol, reader)
        finally:
            writer.close()
            transport.close()
            await asyncio.sleep(0)

    asyncio.run(scenario())


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, list[str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(line for line in head.lower().splitlines() if line.startswith("content-length"))
    body = await reader.readexactly(int(length.split(":")[1]))
    return int(head.split()[1]), body.decode().splitlines()


def test_trailers_are_dropped() -> None:
    """Also the last one, which the parser could keep for the next request."""

    async def talk(protocol: GuardedProtocol, reader: asyncio.StreamReader) -> None:
        protocol.data_received(b"POST / HTTP/1.1\r\nHost: a\r\n" + CHUNKED + b"1\r\nz\r\n0\r\n")
        protocol.data_received(b"X-Role: admin\r\nX-Last: one\r\n\r\n")
        assert await answer_of(reader) == (200, ["host=a", "transfer-encoding=chunked", "1 bytes"])
        protocol.data_received(b"GET / HTTP/1.1\r\nHost: b\r\n\r\n")
        assert await answer_of(reader) == (200, ["host=b", "0 bytes"])

    wired(talk)


def test_too_many_trailers_are_refused_while_nothing_is_answered() -> None:
    async def talk(protocol: GuardedProtocol, reader: asyncio.StreamReader) -> None:
        protocol.data_received(b"POST / HTTP/1.1\r\nHost: a\r\n" + CHUNKED + b"0\r\n")
        protocol.data_received(b"X-Filler: " + b"y" * Settings().max_header_bytes)
        assert problem(await reader.read()) == (431, "head_too_large")

    wired(talk)


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_head_may_end_within_two_reads(kept: int) -> None:
    body = b"x" * (3 * Settings().max_header_bytes)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)

    async def talk(protocol: GuardedProtocol, reader: asyncio.StreamReader) -> None:
        protocol.data_received(head[:-kept])
        protocol.data_received(head[-kept:] + body)
        status, lines = await answer_of(reader)
        assert (status, lines[-1]) == (200, f"{len(body)} bytes")

    wired(talk)


@pytest.mark.parametrize(("above", "status"), [(0, 200), (1, 431)])
@pytest.mark.parametrize("size", [100, 1000, 10**6])
def test_the_limit_of_a_head_is_exact_however_it_is_cut(above: int, status: int, size: int) -> None:
    start, end = b"GET / HTTP/1.1\r\nHost: a\r\nX-Filler: ", b"\r\n\r\n"
    filler = Settings().max_header_bytes + above - len(start + end)
    head = start + b"y" * filler + end

    async def talk(protocol: GuardedProtocol, reader: asyncio.StreamReader) -> None:
        for at in range(0, len(head), size):
            protocol.data_received(head[at : at + size])
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 %d" % status)

    wired(talk)
