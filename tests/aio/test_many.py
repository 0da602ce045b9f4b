"""Thousands of connections at once into one asyncio process, and a valid client served within 1 s.

The server is a process of its own: the figures are its alone, and each side has a descriptor for
each connection.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dul_fsm import associate as associate_blocking
from dul_fsm.aio import SCUAssociation, associate, raise_descriptor_limit
from dul_fsm.aio import descriptors as descriptors_module
from tests.aio.support import run

SERVED_WITHIN = 1.0
"""Seconds in which a valid client must have its association, an echo and its release."""

PATIENCE = 60.0


class Serving:
    """The other process."""

    def __init__(self, port: int, door: int) -> None:
        self.port = port
        self._door = door

    def ask(self, what: str = "look") -> dict[str, int]:
        """How it is."""
        with socket.create_connection(("127.0.0.1", self._door), PATIENCE) as sock:
            sock.sendall(f"{what}\n".encode())
            told = b""
            while piece := sock.recv(4096):
                told += piece
        figures: dict[str, int] = json.loads(told)
        return figures

    def until(self, name: str, wanted: int, slack: int = 0) -> dict[str, int]:
        """Wait until one of its figures is that, or so little more."""
        by = time.monotonic() + PATIENCE
        while not 0 <= (figures := self.ask())[name] - wanted <= slack:
            assert time.monotonic() < by, figures
            threading.Event().wait(0.1)
        return self.ask("collect") if not slack else figures


@contextmanager
def serving(artim: float, *more: str) -> Iterator[Serving]:
    """A server in another process."""
    here = Path(__file__)
    environment = {**os.environ, "PYTHONPATH": str(here.parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(here.with_name("serving.py")), str(artim), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )
    assert process.stdout is not None
    with process:
        port, door = process.stdout.readline().split()
        yield Serving(int(port), int(door))
        _, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, errors) == (0, "")


class Probe:
    """A valid client, again and again, in a thread; how long it took."""

    def __init__(self, port: int) -> None:
        self.seconds: list[float] = []
        self.failures: list[BaseException] = []
        self._port = port
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._enough.wait(0.01):
                began = time.monotonic()
                with associate_blocking("127.0.0.1", self._port) as association:
                    assert association.c_echo().status == 0
                self.seconds.append(time.monotonic() - began)
        except BaseException as error:
            self.failures.append(error)

    def worst(self) -> float:
        """Stop, and say the longest that it took."""
        self._enough.set()
        self._thread.join(PATIENCE)
        assert self.failures == []
        assert len(self.seconds) > 5
        return max(self.seconds)


def test_an_idle_association_takes_little_memory() -> None:
    with serving(30, "1000", "traced") as server:

        async def measure() -> float:
            async with associate("127.0.0.1", server.port) as association:
                await association.c_echo()
            before = await asyncio.to_thread(server.until, "connections", 0)
            associations = await open_many(server.port, 200)
            after = await asyncio.to_thread(server.until, "associations", 200)
            await asyncio.gather(*(association.release() for association in associations))
            await asyncio.get_running_loop().shutdown_default_executor()
            return (after["traced"] - before["traced"]) / 200

        each = run(measure)
        print(f"{each / 1024:.1f} KiB traced for each idle association")
        assert each <= 24 * 1024


def test_a_thousand_associations_at_once() -> None:
    room = raise_descriptor_limit(1200)
    if room < 1200:
        pytest.skip(f"no more than {room} descriptors allowed: ulimit -Hn")
    with serving(30, "1100") as server:

        async def test() -> None:
            async with associate("127.0.0.1", server.port) as association:
                await association.c_echo()
            before = await asyncio.to_thread(server.until, "connections", 0)
            probe = Probe(server.port)
            began = time.monotonic()
            associations = await open_many(server.port, 1000)
            opened = time.monotonic() - began
            await asyncio.sleep(0.3)  # for the valid client, while all of them are open
            worst = await asyncio.to_thread(probe.worst)
            after = await asyncio.to_thread(server.until, "associations", 1000)
            assert (after["connections"], after["tasks"]) == (1000, before["tasks"] + 1000)
            each = (after["resident"] - before["resident"]) / 1000
            echoes = await asyncio.gather(*(association.c_echo() for association in associations))
            assert all(echo.status == 0 for echo in echoes)
            await asyncio.gather(*(association.release() for association in associations))
            end = await asyncio.to_thread(server.until, "connections", 0)
            await asyncio.get_running_loop().shutdown_default_executor()
            print(
                f"1000 associations in {opened:.2f} s, {each / 1024:.1f} KiB resident each; "
                f"a valid client took {worst * 1000:.0f} ms at worst"
            )
            assert worst < SERVED_WITHIN
            assert each < 32 * 1024
            assert end["tasks"] == before["tasks"]
            assert end["descriptors"] == before["descriptors"]

        run(test)


async def open_many(port: int, count: int) -> list[SCUAssociation]:
    """So many associations, fifty at a time, each of which has done an echo."""
    gate = asyncio.Semaphore(50)

    async def open_one() -> SCUAssociation:
        async with gate:
            association = await associate("127.0.0.1", port)
            await association.c_echo()
            return association

    return list(await asyncio.gather(*(open_one() for _ in range(count))))


def test_ten_thousand_idle_connections_are_shed_while_a_valid_client_is_served() -> None:
    count = 10_000
    room = raise_descriptor_limit(count + 500)
    if room < count + 500:
        pytest.skip(f"no more than {room} descriptors allowed: ulimit -Hn")
    with serving(15, "1000") as server:
        with associate_blocking("127.0.0.1", server.port) as association:
            association.c_echo()
        before = server.until("connections", 0)
        probe = Probe(server.port)
        idle = []
        try:
            began = time.monotonic()
            for _ in range(count):
                idle.append(socket.create_connection(("127.0.0.1", server.port), PATIENCE))
            opened = time.monotonic() - began
            most = server.until("connections", count, slack=5)
            server.until("connections", 0, slack=2)  # the valid client comes and goes
            shed = time.monotonic() - began
            worst = probe.worst()
            assert all(sock.recv(1) == b"" for sock in idle)
        finally:
            for sock in idle:
                sock.close()
        end = server.until("connections", 0)
        each = (most["resident"] - before["resident"]) / most["connections"]
        print(
            f"{most['connections']} idle connections in {opened:.1f} s, {each / 1024:.1f} KiB "
            f"resident each, all shed after {shed:.1f} s; {len(probe.seconds)} valid clients took "
            f"{worst * 1000:.0f} ms at worst"
        )
        assert worst < SERVED_WITHIN
        assert (end["tasks"], end["descriptors"]) == (before["tasks"], before["descriptors"])


# The limit ---------------------------------------------------------------------------------------


def test_the_descriptor_limit_is_raised_as_far_as_allowed_and_never_lowered() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert descriptors_module.descriptor_limit() == 256
        assert raise_descriptor_limit(300) == 300
        assert raise_descriptor_limit(200) == 300
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_the_system_does_not_allow_is_told_and_no_exception(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(which: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_descriptor_limit() == 256
    assert raise_descriptor_limit(100) == 256
