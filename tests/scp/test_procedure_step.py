"""`scp.procedure_step`: a step begins, is changed while it is in progress, and ends (PS3.4 F)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydicom import Dataset

from dul_fsm.association import Message
from dul_fsm.dimse import NCreateRQ, NGetRQ, NSetRQ, Request, status
from dul_fsm.dimse.data_set import encode_data_set
from dul_fsm.scp.procedure_step import ProcedureStepHandler, ProcedureSteps
from dul_fsm.services.procedure_step import (
    COMPLETED,
    DISCONTINUED,
    MODALITY_PERFORMED_PROCEDURE_STEP,
    MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE,
    end_attributes,
)
from dul_fsm.testing import Pair
from tests.scp.steps import END, begun

MPPS = MODALITY_PERFORMED_PROCEDURE_STEP
RETRIEVE = MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE
EXPLICIT = "1.2.840.10008.1.2.1"
UID = "1.2.3.4"


def encoded(data_set: Dataset) -> bytes:
    return encode_data_set(data_set, EXPLICIT)


class Told:
    """Collects what has changed."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []

    def __call__(self, uid: str, step: Dataset) -> None:
        self.states.append((uid, step.PerformedProcedureStepStatus))


class Modality:
    """A requestor in memory."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    def invoke(self, request: Request, data: Dataset | None = None) -> Any:
        self.message = self.pair.invoke(request, None if data is None else encoded(data))
        return self.message.command

    def create(self, attributes: Dataset | None, uid: str | None = UID) -> Any:
        request = NCreateRQ(MPPS, 1, attributes is not None, uid)
        return self.invoke(request, attributes)

    def set(self, modifications: Dataset, uid: str = UID) -> Any:
        return self.invoke(NSetRQ(MPPS, 1, uid), modifications)

    def get(self, *tags: int, uid: str = UID) -> Message:
        self.invoke(NGetRQ(RETRIEVE, 1, uid, tags))
        return self.message


@contextmanager
def modality(steps: ProcedureSteps) -> Iterator[Modality]:
    pair = Pair(ProcedureStepHandler(steps))
    pair.associate([(MPPS, [EXPLICIT]), (RETRIEVE, [EXPLICIT])])
    yield Modality(pair)
    assert pair.acceptor.failures == []
    pair.release()


def series() -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = "1.2.3.1"
    item.ProtocolName = "Thorax"
    return item


def ended(state: str) -> Dataset:
    return end_attributes(state, END, [series()] if state == COMPLETED else [])


def with_values(data_set: Dataset, **values: object) -> Dataset:
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    return data_set


def test_a_step_is_created_updated_and_completed_and_each_is_told() -> None:
    told, store = Told(), dict[str, Dataset]()
    with modality(ProcedureSteps(store, told)) as scu:
        assert scu.create(begun()).status == status.SUCCESS
        assert encoded(store[UID]) == encoded(begun())
        change = with_values(Dataset(), PerformedSeriesSequence=[series()])
        assert scu.set(change).status == status.SUCCESS
        assert scu.set(end_attributes(COMPLETED, END)).status == status.SUCCESS
    assert told.states == [(UID, "IN PROGRESS")] * 2 + [(UID, "COMPLETED")]
    step = store[UID]
    assert step.PerformedSeriesSequence[0].SeriesInstanceUID == "1.2.3.1"
    assert (step.PatientName, step.PerformedProcedureStepEndTime) == ("Doe^Jane", "104500.000000")


def test_what_a_store_was_given_does_not_change_any_more() -> None:
    kept: list[Dataset] = []
    with modality(ProcedureSteps(changed=lambda uid, step: kept.append(step))) as scu:
        scu.create(begun())
        scu.set(with_values(Dataset(), PerformedProcedureStepDescription="Thorax"))
    assert encoded(kept[0]) == encoded(begun())
    assert kept[1].PerformedProcedureStepDescription == "Thorax"


@pytest.mark.parametrize("state", [COMPLETED, DISCONTINUED])
def test_a_step_that_has_ended_is_not_changed_any_more(state: str) -> None:
    told = Told()
    with modality(ProcedureSteps(changed=told)) as scu:
        scu.create(begun())
        assert scu.set(ended(state)).status == status.SUCCESS
        for modifications in (ended(COMPLETED), ended(DISCONTINUED), Dataset()):
            response = scu.set(with_values(modifications, StudyID=None))
            assert (response.status, response.error_id) == (0x0110, 0xA710)
            assert "may no longer be updated" in response.error_comment
    assert len(told.states) == 2


def test_an_instance_that_is_left_to_the_scp_is_named_by_it() -> None:
    store: dict[str, Dataset] = {}
    with modality(ProcedureSteps(store)) as scu:
        one = scu.create(begun(), uid=None)
        other = scu.create(begun(), uid=None)
    assert one.affected_sop_instance_uid != other.affected_sop_instance_uid
    assert set(store) == {one.affected_sop_instance_uid, other.affected_sop_instance_uid}


def test_a_second_step_with_the_same_uid_is_a_duplicate_and_an_unknown_one_is_none() -> None:
    told = Told()
    with modality(ProcedureSteps(changed=told)) as scu:
        scu.create(begun())
        assert scu.create(begun()).status == status.DUPLICATE_SOP_INSTANCE
        assert scu.set(ended(COMPLETED), uid="1.2.9").status == status.NO_SUCH_SOP_INSTANCE
        assert scu.get(uid="1.2.9").status == status.NO_SUCH_SOP_INSTANCE
        assert scu.create(begun(), uid="../1").status == status.INVALID_SOP_INSTANCE
    assert len(told.states) == 1


@pytest.mark.parametrize(
    "keyword",
    [
        "ScheduledStepAttributesSequence",
        "PerformedProcedureStepID",
        "PerformedStationAETitle",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
        "PerformedProcedureStepStatus",
        "Modality",
    ],
)
def test_what_has_to_be_there_is_asked_for(keyword: str) -> None:
    told = Told()
    with modality(ProcedureSteps(changed=told)) as scu:
        attributes = begun()
        tag = int(attributes[keyword].tag)
        setattr(attributes, keyword, None)
        response = scu.create(attributes)
        assert response.status == status.MISSING_ATTRIBUTE_VALUE
        assert response.attribute_identifier_list == (tag,)
        delattr(attributes, keyword)
        response = scu.create(attributes)
        assert (response.status, response.error_comment) == (status.MISSING_ATTRIBUTE, keyword)
        assert response.attribute_identifier_list == (tag,)
    assert told.states == []


def test_a_step_without_attributes_or_without_its_study_is_refused() -> None:
    with modality(ProcedureSteps()) as scu:
        assert scu.create(None).status == status.MISSING_ATTRIBUTE
        attributes = begun()
        del attributes.ScheduledStepAttributesSequence[0].StudyInstanceUID
        response = scu.create(attributes)
        assert (response.status, response.error_comment) == (0x0120, "StudyInstanceUID")


@pytest.mark.parametrize("state", [COMPLETED, DISCONTINUED, "STARTED"])
def test_a_step_begins_in_progress(state: str) -> None:
    with modality(ProcedureSteps()) as scu:
        response = scu.create(with_values(begun(), PerformedProcedureStepStatus=state))
        assert response.status == status.INVALID_ATTRIBUTE_VALUE


def test_a_status_that_is_none_is_refused() -> None:
    told = Told()
    with modality(ProcedureSteps(changed=told)) as scu:
        scu.create(begun())
        assert scu.set(ended("DONE")).status == status.INVALID_ATTRIBUTE_VALUE
    assert len(told.states) == 1


@pytest.mark.parametrize(
    ("state", "keyword", "expected"),
    [
        (COMPLETED, "PerformedProcedureStepEndDate", status.MISSING_ATTRIBUTE_VALUE),
        (COMPLETED, "PerformedSeriesSequence", status.MISSING_ATTRIBUTE_VALUE),
        (DISCONTINUED, "PerformedProcedureStepEndTime", status.MISSING_ATTRIBUTE_VALUE),
        (DISCONTINUED, "PerformedSeriesSequence", status.SUCCESS),
    ],
)
def test_a_step_does_not_end_without_what_its_end_needs(
    state: str, keyword: str, expected: int
) -> None:
    with modality(ProcedureSteps()) as scu:
        scu.create(begun())
        modifications = ended(state)
        delattr(modifications, keyword)  # it was created empty
        assert scu.set(modifications).status == expected


def test_what_may_only_be_created_stays_as_it_is_and_that_is_said() -> None:
    store: dict[str, Dataset] = {}
    with modality(ProcedureSteps(store)) as scu:
        scu.create(begun())
        change = with_values(
            Dataset(), PatientID="42", PatientName="Roe^Jane", PerformedLocation="1", StudyID=None
        )
        change.PerformedProcedureStepDescription = "Thorax"
        response = scu.set(change)
        assert response.status == status.ATTRIBUTE_LIST_ERROR
        assert response.attribute_identifier_list == (0x00100010, 0x00400243)
    assert (store[UID].PatientName, store[UID].PerformedLocation) == ("Doe^Jane", "")
    assert store[UID].PerformedProcedureStepDescription == "Thorax"


def test_a_step_in_two_character_sets_is_told_in_one() -> None:
    with modality(ProcedureSteps()) as scu:
        scu.create(with_values(begun(), SpecificCharacterSet="ISO_IR 100", PatientName="Bär^Jane"))
        change = with_values(Dataset(), SpecificCharacterSet="ISO_IR 192")
        assert scu.set(with_values(change, PerformedProcedureStepDescription="胸部")).status == 0
        step = scu.get().decode()
    assert (step.PatientName, step.PerformedProcedureStepDescription) == ("Bär^Jane", "胸部")


def test_a_step_can_be_got_whole_or_in_parts() -> None:
    with modality(ProcedureSteps()) as scu:
        scu.create(begun())
        assert scu.get().data_set == encoded(begun())
        part = scu.get(0x00100020, 0x00400252)
        assert part.status == status.SUCCESS
        assert [element.value for element in part.decode()] == ["42", "IN PROGRESS"]
        some = scu.get(0x00100020, 0x00104000)
        assert some.status == status.REQUESTED_OPTIONAL_ATTRIBUTES_NOT_SUPPORTED
        assert [element.value for element in some.decode()] == ["42"]


def test_each_operation_is_for_its_own_class() -> None:
    with modality(ProcedureSteps()) as scu:
        scu.create(begun())
        assert scu.invoke(NGetRQ(MPPS, 1, UID)).status == status.NO_SUCH_SOP_CLASS
        create = NCreateRQ(RETRIEVE, 1, True, "1.2.5")
        assert scu.invoke(create, begun()).status == status.NO_SUCH_SOP_CLASS
        assert scu.invoke(NSetRQ(RETRIEVE, 1, UID), ended(COMPLETED)).status == 0x0118
