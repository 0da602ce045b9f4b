"""Fail the N-th thing, for every N, on either side, with the blocking drivers and their threads.

After each: nothing hangs, every transport is closed, no thread is left, each user was told of the
end once, what was acknowledged was stored, and the next association is fine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

import dul_fsm.drivers.blocking
import dul_fsm.scp.server
from dul_fsm.association import Aborted, Memory, Message, Released
from dul_fsm.dimse import status
from dul_fsm.errors import AssociationError
from dul_fsm.negotiation import EXPLICIT_VR_LITTLE_ENDIAN
from dul_fsm.pdu import AAssociateRQ
from dul_fsm.scp import Server, serve
from dul_fsm.scu import SCUAssociation, associate
from dul_fsm.services.handler import AbortAssociation, Accept, Handler, Reject
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.testing.torture import (
    Fuse,
    TorturedClock,
    TorturedConnector,
    TorturedSink,
    fuses,
    torture_handler,
)
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import Loopback

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
IMAGE = bytes(range(256)) * 200
PATIENCE = 20.0
"""Seconds until a scenario is taken to hang; it takes milliseconds, or a time limit below."""

LIMITS = TimeLimits(
    artim=3.0,
    connect=3.0,
    association=3.0,
    pdu=3.0,
    write=3.0,
    release=3.0,
    response=3.0,
    idle=3.0,
)


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Waiting for a dead peer is tested elsewhere; and nothing may be left behind."""
    monkeypatch.setattr(dul_fsm.drivers.blocking, "ABORT_PATIENCE", 1.0)
    monkeypatch.setattr(dul_fsm.scp.server, "STOP_PATIENCE", 3.0)
    monkeypatch.setattr(dul_fsm.scp.server, "ACCEPT_PAUSE", 0.01)
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@dataclass
class Record:
    """What one association's handler was told."""

    handler: Handler
    told: list[str] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)


class Archive:
    """The SCP's application: what it stored, and what each of its handlers was told."""

    def __init__(self, fuse: Fuse) -> None:
        self.fuse = fuse
        self.stored: list[bytes] = []
        self.records: list[Record] = []

    def make(self) -> Handler:
        """A handler for one association."""
        handler = _Handler(self)
        self.records.append(handler.record)
        return torture_handler(handler, self.fuse)


class _Handler(Handler):
    def __init__(self, archive: Archive) -> None:
        self.record = Record(self)
        self._archive = archive

    def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
        if request.called_ae_title == "NOBODY":
            return Reject()
        return Accept()

    def c_echo_requested(self, message: Message) -> int:
        if self.request is not None and self.request.called_ae_title == "ABORTS":
            raise AbortAssociation("as it was asked to")
        return status.SUCCESS

    def c_store_requested(self, message: Message) -> int:
        sink = message.sink
        assert isinstance(sink, TorturedSink)
        assert isinstance(sink.sink, Memory)
        self._archive.stored.append(sink.sink.value())
        return status.SUCCESS

    def released(self, event: Released) -> None:
        self.record.told.append("released")

    def aborted(self, event: Aborted) -> None:
        self.record.told.append("aborted")

    def closed(self) -> None:
        self.record.told.append("closed")
        self.record.closed.set()


Connect = Callable[[str], SCUAssociation]


def store(connect: Connect) -> int:
    """C-ECHO, C-STORE, release; how many images were acknowledged."""
    acknowledged = 0
    with connect("ANY") as association:
        association.c_echo()
        response = association.c_store(CT_IMAGE, "1.2.3", EXPLICIT_VR_LITTLE_ENDIAN, IMAGE)
        acknowledged += response.status == status.SUCCESS
    return acknowledged


def be_rejected(connect: Connect) -> int:
    """Call who is not there."""
    connect("NOBODY").abort()
    return 0


def abort(connect: Connect) -> int:
    """Abort once established."""
    connect("ANY").abort()
    return 0


def be_aborted(connect: Connect) -> int:
    """The acceptor aborts instead of answering."""
    with connect("ABORTS") as association:
        association.c_echo()
    return 0


def release(connect: Connect) -> int:
    """Release once established."""
    connect("ANY").release()
    return 0


SCENARIOS = (store, be_rejected, abort, be_aborted, release)
SCU_POINTS = ("open", "send", "receive", "receive time-out", "close", "clock")
SCP_POINTS = ("open", "send", "receive", "receive time-out", "close", "sink write", "callback")


class Stage:
    """A server that stays, and associations with it, one after the other."""

    def __init__(self, fuse: Fuse, side: str) -> None:
        loopback, whole = Loopback(20_000), Fuse("send", 0)
        self.archive = Archive(fuse if side == "scp" else whole)
        self.connectors = [
            TorturedConnector(loopback, fuse if side == "scu" else whole),
            TorturedConnector(loopback, fuse if side == "scp" else whole),
        ]
        self.clock = TorturedClock(fuse if side == "scu" else whole)
        self.handlers: list[Record] = []
        self.errors: list[BaseException] = []
        self.server: Server = serve(
            self.archive.make,
            self.connectors[1],
            maximum_length=16384,
            time_limits=LIMITS,
            report=self.errors.append,
        )

    def connect(self, called_ae_title: str) -> SCUAssociation:
        return associate(
            self.connectors[0],
            contexts=[VERIFICATION, (CT_IMAGE, [EXPLICIT_VR_LITTLE_ENDIAN])],
            called_ae_title=called_ae_title,
            time_limits=LIMITS,
            clock=self.clock,
        )

    def perform(self, scenario: Callable[[Connect], int]) -> tuple[int, BaseException | None]:
        """Run it in a thread of its own, for it might hang."""
        outcome: list[tuple[int, BaseException | None]] = []

        def play() -> None:
            try:
                outcome.append((scenario(self.connect), None))
            except BaseException as error:
                outcome.append((0, error))

        thread = threading.Thread(target=play, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert outcome, "it hangs"
        return outcome[0]

    def settle(self, patience: float = PATIENCE) -> None:
        """Wait until the server has let go of every association."""
        for record in self.archive.records:
            assert record.closed.wait(patience), f"never told that it is closed: {record.told}"

    def check(self, acknowledged: int, error: BaseException | None) -> None:
        assert error is None or isinstance(error, AssociationError), repr(error)
        assert acknowledged <= len(self.archive.stored) <= 2
        assert all(image == IMAGE for image in self.archive.stored)
        for record in self.archive.records:
            assert record.told.count("closed") == 1, record.told
            assert record.told[-1] == "closed", record.told
            assert len(record.told) <= 2, record.told
        for connector in self.connectors:
            assert all(transport.closed for transport in connector.transports)


@pytest.mark.parametrize(
    ("side", "point"),
    [*(("scu", point) for point in SCU_POINTS), *(("scp", point) for point in SCP_POINTS)],
)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_it_survives_every_single_failure(
    scenario: Callable[[Connect], int], side: str, point: str
) -> None:
    for fuse in fuses(point):
        stage = Stage(fuse, side)
        try:
            acknowledged, error = stage.perform(scenario)
            stage.settle()
            fuse.disarm()
            again, wrong = stage.perform(store)
            assert (again, wrong) == (1, None), f"{fuse}: the next association is not fine"
            stage.settle()
        finally:
            stage.server.close()
        stage.check(acknowledged + again, error)


@pytest.mark.parametrize("side", ["scu", "scp"])
def test_a_store_comes_to_every_point(side: str) -> None:
    for point in SCU_POINTS if side == "scu" else SCP_POINTS:
        fuse = Fuse(point, 0)
        stage = Stage(fuse, side)
        try:
            assert stage.perform(store) == (1, None)
            stage.settle()
        finally:
            stage.server.close()
        assert fuse.count, point


def test_a_handler_is_told_that_it_is_closed_though_its_transport_closes_badly() -> None:
    stage = Stage(Fuse("close", 1), "scp")
    try:
        assert stage.perform(store) == (1, None)
        stage.settle(1.0)
    finally:
        stage.server.close()
