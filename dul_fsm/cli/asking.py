"""What `find`, `get` and `move` have in common: the identifier, and an operation to its end.

Rules: keys are checked before a peer is called. Every way to end early, Ctrl-C among them, cancels
the operation and takes its final response, so that the association is released and not aborted. A
second Ctrl-C aborts it, and a third waits for nothing.

Not here: what becomes of a response (`find`, `get`, `move`).
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from dul_fsm.cli.explain import explain, fail, printable, with_names
from dul_fsm.cli.options import INTERRUPTED
from dul_fsm.cli.tls import TLSOptions, connector
from dul_fsm.cli.watch import observer
from dul_fsm.dimse import StatusCategory, category, describe
from dul_fsm.errors import DULError
from dul_fsm.query import (
    MODELS,
    STUDY,
    IdentifierError,
    InformationModel,
    Key,
    build_identifier,
    check_retrieval,
    keyword_of,
    parse_key,
)
from dul_fsm.query.models import QUERY_RETRIEVE_LEVEL
from dul_fsm.scu.association import associate
from dul_fsm.value import value

if TYPE_CHECKING:
    from pydicom import Dataset

    from dul_fsm.association import Message
    from dul_fsm.drivers.invocations import Invocation
    from dul_fsm.negotiation import ContextLike
    from dul_fsm.scu.association import BlockingOperation, SCUAssociation
    from dul_fsm.services.handler import Handler

_STEP = "ScheduledProcedureStepSequence."

RETURN_KEYS: dict[str, tuple[str, ...]] = {
    "PATIENT": ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    "STUDY": ("StudyDate", "ModalitiesInStudy", "StudyDescription", "StudyInstanceUID"),
    "SERIES": ("SeriesNumber", "Modality", "SeriesDescription", "SeriesInstanceUID"),
    "IMAGE": ("InstanceNumber", "SOPClassUID", "SOPInstanceUID"),
    "": (
        "PatientName",
        "PatientID",
        "AccessionNumber",
        f"{_STEP}ScheduledProcedureStepStartDate",
        f"{_STEP}ScheduledProcedureStepStartTime",
        f"{_STEP}Modality",
        f"{_STEP}ScheduledStationAETitle",
        f"{_STEP}ScheduledProcedureStepDescription",
    ),
}
"""What is asked for at a level when nothing else is; "" for a worklist."""


@value
class Peer:
    """Whom to ask, and how."""

    host: str
    port: int
    calling_ae_title: str
    called_ae_title: str
    maximum_length: int
    tls: TLSOptions | None
    verbose: bool

    @property
    def where(self) -> str:
        """Its address, for people."""
        return f"{self.host}:{self.port}"


@value
class Asked:
    """What is asked for."""

    model: InformationModel
    identifier: Dataset
    keys: tuple[Key, ...]
    """What is asked about, without the level; in the order in which they were given."""


def asked(keys: Iterable[str], model_name: str, level: str, *, retrieves: bool) -> Asked:
    """What the options ask for; `level` is empty if it was not given.

    A query without a return key gets those of `RETURN_KEYS`. Raises `ValueError`.
    """
    model = next(one for one in MODELS if one.name == model_name)
    parsed = [parse_key(text) for text in keys]
    levels = [key.value for key in parsed if key.path == (QUERY_RETRIEVE_LEVEL,)]
    parsed = [key for key in parsed if key.path != (QUERY_RETRIEVE_LEVEL,)]
    if not model.levels and (level or levels):
        raise ValueError("a worklist has no levels: leave out --level")
    if level and levels:
        raise ValueError("--level and the key QueryRetrieveLevel exclude each other")
    level = level or (levels[-1] if levels else STUDY if model.levels else "")
    if model.levels and level not in model.levels:
        raise ValueError(f"the {model.name} root has the levels {', '.join(model.levels)}")
    if not retrieves and not any(key.value == "" for key in parsed):
        parsed = _with_return_keys(parsed, model, level)
    named = [Key((QUERY_RETRIEVE_LEVEL,), level)] if level else []
    identifier = build_identifier([*named, *parsed])
    if retrieves:
        try:
            # Only that it names something: which peer wants what else is for the peer to say.
            check_retrieval(identifier, model, relational=True)
        except IdentifierError as error:
            raise ValueError(str(error)) from None
    return Asked(model, identifier, tuple(parsed))


def _with_return_keys(keys: list[Key], model: InformationModel, level: str) -> list[Key]:
    names = RETURN_KEYS[level]
    if level and level == model.levels[0] != "PATIENT":
        # PS3.4 §C.3.2: attributes of patients are attributes of studies in the study root.
        names = ("PatientName", "PatientID", *names)
    given = {key.path for key in keys}
    more = [parse_key(name) for name in names]
    return [*keys, *(key for key in more if key.path not in given)]


def ask(
    peer: Peer,
    sop_class_uid: str,
    request: Callable[[SCUAssociation], Invocation],
    take: Callable[[Message], bool],
    *,
    contexts: Iterable[ContextLike] = (),
    roles: Mapping[str, tuple[bool, bool]] | None = None,
    handler: Handler | None = None,
    tell: Callable[[str], None] = fail,
) -> int:
    """Associate, ask, take what is answered, release; the exit status.

    `request` makes the request. `take` is given each response; when it returns False the operation
    is cancelled, and all is well. `contexts`: besides that of the SOP Class. `tell` is told what
    went wrong. To be called by the main thread, for only that one can be interrupted.
    """
    try:
        where = connector(peer.host, peer.port, peer.tls)
    except (OSError, ValueError) as error:
        tell(f"TLS: {with_names(str(error))}")
        return 1

    def open_association() -> SCUAssociation:
        return associate(
            where,
            contexts=[sop_class_uid, *contexts],
            roles=roles,
            handler=handler,
            calling_ae_title=peer.calling_ae_title,
            called_ae_title=peer.called_ae_title,
            maximum_length=peer.maximum_length,
            observer=observer(peer.verbose),
        )

    return Asking(open_association, request, take, tell, peer.where).run()


class Asking:
    """An operation that can be interrupted.

    It runs in a thread of its own. An exception that Ctrl-C raises in the middle of anything would
    leave the association in the middle of something; so the main thread only waits, and cancels or
    aborts, both of which may be done from any thread.
    """

    def __init__(
        self,
        associate: Callable[[], SCUAssociation],
        request: Callable[[SCUAssociation], Invocation],
        take: Callable[[Message], bool],
        tell: Callable[[str], None],
        where: str,
    ) -> None:
        """As `ask`; `where` is the peer, for people."""
        self._associate = associate
        self._request = request
        self._take = take
        self._tell = tell
        self._where = where
        self._happened: SimpleQueue[bool] = SimpleQueue()
        """True for an interrupt, False for the end of the thread."""
        self._association: SCUAssociation | None = None
        self._operation: BlockingOperation | None = None
        self._stopping = False
        self._result = 1
        self._failure: BaseException | None = None

    def run(self) -> int:
        """Run it to its end, or to what interrupts make of it; the exit status."""
        worker = Thread(target=self._work, name="asking", daemon=True)
        interrupts = 0
        # Not an exception: what interrupts is told to the queue, and waits there for its turn.
        before = signal.signal(signal.SIGINT, lambda number, frame: self._happened.put(True))
        try:
            worker.start()
            while self._happened.get():
                interrupts += 1
                if not self._interrupted(interrupts):
                    return INTERRUPTED
        finally:
            signal.signal(signal.SIGINT, before)
        if self._failure is not None:
            raise self._failure
        return INTERRUPTED if interrupts else self._result

    def _interrupted(self, times: int) -> bool:
        """Ctrl-C: whether there is still something to wait for."""
        self._stopping = True
        if self._association is None or times > 2:
            self._tell("interrupted")
            return False
        if times == 1:
            self._tell("interrupted: cancelling, and waiting for the peer; once more aborts")
            if self._operation is not None:
                # It may have ended, one way or another, and then that is told.
                with suppress(DULError):
                    self._operation.cancel()
        else:
            self._tell("interrupted: aborting")
            self._association.abort("interrupted")
        return True

    def _work(self) -> None:
        try:
            self._result = self._converse()
        except DULError as error:
            if not self._stopping:
                self._tell(explain(error, self._where))
        except BaseException as error:  # the main thread's, which raises it
            self._failure = error
        finally:
            self._happened.put(False)

    def _converse(self) -> int:
        result = 0
        with self._associate() as association:
            self._association = association
            operation = association.begin(self._request(association))
            self._operation = operation
            if self._stopping:  # interrupted before there was an operation to cancel
                operation.cancel()
            for message in operation:
                if category(message.status) is not StatusCategory.PENDING:
                    self._take(message)
                    # That a cancelled operation was cancelled needs no telling.
                    result = 0 if self._stopping else judge(message, self._tell)
                elif not self._stopping and not self._take(message):
                    self._stopping = True
                    operation.cancel()
        return result


def judge(message: Message, tell: Callable[[str], None]) -> int:
    """What the status of a response is for the exit status; what is not well is told."""
    status = message.status
    kind = category(status)
    if kind in (StatusCategory.SUCCESS, StatusCategory.PENDING):
        return 0
    text = describe(status, message.command.name)
    tags = getattr(message.command, "offending_element", ())
    if tags:
        text += f": {', '.join(keyword_of(tag) for tag in tags)}"
    comment = getattr(message.command, "error_comment", "")
    if comment:
        text += f": {printable(comment)}"
    tell(text)
    return 0 if kind is StatusCategory.WARNING else 1
