"""Whom a server turns away before its handler is asked (PS3.8 §9.3.4).

Not here: how many associations there are (`scp`, `aio`), what the handler decides.
"""

from __future__ import annotations

from typing import Final

from dul_fsm.pdu import (
    AAssociateRQ,
    RejectReasonPresentation,
    RejectReasonUser,
    RejectResult,
    RejectSource,
)
from dul_fsm.services.handler import Reject
from dul_fsm.services.peer_binding import Certificate, PeerBinding

NO_ROOM: Final = Reject(
    RejectResult.REJECTED_TRANSIENT,
    RejectSource.SERVICE_PROVIDER_PRESENTATION,
    RejectReasonPresentation.LOCAL_LIMIT_EXCEEDED,
)
"""For who asks while there are as many associations as allowed."""


def refuse(
    request: AAssociateRQ,
    *,
    called_ae_title: str | None,
    peer_binding: PeerBinding | None,
    certificate: Certificate | None,
) -> Reject | None:
    """Why this requestor is rejected, or None if it need not be.

    `called_ae_title`: the only one that is answered to, None for any. `peer_binding`: who may call
    itself what, None for anybody anything. `certificate`: the peer's, if its transport has one.
    """
    if peer_binding is not None and not peer_binding.allows(certificate, request.calling_ae_title):
        return Reject(reason=RejectReasonUser.CALLING_AE_TITLE_NOT_RECOGNIZED)
    if called_ae_title is not None and request.called_ae_title != called_ae_title:
        return Reject(reason=RejectReasonUser.CALLED_AE_TITLE_NOT_RECOGNIZED)
    return None
