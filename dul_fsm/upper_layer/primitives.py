"""What the service provider tells its user and asks of its transport (PS3.8 §7, §9.1).

Values only. Requests and responses are methods of `UpperLayer`; these are the indications and
confirmations that come back, and the two requests to the transport.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from dul_fsm.fsm import Action, Event, State
from dul_fsm.pdu import PDU, PDV, AAssociateAC, AAssociateRJ, AAssociateRQ, PDUType
from dul_fsm.timers import TimeLimit
from dul_fsm.value import value


@value
class OpenTransport:
    """To the driver: open the transport connection to the called presentation address."""


@value
class CloseTransport:
    """To the driver: close the transport connection; what was not sent yet is not to be sent."""


@value
class AssociateIndication:
    """A-ASSOCIATE indication (PS3.8 §7.1)."""

    request: AAssociateRQ
    """As it arrived."""


@value
class AssociateConfirmation:
    """A-ASSOCIATE confirmation (PS3.8 §7.1)."""

    answer: AAssociateAC | AAssociateRJ
    """The peer's acceptance or rejection."""


@dataclass(slots=True)
class PDataIndication:
    """P-DATA indication (PS3.8 §7.6)."""

    pdvs: tuple[PDV, ...]
    """At least one; fragments are views, valid until the next bytes are received."""


@value
class ReleaseIndication:
    """A-RELEASE indication (PS3.8 §7.2)."""

    collision: bool
    """Whether our own A-RELEASE-RQ is under way (PS3.8 §7.2.2.7)."""


@value
class ReleaseConfirmation:
    """A-RELEASE confirmation (PS3.8 §7.2)."""


@value
class AbortIndication:
    """A-ABORT indication: the peer's user aborted (PS3.8 §7.3)."""


@value
class ProviderAbortIndication:
    """A-P-ABORT indication (PS3.8 §7.4)."""

    reason: int | None
    """Reason/Diag. of PS3.8 Table 9-26; None when the transport connection was lost."""
    received: bool
    """Whether the peer's A-ABORT said so; otherwise this side's provider found it."""
    text: str
    """What happened, in words."""


@value
class TimeLimitPassed:
    """One of our own time limits passed, and this side aborted for it (Evt15)."""

    limit: TimeLimit


RareIndication: TypeAlias = (
    OpenTransport
    | CloseTransport
    | AssociateIndication
    | AssociateConfirmation
    | ReleaseIndication
    | ReleaseConfirmation
    | AbortIndication
    | ProviderAbortIndication
    | TimeLimitPassed
)
"""All but P-DATA, which comes by the thousand."""

Indication: TypeAlias = PDataIndication | RareIndication


@value
class Stepped:
    """To an observer: the machine took a step."""

    event: Event
    state: State
    """Before the step."""
    action: Action | None
    """None when the event was dropped."""
    next_state: State
    pdu: PDU | None
    """The PDU that caused the step, if it was decoded; fragments as in `PDataIndication`."""
    fault: str | None = None
    """What is wrong with the PDU that caused the step, if it was unwanted or invalid."""


@value
class PDUSent:
    """To an observer: the last byte of a PDU has left."""

    pdu_type: PDUType
    length: int
    """Bytes, header included."""


Observation: TypeAlias = Stepped | PDUSent
