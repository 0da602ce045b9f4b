"""Fixtures of the interop tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.interop.archives import Archive, Archives, Destinations, hold_destinations
from tests.interop.clients import DCMTKClient, PynetdicomClient
from tests.interop.programs import Listen
from tests.interop.studies import write_studies

# They look into /proc, set limits on other processes, and call programs of Debian's.
collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest the mark of `rows.exercises`."""
    config.addinivalue_line(
        "markers", "exercises(operation, ours, programs): a row of docs/interoperability.md"
    )


StartListen: TypeAlias = Callable[..., Listen]
"""`listen("--artim", 1)`: a running `dul-fsm listen` with these options."""


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[StartListen]:
    """Starts `dul-fsm listen`; at the end of the test each must exit with status 0."""
    with ExitStack() as stack:

        def start(*options: object) -> Listen:
            number = len(list(tmp_path.glob("listen-*"))) + 1
            return stack.enter_context(Listen(tmp_path / f"listen-{number}", *options))

        yield start


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Files of `studies.STUDIES`; archives are filled with them."""
    return write_studies(tmp_path_factory.mktemp("studies"))


@pytest.fixture
def destinations() -> Iterator[Destinations]:
    """Ports for OURS and THEIRS, whom the archives know; nobody else is given them meanwhile."""
    with hold_destinations() as held:
        yield held


@pytest.fixture
def archives(
    tmp_path: Path, studies: tuple[Path, ...], destinations: Destinations
) -> Iterator[Archives]:
    """`archives.orthanc()`: a running archive, ended with the test."""
    with ExitStack() as stack:
        archives = Archives(tmp_path / "archives", studies, destinations)
        stack.callback(archives.close)
        yield archives


@pytest.fixture
def archive(archives: Archives, request: pytest.FixtureRequest) -> Archive:
    """The running archive that the test's parameter names."""
    return archives.start(request.param)


@pytest.fixture
def dcmtk(tmp_path: Path) -> DCMTKClient:
    """DCMTK's findscu, getscu and movescu."""
    return DCMTKClient(tmp_path / "clients")


@pytest.fixture
def pynetdicom(tmp_path: Path) -> PynetdicomClient:
    """pynetdicom's findscu, getscu and movescu."""
    return PynetdicomClient(tmp_path / "clients")
