"""DCMTK over TLS, both ways: anonymous, authenticated and refused (PS3.15 Annex B)."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from dul_fsm import Message, TransportFailed
from dul_fsm.aio import Handler, associate, serve
from dul_fsm.transports import TLS, client_context, server_context
from tests.certificates import Certificates, make
from tests.files.samples import CT, stored
from tests.interop.conftest import StartListen
from tests.interop.programs import HOST, PATIENCE, Finished, Peer, dul_fsm, run, storescp

pytestmark = pytest.mark.interop

Program = Callable[[str], str]

# DCMTK's options for the profiles of BCP 195, §B.9 to §B.11 of PS3.15 2022d: its default is +py.
MODERN = ("+py", "+px", "+pz")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("certificates"))


def dcmtk(certificates: Certificates, name: str = "client") -> tuple[object, ...]:
    """What DCMTK is given to show a certificate and to check ours."""
    pem = getattr(certificates, name)  # holds the key and the certificate
    return ("+tls", pem, pem, "+cf", certificates.ca)


def ours(certificates: Certificates, name: str = "client") -> tuple[object, ...]:
    """What `dul-fsm` is given for the same."""
    return ("--tls", "--ca", certificates.ca, "--cert", getattr(certificates, name))


# DCMTK calls -------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", MODERN)
def test_authenticated_echoscu_and_storescu_are_served(
    listen: StartListen, peer: Program, certificates: Certificates, profile: str
) -> None:
    server = listen(*ours(certificates, "server"))
    options = (*dcmtk(certificates), profile)
    echoed = run(peer("echoscu"), "-v", *options, "--repeat", 3, HOST, server.port)
    assert echoed.status == 0, echoed
    assert echoed.output.count("Received Echo Response (Success)") == 3
    sent = run(peer("storescu"), "-v", "-R", *options, HOST, server.port, CT)
    assert sent.status == 0, sent
    server.says("released; 1 stored")
    assert len(server.files) == 1


def test_anonymous_dcmtk_is_served_where_no_certificate_is_required(
    listen: StartListen, peer: Program, certificates: Certificates
) -> None:
    server = listen("--tls", "--cert", certificates.server)
    anonymous = ("+tla", "+cf", certificates.ca)
    assert run(peer("echoscu"), *anonymous, HOST, server.port).status == 0
    assert run(peer("storescu"), "-R", *anonymous, HOST, server.port, CT).status == 0
    # One that shows a certificate all the same is as welcome.
    assert run(peer("echoscu"), *dcmtk(certificates), HOST, server.port).status == 0
    server.says("released; 1 stored")


def test_anonymous_and_unknown_dcmtk_are_refused_where_one_is(
    listen: StartListen, peer: Program, certificates: Certificates
) -> None:
    server = listen(*ours(certificates, "server"))
    refused = run(peer("echoscu"), "-v", "+tla", "+cf", certificates.ca, HOST, server.port)
    assert refused.status != 0, refused
    server.says("the peer has shown no certificate")
    refused = run(peer("echoscu"), "-v", *dcmtk(certificates, "stranger"), HOST, server.port)
    assert refused.status != 0, refused
    server.says("the peer's certificate is not accepted")
    assert run(peer("echoscu"), *dcmtk(certificates), HOST, server.port).status == 0


def test_dcmtk_that_does_not_trust_us_refuses(
    listen: StartListen, peer: Program, certificates: Certificates
) -> None:
    server = listen("--tls", "--cert", certificates.server)
    refused = run(peer("echoscu"), "-v", "+tla", "+cf", certificates.other_ca, HOST, server.port)
    assert refused.status != 0, refused
    server.says("the peer refuses the TLS connection")


@pytest.mark.parametrize("profile", ["+pa", "+pn"])
def test_retired_profiles_of_dcmtk_are_refused(
    listen: StartListen, peer: Program, certificates: Certificates, profile: str
) -> None:
    """AES with static RSA keys (PS3.15 2017c §B.3), and no encryption at all."""
    server = listen(*ours(certificates, "server"))
    refused = run(peer("echoscu"), "-v", *dcmtk(certificates), profile, HOST, server.port)
    assert refused.status != 0, refused
    server.says("no cipher suite in common with the peer")


def test_plain_dcmtk_at_a_tls_port_ends_at_once(
    listen: StartListen, peer: Program, certificates: Certificates
) -> None:
    server = listen(*ours(certificates, "server"))
    refused = run(peer("echoscu"), "-v", HOST, server.port, seconds=PATIENCE)
    assert refused.status != 0, refused
    server.says("the peer does not speak TLS: the first byte that it sends is 01H")


def test_tls_dcmtk_at_a_plain_port_ends_at_once(
    listen: StartListen, peer: Program, certificates: Certificates
) -> None:
    server = listen()
    refused = run(peer("echoscu"), "-v", *dcmtk(certificates), HOST, server.port, seconds=PATIENCE)
    assert refused.status != 0, refused
    assert run(peer("echoscu"), HOST, server.port).status == 0


# DCMTK is called ---------------------------------------------------------------------------------


@pytest.fixture
def scp(peer: Program, tmp_path: Path) -> Callable[..., AbstractContextManager[Peer]]:
    """`with scp("-ic") as peer:`: a running storescp."""

    def start(*options: object) -> AbstractContextManager[Peer]:
        return storescp(peer("storescp"), tmp_path / "scp", "-v", *options)

    return start


StartSCP = Callable[..., AbstractContextManager[Peer]]


def call(command: str, port: int, *options: object) -> Finished:
    """`dul-fsm echo` or `dul-fsm store`."""
    return dul_fsm(command, HOST, port, *([CT] if command == "store" else []), *options)


@pytest.mark.parametrize("profile", MODERN)
def test_echo_and_store_are_served_by_storescp(
    scp: StartSCP, certificates: Certificates, profile: str
) -> None:
    with scp(*dcmtk(certificates, "server"), profile, "+B") as theirs:
        for command in ("echo", "store"):
            done = call(command, theirs.port, *ours(certificates))
            assert done.status == 0, done
        theirs.says("Association Release")
        (kept,) = (path for path in theirs.log.parent.iterdir() if path != theirs.log)
        assert stored(kept) == stored(CT)


def test_an_anonymous_echo_is_served_by_a_storescp_that_asks_for_no_certificate(
    scp: StartSCP, certificates: Certificates
) -> None:
    with scp(*dcmtk(certificates, "server"), "-ic") as theirs:
        done = call("echo", theirs.port, "--tls", "--ca", certificates.ca)
        assert done.status == 0, done


@pytest.mark.parametrize("command", ["echo", "store"])
@pytest.mark.parametrize("name", ["", "stranger"])
def test_a_storescp_that_refuses_us_is_reported(
    scp: StartSCP, certificates: Certificates, command: str, name: str
) -> None:
    shown = ours(certificates, name) if name else ("--tls", "--ca", certificates.ca)
    with scp(*dcmtk(certificates, "server")) as theirs:
        done = call(command, theirs.port, *shown)
        assert done.status == 1, done
        assert "the peer refuses the TLS connection" in done.output
        assert "--cert" in done.output


def test_a_storescp_that_we_do_not_trust_is_reported(
    scp: StartSCP, certificates: Certificates
) -> None:
    with scp(*dcmtk(certificates, "elsewhere"), "-ic") as theirs:
        done = call("echo", theirs.port, *ours(certificates))
        assert done.status == 1, done
        assert "IP address mismatch" in done.output


def test_tls_at_a_plain_storescp_and_plain_at_a_tls_one_end_at_once(
    scp: StartSCP, certificates: Certificates, peer: Program, tmp_path: Path
) -> None:
    with scp() as theirs:
        done = call("echo", theirs.port, *ours(certificates))
        assert done.status == 1, done
        assert "speak TLS" in done.output
    options = dcmtk(certificates, "server")
    with storescp(peer("storescp"), tmp_path / "tls", "-v", *options) as theirs:
        done = call("echo", theirs.port)
        assert done.status == 1, done
        assert "TLS" in done.output


# In asyncio --------------------------------------------------------------------------------------


def test_dcmtk_is_served_in_asyncio(peer: Program, certificates: Certificates) -> None:
    """Authenticated, refused, and without TLS; nothing but that the server is another one."""
    stored_lengths: list[int] = []

    class SCP(Handler):
        async def c_store_requested(self, message: Message) -> int:
            stored_lengths.append(len(message.data_set))
            return 0

    async def test() -> None:
        context = server_context(ca=certificates.ca, cert=certificates.server)
        async with serve(SCP, TLS(HOST, 0, context)) as server:

            async def call(*command: object) -> int:
                return (await asyncio.to_thread(run, *command, HOST, server.port)).status

            options = dcmtk(certificates)
            assert await call(peer("echoscu"), *options) == 0
            sent = await asyncio.to_thread(
                run, peer("storescu"), "-R", *options, HOST, server.port, CT
            )
            assert sent.status == 0, sent
            assert await call(peer("echoscu"), "+tla", "+cf", certificates.ca) != 0
            assert await call(peer("echoscu"), *dcmtk(certificates, "stranger")) != 0
            assert await call(peer("echoscu")) != 0
            assert await call(peer("echoscu"), *options) == 0

    asyncio.run(test())
    assert len(stored_lengths) == 1


def test_an_anonymous_dcmtk_is_served_in_asyncio(peer: Program, certificates: Certificates) -> None:
    async def test() -> None:
        context = server_context(cert=certificates.server, require_client_certificate=False)
        async with serve(endpoint=TLS(HOST, 0, context)) as server:
            options = ("+tla", "+cf", certificates.ca, HOST, server.port)
            assert (await asyncio.to_thread(run, peer("echoscu"), *options)).status == 0

    asyncio.run(test())


def test_storescp_is_called_in_asyncio(scp: StartSCP, certificates: Certificates) -> None:
    async def test(port: int) -> None:
        context = client_context(ca=certificates.ca, cert=certificates.client)
        async with associate(TLS(HOST, port, context), files=[CT]) as association:
            assert (await association.c_echo()).status == 0
            assert (await association.c_store_file(CT)).status == 0
        anonymous = TLS(HOST, port, client_context(ca=certificates.ca))
        with pytest.raises(TransportFailed, match="the peer refuses the TLS connection"):
            await associate(anonymous)

    with scp(*dcmtk(certificates, "server"), "+B") as theirs:
        asyncio.run(test(theirs.port))
        theirs.says("Association Release")
        (kept,) = (path for path in theirs.log.parent.iterdir() if path != theirs.log)
        assert stored(kept) == stored(CT)


# OpenSSL itself ----------------------------------------------------------------------------------


def test_an_openssl_client_that_changes_its_keys_is_answered(
    listen: StartListen, peer: Program, certificates: Certificates
) -> None:
    """K in `s_client` is a KeyUpdate that asks for one in return (RFC 8446 §4.6.3)."""
    server = listen("--tls", "--cert", certificates.server, "--artim", 2)
    with subprocess.Popen(
        [peer("openssl"), "s_client", "-connect", f"{HOST}:{server.port}", "-tls1_3"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as client:
        assert client.stdin is not None
        client.stdin.write(b"K\n")
        client.stdin.flush()
        output = client.communicate(timeout=PATIENCE)[0].decode(errors="replace")
    assert "KEYUPDATE" in output
    assert "alert" not in output.lower().replace("no alert", "")
