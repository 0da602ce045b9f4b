"""A run of two upper layers, drawn as a ladder: what each of them took, move by move.

    move = Move("requestor", "A-ASSOCIATE request", (("requestor", ("request", b"")),))
    print(draw([move], "and so on"))

An input is one thing that an upper layer can take: a primitive of its user (with fixed values),
the transport's doing, a PDU, the passing of time. A run needs no more than these to be repeated.

Not here: which runs there are (`model`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from dul_fsm.dimse import CEchoRQ, encode_command
from dul_fsm.pdu import (
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    PresentationContextAC,
    PresentationContextRQ,
    UserInformation,
)
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.testing.ladder import Ladder
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

_INFORMATION = UserInformation(maximum_length=16384, implementation_class_uid="1.2.3")
_SYNTAX = "1.2.840.10008.1.2"
REQUEST = AAssociateRQ(
    "SCP", "SCU", (PresentationContextRQ(1, VERIFICATION, (_SYNTAX,)),), _INFORMATION
)
ACCEPT = AAssociateAC((PresentationContextAC(1, 0, _SYNTAX),), _INFORMATION)
REJECT = AAssociateRJ(1, 1, 1)
FRAGMENT = encode_command(CEchoRQ(VERIFICATION, 1))


Input: TypeAlias = tuple[str, bytes]
"""What a side takes; the bytes are those of "receive" (and of "forged": under way, not received).

"request", "accept", "reject", "data", "release", "respond", "abort": its user's primitives;
"opened", "ended": its transport; "time passes": the next limit does.
"""

_PRIMITIVES = frozenset(("request", "accept", "reject", "data", "release", "respond", "abort"))
_OTHER = {"requestor": "acceptor", "acceptor": "requestor"}


class Move(NamedTuple):
    """One thing that happened to the two."""

    who: str
    """"requestor", "acceptor", "network" or "hostile"."""
    what: str
    """In words."""
    inputs: tuple[tuple[str, Input], ...]
    """What each side took, in order: all that it takes to do the move again."""


def take(
    upper: UpperLayer,
    given: Input,
    listen: Callable[[Indication], None] = lambda indication: None,
) -> tuple[bytes, ...]:
    """Let `upper` take an input; returns the PDUs that left, in order.

    `listen` is told what the user is told. Raises `LocalProtocolError` for a primitive that the
    state does not allow.
    """
    name, data = given
    match name:
        case "request":
            upper.a_associate_request(REQUEST, 0)
        case "accept":
            upper.a_associate_accept(ACCEPT, 0)
        case "reject":
            upper.a_associate_reject(REJECT, 0)
        case "data":
            upper.p_data_request(1, 3, FRAGMENT, 0)
        case "release":
            upper.a_release_request(0)
        case "respond":
            upper.a_release_response(0)
        case "abort":
            upper.a_abort_request(0)
        case "opened":
            upper.transport_opened(0)
        case "ended":
            upper.transport_closed(0)
        case "receive":
            upper.receive_data(data, 0)
        case "time passes":
            # Not further than the next: what starts then is another wait.
            upper.handle_timeout(upper.deadline or 0)
    while (indication := upper.next_indication()) is not None:
        listen(indication)
    sent: list[bytes] = []
    while buffers := upper.data_to_send():
        whole = b"".join(buffers)
        sent.extend(_split(whole))
        upper.data_sent(len(whole), 0)
    return tuple(sent)


def _split(data: bytes) -> Iterator[bytes]:
    """The PDUs in what an upper layer sent."""
    while data:
        end = 6 + int.from_bytes(data[2:6], "big")
        yield data[:end]
        data = data[end:]


def draw(path: Sequence[Move], end: str) -> str:
    """A ladder of two new upper layers that do these moves; `end` is noted below the last."""
    ladder = Ladder("requestor", "acceptor")
    uppers = {
        side: UpperLayer(requestor=side == "requestor", observer=ladder.observer(side))
        for side in ("requestor", "acceptor")
    }
    for who, what, inputs in path:
        if who == "hostile":
            ladder.forged(_OTHER[inputs[0][0]], f"hostile: {what}")
            continue
        if inputs and inputs[0][1][0] in _PRIMITIVES:
            ladder.call(who, what)
        elif not inputs or inputs[0][1][0] == "time passes":
            ladder.note(f"{who}: {what}")
        for side, given in inputs:
            take(uppers[side], given, partial(_tell, ladder, side))
    ladder.note(end)
    return ladder.render()


def _tell(ladder: Ladder, side: str, indication: Indication) -> None:
    match indication:
        case OpenTransport() | CloseTransport():
            return
        case AssociateIndication():
            text = "A-ASSOCIATE indication"
        case AssociateConfirmation(answer):
            accepted = isinstance(answer, AAssociateAC)
            text = f"A-ASSOCIATE confirmation, {'accepted' if accepted else 'rejected'}"
        case PDataIndication():
            text = "P-DATA indication"
        case ReleaseIndication(collision):
            text = "A-RELEASE indication" + (", collision" if collision else "")
        case ReleaseConfirmation():
            text = "A-RELEASE confirmation"
        case AbortIndication():
            text = "A-ABORT indication"
        case ProviderAbortIndication():
            text = "A-P-ABORT indication"
        case TimeLimitPassed(limit):
            text = f"{limit.name} limit passed"
    ladder.told(side, text)
