"""What can go wrong on this side of the wire.

A peer's misbehaviour is never an exception of the core: it is an event and, at the end, a
value such as an abort with its source and reason. Exceptions tell the *caller* of an API that
a call made no sense (`LocalProtocolError`) or, in the blocking and asyncio drivers, how an
association that the caller waited for has ended (`AssociationError` and its children).
"""

from __future__ import annotations


class DULError(Exception):
    """The root of every exception that this package raises on purpose."""


class LocalProtocolError(DULError):
    """The local user issued a primitive that its state does not allow.

    PS3.8 Table 9-10 leaves such a cell blank: nothing was sent and the state is unchanged.
    """


class PDUError(DULError):
    """Bytes that are not a valid PDU; inside the core only, where it becomes Evt19."""

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        """Reason/Diag. for the A-ABORT: 0, 1, 2, 4, 5 or 6 (PS3.8 Table 9-26)."""


class CommandSetError(DULError):
    """Bytes that are not a valid command set (PS3.7 §6.3.1, §9.3, §10.3)."""


class MessageError(DULError):
    """P-DATA whose fragments do not make up a DIMSE message (PS3.8 Annex E.1)."""


class DataSetError(DULError):
    """A data set that cannot be decoded, or encoded, in its transfer syntax."""


class NegotiationError(DULError):
    """A proposal or an acceptance that cannot be put on the wire (PS3.8 Annex D)."""


class AssociationError(DULError):
    """An association could not be had, or ended before the caller was done with it."""


class AssociationRejected(AssociationError):
    """The peer, or its provider, answered with an A-ASSOCIATE-RJ (PS3.8 §9.3.4)."""

    def __init__(self, result: int, source: int, reason: int, text: str) -> None:
        super().__init__(text)
        self.result = result
        """1 rejected-permanent, 2 rejected-transient."""
        self.source = source
        """1 UL service-user, 2 UL service-provider (ACSE), 3 UL service-provider (Presentation)."""
        self.reason = reason
        """Reason/Diag. of PS3.8 Table 9-21; its meaning depends on `source`."""


class AssociationAborted(AssociationError):
    """The association ended by an abort: the peer's, a provider's, our own, or a lost transport."""

    def __init__(self, text: str, reason: int | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        """Reason/Diag. if a service-provider aborted (PS3.8 Table 9-26), else None."""


class AssociationReleased(AssociationError):
    """The peer released the association while the caller still wanted something from it."""


class AssociationTimeout(AssociationAborted, TimeoutError):
    """One of our own time limits passed, and the association was aborted for it."""


class TransportFailed(AssociationAborted, ConnectionError):
    """The transport connection could not be opened, or was lost."""


class ContextNotAccepted(DULError):
    """No accepted presentation context carries what the caller wants to send."""
