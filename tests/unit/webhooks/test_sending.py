"""Deliveries over real sockets; ``find`` stands in for the name server."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme

from core.webhooks.addresses import Address, Policy, parse_networks
from core.webhooks.connection import Failed, resolve
from core.webhooks.sending import Received, post
from tests.receiver import Receiver, receiver

LOCAL = Policy(parse_networks("127.0.0.0/8"), http=True)
LOOPBACK = ipaddress.ip_address("127.0.0.1")
HEADERS = {"webhook-id": "whd_1"}
LONG = 30.0


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


class Names:
    """A name server that gives one answer after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = [[ipaddress.ip_address(text) for text in answer] for answer in answers]
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


def send(url: str, policy: Policy = LOCAL, seconds: float = LONG, **options: Any) -> Received:
    return post(url, b'{"a":1}', HEADERS, policy, seconds, **options)


def failure(url: str, policy: Policy = LOCAL, seconds: float = LONG, **options: Any) -> str:
    with pytest.raises(Failed) as error:
        send(url, policy, seconds, **options)
    return error.value.code


def test_a_message_arrives(there: Receiver) -> None:
    assert send(there.url + "a?b=%20c") == Received(204)
    (got,) = there.got
    assert (got.path, got.body) == ("/a?b=%20c", b'{"a":1}')
    assert got.headers["webhook-id"] == "whd_1"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["host"] == f"127.0.0.1:{there.port}"


@pytest.mark.parametrize(
    ("status", "taken", "gone"), [(200, True, False), (410, False, True), (500, False, False)]
)
def test_the_answer_is_its_status(there: Receiver, status: int, taken: bool, gone: bool) -> None:
    there.answer = lambda _: (status, {"Retry-After": "7"})
    received = send(there.url)
    assert (received.taken, received.gone, received.retry_after) == (taken, gone, 7)


@pytest.mark.parametrize("value", ["-1", "soon", "99999999999999", ""])
def test_a_retry_after_that_is_no_number_is_not_believed(there: Receiver, value: str) -> None:
    there.answer = lambda _: (503, {"Retry-After": value})
    assert send(there.url).retry_after == 0


def test_redirects_are_not_followed(there: Receiver) -> None:
    there.answer = lambda _: (307, {"Location": f"{there.url}secret"})
    assert send(there.url) == Received(307)
    assert [got.path for got in there.got] == ["/"]


def test_proxies_of_the_environment_are_not_used(
    there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert send(there.url).taken


# Addresses


def test_without_a_setting_nothing_inside_is_reached(there: Receiver) -> None:
    name = f"http://hooks.test:{there.port}/"
    public = Policy(http=True)
    assert failure(name, public, find=Names(["127.0.0.1"])) == "address_refused"
    assert failure(there.url, public) == "address_refused"
    assert failure(name, public, find=Names(["::ffff:127.0.0.1"])) == "address_refused"
    assert there.got == []


def test_one_refused_address_condemns_the_host(there: Receiver) -> None:
    for answer in (["127.0.0.1", "169.254.169.254"], ["10.0.0.1", "127.0.0.1"]):
        assert failure(f"http://hooks.test:{there.port}/", find=Names(answer)) == "address_refused"
    assert there.got == []


def test_the_address_that_was_checked_is_the_one_connected_to(there: Receiver) -> None:
    """A name server that says something else the second time is not asked a second time."""
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    assert send(f"http://rebind.test:{there.port}/x", find=names).taken
    assert names.asked == ["rebind.test"]
    assert there.got[0].headers["host"] == f"rebind.test:{there.port}"
    assert failure(f"http://rebind.test:{there.port}/x", find=names) == "address_refused"


def test_the_next_address_is_tried(there: Receiver) -> None:
    names = Names(["127.0.0.2", "127.0.0.1"])
    assert send(f"http://hooks.test:{there.port}/", find=names).taken


def test_the_real_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LOOPBACK in resolve("127.0.0.1", 80)

    def nobody(*_: object, **__: object) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    assert failure("https://nowhere.test/") == "host_not_found"


def test_what_a_resolver_makes_of_odd_numbers_is_checked_all_the_same() -> None:
    """Were one let through by the form of the URL, its meaning would still be refused."""
    for text in ("2130706433", "0x7f.1", "127.1"):
        assert resolve(text, 80) == [LOOPBACK]


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert failure(f"http://127.0.0.1:{port}/") == "connection_failed"


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_tls_names_and_verifies_the_host_not_the_address(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    with receiver(server_context(authority, "hooks.test")) as there:
        url = f"https://hooks.test:{there.port}/"
        assert send(url, find=Names(["127.0.0.1"]), tls=trusting).taken
        assert there.names == ["hooks.test"]
        assert there.got[0].headers["host"] == f"hooks.test:{there.port}"


def test_a_certificate_of_another_host_or_authority_is_refused(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    with receiver(server_context(authority, "other.test")) as there:
        url = f"https://hooks.test:{there.port}/"
        assert failure(url, find=Names(["127.0.0.1"]), tls=trusting) == "connection_failed"
    with receiver(server_context(authority, "hooks.test")) as there:
        url = f"https://hooks.test:{there.port}/"
        assert failure(url, find=Names(["127.0.0.1"])) == "connection_failed"
        assert there.got == []


# Receivers that mean no good


@contextmanager
def raw_server(*parts: bytes) -> Iterator[str]:
    """Say the parts, the last one again and again until the sender goes away."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            try:
                for part in parts:
                    connection.sendall(part)
                while parts:
                    connection.sendall(parts[-1])
                    stop.wait(0.0 if len(parts[-1]) > 1 else 0.02)
                stop.wait()
            except OSError:
                return

    stop = threading.Event()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        stop.set()
        listening.close()
        thread.join()


def test_silence_ends_in_time() -> None:
    with raw_server() as url:
        assert failure(url, seconds=0.3) == "timeout"


def test_an_answer_letter_by_letter_ends_in_time() -> None:
    """Every single read is quick, so that no timeout of a read would ever end it."""
    with raw_server(b"HTTP/1.1 200 OK\r\nX: ", b"a") as url:
        assert failure(url, seconds=0.5) == "timeout"


def test_endless_headers_are_cut_off() -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\n", b"X: " + b"a" * 999 + b"\r\n") as url:
        assert failure(url) in ("answer_too_long", "connection_failed")


def test_an_endless_body_costs_little_and_counts_as_the_answer_it_is() -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 999) as url:
        assert send(url) == Received(200)


@pytest.mark.parametrize("said", [b"\0\1\2", b"SSH-2.0-OpenSSH_9\r\n\r\n", b"HTTP/9 x\r\n\r\n"])
def test_what_is_no_http_is_a_failure(said: bytes) -> None:
    with raw_server(said) as url:
        assert failure(url, seconds=5) in ("connection_failed", "answer_too_long")
