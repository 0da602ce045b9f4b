"""What went wrong, in one line that says what to do about it."""

from __future__ import annotations

import re
import sys

from dul_fsm.errors import AssociationRejected, AssociationTimeout, ContextNotAccepted
from dul_fsm.pdu import RejectReasonPresentation, RejectReasonUser, RejectSource
from dul_fsm.timers import TimeLimit

_REJECTED: dict[tuple[int, int], str] = {
    (
        RejectSource.SERVICE_USER,
        RejectReasonUser.CALLED_AE_TITLE_NOT_RECOGNIZED,
    ): "give the peer's AE title with -aec",
    (
        RejectSource.SERVICE_USER,
        RejectReasonUser.CALLING_AE_TITLE_NOT_RECOGNIZED,
    ): "give an AE title that the peer knows with -aet, or make ours known to it",
    (
        RejectSource.SERVICE_USER,
        RejectReasonUser.NO_REASON_GIVEN,
    ): "it may want other AE titles (-aet, -aec), or it is at its limit",
    (
        RejectSource.SERVICE_PROVIDER_PRESENTATION,
        RejectReasonPresentation.TEMPORARY_CONGESTION,
    ): "try again later",
    (
        RejectSource.SERVICE_PROVIDER_PRESENTATION,
        RejectReasonPresentation.LOCAL_LIMIT_EXCEEDED,
    ): "it has as many associations as it allows; try again later",
}

_TIMED_OUT = {
    TimeLimit.CONNECT.value: "is the host up, and does a firewall let us through?",
    TimeLimit.ASSOCIATION.value: "is it a DICOM server that listens there, and does it want TLS?",
    TimeLimit.RESPONSE.value: "the peer is busy, or stuck",
    TimeLimit.WRITE.value: "the peer is busy, or stuck",
}

# What the words in the text of a failure are a hint at; the first that is found counts.
_WORDS = (
    ("may not speak TLS", "is it the peer's TLS port? It may answer without --tls"),
    ("does not speak TLS", "is it the peer's TLS port? It may answer without --tls"),
    ("asks for a certificate", "give one that the peer trusts with --cert and --key"),
    ("refuses the TLS connection", "give a certificate that the peer trusts with --cert and --key"),
    ("Hostname mismatch", "call the peer by the name in its certificate"),
    ("IP address mismatch", "call the peer by the name in its certificate"),
    ("certificate is not accepted", "give the CA that signs the peer's certificate with --ca"),
    ("15H is not the type of a PDU", "that is a TLS alert: give --tls"),
    ("refused", "nothing listens there: is the peer running, and is the port right?"),
    ("Name or service not known", "is the host name right?"),
    ("nodename nor servname", "is the host name right?"),
    ("name resolution", "is the host name right, and is there a name server?"),
    ("No route to host", "is the host up, and the address right?"),
    ("unreachable", "is there a network, and the address right?"),
    ("by the local provider", "is it a DICOM server that listens there, and does it want TLS?"),
    ("the connection was", "the peer hung up: its log may say why; does it want TLS?"),
)

_UID = re.compile(r"1\.2\.840\.10008\.[0-9.]*[0-9]")
_ERRNO = re.compile(r"\[Errno -?\d+\] ")


def explain(error: BaseException, where: str) -> str:
    """One line: why what was tried with the peer at `where` failed, and what to do about it."""
    text = with_names(str(error)) or type(error).__name__
    hint = ""
    if isinstance(error, AssociationRejected):
        hint = _REJECTED.get((error.source, error.reason), "")
    elif isinstance(error, AssociationTimeout):
        hint = _TIMED_OUT.get(str(error), "")
    elif isinstance(error, ContextNotAccepted):
        hint = "the peer does not provide this service"
    else:
        hint = next((hint for words, hint in _WORDS if words in text), "")
    return f"{where}: {text}" + (f" ({hint})" if hint else "")


def printable(text: str) -> str:
    """A text in one line that does nothing to a terminal, whatever a peer put into it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def with_names(text: str) -> str:
    """A text for people: printable, without error numbers, with the names of the UIDs in it."""
    text = printable(_ERRNO.sub("", text))
    if _UID.search(text):
        from pydicom.uid import UID

        def named(match: re.Match[str]) -> str:
            uid = UID(match[0])
            return f"{uid.name} ({match[0]})" if uid.name != match[0] else match[0]

        text = _UID.sub(named, text)
    return text


def fail(text: str) -> None:
    """Print an error."""
    print(f"dul-fsm: {text}", file=sys.stderr, flush=True)
