"""The N-services between ours and other people's, both ways: performed procedure steps, print
(PS3.4 Annexes F, H). Storage commitment is in `test_commitment.py`."""

from __future__ import annotations

from datetime import datetime

import pytest
from pydicom import Dataset

from dul_fsm import Handler, serve
from dul_fsm.association import Message
from dul_fsm.dimse import NActionRQ, NCreateRQ, NEventReportRQ, NGetRQ, status
from dul_fsm.scp.procedure_step import ProcedureStepHandler, ProcedureSteps
from dul_fsm.scu.procedure_step import (
    MODALITY_PERFORMED_PROCEDURE_STEP,
    ProcedureStep,
    performed_series,
    step_attributes,
)
from dul_fsm.services.handler import Notification, Reply
from dul_fsm.services.procedure_step import MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE
from dul_fsm.services.results import OperationFailed
from dul_fsm.services.sop_classes import choose_any
from tests.interop.archives import OURS, Archives
from tests.interop.ours import call, data_set
from tests.interop.pynetdicom_user import use
from tests.interop.rows import SCP, SCU, exercises
from tests.interop.studies import LOVELACE_CT, WORKLIST, uid

pytestmark = pytest.mark.interop

SUCCESS, NO_SUCH_INSTANCE = 0x0000, 0x0112
PATIENCE = 20.0
"""Seconds to wait for a report of another process."""

PRINT_MANAGEMENT = "1.2.840.10008.5.1.1.9"
"""Basic Grayscale Print Management Meta SOP Class."""
FILM_SESSION = "1.2.840.10008.5.1.1.1"
PRINTER, PRINTER_INSTANCE = "1.2.840.10008.5.1.1.16", "1.2.840.10008.5.1.1.17"
PRINTER_WARNING = 2
"""Event Type ID (PS3.4 Table H.4-20)."""
PRINTER_STATUS = 0x21100010
PERFORMED_STATUS = "00400252"
BEGIN, END = datetime(2024, 3, 1, 8, 30), datetime(2024, 3, 1, 8, 45)


# Performed procedure steps -----------------------------------------------------------------------


def step_of_ours() -> Dataset:
    return step_attributes(WORKLIST[0], step_id="PPS-1", station_ae_title="CT-1", start=BEGIN)


@exercises("N-CREATE", SCU, "pynetdicom")
@exercises("N-SET", SCU, "pynetdicom")
def test_a_step_of_ours_begins_and_is_completed(archives: Archives) -> None:
    archive = archives.pynetdicom(load=False)
    with call(archive, MODALITY_PERFORMED_PROCEDURE_STEP) as association:
        step = ProcedureStep(association)
        assert step.create(step_of_ours()).status == SUCCESS
        made = archive.told("N-CREATE")
        assert made["sop_instance"] == step.sop_instance_uid
        assert made["attributes"][PERFORMED_STATUS]["Value"] == ["IN PROGRESS"]
        step.complete(END, performed_series(LOVELACE_CT.images(), retrieve_ae_title=OURS))
    told = archive.told("N-SET")["attributes"]
    assert told[PERFORMED_STATUS]["Value"] == ["COMPLETED"]
    (series,) = told["00400340"]["Value"]
    assert series["0020000E"]["Value"] == [LOVELACE_CT.series_uid(1)]


@exercises("N-CREATE", SCU, "pynetdicom")
@exercises("N-SET", SCU, "pynetdicom")
def test_a_step_that_is_not_there_or_is_there_twice_is_refused(archives: Archives) -> None:
    archive = archives.pynetdicom(load=False)
    with call(archive, MODALITY_PERFORMED_PROCEDURE_STEP) as association:
        step = ProcedureStep(association)
        with pytest.raises(OperationFailed) as refused:
            step.complete(END)
        assert refused.value.status == NO_SUCH_INSTANCE
        step.create(step_of_ours())
        with pytest.raises(OperationFailed) as refused:
            step.create(step_of_ours())
        assert refused.value.status == status.DUPLICATE_SOP_INSTANCE
        assert association.c_echo().status == SUCCESS


@exercises("N-CREATE", SCU, "pynetdicom")
def test_pynetdicom_names_a_step_that_ours_has_not_named(archives: Archives) -> None:
    archive = archives.pynetdicom(load=False)
    with call(archive, MODALITY_PERFORMED_PROCEDURE_STEP) as association:
        answer = association.n_create(MODALITY_PERFORMED_PROCEDURE_STEP, None, step_of_ours())
    assert answer.status == SUCCESS
    named = getattr(answer.command, "affected_sop_instance_uid", None)
    assert named == archive.told("N-CREATE")["sop_instance"]


@exercises("N-GET", SCU, "pynetdicom")
def test_a_step_of_ours_is_read_again(archives: Archives) -> None:
    archive = archives.pynetdicom(load=False)
    classes = (MODALITY_PERFORMED_PROCEDURE_STEP, MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE)
    with call(archive, *classes) as association:
        step = ProcedureStep(association)
        step.create(step_of_ours())
        read = association.n_get(
            MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE,
            step.sop_instance_uid,
            [int(PERFORMED_STATUS, 16)],
        )
    assert read.status == SUCCESS
    assert read.decode() == data_set(PerformedProcedureStepStatus="IN PROGRESS")


@exercises("N-CREATE", SCP, "pynetdicom")
@exercises("N-SET", SCP, "pynetdicom")
@exercises("N-GET", SCP, "pynetdicom")
def test_a_step_of_pynetdicoms_begins_and_is_completed() -> None:
    told: list[tuple[str, str]] = []
    steps = ProcedureSteps(
        changed=lambda uid, step: told.append((uid, str(step.PerformedProcedureStepStatus)))
    )
    with serve(lambda: ProcedureStepHandler(steps), port=0) as server:
        said = use("mpps", server.port)
    assert [(line["operation"], line["status"]) for line in said] == [
        ("N-CREATE", SUCCESS),
        # It has not told which series it has made (PS3.4 Table F.7.2-1).
        ("N-SET", status.MISSING_ATTRIBUTE),
        ("N-SET", SUCCESS),
        ("N-GET", SUCCESS),
    ]
    assert [state for _, state in told] == ["IN PROGRESS", "COMPLETED"]
    assert said[-1]["attributes"][PERFORMED_STATUS]["Value"] == ["COMPLETED"]


# Print -------------------------------------------------------------------------------------------


class Printed(Handler):
    """What an association with a printer reported."""

    def __init__(self) -> None:
        self.events: list[tuple[int, Dataset]] = []

    def n_event_report_requested(self, message: Message) -> int | Reply:
        assert isinstance(message.command, NEventReportRQ)
        self.events.append((message.command.event_type_id, message.decode()))
        return SUCCESS


@exercises("N-CREATE", SCU, "pynetdicom")
@exercises("N-SET", SCU, "pynetdicom")
@exercises("N-GET", SCU, "pynetdicom")
@exercises("N-ACTION", SCU, "pynetdicom")
@exercises("N-DELETE", SCU, "pynetdicom")
@exercises("N-EVENT-REPORT", SCU, "pynetdicom")
def test_a_film_session_of_ours_lives_and_dies(archives: Archives) -> None:
    archive = archives.pynetdicom("--printer-event", load=False)
    handler, session, meta = Printed(), uid("film session"), PRINT_MANAGEMENT
    with call(archive, PRINT_MANAGEMENT, handler=handler) as association:
        wishes = data_set(NumberOfCopies="1", MediumType="PAPER")
        made = association.n_create(FILM_SESSION, session, wishes, context=meta)
        assert (made.status, made.decode()) == (SUCCESS, wishes)
        more = data_set(NumberOfCopies="2")
        assert association.n_set(FILM_SESSION, session, more, context=meta).status == SUCCESS
        read = association.n_get(PRINTER, PRINTER_INSTANCE, [PRINTER_STATUS], context=meta)
        assert read.decode() == data_set(PrinterStatus="NORMAL")
        assert association.n_action(FILM_SESSION, session, 1, context=meta).status == SUCCESS
        assert association.serve(lambda: bool(handler.events), PATIENCE)
        assert handler.events == [(PRINTER_WARNING, data_set(PrinterStatusInfo="SUPPLY LOW"))]
        deleted = [association.n_delete(FILM_SESSION, session, context=meta) for _ in range(2)]
        assert [one.status for one in deleted] == [SUCCESS, NO_SUCH_INSTANCE]
    assert archive.told("N-EVENT-REPORT")["status"] == SUCCESS
    assert archive.told("N-ACTION")["action_type"] == 1


class Printer(Handler):
    """Keeps film sessions, and runs low on paper when one is printed."""

    choose = staticmethod(choose_any(PRINT_MANAGEMENT))

    def __init__(self, responses: list[int | None]) -> None:
        self._responses = responses
        self._sessions: dict[str, Dataset] = {}

    def n_create_requested(self, message: Message) -> int | Reply:
        assert isinstance(message.command, NCreateRQ)
        made = message.command.affected_sop_instance_uid
        assert made is not None
        self._sessions[made] = wishes = message.decode()
        return Reply(data=wishes)

    def n_set_requested(self, message: Message) -> int | Reply:
        session = self._sessions[self._uid(message)]
        session.update(message.decode())
        return Reply(data=session)

    def n_get_requested(self, message: Message) -> int | Reply:
        assert isinstance(message.command, NGetRQ)
        assert message.command.attribute_identifier_list == (PRINTER_STATUS,)
        return Reply(data=data_set(PrinterStatus="NORMAL"))

    def n_action_requested(self, message: Message) -> int | Reply:
        assert isinstance(message.command, NActionRQ)
        assert message.command.action_type_id == 1
        assert str(self._sessions[self._uid(message)].NumberOfCopies) == "2"
        event = Notification(
            PRINTER,
            PRINTER_INSTANCE,
            PRINTER_WARNING,
            data_set(PrinterStatusInfo="SUPPLY LOW"),
            self._responses.append,
        )
        return Reply(notifications=[event])

    def n_delete_requested(self, message: Message) -> int | Reply:
        gone = self._sessions.pop(self._uid(message), None)
        return NO_SUCH_INSTANCE if gone is None else SUCCESS

    @staticmethod
    def _uid(message: Message) -> str:
        return str(getattr(message.command, "requested_sop_instance_uid"))  # noqa: B009


@exercises("N-CREATE", SCP, "pynetdicom")
@exercises("N-SET", SCP, "pynetdicom")
@exercises("N-GET", SCP, "pynetdicom")
@exercises("N-ACTION", SCP, "pynetdicom")
@exercises("N-DELETE", SCP, "pynetdicom")
@exercises("N-EVENT-REPORT", SCP, "pynetdicom")
def test_a_film_session_of_pynetdicoms_lives_and_dies() -> None:
    responses: list[int | None] = []
    with serve(lambda: Printer(responses), port=0) as server:
        told = use("print", server.port, "--report")
    assert [(line["operation"], line.get("status")) for line in told] == [
        ("N-CREATE", SUCCESS),
        ("N-SET", SUCCESS),
        ("N-GET", SUCCESS),
        ("N-ACTION", SUCCESS),
        ("N-EVENT-REPORT", None),
        ("N-DELETE", SUCCESS),
        ("N-DELETE", NO_SUCH_INSTANCE),
    ]
    event = told[4]
    assert (event["event_type"], event["here"]) == (PRINTER_WARNING, True)
    assert responses == [SUCCESS]
