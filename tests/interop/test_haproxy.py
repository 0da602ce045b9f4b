"""Behind Debian's HAProxy an SCP learns who the client is (examples/proxy_protocol.py)."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from dul_fsm import Handler, associate, serve
from dul_fsm.transports import TCP, Transport
from examples.proxy_protocol import ProxyProtocol
from tests.interop.programs import HOST, Program, eventually, free_port, listens

pytestmark = pytest.mark.interop

HAPROXY = Path("/usr/sbin/haproxy")


@pytest.fixture
def haproxy() -> Path:
    if not os.access(HAPROXY, os.X_OK):
        missing = f"{HAPROXY} is not installed (Debian package: haproxy)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return HAPROXY


class Remembering:
    """An endpoint that remembers what its end was called."""

    def __init__(self, endpoint: TCP) -> None:
        self._endpoint = endpoint
        self.listen = endpoint.listen
        self.local = ""

    def connect(self, timeout: float | None) -> Transport:
        transport = self._endpoint.connect(timeout)
        self.local = transport.local
        return transport


def test_an_scp_behind_haproxy_learns_the_real_client_s_address(
    haproxy: Path, tmp_path: Path
) -> None:
    seen: list[str] = []
    closed = threading.Event()

    class Who(Handler):
        def closed(self) -> None:
            if self.request is not None:
                seen.append(self.peer)
                closed.set()

    with serve(Who, ProxyProtocol(TCP(HOST, 0))) as server:
        port = free_port()
        configuration = tmp_path / "haproxy.cfg"
        configuration.write_text(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n"
            f"listen dicom\n bind {HOST}:{port}\n"
            f" server archive {HOST}:{server.port} send-proxy-v2\n"
        )
        with Program((haproxy, "-db", "-f", configuration), tmp_path / "log") as running:
            eventually(lambda: listens(port) or not running.running, "haproxy listens")
            assert running.running, running.output
            endpoint = Remembering(TCP(HOST, port))
            with associate(endpoint) as association:
                assert association.c_echo().status == 0
            assert closed.wait(20)
    assert seen == [endpoint.local]
    assert endpoint.local.startswith(f"{HOST}:")
