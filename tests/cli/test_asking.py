"""`cli.asking`: what the options ask for, and what a status is for the exit status."""

from __future__ import annotations

import signal
import threading
from queue import SimpleQueue

import pytest
from pydicom import Dataset

from dul_fsm.association import Memory, Message
from dul_fsm.cli.asking import RETURN_KEYS, Asking, asked, judge
from dul_fsm.cli.options import INTERRUPTED
from dul_fsm.dimse import CANCEL, CFindRSP
from dul_fsm.drivers.invocations import Invocation
from dul_fsm.negotiation import AcceptedContext
from dul_fsm.query import MODALITY_WORKLIST, PATIENT_ROOT, STUDY_ROOT, parse_key
from dul_fsm.scu.association import SCUAssociation, associate
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND
from dul_fsm.transports import TCP
from tests.cli.archive import Endless, serving
from tests.cli.running import PATIENCE


def names(keys: list[str], model: str = "study", level: str = "") -> list[str]:
    return [key.name for key in asked(keys, model, level, retrieves=False).keys]


def test_the_level_is_study_unless_told_otherwise() -> None:
    query = asked(["PatientID"], "study", "", retrieves=False)
    assert query.model is STUDY_ROOT
    assert query.identifier.QueryRetrieveLevel == "STUDY"
    query = asked(["PatientID"], "patient", "PATIENT", retrieves=False)
    assert query.model is PATIENT_ROOT
    assert query.identifier.QueryRetrieveLevel == "PATIENT"


def test_the_level_may_be_a_key_as_other_tools_have_it() -> None:
    query = asked(["QueryRetrieveLevel=SERIES", "PatientID"], "study", "", retrieves=False)
    assert query.identifier.QueryRetrieveLevel == "SERIES"
    assert [key.name for key in query.keys] == ["PatientID"]


def test_a_worklist_has_no_level() -> None:
    query = asked(["PatientID"], "worklist", "", retrieves=False)
    assert query.model is MODALITY_WORKLIST
    assert "QueryRetrieveLevel" not in query.identifier
    with pytest.raises(ValueError, match="no levels"):
        asked(["QueryRetrieveLevel=STUDY"], "worklist", "", retrieves=False)


def test_a_query_that_asks_for_nothing_gets_the_usual_keys() -> None:
    usual = [
        "PatientName",
        "PatientID",
        "StudyDate",
        "ModalitiesInStudy",
        "StudyDescription",
        "StudyInstanceUID",
    ]
    assert names([]) == usual
    assert names(["PatientID=4*"]) == ["PatientID", "PatientName", *usual[2:]]
    assert names(["PatientID=4*", "StudyID"]) == ["PatientID", "StudyID"]


def test_the_patient_s_keys_are_asked_for_at_their_level_only() -> None:
    """PS3.4 §C.3: in the patient root a study has no patient's attributes."""
    assert "PatientName" not in names([], "patient", "STUDY")
    assert "PatientName" not in names([], "study", "SERIES")
    assert "PatientName" in names([], "patient", "PATIENT")


@pytest.mark.parametrize("level", RETURN_KEYS)
def test_the_usual_keys_are_attributes(level: str) -> None:
    assert [parse_key(name).name for name in RETURN_KEYS[level]] == list(RETURN_KEYS[level])


def test_a_retrieval_asks_for_nothing_that_was_not_said() -> None:
    query = asked(["StudyInstanceUID=1.2"], "study", "", retrieves=True)
    assert [element.keyword for element in query.identifier] == [
        "QueryRetrieveLevel",
        "StudyInstanceUID",
    ]


def response(status: int, **more: object) -> Message:
    command = CFindRSP(message_id_being_responded_to=1, status=status, **more)  # type: ignore[arg-type]
    context = AcceptedContext(1, STUDY_ROOT_FIND, "1.2.840.10008.1.2", True, False)
    return Message(context, command, Memory())


@pytest.mark.parametrize(
    ("message", "result", "told"),
    [
        (response(0x0000), 0, []),
        (response(0xFF01), 0, []),
        (response(0xB001), 0, ["B001H Warning (response limit reached)"]),
        (response(0xFE00), 1, ["FE00H Cancel (terminated by cancel)"]),
        (
            response(0xA900, offending_element=(0x0020000D,), error_comment="bad\x1b[2J"),
            1,
            ["A900H Failure (identifier does not match SOP class): StudyInstanceUID: bad\\x1b[2J"],
        ),
    ],
)
def test_a_status_is_judged_and_told(message: Message, result: int, told: list[str]) -> None:
    lines: list[str] = []
    assert judge(message, lines.append) == result
    assert lines == told


def test_an_interrupt_before_the_request_has_left_cancels_it_too() -> None:
    """Not only one that finds the operation begun."""
    told: SimpleQueue[str] = SimpleQueue()
    heard: list[str] = []
    taken: list[int] = []

    def request(association: SCUAssociation) -> Invocation:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)
        heard.append(told.get(timeout=PATIENCE))
        return association.find_request(STUDY_ROOT_FIND, Dataset())

    def take(message: Message) -> bool:
        taken.append(message.status)
        return True

    with serving(Endless) as server:
        where = TCP("127.0.0.1", server.port)
        asking = Asking(
            lambda: associate(where, contexts=[STUDY_ROOT_FIND]), request, take, told.put, "there"
        )
        assert asking.run() == INTERRUPTED
    assert heard == ["interrupted: cancelling, and waiting for the peer; once more aborts"]
    assert told.empty()
    assert taken == [CANCEL]
