"""A handler that does what a test says, on a pair in memory, and one request of each service."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydicom.dataset import Dataset

from dul_fsm.association import Message
from dul_fsm.dimse import (
    CEchoRQ,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    CStoreRQ,
    NActionRQ,
    NCreateRQ,
    NDeleteRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    Request,
)
from dul_fsm.pdu import (
    UserIdentityAC,
    UserIdentityRQ,
)
from dul_fsm.services.handler import (
    Accept,
    Handler,
    Reject,
)
from dul_fsm.services.sop_classes import (
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)
from dul_fsm.testing.pair import Pair
from tests.services.support import CT, EXPLICIT, Told

MPPS = "1.2.840.10008.3.1.2.3.3"
COMMITMENT = "1.2.840.10008.1.20.1"
PRINT = "1.2.840.10008.5.1.1.9"
FILM_SESSION = "1.2.840.10008.5.1.1.1"
PRINTER = "1.2.840.10008.5.1.1.16"
UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1"
UPS_WATCH = "1.2.840.10008.5.1.4.34.6.2"
UPS_EVENT = "1.2.840.10008.5.1.4.34.6.4"
CONTEXTS = (
    VERIFICATION,
    CT,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    (MPPS, [EXPLICIT]),
    COMMITMENT,
    PRINT,
)

REQUESTS: dict[str, Request] = {
    "c_echo": CEchoRQ(VERIFICATION, 1),
    "c_store": CStoreRQ(CT, 1, "1.2.3"),
    "c_find": CFindRQ(STUDY_ROOT_FIND, 1),
    "c_get": CGetRQ(STUDY_ROOT_GET, 1),
    "c_move": CMoveRQ(STUDY_ROOT_MOVE, 1, "ELSEWHERE"),
    "n_event_report": NEventReportRQ(MPPS, 1, "1.2.3", 7, has_data_set=True),
    "n_get": NGetRQ(MPPS, 1, "1.2.3"),
    "n_set": NSetRQ(MPPS, 1, "1.2.3"),
    "n_action": NActionRQ(MPPS, 1, "1.2.3", 9, has_data_set=True),
    "n_create": NCreateRQ(MPPS, 1, has_data_set=True, affected_sop_instance_uid="1.2.3"),
    "n_delete": NDeleteRQ(MPPS, 1, "1.2.3"),
}
"""One of each."""

NORMALIZED = [name for name in REQUESTS if name.startswith("n_")]
REPLYING = [name for name in NORMALIZED if name != "n_delete"]
"""Their responses may have a data set."""


class SCP(Told):
    """Does what the test says, and lists what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.messages: list[Message] = []
        self.outcome: Callable[[Message], Any] = lambda message: 0
        self.identify: Callable[[UserIdentityRQ], Any] = lambda identity: True
        self.accept: Accept | Reject = Accept()

    def _asked(self, name: str, message: Message) -> Any:
        self.asked.append(name)
        self.messages.append(message)
        return self.outcome(message)

    def user_identified(self, identity: UserIdentityRQ) -> bool | Reject | UserIdentityAC:
        self.asked.append("user_identified")
        answer: bool | Reject | UserIdentityAC = self.identify(identity)
        return answer

    def associate_requested(self, request: Any) -> Accept | Reject:
        return self.accept

    def c_echo_requested(self, message: Message) -> Any:
        return self._asked("c_echo", message)

    def c_store_requested(self, message: Message) -> Any:
        return self._asked("c_store", message)

    def c_find_requested(self, message: Message) -> Any:
        return self._asked("c_find", message)

    def c_get_requested(self, message: Message) -> Any:
        return self._asked("c_get", message)

    def c_move_requested(self, message: Message) -> Any:
        return self._asked("c_move", message)

    def move_destination(self, ae_title: str) -> Any:
        return object()  # somewhere

    def n_event_report_requested(self, message: Message) -> Any:
        return self._asked("n_event_report", message)

    def n_get_requested(self, message: Message) -> Any:
        return self._asked("n_get", message)

    def n_set_requested(self, message: Message) -> Any:
        return self._asked("n_set", message)

    def n_action_requested(self, message: Message) -> Any:
        return self._asked("n_action", message)

    def n_create_requested(self, message: Message) -> Any:
        return self._asked("n_create", message)

    def n_delete_requested(self, message: Message) -> Any:
        return self._asked("n_delete", message)


class Bed:
    """A pair, and who performs a service on it: the SCU of MPPS performs N-EVENT-REPORT."""

    def __init__(
        self, scp: Handler | None = None, scu: Handler | None = None, **keywords: Any
    ) -> None:
        self.scp, self.scu = scp or SCP(), scu or SCP()
        self.pair = Pair(self.scp, self.scu, **keywords)

    def associate(self, contexts: Iterable[Any] = CONTEXTS) -> Bed:
        self.pair.associate(contexts)
        return self

    def performer(self, name: str) -> Any:
        return self.scu if name == "n_event_report" else self.scp

    def ask(self, name: str, request: Request | None = None, data: Any = None) -> Message:
        """Invoke a service; the final response."""
        request = request or REQUESTS[name]
        if data is None and request.has_data_set:
            data = b""
        side = self.pair.acceptor if name == "n_event_report" else self.pair.requestor
        association = side.association
        uid = getattr(request, "affected_sop_class_uid", None) or getattr(
            request, "requested_sop_class_uid", None
        )
        context = association.context_for(uid or "", as_scp=name == "n_event_report")
        association.send_request(context, request, data)
        self.pair.run()
        (final,) = (one for one in side.responses if one.final)
        side.responses.clear()
        return final.message

    @property
    def failures(self) -> list[BaseException]:
        return self.pair.acceptor.failures + self.pair.requestor.failures


def raiser(error: BaseException) -> Callable[..., Any]:
    def fail(*arguments: object) -> Any:
        raise error

    return fail


def broken() -> Dataset:
    """A data set that cannot be encoded."""
    broken = Dataset()
    broken.Rows = 1
    broken["Rows"]._value = "many"
    return broken


def data_set() -> Dataset:
    data_set = Dataset()
    data_set.PatientName = "Doe^John"
    return data_set
