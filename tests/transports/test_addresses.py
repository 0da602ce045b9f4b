"""Names to addresses to text."""

from __future__ import annotations

import socket
from typing import NoReturn

import pytest

from dul_fsm.transports.addresses import Address, address_text, resolve


@pytest.mark.parametrize(
    ("sockaddr", "text"),
    [
        (("127.0.0.1", 104), "127.0.0.1:104"),
        (("::1", 11112, 0, 0), "[::1]:11112"),
        (("::ffff:192.0.2.7", 104, 0, 0), "192.0.2.7:104"),
        (("fe80::1%eth0", 104, 0, 2), "[fe80::1%eth0]:104"),
        (("pacs.example", 104), "pacs.example:104"),
        (("", 104), ":104"),
        ("", ""),
        (None, ""),
    ],
)
def test_an_address_reads_as_host_and_port(sockaddr: object, text: str) -> None:
    assert address_text(sockaddr) == text


def test_a_numeric_host_stands_for_itself() -> None:
    assert resolve("127.0.0.1", 104) == [Address(socket.AF_INET, ("127.0.0.1", 104))]
    assert str(resolve("::1", 104)[0]) == "[::1]:104"


def test_no_host_is_this_host_to_connect_to_and_every_interface_to_listen_on() -> None:
    assert {a.sockaddr[0] for a in resolve("", 104)} <= {"127.0.0.1", "::1"}
    assert {a.sockaddr[0] for a in resolve("", 104, passive=True)} <= {"0.0.0.0", "::"}


def test_an_address_that_the_system_lists_twice_is_tried_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 104))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [entry, entry])
    assert len(resolve("localhost", 104)) == 1


# Refused before the system is asked: no test sends a query to a name server.
@pytest.mark.parametrize("host", ["a" * 64 + ".example", "127.0.0.1\0byte", ".."])
def test_what_cannot_be_a_host_is_an_unknown_name_that_the_error_shows(host: str) -> None:
    with pytest.raises(socket.gaierror) as raised:
        resolve(host, 104)
    assert repr(host) in str(raised.value)


def test_a_name_that_does_not_resolve_is_named_in_the_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OSError, match=r"'pacs\.invalid': Name or service not known"):
        resolve("pacs.invalid", 104)
