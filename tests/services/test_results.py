"""`services.results`: what a final response says, and when it is an error."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom import Dataset

from dul_fsm.association import Memory, Message
from dul_fsm.dimse import CFindRSP, CGetRSP, CMoveRSP, NSetRSP, Response, status
from dul_fsm.dimse.data_set import encode_data_set, failed_instances
from dul_fsm.errors import DataSetError, DULError
from dul_fsm.negotiation import AcceptedContext
from dul_fsm.services.results import (
    OperationFailed,
    Progress,
    Retrieved,
    Tally,
    done,
    match_of,
    scp_roles,
)

CONTEXT = AcceptedContext(1, "1.2", "1.2.840.10008.1.2", scu=True, scp=False)


def message(command: Response, data: Dataset | bytes | None = None) -> Message:
    sink = Memory()
    if data is not None:
        encoded = data if isinstance(data, bytes) else encode_data_set(data, "1.2.840.10008.1.2")
        sink.write(memoryview(encoded))
    return Message(CONTEXT, command, sink)


def numbers(*values: int | None) -> dict[str, Any]:
    kinds = ("remaining", "completed", "failed", "warning")
    names = [f"number_of_{kind}_suboperations" for kind in kinds]
    return dict(zip(names, values, strict=True))


def retrieved(*responses: Message) -> Retrieved:
    tally = Tally()
    for response in responses:
        tally.take(response)
    return tally.result()


@pytest.mark.parametrize("code", [0x0000, 0x0001, 0x0107, 0xB000, 0xFE00])
def test_what_is_no_failure_is_handed_on(code: int) -> None:
    response = message(NSetRSP(1, code))
    assert done(response) is response


def test_a_failure_is_an_error_that_says_all_that_the_peer_said() -> None:
    response = message(NSetRSP(1, 0x0110, error_comment="too late", error_id=0xA710))
    with pytest.raises(OperationFailed) as raised:
        done(response)
    error = raised.value
    assert str(error) == "N-SET: 0110H Failure (processing failure), error id A710H: too late"
    assert (error.status, error.comment, error.error_id) == (0x0110, "too late", 0xA710)
    assert error.response is response
    assert isinstance(error, DULError)


def test_a_failure_without_a_word_is_its_status() -> None:
    error = OperationFailed(message(CFindRSP(1, 0xA700)))
    assert str(error) == "C-FIND: A700H Failure (refused: out of resources)"
    assert (error.comment, error.error_id) == ("", None)


def test_matches_are_decoded_and_the_end_is_none() -> None:
    identifier = Dataset()
    identifier.PatientID = "42"
    for code in (status.PENDING, status.PENDING_OPTIONAL_KEYS_NOT_SUPPORTED):
        match = match_of(message(CFindRSP(1, code, True), identifier))
        assert match is not None
        assert match.PatientID == "42"
    assert match_of(message(CFindRSP(1, status.SUCCESS))) is None
    assert match_of(message(CFindRSP(1, status.CANCEL))) is None
    with pytest.raises(OperationFailed):
        match_of(message(CFindRSP(1, status.UNABLE_TO_PROCESS)))
    with pytest.raises(DataSetError):
        match_of(message(CFindRSP(1, status.PENDING, True), b"\xff" * 9))


def test_a_retrieval_is_summed_up_by_its_final_response() -> None:
    told: list[Progress] = []
    tally = Tally(told.append)
    tally.take(message(CGetRSP(1, status.PENDING, **numbers(2, 1, 0, 0))))
    with pytest.raises(LookupError):
        tally.result()
    failed = message(
        CGetRSP(1, 0xB000, True, **numbers(None, 1, 2, 0)), failed_instances(["1.2", "1.3"])
    )
    tally.take(failed)
    assert told == [Progress(2, 1, 0, 0)]
    result = tally.result()
    assert result == Retrieved(0xB000, 1, 2, 0, None, ("1.2", "1.3"))
    assert not result.ok


def test_one_failed_instance_is_a_list_of_one() -> None:
    response = message(
        CMoveRSP(1, 0xB000, True, **numbers(None, 0, 1, 0)), failed_instances(["1.2"])
    )
    assert retrieved(response).failed_sop_instance_uids == ("1.2",)


def test_numbers_that_a_final_response_leaves_out_are_those_before_it() -> None:
    pending = message(CMoveRSP(1, status.PENDING, **numbers(3, 2, 0, 1)))
    last = message(CMoveRSP(1, status.SUCCESS))
    assert retrieved(pending, last) == Retrieved(0, 2, 0, 1)
    assert retrieved(last) == Retrieved(0, 0, 0, 0)


def test_a_retrieval_that_was_cancelled_tells_what_it_spared() -> None:
    result = retrieved(message(CMoveRSP(1, status.CANCEL, **numbers(3, 2, 0, 0))))
    assert result == Retrieved(status.CANCEL, 2, 0, 0, 3)
    assert not result.ok


def test_a_list_of_failed_instances_that_is_none_costs_nothing_else() -> None:
    response = message(CMoveRSP(1, 0xB000, True, **numbers(None, 1, 1, 0)), b"\xff" * 9)
    assert retrieved(response) == Retrieved(0xB000, 1, 1, 0)


def test_a_retrieval_that_failed_as_a_whole_is_an_error() -> None:
    with pytest.raises(OperationFailed, match="A801H"):
        retrieved(message(CMoveRSP(1, status.MOVE_DESTINATION_UNKNOWN)))


def test_who_stores_what_a_c_get_brings_is_the_scp() -> None:
    assert scp_roles(["1.2", "1.3"]) == {"1.2": (False, True), "1.3": (False, True)}
