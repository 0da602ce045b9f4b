"""Every code has the number and the name of the standard's tables, as `spec/` transcribes them."""

from __future__ import annotations

from enum import IntEnum

import pytest

from dul_fsm.pdu import (
    AbortReason,
    AbortSource,
    ContextResult,
    ItemType,
    PDUType,
    RejectReasonACSE,
    RejectReasonPresentation,
    RejectReasonUser,
    RejectResult,
    RejectSource,
    UserIdentityType,
    describe_abort,
    describe_reject,
)
from tests import oracle

REASON = "A-ASSOCIATE-RJ Reason/Diag. for Source "
TABLES: dict[str, type[IntEnum]] = {
    "PDU-type": PDUType,
    "A-ASSOCIATE-RJ Result": RejectResult,
    REASON + "1": RejectReasonUser,
    REASON + "2": RejectReasonACSE,
    REASON + "3": RejectReasonPresentation,
    "A-ABORT Reason/Diag. for Source 2": AbortReason,
    "Presentation Context Result/Reason": ContextResult,
    "User-Identity-Type": UserIdentityType,
}


def assigned(table: str) -> dict[int, str]:
    """The codes of a table without those that it reserves."""
    return {code: name for code, name in oracle.codes()[table].items() if name != "reserved"}


@pytest.mark.parametrize("table", TABLES)
def test_each_code_has_the_number_and_the_name_of_its_table(table: str) -> None:
    ours = {int(code): code.name for code in TABLES[table]}
    theirs = {
        code: name.upper().replace("-", "_").replace(" ", "_")
        for code, name in assigned(table).items()
    }
    assert ours == theirs


def test_sources_have_the_numbers_of_their_tables() -> None:
    assert {code.value for code in RejectSource} == set(assigned("A-ASSOCIATE-RJ Source"))
    assert {code.value for code in AbortSource} == set(assigned("A-ABORT Source"))


def test_item_types_have_the_numbers_of_their_tables() -> None:
    assert {code.value for code in ItemType} == set(assigned("Item-type"))


def test_every_reject_reads_as_the_standard_calls_it() -> None:
    for source in assigned("A-ASSOCIATE-RJ Source"):
        for reason, name in assigned(f"{REASON}{source}").items():
            for result, result_name in assigned("A-ASSOCIATE-RJ Result").items():
                text = describe_reject(result, source, reason)
                assert text.startswith(f"{result_name} by UL service-")
                assert text.endswith(f": {name}")


def test_a_reject_names_its_three_sources_apart() -> None:
    assert describe_reject(1, 1, 7) == (
        "rejected-permanent by UL service-user: called-AE-title-not-recognized"
    )
    assert describe_reject(1, 2, 2) == (
        "rejected-permanent by UL service-provider (ACSE): protocol-version-not-supported"
    )
    assert describe_reject(2, 3, 1) == (
        "rejected-transient by UL service-provider (Presentation): temporary-congestion"
    )


def test_every_byte_of_a_reject_that_is_not_assigned_is_called_reserved() -> None:
    assert describe_reject(9, 9, 9) == (
        "result 9 (reserved) by source 9 (reserved): reason 9 (reserved)"
    )
    for source in range(256):
        known = set(assigned(f"{REASON}{source}")) if source in (1, 2, 3) else set()
        for reason in range(256):
            text = describe_reject(1, source, reason)
            assert text.endswith(f"reason {reason} (reserved)") == (reason not in known)
            assert (f"source {source} (reserved)" in text) == (source not in (1, 2, 3))


def test_every_abort_of_the_provider_reads_as_the_standard_calls_it() -> None:
    names = assigned("A-ABORT Reason/Diag. for Source 2")
    for reason in range(256):
        name = names.get(reason, f"reason {reason} (reserved)")
        assert describe_abort(2, reason) == f"aborted by UL service-provider: {name}"


def test_the_reason_of_a_users_abort_is_not_significant() -> None:
    assert {describe_abort(0, reason) for reason in range(256)} == {"aborted by UL service-user"}


def test_every_abort_source_that_is_not_assigned_is_called_reserved() -> None:
    for source in {*range(256)} - {0, 2}:
        assert describe_abort(source, 0) == (
            f"aborted by source {source} (reserved): reason-not-specified"
        )
