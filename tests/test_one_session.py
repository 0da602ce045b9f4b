"""The same two sessions over every wire there is: only the line with the transport changes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dul_fsm import TransportFailed, associate
from dul_fsm.transports import TCP, TLS, Faults, Loopback, client_context, server_context
from examples.proxy_protocol import ProxyProtocol
from examples.recording import Recording, read_recording
from examples.stdio_tunnel import Tunnel
from examples.unix_socket import UnixSocket
from tests.aio.support import run
from tests.certificates import Certificates, make
from tests.drivers.support import nothing_left
from tests.one_session import (
    IMAGES,
    async_scp_session,
    async_scu_session,
    scp_session,
    scu_session,
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    with nothing_left():
        yield


def test_over_tcp() -> None:
    with scp_session(TCP("127.0.0.1", 0)) as server:
        scu_session(TCP("127.0.0.1", server.port))


def test_over_tls(certificates: Certificates) -> None:
    ours = client_context(ca=certificates.ca, cert=certificates.client)
    theirs = server_context(ca=certificates.ca, cert=certificates.server)
    with scp_session(TLS("127.0.0.1", 0, theirs)) as server:
        scu_session(TLS("127.0.0.1", server.port, ours))


def test_over_a_loopback() -> None:
    loopback = Loopback()
    with scp_session(loopback):
        scu_session(loopback)


def test_over_a_loopback_that_cuts_everything_into_pieces() -> None:
    ragged = Faults(max_receive=9000, max_send=9000, seed=7)
    loopback = Loopback(faults=ragged, peer_faults=ragged)
    with scp_session(loopback):
        scu_session(loopback)


def test_over_a_unix_socket(tmp_path: Path) -> None:
    endpoint = UnixSocket(str(tmp_path / "dicom"))
    with scp_session(endpoint):
        scu_session(endpoint)
    assert not Path(endpoint.path).exists()


def test_through_a_child_process() -> None:
    """Each association has a child of its own, which ends with it."""
    scu_session(Tunnel([sys.executable, "-W", "error", "-m", "tests.one_session"]))


def test_behind_a_proxy() -> None:
    with scp_session(ProxyProtocol(TCP("127.0.0.1", 0))) as server:
        scu_session(ProxyProtocol(TCP("127.0.0.1", server.port)))


def test_with_a_recording_of_both_ends(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with scp_session(Recording(TCP("127.0.0.1", 0), theirs)) as server:
        scu_session(Recording(TCP("127.0.0.1", server.port), ours))

    def bytes_of(path: Path, direction: str) -> bytes:
        return b"".join(data for way, _, data in read_recording(path) if way == direction)

    sent = bytes_of(ours, ">")
    assert len(sent) > sum(map(len, IMAGES))
    assert sent.startswith(b"\x01\x00")
    assert bytes_of(theirs, "<") == sent
    assert bytes_of(ours, "<") == bytes_of(theirs, ">")


# In asyncio --------------------------------------------------------------------------------------


def test_over_tcp_in_asyncio() -> None:
    async def test() -> None:
        async with async_scp_session(TCP("127.0.0.1", 0)) as server:
            await async_scu_session(TCP("127.0.0.1", server.port))

    run(test)


def test_over_tls_in_asyncio(certificates: Certificates) -> None:
    ours = client_context(ca=certificates.ca, cert=certificates.client)
    theirs = server_context(ca=certificates.ca, cert=certificates.server)

    async def test() -> None:
        async with async_scp_session(TLS("127.0.0.1", 0, theirs)) as server:
            await async_scu_session(TLS("127.0.0.1", server.port, ours))

    run(test)


def test_over_a_loopback_in_asyncio() -> None:
    async def test() -> None:
        loopback = Loopback()
        async with async_scp_session(loopback):
            await async_scu_session(loopback)

    run(test)


def test_over_a_loopback_that_cuts_everything_into_pieces_in_asyncio() -> None:
    ragged = Faults(max_receive=9000, max_send=9000, seed=7)

    async def test() -> None:
        loopback = Loopback(faults=ragged, peer_faults=ragged)
        async with async_scp_session(loopback):
            await async_scu_session(loopback)

    run(test)


def test_over_a_unix_socket_in_asyncio(tmp_path: Path) -> None:
    async def test() -> None:
        endpoint = UnixSocket(str(tmp_path / "dicom"))
        async with async_scp_session(endpoint):
            await async_scu_session(endpoint)
        assert not Path(endpoint.path).exists()

    run(test)


def test_through_a_child_process_in_asyncio() -> None:
    """The other end is the blocking session: nobody can tell."""

    async def test() -> None:
        tunnel = Tunnel([sys.executable, "-W", "error", "-m", "tests.one_session"])
        await async_scu_session(tunnel)

    run(test)


# One in another, and none ------------------------------------------------------------------------


def test_over_transports_inside_each_other(certificates: Certificates, tmp_path: Path) -> None:
    """A wrapper wraps whatever there is: a recording of TLS is one of plain DICOM."""
    ours = client_context(ca=certificates.ca, cert=certificates.client)
    theirs = server_context(ca=certificates.ca, cert=certificates.server)
    with scp_session(ProxyProtocol(TLS("127.0.0.1", 0, theirs))) as server:
        tls = TLS("127.0.0.1", server.port, ours)
        scu_session(Recording(ProxyProtocol(tls), tmp_path / "call"))
    assert next(read_recording(tmp_path / "call"))[2].startswith(b"\x01\x00")


def test_a_tunnel_s_command_that_fails_is_told() -> None:
    with pytest.raises(TransportFailed, match="No such file"):
        associate(Tunnel(["/no/such/command"]))
    with pytest.raises(TransportFailed, match="the connection was"):
        associate(Tunnel([sys.executable, "-c", ""]))
