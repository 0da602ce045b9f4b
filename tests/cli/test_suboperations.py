"""`cli.suboperations`: the counters of a retrieval, in words."""

from __future__ import annotations

import pytest

from dul_fsm.association import Memory, Message
from dul_fsm.cli.suboperations import SubOperations, counters_of, failed_instances, in_words
from dul_fsm.dimse import CMoveRSP
from dul_fsm.dimse.data_set import encode_data_set
from dul_fsm.negotiation import AcceptedContext
from dul_fsm.services.sop_classes import STUDY_ROOT_MOVE
from tests.query.samples import data_set

IMPLICIT = "1.2.840.10008.1.2"


@pytest.mark.parametrize(
    ("counters", "words"),
    [
        (SubOperations(), "no number of sub-operations was told"),
        (SubOperations(remaining=5), "0 of 5 done"),
        (SubOperations(3, 2, 0, 0), "2 of 5 done"),
        (SubOperations(0, 2, 1, 2), "5 of 5 done, 1 failed, 2 with a warning"),
        (SubOperations(None, 4, 0, None), "4 done"),
    ],
)
def test_counters_are_told_as_far_as_they_are_known(counters: SubOperations, words: str) -> None:
    assert in_words(counters) == words


def response(**more: object) -> Message:
    command = CMoveRSP(message_id_being_responded_to=1, status=0xFF00, **more)  # type: ignore[arg-type]
    return Message(AcceptedContext(1, STUDY_ROOT_MOVE, IMPLICIT, True, False), command, Memory())


def test_counters_are_those_of_the_response() -> None:
    counters = counters_of(
        response(
            number_of_remaining_suboperations=4,
            number_of_completed_suboperations=3,
            number_of_failed_suboperations=2,
            number_of_warning_suboperations=1,
        )
    )
    assert counters == SubOperations(remaining=4, completed=3, failed=2, warning=1)
    assert (counters.done, counters.total) == (6, 10)
    assert counters_of(response()) == SubOperations()


@pytest.mark.parametrize(
    ("uids", "expected"), [(["1.2", "1.3"], ["1.2", "1.3"]), ("1.2", ["1.2"]), (None, [])]
)
def test_failed_instances_are_those_of_the_identifier(uids: object, expected: list[str]) -> None:
    message = response()
    assert isinstance(message.sink, Memory)
    encoded = encode_data_set(data_set(FailedSOPInstanceUIDList=uids), IMPLICIT)
    message.sink.write(memoryview(encoded))
    assert failed_instances(message) == expected


def test_no_identifier_and_a_broken_one_name_nothing() -> None:
    message = response()
    assert failed_instances(message) == []
    assert isinstance(message.sink, Memory)
    message.sink.write(memoryview(b"\x20\0\x13\0\x02\0\0\0x "))
    assert failed_instances(message) == []
