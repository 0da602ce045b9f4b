"""What the tests of this room share: a pair that answers nothing by itself, and hand-made PDUs."""

from __future__ import annotations

from dul_fsm.association import Aborted, Association, Event, Rejected, Released
from dul_fsm.dimse import Command, CStoreRQ, encode_command
from dul_fsm.fsm import State
from dul_fsm.negotiation import AcceptedContext, build_answer
from dul_fsm.pdu import PDU, PDV, PDataTF, encode
from dul_fsm.services.sop_classes import (
    STUDY_ROOT_FIND,
    VERIFICATION,
    choose_any,
    is_storage,
)
from dul_fsm.testing.pair import Pair, Side
from dul_fsm.timers import TimeLimits

CT = "1.2.840.10008.5.1.4.1.1.2"
FOREVER = TimeLimits(
    connect=None, association=None, pdu=None, write=None, release=None, response=None, idle=None
)
CONTEXTS = (VERIFICATION, CT, STUDY_ROOT_FIND)
CHOOSE = choose_any(VERIFICATION, STUDY_ROOT_FIND, is_storage)


def manual(
    requestor: TimeLimits | None = None,
    acceptor: TimeLimits | None = None,
    *,
    maximum_lengths: tuple[int, int] = (16384, 16384),
    capacity: int = 262144,
) -> Pair:
    """A pair of which nothing is done that the test does not do."""
    pair = Pair(
        time_limits=(requestor or FOREVER, acceptor or FOREVER),
        maximum_lengths=maximum_lengths,
        capacity=capacity,
    )
    pair.requestor.performs = pair.acceptor.performs = False
    return pair


def requested(pair: Pair) -> Pair:
    """The acceptor is in Sta3, the requestor in Sta5."""
    pair.request(CONTEXTS)
    pair.run()
    return pair


def accept(pair: Pair) -> None:
    """The acceptor accepts, and both sides know."""
    association = pair.acceptor.association
    assert association.request is not None
    answer = build_answer(association.request, CHOOSE, maximum_length=association.maximum_length)
    association.send_associate_accept(answer, pair.now)
    pair.run()


def established(pair: Pair | None = None) -> Pair:
    """Both sides are in Sta6, and nothing was told before."""
    pair = pair or manual()
    accept(requested(pair))
    pair.requestor.events.clear()
    pair.acceptor.events.clear()
    return pair


def ends(side: Side) -> list[Event]:
    """Every event that told of the end."""
    return [event for event in side.events if isinstance(event, Rejected | Released | Aborted)]


def end(side: Side) -> Event:
    """The one event that told of the end, after which nothing was told of the association."""
    (event,) = ends(side)
    assert side.association.ended
    return event


def states(pair: Pair) -> tuple[State, State]:
    """The requestor's and the acceptor's."""
    return pair.requestor.association.state, pair.acceptor.association.state


def store(message_id: int = 1) -> CStoreRQ:
    return CStoreRQ(CT, message_id, "1.2.3.4")


def context(side: Side, uid: str = VERIFICATION) -> AcceptedContext:
    """The accepted context of a SOP Class, whatever the role."""
    return next(c for c in side.association.contexts.values() if c.abstract_syntax == uid)


def command_pdv(command: Command, context_id: int = 1) -> PDV:
    return PDV(context_id, True, True, encode_command(command))


def inject(side: Side, *pdus: PDU) -> None:
    """What a peer might send that our own association never would."""
    side.incoming += b"".join(map(encode, pdus))


def inject_pdvs(side: Side, *pdvs: PDV) -> None:
    inject(side, *(PDataTF((pdv,)) for pdv in pdvs))


def drain(association: Association, limit: int, now: float = 0.0) -> bytes:
    """Take what is to be sent, all of it."""
    data = bytearray()
    while buffers := association.data_to_send(limit):
        taken = b"".join(buffers)
        association.data_sent(len(taken), now)
        data += taken
    return bytes(data)
