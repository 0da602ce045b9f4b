"""Names to addresses to connections to text: what every transport over IP needs."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, NamedTuple, TypeAlias

SocketAddress: TypeAlias = Any
"""What `socket` calls an address: a tuple that depends on the family."""


class Address(NamedTuple):
    """One address that a host name stands for."""

    family: socket.AddressFamily
    sockaddr: SocketAddress

    def __str__(self) -> str:
        return address_text(self.sockaddr)


def resolve(host: str, port: int, *, passive: bool = False) -> list[Address]:
    """All TCP addresses of `host`, in the order to try them, at least one.

    `passive`: an address to listen on; then an empty `host` means every interface. Blocks while
    the system looks the name up: no timeout reaches in there. Raises `socket.gaierror`, an
    `OSError`, whose text names the host.
    """
    flags = socket.AI_PASSIVE if passive else 0
    try:
        if "\0" in host:
            # Python 3.11 would look up what stands before it: another host.
            raise ValueError("a NUL")
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, f"{host!r}: {error.strerror}") from None
    except ValueError:
        # What cannot be a name at all (a label of 64 letters) is just one more unknown name.
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r}: not a host name") from None
    return list(dict.fromkeys(Address(family, sockaddr) for family, _, _, _, sockaddr in found))


def address_text(sockaddr: SocketAddress) -> str:
    """HOST:PORT, an IPv6 host in brackets; empty if there is no address.

    An IPv4 peer of a socket that serves both families is shown as what it is, IPv4.
    """
    if not isinstance(sockaddr, tuple) or len(sockaddr) < 2:
        return ""
    host, port = str(sockaddr[0]).removeprefix("::ffff:"), sockaddr[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def begin_connect(address: Address) -> tuple[socket.socket, bool]:
    """A non-blocking socket that connects, and whether to wait until it is writable."""
    opening = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        opening.setblocking(False)
        failed = opening.connect_ex(address.sockaddr)
        if failed in (0, errno.EINPROGRESS, errno.EINTR):
            return opening, bool(failed)
        raise OSError(failed, os.strerror(failed))
    except BaseException:
        opening.close()
        raise


def check_connected(opening: socket.socket) -> None:
    """Raise what has kept it from connecting, an `OSError`, if anything has."""
    failed = opening.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if failed:
        raise OSError(failed, os.strerror(failed))


def located(error: OSError, address: Address) -> OSError:
    """The same error, with the address in its text."""
    return type(error)(error.errno, f"{address}: {os.strerror(error.errno or 0)}")


def all_of(failures: list[OSError]) -> OSError:
    """One error for those of all addresses that were tried, at least one."""
    if len(failures) == 1:
        return failures[0]
    last = failures[-1]
    text = "; ".join(str(failure.strerror) for failure in failures)
    return type(last)(last.errno, text)
