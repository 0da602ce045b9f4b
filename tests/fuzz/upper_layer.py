"""Fuzz target: the upper layer, to which the input does one thing after another.

The first byte says whose side it is and how long a PDU it takes; then an operation a byte, some
with an operand: bytes arrive, in two reads or one, the connection opens or ends, time passes,
the user issues a primitive, legal or not, the transport takes bytes. What holds after each:

- nothing raises but `LocalProtocolError` and `ValueError`, for primitives, which change nothing;
- ARTIM runs if and only if the state is Sta2 or Sta13;
- what is retained is at most twice what arrived, and the first buffer;
- what leaves is whole PDUs in a row; after an A-ABORT nothing leaves, after an A-RELEASE-RP or
  A-ASSOCIATE-RJ at most an A-ABORT;
- a second layer, which reads the same bytes otherwise cut, is told the same;
- no user is told of the end of an association twice, nor of anything after it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm import State
from dul_fsm.negotiation import IMPLICIT_VR_LITTLE_ENDIAN, build_answer, build_request, choose_from
from dul_fsm.pdu import (
    AAbort,
    AAssociateRJ,
    AReleaseRP,
    AReleaseRQ,
    PDUType,
    decode,
    encode,
    p_data_header,
)
from dul_fsm.timers import TimeLimits
from dul_fsm.upper_layer import (
    AbortIndication,
    AssociateConfirmation,
    AssociateIndication,
    CloseTransport,
    Indication,
    OpenTransport,
    PDataIndication,
    ProviderAbortIndication,
    ReleaseConfirmation,
    ReleaseIndication,
    TimeLimitPassed,
    UpperLayer,
)
from dul_fsm.upper_layer.inbox import FIRST_CAPACITY

VERIFICATION: Final = "1.2.840.10008.1.1"
REQUEST: Final = build_request(
    [(VERIFICATION, [IMPLICIT_VR_LITTLE_ENDIAN]), "1.2.840.10008.5.1.4.1.1.2"],
    called_ae_title="SCP",
    calling_ae_title="SCU",
    maximum_length=16384,
)
ANSWER: Final = build_answer(
    REQUEST,
    choose_from({VERIFICATION: [IMPLICIT_VR_LITTLE_ENDIAN]}),
    maximum_length=16384,
)
REJECT: Final = AAssociateRJ(1, 1, 7)

PDUS: Final = (
    encode(REQUEST),
    encode(ANSWER),
    encode(REJECT),
    p_data_header(1, 3, 4) + b"abcd",
    encode(AReleaseRQ()),
    encode(AReleaseRP()),
    encode(AAbort(0, 0)),
    encode(AAbort(2, 6)),
)
"""What the peer sends whole, by its number: the fuzzer need not find out what a PDU looks like."""

MAXIMUM_LENGTHS: Final = (0, 6, 128, 16384, 131072)
LIMITS: Final = TimeLimits(
    artim=7.0, connect=11.0, association=13.0, pdu=17.0, write=19.0, release=23.0
)

# The operations; a byte stands for the one with its number modulo how many there are.
RECEIVE: Final = 0  # operands: length 0..255, where it is cut, and the bytes
RECEIVE_PDU: Final = 1  # operands: which, where it is cut
OPEN: Final = 2
CLOSE: Final = 3
ASSOCIATE: Final = 4
ACCEPT: Final = 5
REJECT_IT: Final = 6
P_DATA: Final = 7  # operands: context id, length
RELEASE: Final = 8
RESPOND: Final = 9
ABORT: Final = 10
WAIT: Final = 11  # operand: quarters of a second
DEADLINE: Final = 12
SEND: Final = 13  # operand: bytes that the transport takes, 0 for all
OPERATIONS: Final = 14

ARTIM_STATES: Final = frozenset((State.Sta2, State.Sta13))


class Finding(AssertionError):
    """An invariant does not hold."""


def require(holds: object, what: str) -> None:
    """An assertion that `python -O` keeps."""
    if not holds:
        raise Finding(what)


def one_input(data: bytes) -> None:
    """Judge one input; raises whatever is a finding."""
    if data:
        Session(data).run()


class Session:
    """What one input does."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 1
        self.requestor = bool(data[0] & 1)
        maximum_length = MAXIMUM_LENGTHS[(data[0] >> 1) % len(MAXIMUM_LENGTHS)]
        self.layer, self.twin = (
            UpperLayer(requestor=self.requestor, maximum_length=maximum_length, time_limits=LIMITS)
            for _ in range(2)
        )
        self.now = 1000.0
        self.received = 0
        self.open = False
        self.sent = b""
        self.ended = False

    def operand(self) -> int:
        """The next byte of the input; 0 when it is used up."""
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def run(self) -> None:
        """Do all of it; then the connection ends, and with it everything."""
        operations = (
            self.receive,
            self.receive_pdu,
            self.connect,
            self.disconnect,
            lambda: self.primitive(lambda layer: layer.a_associate_request(REQUEST, self.now)),
            lambda: self.primitive(lambda layer: layer.a_associate_accept(ANSWER, self.now)),
            lambda: self.primitive(lambda layer: layer.a_associate_reject(REJECT, self.now)),
            self.p_data,
            lambda: self.primitive(lambda layer: layer.a_release_request(self.now)),
            lambda: self.primitive(lambda layer: layer.a_release_response(self.now)),
            lambda: self.primitive(lambda layer: layer.a_abort_request(self.now)),
            self.wait,
            self.deadline,
            self.send,
        )
        while self.at < len(self.data):
            operations[self.operand() % OPERATIONS]()
            self.told()
            self.check()
        check_sent(self.sent)
        self.disconnect()
        self.told()
        self.check()
        require(self.layer.state is State.Sta1, "the end of the transport leads to Sta1")

    # Operations ---------------------------------------------------------------------------------

    def both(self, do: Callable[[UpperLayer], None]) -> None:
        """Do the same to both layers."""
        do(self.layer)
        do(self.twin)

    def receive(self) -> None:
        """Bytes of the input arrive."""
        length, cut = self.operand(), self.operand()
        self.arrive(self.data[self.at : self.at + length], cut)
        self.at += length

    def receive_pdu(self) -> None:
        """A PDU arrives."""
        which, cut = self.operand(), self.operand()
        self.arrive(PDUS[which % len(PDUS)], cut)

    def arrive(self, data: bytes, cut: int) -> None:
        """Bytes arrive, at once for one layer, in two reads for its twin."""
        if not self.open:
            return
        self.layer.receive_data(data, self.now)
        self.received += len(data)
        self.twin.receive_data(data[:cut], self.now)
        first = list(drain(self.twin))
        self.twin.receive_data(data[cut:], self.now)
        self.told(first)

    def connect(self) -> None:
        """The connection that was asked for, or waited for, is open."""
        if self.open or self.layer.state is not (State.Sta4 if self.requestor else State.Sta1):
            return
        check_sent(self.sent)
        self.open = True
        self.received, self.sent, self.ended = 0, b"", False
        self.both(lambda layer: layer.transport_opened(self.now))

    def disconnect(self) -> None:
        """The connection ends, or could not be opened."""
        self.open = False
        self.both(lambda layer: layer.transport_closed(self.now))

    def primitive(self, issue: Callable[[UpperLayer], None]) -> None:
        """The user issues a primitive; if that is refused, nothing has changed."""
        before = self.snapshot()
        refusals = []
        for layer in (self.layer, self.twin):
            try:
                issue(layer)
            except (LocalProtocolError, ValueError) as error:
                refusals.append(type(error))
        require(len(refusals) != 1, "both refuse or none")
        if refusals:
            require(self.snapshot() == before, "a primitive that is refused changes nothing")
            require(not list(drain(self.layer)), "a primitive that is refused tells nothing")
        elif self.layer.state is State.Sta4:
            self.ended = False

    def snapshot(self) -> object:
        """What a primitive may change."""
        layer = self.layer
        return layer.state, layer.bytes_to_send, layer.deadline, layer.maximum_fragment

    def p_data(self) -> None:
        """P-DATA request."""
        context_id, length = self.operand(), self.operand()
        fragment = bytes(length)
        self.primitive(lambda layer: layer.p_data_request(context_id, 2, fragment, self.now))

    def wait(self) -> None:
        """Some time passes."""
        self.now += self.operand() / 4
        self.both(lambda layer: layer.handle_timeout(self.now))

    def deadline(self) -> None:
        """Time passes until the next deadline."""
        self.now = max(self.layer.deadline or 0.0, self.now)
        self.both(lambda layer: layer.handle_timeout(self.now))

    def send(self) -> None:
        """The transport takes what there is, or the beginning of it."""
        count = self.operand()
        if not self.open:
            return
        data = b"".join(self.layer.data_to_send())
        require(data == b"".join(self.twin.data_to_send()), "both send the same")
        data = data[: count or None]
        self.sent += data
        self.both(lambda layer: layer.data_sent(len(data), self.now))

    # What holds ---------------------------------------------------------------------------------

    def told(self, first: list[object] | None = None) -> None:
        """Everything there is to tell is told, the same by both."""
        indications = list(drain(self.layer))
        twin = (first or []) + list(drain(self.twin))
        require(indications == twin, f"told {indications}, or {twin} if cut otherwise")

        for indication in indications:
            if isinstance(indication, CloseTransport):
                self.open = False  # the driver closes, and does not say so
            if isinstance(indication, OpenTransport | CloseTransport | TimeLimitPassed):
                continue
            require(not self.ended, f"nothing is told after the end: {indication}")
            self.ended = self.is_end(indication)

    def is_end(self, indication: object) -> bool:
        """Whether nothing of this association may be told after it."""
        if isinstance(indication, AssociateConfirmation):
            return isinstance(indication.answer, AAssociateRJ)
        if isinstance(indication, ReleaseConfirmation):
            # AR-10: to an acceptor it may be told in a collision, when its own response is due.
            return self.requestor
        return isinstance(indication, AbortIndication | ProviderAbortIndication)

    def check(self) -> None:
        """What holds whatever happened."""
        layer, twin = self.layer, self.twin
        require(layer.state is twin.state, "both are in one state")
        require(layer.deadline == twin.deadline, "both have one deadline")
        require(layer.bytes_to_send == twin.bytes_to_send, "both have as much to send")
        for one in (layer, twin):
            require(one.artim_running() == (one.state in ARTIM_STATES), "ARTIM iff Sta2, Sta13")
            require(one.bytes_retained <= 2 * self.received + FIRST_CAPACITY, "memory is bounded")
        if layer.state is State.Sta1:
            require(layer.deadline is None, "nothing is waited for in Sta1")
            require(layer.bytes_to_send == 0, "nothing is to be sent in Sta1")
        elif layer.state is not State.Sta4:
            require(self.open, f"{layer.state.name} has a connection")


def drain(layer: UpperLayer) -> list[object]:
    """Everything that a layer has to tell; fragments are copied, and as good as the value."""
    told: list[object] = []
    while (indication := layer.next_indication()) is not None:
        told.append(kept(indication))
    return told


def kept(indication: Indication) -> object:
    """An indication that stays valid."""
    if isinstance(indication, PDataIndication):
        pdvs = indication.pdvs
        return [(p.context_id, p.is_command, p.is_last, bytes(p.fragment)) for p in pdvs]
    if isinstance(indication, AssociateIndication | ReleaseIndication | ProviderAbortIndication):
        require(repr(indication), "indications can be shown")
    return indication


def check_sent(data: bytes) -> None:
    """What left on one connection is PDUs, and the last words are the last."""
    types = []
    at = 0
    while at + 6 <= len(data):
        pdu_type, length = struct.unpack_from(">BxI", data, at)
        if at + 6 + length > len(data):
            break
        decode(data[at : at + 6 + length])
        types.append(pdu_type)
        at += 6 + length
    for before, after in pairwise(types):
        require(before != PDUType.A_ABORT, "nothing leaves after an A-ABORT")
        if before in (PDUType.A_ASSOCIATE_RJ, PDUType.A_RELEASE_RP):
            require(after == PDUType.A_ABORT, "only an A-ABORT leaves after the last answer")
