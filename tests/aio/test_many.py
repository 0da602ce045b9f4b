"""Thousands of connections at once into one asyncio process, and a valid client served within 1 s.

The server is a process of its own: the figures are its alone, and each side has a descriptor for
each connection. So is the valid client, and the second is one of the server's, not the clock's:
what neighbours on a busy machine took from the two does not count, see `tests/aio/probing.py`. All
else does: a server that stops for a while does not pass, which has a test of its own.
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
"""Seconds in which a valid client must have its association, an echo and its release, not counting
those for which it or the server was ready to run and other processes had the processors."""

ATTEMPTS = 3
"""How often a server may try. One that serves late does so each time; but even the seconds that are
charged grow where a processor is only half of one, for its other half, or its host, is busy."""

PATIENCE = 60.0


class Serving:
    """The other process."""

    def __init__(self, port: int, door: int, pid: int) -> None:
        self.port = port
        self.pid = pid
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


def python(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Run a program that lies beside this file."""
    here = Path(__file__)
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(here.with_name(program)), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(here.parents[2])},
        text=True,
    )


@contextmanager
def serving(artim: float, *more: str) -> Iterator[Serving]:
    """A server in another process."""
    process = python("serving.py", str(artim), *more)
    assert process.stdout is not None
    with process:
        port, door = process.stdout.readline().split()
        yield Serving(int(port), int(door), process.pid)
        _, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, errors) == (0, "")


class Probe:
    """A valid client, again and again, in a process of its own."""

    def __init__(self, server: Serving) -> None:
        self.count = 0
        """How often it was served."""
        self.slowest = 0.0
        """Seconds that the slowest took, by the clock."""
        self._process = python("probing.py", str(server.port), str(server.pid))
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def worst(self) -> float:
        """Let it end, and say the most seconds that one was kept waiting by the server."""
        with self._process as process:
            told, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, errors) == (0, "")
        made: list[tuple[float, float]] = json.loads(told)
        self.count, self.slowest = len(made), max(took for took, _ in made)
        return max(charged for _, charged in made)

    def told(self, worst: float) -> str:
        """The figures, in words."""
        return (
            f"{self.count} valid clients were kept waiting {worst * 1000:.0f} ms at worst, "
            f"{self.slowest * 1000:.0f} ms with what other processes took"
        )


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
    assert any(open_a_thousand() < SERVED_WITHIN for _ in range(ATTEMPTS))


def open_a_thousand() -> float:
    """Open and release them, leave nothing; the most seconds that a valid client was kept."""
    with serving(30, "1100") as server:

        async def test() -> float:
            async with associate("127.0.0.1", server.port) as association:
                await association.c_echo()
            before = await asyncio.to_thread(server.until, "connections", 0)
            probe = Probe(server)
            began = time.monotonic()
            associations = await open_many(server.port, 1000)
            opened = time.monotonic() - began
            worst = await asyncio.to_thread(probe.worst)  # and some more, while all are open
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
                + probe.told(worst)
            )
            assert each < 32 * 1024
            assert end["tasks"] == before["tasks"]
            assert end["descriptors"] == before["descriptors"]
            return worst

        return run(test)


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
    assert any(shed(count) < SERVED_WITHIN for _ in range(ATTEMPTS))


def shed(count: int) -> float:
    """Have so many shed, and nothing left; the most seconds that a valid client was kept."""
    with serving(15, "1000") as server:
        with associate_blocking("127.0.0.1", server.port) as association:
            association.c_echo()
        before = server.until("connections", 0)
        probe = Probe(server)
        idle = []
        try:
            began = time.monotonic()
            for _ in range(count):
                idle.append(socket.create_connection(("127.0.0.1", server.port), PATIENCE))
            opened = time.monotonic() - began
            most = server.until("connections", count, slack=5)
            server.until("connections", 0, slack=2)  # the valid client comes and goes
            gone = time.monotonic() - began
            worst = probe.worst()
            assert all(sock.recv(1) == b"" for sock in idle)
        finally:
            for sock in idle:
                sock.close()
        end = server.until("connections", 0)
        each = (most["resident"] - before["resident"]) / most["connections"]
        print(
            f"{most['connections']} idle connections in {opened:.1f} s, {each / 1024:.1f} KiB "
            f"resident each, all shed after {gone:.1f} s; " + probe.told(worst)
        )
        assert (end["tasks"], end["descriptors"]) == (before["tasks"], before["descriptors"])
    return worst


@pytest.mark.parametrize("spoilt", ["sleeping", "computing"])
def test_a_server_that_stops_for_a_while_does_not_pass(spoilt: str) -> None:
    """However it stops, and whatever else the machine has to do."""
    with serving(30, "10", spoilt) as server:
        probe = Probe(server)
        worst = probe.worst()
        print(probe.told(worst))
        assert worst > SERVED_WITHIN


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
