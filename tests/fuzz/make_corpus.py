"""Writes tests/fuzz/corpus/ anew: `python -m tests.fuzz.make_corpus`.

Two origins: sessions of our own, in memory, of which both sides' steps become a program for the
upper layer; and tests/fuzz/captured/, what DCMTK 3.6 and pynetdicom 3.0 said to one another, one
file for each direction of a connection.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from dul_fsm.dimse import CEchoRQ, CFindRQ, CStoreRQ, encode_command
from dul_fsm.fsm import Event
from dul_fsm.pdu import encode
from dul_fsm.services.handler import Accept, Handler, Reject
from dul_fsm.services.sop_classes import (
    STUDY_ROOT_FIND,
    VERIFICATION,
    choose_any,
    is_storage,
)
from dul_fsm.testing import Pair
from dul_fsm.upper_layer import Observation, Stepped
from tests.dimse.examples import EXAMPLES
from tests.fuzz import upper_layer as target

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
CT = "1.2.840.10008.5.1.4.1.1.2"
LONGEST = 4096
"""Bytes of a seed; of a longer one a fuzzer makes little."""
STORE = CStoreRQ(CT, 2, "1.2.3.4", 0)


# Sessions in memory ------------------------------------------------------------------------------


class Tap(bytearray):
    """Bytes under way, of which all that ever were are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.all = b""

    def __iadd__(self, more: bytes) -> Tap:  # type: ignore[override,misc]
        self.all += bytes(more)
        self.extend(more)
        return self


class Program:
    """What one side does, as the operations of tests/fuzz/upper_layer.py."""

    def __init__(self, *, requestor: bool) -> None:
        # The fourth of the maximum lengths; the first byte, see `Session`.
        self.data = bytearray((3 << 1 | requestor,))

    def note(self, observation: Observation) -> None:
        """One step, if it is not the mere consequence of another."""
        if isinstance(observation, Stepped):
            self.data += bytes(self.operations(observation)) + bytes((target.SEND, 0))

    def operations(self, step: Stepped) -> Iterator[int]:
        """The operation, with its operands."""
        if step.pdu is not None and step.event in PDU_EVENTS:
            yield from receive(encode(step.pdu))
        elif step.event is Event.Evt9:
            yield from (target.P_DATA, 1, 64)
        elif step.event in OPERATION_OF:
            yield OPERATION_OF[step.event]


PDU_EVENTS = {Event.Evt3, Event.Evt4, Event.Evt6, Event.Evt10, Event.Evt12, Event.Evt13}
PDU_EVENTS |= {Event.Evt16}
OPERATION_OF = {
    Event.Evt1: target.ASSOCIATE,
    Event.Evt2: target.OPEN,
    Event.Evt5: target.OPEN,
    Event.Evt7: target.ACCEPT,
    Event.Evt8: target.REJECT_IT,
    Event.Evt11: target.RELEASE,
    Event.Evt14: target.RESPOND,
    Event.Evt15: target.ABORT,
    Event.Evt17: target.CLOSE,
    Event.Evt18: target.DEADLINE,
}


def receive(data: bytes) -> Iterator[int]:
    """Bytes arrive, as many at once as one operand says, each time cut in the middle."""
    for start in range(0, len(data), 255):
        piece = data[start : start + 255]
        yield from (target.RECEIVE, len(piece), len(piece) // 2)
        yield from piece


class Refuser(Handler):
    """Rejects the association."""

    def associate_requested(self, request: object) -> Accept | Reject:
        return Reject()


class Archive(Handler):
    """Stores and finds."""

    choose = staticmethod(choose_any(VERIFICATION, STUDY_ROOT_FIND, is_storage))

    def c_store_requested(self, message: object) -> int:
        return 0

    def c_find_requested(self, message: object) -> Iterator[bytes]:
        return iter((b"\x08\0\x52\0\6\0\0\0STUDY ", b""))


def store_and_find(pair: Pair) -> None:
    """The whole of a visit."""
    pair.associate([VERIFICATION, CT, STUDY_ROOT_FIND])
    pair.invoke(CEchoRQ(VERIFICATION, 1))
    pair.invoke(STORE, bytes(range(256)) * 3)
    pair.invoke(CFindRQ(STUDY_ROOT_FIND, 3, 0), b"\x08\0\x52\0\6\0\0\0STUDY ")
    pair.release()


def rejected(pair: Pair) -> None:
    """The answer is no."""
    pair.request([VERIFICATION])
    pair.run()


def aborted(pair: Pair) -> None:
    """The requestor's user gives up."""
    pair.associate([VERIFICATION])
    pair.requestor.association.send_abort(pair.now)
    pair.run()


def collided(pair: Pair) -> None:
    """Both release at the same time."""
    pair.associate([VERIFICATION])
    pair.requestor.association.send_release_request(pair.now)
    pair.acceptor.association.send_release_request(pair.now)
    pair.run()


def cut(pair: Pair) -> None:
    """The connection is lost."""
    pair.associate([VERIFICATION])
    pair.cut()
    pair.run()


def unanswered(pair: Pair) -> None:
    """Nobody reads the release request until it is too late."""
    pair.associate([VERIFICATION])
    pair.acceptor.reads = False
    pair.requestor.association.send_release_request(pair.now)
    pair.run()
    pair.advance(600.0)


SESSIONS: dict[str, tuple[Callable[[Pair], None], type[Handler]]] = {
    "store-and-find": (store_and_find, Archive),
    "rejected": (rejected, Refuser),
    "aborted": (aborted, Handler),
    "collided": (collided, Handler),
    "cut": (cut, Handler),
    "unanswered": (unanswered, Handler),
}


def play(name: str) -> tuple[list[Program], list[bytes]]:
    """Both sides' programs of a session, and the bytes of both directions."""
    scenario, handler = SESSIONS[name]
    programs = [Program(requestor=True), Program(requestor=False)]
    pair = Pair(
        handler(), maximum_lengths=(256, 256), observers=(programs[0].note, programs[1].note)
    )
    taps = [Tap(), Tap()]
    pair.acceptor.incoming, pair.requestor.incoming = taps
    scenario(pair)
    return programs, [tap.all for tap in taps]


def by_hand() -> Iterator[tuple[str, bytes]]:
    """Programs for what our own sides never do to each other."""
    yield "artim", bytes((6, target.OPEN, target.DEADLINE))
    yield "connect-limit", bytes((7, target.ASSOCIATE, target.DEADLINE))
    requested = (7, target.ASSOCIATE, target.OPEN)
    established = (*requested, target.RECEIVE_PDU, 1, 9)
    releasing = (*established, target.RELEASE, target.SEND, 3)
    accepted = (6, target.OPEN, target.RECEIVE_PDU, 0, 9, target.ACCEPT)
    colliding = (*accepted, target.RELEASE, target.RECEIVE_PDU, 4, 0)
    everything = (target.SEND, 0)
    for number in range(len(target.PDUS)):
        # Where it is not expected, for the most part; then once more, in Sta13.
        arrives = (target.RECEIVE_PDU, number, 5, *everything)
        programs = {
            "acceptor": (6, target.OPEN, *arrives),
            "requestor": (*requested, *arrives),
            "established": (*established, *arrives, target.RESPOND),
            "releasing": (*releasing, *arrives, target.RESPOND),
            "colliding": (*colliding, *arrives, target.RESPOND),
        }
        for name, program in programs.items():
            yield f"{name}-{number}", bytes((*program, *arrives, *everything))


# Streams -----------------------------------------------------------------------------------------


def pdus(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """The PDU-types and bodies of a stream."""
    at = 0
    while at + 6 <= len(stream):
        pdu_type, length = struct.unpack_from(">BxI", stream, at)
        yield pdu_type, stream[at + 6 : at + 6 + length]
        at += 6 + length


def write(target_name: str, name: str, data: bytes) -> None:
    """One seed, unless it is too long to be of use."""
    if 0 < len(data) <= LONGEST:
        (CORPUS / target_name / name).write_bytes(data)


def split(name: str, stream: bytes) -> None:
    """The PDUs of a stream, one by one, and the PDVs of all of them."""
    seen = set()
    pdvs = b""
    for number, (pdu_type, body) in enumerate(pdus(stream)):
        if pdu_type == 4:
            pdvs += body
        if body not in seen:
            write("pdu_decoder", f"{name}-{number:02}-{pdu_type}", bytes((pdu_type,)) + body)
        seen.add(body)
    write("command_set", f"{name}-pdvs", bytes((62,)) + pdvs[: LONGEST - 1])


def captured_program(name: str, stream: bytes) -> bytes:
    """A capture as the program of a side that reads it, and agrees to everything."""
    if name.endswith(".requestor"):
        data = bytearray((6, target.OPEN))
    else:
        data = bytearray((7, target.ASSOCIATE, target.OPEN, target.SEND, 0))
    for pdu_type, body in pdus(stream):
        data += bytes(receive(struct.pack(">BxI", pdu_type, len(body)) + body))
        if pdu_type == 1:
            data += bytes((target.ACCEPT, target.SEND, 0))
        elif pdu_type == 5:
            data += bytes((target.RESPOND, target.SEND, 0))
        elif pdu_type == 2 and b"\5\0\0\0\0\4" not in stream:
            data += bytes((target.RELEASE, target.SEND, 0))
    return bytes(data)


def main() -> None:
    """Write all of it."""
    shutil.rmtree(CORPUS, ignore_errors=True)
    for name in ("pdu_decoder", "upper_layer", "command_set"):
        (CORPUS / name).mkdir(parents=True)
    for name in SESSIONS:
        programs, streams = play(name)
        for side, program, stream in zip(("rq", "ac"), programs, streams, strict=True):
            write("upper_layer", f"{name}-{side}", bytes(program.data))
            split(f"{name}-{side}", stream)
    for name, data in by_hand():
        write("upper_layer", name, data)
    for path in sorted((HERE / "captured").iterdir()):
        stream = path.read_bytes()
        write("upper_layer", path.name, captured_program(path.name, stream)[:LONGEST])
        split(path.name, stream)
    for number, command in enumerate(EXAMPLES):
        name = f"{command.name}-{'full' if number & 1 else 'minimal'}"
        # Odd: a command set, in pieces of 40 bytes.
        write("command_set", name, bytes((79,)) + encode_command(command))


if __name__ == "__main__":
    main()
