"""Which addresses may be connected to."""

from ipaddress import ip_address

import pytest

from chancery.outgoing_rules import AddressPolicy


@pytest.mark.parametrize("text", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_global_addresses_are_open(text: str) -> None:
    assert AddressPolicy().permits(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "::",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "fd12::1",
        "224.0.0.1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
        "255.255.255.255",
    ],
)
def test_everything_else_is_closed(text: str) -> None:
    assert not AddressPolicy().permits(ip_address(text))


def test_the_operator_opens_a_network() -> None:
    policy = AddressPolicy.of(["10.0.0.0/8", "fd12::/16"], [])
    assert policy.permits(ip_address("10.9.8.7"))
    assert policy.permits(ip_address("::ffff:10.9.8.7"))
    assert policy.permits(ip_address("fd12::5"))
    assert not policy.permits(ip_address("192.168.0.1"))


def test_deny_wins_over_allow() -> None:
    policy = AddressPolicy.of(["0.0.0.0/0"], ["169.254.0.0/16", "10.0.0.5"])
    assert policy.permits(ip_address("10.0.0.4"))
    assert not policy.permits(ip_address("10.0.0.5"))
    assert not policy.permits(ip_address("169.254.169.254"))
    assert not policy.permits(ip_address("::ffff:169.254.169.254"))


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="neither"):
        AddressPolicy.of(["10.0.0.0/33"], [])
