"""The Upper Layer service of PS3.8 §7 over the protocol of §9, without I/O.

`provider` is the service provider, `primitives` what it tells its user, `receiver` and `inbox`
the way in, `outbox` the way out, `deadlines` the time limits.
"""

from dul_fsm.upper_layer.outbox import Buffer
from dul_fsm.upper_layer.primitives import (
    AbortIndication,
    AssociateConfirmation,
    AssociateIndication,
    CloseTransport,
    Indication,
    Observation,
    OpenTransport,
    PDataIndication,
    PDUSent,
    ProviderAbortIndication,
    RareIndication,
    ReleaseConfirmation,
    ReleaseIndication,
    Stepped,
    TimeLimitPassed,
)
from dul_fsm.upper_layer.provider import UpperLayer

__all__ = [
    "AbortIndication",
    "AssociateConfirmation",
    "AssociateIndication",
    "Buffer",
    "CloseTransport",
    "Indication",
    "Observation",
    "OpenTransport",
    "PDUSent",
    "PDataIndication",
    "ProviderAbortIndication",
    "RareIndication",
    "ReleaseConfirmation",
    "ReleaseIndication",
    "Stepped",
    "TimeLimitPassed",
    "UpperLayer",
]
