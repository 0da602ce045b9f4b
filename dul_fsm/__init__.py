"""The DICOM Upper Layer (PS3.8) as a pure state machine, and what an AE needs on top of it.

What most programs use is importable from here: `associate` and `serve`, `Handler` with what it
answers, `TCP`, `TLS` and `Loopback`, the exceptions. The core is a step further down:
`association`, `upper_layer`, `fsm`, `pdu`, `dimse`, `negotiation`.

Nothing is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from dul_fsm.association import Message as Message
    from dul_fsm.dimse.status import StatusCategory as StatusCategory
    from dul_fsm.errors import AssociationAborted as AssociationAborted
    from dul_fsm.errors import AssociationError as AssociationError
    from dul_fsm.errors import AssociationRejected as AssociationRejected
    from dul_fsm.errors import AssociationReleased as AssociationReleased
    from dul_fsm.errors import AssociationTimeout as AssociationTimeout
    from dul_fsm.errors import ContextNotAccepted as ContextNotAccepted
    from dul_fsm.errors import DataSetError as DataSetError
    from dul_fsm.errors import DULError as DULError
    from dul_fsm.errors import LocalProtocolError as LocalProtocolError
    from dul_fsm.errors import TransportFailed as TransportFailed
    from dul_fsm.negotiation import Window as Window
    from dul_fsm.pdu import UserIdentityRQ as UserIdentityRQ
    from dul_fsm.scp import Server as Server
    from dul_fsm.scp import serve as serve
    from dul_fsm.scu import SCUAssociation as SCUAssociation
    from dul_fsm.scu import associate as associate
    from dul_fsm.services.handler import AbortAssociation as AbortAssociation
    from dul_fsm.services.handler import Accept as Accept
    from dul_fsm.services.handler import Destination as Destination
    from dul_fsm.services.handler import Handler as Handler
    from dul_fsm.services.handler import Instance as Instance
    from dul_fsm.services.handler import Notification as Notification
    from dul_fsm.services.handler import Pending as Pending
    from dul_fsm.services.handler import Reject as Reject
    from dul_fsm.services.handler import Reply as Reply
    from dul_fsm.services.handler import Retrieval as Retrieval
    from dul_fsm.services.peer_binding import PeerBinding as PeerBinding
    from dul_fsm.services.sop_classes import VERIFICATION as VERIFICATION
    from dul_fsm.timers import TimeLimits as TimeLimits
    from dul_fsm.transports import TCP as TCP
    from dul_fsm.transports import TLS as TLS
    from dul_fsm.transports import Loopback as Loopback

_HOME = {
    "AbortAssociation": "services.handler",
    "Accept": "services.handler",
    "AssociationAborted": "errors",
    "AssociationError": "errors",
    "AssociationRejected": "errors",
    "AssociationReleased": "errors",
    "AssociationTimeout": "errors",
    "ContextNotAccepted": "errors",
    "DULError": "errors",
    "DataSetError": "errors",
    "Destination": "services.handler",
    "Handler": "services.handler",
    "Instance": "services.handler",
    "LocalProtocolError": "errors",
    "Loopback": "transports",
    "Message": "association",
    "Notification": "services.handler",
    "PeerBinding": "services.peer_binding",
    "Pending": "services.handler",
    "Reject": "services.handler",
    "Reply": "services.handler",
    "Retrieval": "services.handler",
    "SCUAssociation": "scu",
    "Server": "scp",
    "StatusCategory": "dimse.status",
    "TCP": "transports",
    "TLS": "transports",
    "TimeLimits": "timers",
    "TransportFailed": "errors",
    "UserIdentityRQ": "pdu",
    "VERIFICATION": "services.sop_classes",
    "Window": "negotiation",
    "associate": "scu",
    "serve": "scp",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'dul_fsm' has no attribute {name!r}")
    value = getattr(import_module(f"dul_fsm.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
