from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.webhooks.addresses import Policy, Refused, check_address, check_url, parse_networks

PUBLIC = Policy()
INSIDE = Policy(parse_networks("10.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, fd00::/8"), http=True)


def code_of(url: str, policy: Policy = PUBLIC) -> str | None:
    try:
        check_url(url, policy)
    except Refused as reason:
        return reason.code
    return None


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hooks.example/", "scheme_refused"),
        ("ftp://hooks.example/", "scheme_refused"),
        ("file:///etc/passwd", "scheme_refused"),
        ("gopher://hooks.example/", "scheme_refused"),
        ("//hooks.example/", "scheme_refused"),
        ("https://127.0.0.1/", "address_refused"),
        ("https://localhost/", "address_refused"),
        ("https://a.LOCALHOST./", "address_refused"),
        ("https://10.1.2.3/", "address_refused"),
        ("https://192.168.1.1:8443/", "address_refused"),
        ("https://169.254.169.254/latest/meta-data", "address_refused"),
        ("https://0.0.0.0/", "address_refused"),
        ("https://255.255.255.255/", "address_refused"),
        ("https://224.0.0.1/", "address_refused"),
        ("https://[::1]/", "address_refused"),
        ("https://[::]/", "address_refused"),
        ("https://[fe80::1]/", "address_refused"),
        ("https://[fd00::1]/", "address_refused"),
        ("https://[ff02::1]/", "address_refused"),
        ("https://[::ffff:10.0.0.1]/", "address_refused"),
        ("https://[::ffff:a9fe:a9fe]/", "address_refused"),
        ("https://[::7f00:1]/", "address_refused"),
        ("https://[64:ff9b::7f00:1]/", "address_refused"),
        ("https://[64:ff9b:1::7f00:1]/", "address_refused"),
        ("https://[2002:7f00:1::]/", "address_refused"),
        ("https://[2001:0:7f00:1::1]/", "address_refused"),
        ("https://2130706433/", "invalid_url"),
        ("https://0x7f000001/", "invalid_url"),
        ("https://0x7f.1/", "invalid_url"),
        ("https://0177.0.0.1/", "invalid_url"),
        ("https://127.1/", "invalid_url"),
        ("https://127.0.0.1./", "invalid_url"),
        ("https://127.0.0.01/", "invalid_url"),
        ("https://[fe80::1%25eth0]/", "invalid_url"),
        ("https://user:pass@hooks.example/", "invalid_url"),
        ("https://hooks.example@10.0.0.1/", "invalid_url"),
        ("https://hooks.example#@10.0.0.1/", "invalid_url"),
        ("https://hooks.example\\@10.0.0.1/", "invalid_url"),
        ("https://hooks.example/\r\nHost: x", "invalid_url"),
        ("https://hooks.example/a b", "invalid_url"),
        ("https://①②⑦.0.0.1/", "invalid_url"),
        ("https://hooks.example:0/", "invalid_url"),
        ("https://hooks.example:65536/", "invalid_url"),
        ("https://hooks..example/", "invalid_url"),
        ("https:///path", "invalid_url"),
        ("https://[::1/", "invalid_url"),
        ("https://" + "a" * 300 + ".example/", "invalid_url"),
        ("https://hooks.example/" + "a" * 2000, "invalid_url"),
    ],
)
def test_urls_that_are_refused(url: str, code: str) -> None:
    assert code_of(url) == code


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "header"),
    [
        ("https://hooks.example", "hooks.example", 443, "/", "hooks.example"),
        ("https://Hooks.Example:8443/a?b=1", "hooks.example", 8443, "/a?b=1", "hooks.example:8443"),
        ("https://8.8.8.8/", "8.8.8.8", 443, "/", "8.8.8.8"),
        ("https://[2606:4700::1]/", "2606:4700::1", 443, "/", "[2606:4700::1]"),
        ("https://[64:ff9b::808:808]/", "64:ff9b::808:808", 443, "/", "[64:ff9b::808:808]"),
        ("https://xn--bcher-kva.example/", *("xn--bcher-kva.example", 443, "/"), None),
    ],
)
def test_urls_that_are_taken(url: str, host: str, port: int, path: str, header: str | None) -> None:
    target = check_url(url, PUBLIC)
    assert (target.host, target.port, target.path) == (host, port, path)
    assert target.host_header == (header or host)


def test_the_operator_can_allow_networks_and_http() -> None:
    assert code_of("http://10.1.2.3/", INSIDE) is None
    assert code_of("http://localhost:9000/", INSIDE) is None
    assert code_of("https://[fd12::1]/", INSIDE) is None
    assert code_of("https://[::ffff:10.0.0.1]/", INSIDE) is None
    assert code_of("https://192.168.1.1/", INSIDE) == "address_refused"
    assert code_of("https://[::1]/", INSIDE) == "address_refused"


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254",
     "168.63.129.16", "100.100.100.200"],
)  # fmt: skip
def test_metadata_services_stay_shut_within_an_allowed_network(address: str) -> None:
    everything = Policy(parse_networks("0.0.0.0/0,::/0"))
    with pytest.raises(Refused):
        check_address(ipaddress.ip_address(address), everything)


@given(st.ip_addresses())
def test_nothing_that_the_library_calls_special_is_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    special = (
        address.is_private or address.is_loopback or address.is_link_local
        or address.is_multicast or address.is_reserved or address.is_unspecified
    )  # fmt: skip
    stands_for_v4 = any(
        address in ipaddress.ip_network(net) for net in ("64:ff9b::/96", "::ffff:0:0/96")
    )
    try:
        check_address(address, PUBLIC)
    except Refused:
        return
    assert stands_for_v4 or not special


def test_public_addresses_are_not_refused() -> None:
    for text in ("1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2a00::1"):
        check_address(ipaddress.ip_address(text), PUBLIC)


def test_networks_that_are_none_stop_the_service_at_its_start() -> None:
    from pydantic import ValidationError

    from core.config import Settings

    with pytest.raises(ValidationError):
        Settings(webhook_networks="10.0.0.0/8,hospital")
