"""What waits for the transport leaves in order, once, whatever the transport takes at a time."""

from __future__ import annotations

import pytest

from dul_fsm.pdu import AAbort, AReleaseRP, AReleaseRQ, PDUType
from dul_fsm.upper_layer.outbox import MAXIMUM_FRAGMENT_SENT, Outbox
from tests.upper_layer.support import ABORT_BY_USER, OUR_P_DATA, RELEASE_RP, RELEASE_RQ, abort

ABORT = AAbort(0, 0)


def filled() -> tuple[Outbox, bytes]:
    """An outbox with three PDUs, and the bytes that they are."""
    outbox = Outbox()
    outbox.put(AReleaseRQ())
    outbox.put_p_data(1, 3, memoryview(OUR_P_DATA)[-2:])
    outbox.put(AReleaseRP())
    return outbox, RELEASE_RQ + OUR_P_DATA + RELEASE_RP


def joined(outbox: Outbox, limit: int = MAXIMUM_FRAGMENT_SENT) -> bytes:
    return b"".join(outbox.buffers(limit))


def test_an_empty_outbox_has_nothing_to_send() -> None:
    outbox = Outbox()
    assert (outbox.buffers(100), outbox.length, outbox.sent(0)) == ([], 0, [])


def test_looking_takes_nothing_away() -> None:
    outbox, data = filled()
    assert joined(outbox) == joined(outbox) == data
    assert outbox.length == len(data)


@pytest.mark.parametrize("step", range(1, 35))
def test_what_is_left_is_always_the_rest_of_the_bytes(step: int) -> None:
    outbox, data = filled()
    gone = []
    while data:
        count = min(step, len(data))
        gone += outbox.sent(count)
        data = data[count:]
        assert joined(outbox) == data
        assert outbox.length == len(data)
    assert [(pdu.pdu_type, pdu.size) for pdu in gone] == [
        (PDUType.A_RELEASE_RQ, 10),
        (PDUType.P_DATA_TF, 14),
        (PDUType.A_RELEASE_RP, 10),
    ]


@pytest.mark.parametrize("count", range(35))
def test_a_pdu_is_gone_when_its_last_byte_is(count: int) -> None:
    outbox, _ = filled()
    assert len(outbox.sent(count)) == sum(count >= end for end in (10, 24, 34))


@pytest.mark.parametrize("limit", range(0, 40))
@pytest.mark.parametrize("skip", [0, 5, 11, 23])
def test_at_most_the_limit_is_given_but_always_a_buffer(limit: int, skip: int) -> None:
    outbox, data = filled()
    outbox.sent(skip)
    buffers = outbox.buffers(limit)
    given = b"".join(buffers)
    assert given
    assert data[skip:].startswith(given)
    assert len(given) <= limit or len(buffers) == 1


def test_what_is_left_of_a_pdu_is_given_if_it_just_fits() -> None:
    outbox, data = filled()
    outbox.sent(11)  # and one byte of the second
    assert b"".join(outbox.buffers(13)) == data[11:24]
    assert len(b"".join(outbox.buffers(12))) < 12


def test_a_fragment_is_not_copied() -> None:
    outbox = Outbox()
    fragment = bytearray(b"\1\2\3\4")
    outbox.put_p_data(1, 0, fragment)
    header, sent = outbox.buffers(100)
    assert sent is fragment
    outbox.sent(len(header) + 1)
    (rest,) = outbox.buffers(100)
    fragment[3] = 9
    assert bytes(rest) == b"\2\3\x09"


def test_an_empty_fragment_is_its_header_alone() -> None:
    outbox = Outbox()
    outbox.put_p_data(1, 2, b"")
    outbox.put(AReleaseRQ())
    assert joined(outbox) == bytes.fromhex("04 00 00000006 00000002 01 02") + RELEASE_RQ
    assert [pdu.size for pdu in outbox.sent(12)] == [12]


# A-ABORT -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", range(35))
def test_an_abort_overtakes_every_pdu_but_one_that_has_begun_to_leave(left: int) -> None:
    outbox, data = filled()
    outbox.sent(left)
    outbox.put_abort(ABORT)
    ends = (10, 24, 34)
    begun = next((end for end in ends if left < end and left not in (0, 10, 24)), left)
    rest = data[left:begun]
    assert joined(outbox) == rest + ABORT_BY_USER
    assert outbox.length == len(rest) + 10
    assert outbox.sent(outbox.length)[-1].pdu_type is PDUType.A_ABORT


def test_only_the_first_abort_of_a_connection_is_sent() -> None:
    outbox = Outbox()
    outbox.put_abort(AAbort(2, 1))
    outbox.put_abort(ABORT)
    assert joined(outbox) == abort(1)
    outbox.sent(10)
    outbox.put_abort(ABORT)
    assert (joined(outbox), outbox.length) == (b"", 0)


def test_the_next_connection_has_its_own_abort_and_knows_no_maximum() -> None:
    outbox = Outbox()
    outbox.learn_maximum(100)
    outbox.put_abort(AAbort(2, 1))
    outbox.reset()
    assert (outbox.length, outbox.maximum_fragment) == (0, 0)
    outbox.put_abort(ABORT)
    assert joined(outbox) == ABORT_BY_USER


def test_clearing_forgets_all_that_waits() -> None:
    outbox, _ = filled()
    outbox.sent(3)
    outbox.clear()
    assert (outbox.buffers(100), outbox.length) == ([], 0)


# The peer's maximum length -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("maximum_length", "fragment"),
    [
        *[(length, 0) for length in range(1, 8)],
        (8, 2),
        (9, 2),
        (10, 4),
        (16384, 16378),
        (131072, 131066),
        (MAXIMUM_FRAGMENT_SENT + 5, MAXIMUM_FRAGMENT_SENT - 2),
        (MAXIMUM_FRAGMENT_SENT + 6, MAXIMUM_FRAGMENT_SENT),
        (2**32 - 1, MAXIMUM_FRAGMENT_SENT),
        (0, MAXIMUM_FRAGMENT_SENT),  # no limit (PS3.8 §D.1)
        (None, 16378),  # left out
    ],
)
def test_the_longest_fragment_is_even_and_leaves_6_bytes_of_the_maximum_length(
    maximum_length: int | None, fragment: int
) -> None:
    outbox = Outbox()
    assert outbox.maximum_fragment == 0
    outbox.learn_maximum(maximum_length)
    assert outbox.maximum_fragment == fragment


def test_an_abort_goes_behind_what_was_handed_out_and_may_be_leaving() -> None:
    outbox = Outbox()
    outbox.learn_maximum(0)
    for number in range(3):
        outbox.put_p_data(1, 0, bytes([number]) * 100)
    handed = b"".join(outbox.buffers(250))  # two PDUs of 112 bytes, and a header
    outbox.put_abort(AAbort(0, 0))
    left = b"".join(outbox.buffers(10**6))
    assert left.startswith(handed)
    assert left[336:] == bytes.fromhex("07000000000400000000")
    assert len(outbox.sent(len(handed))) == 2


def test_what_was_handed_out_and_did_not_leave_is_overtaken_by_an_abort() -> None:
    outbox = Outbox()
    outbox.learn_maximum(0)
    outbox.put_p_data(1, 0, bytes(100))
    outbox.buffers(10**6)
    outbox.sent(0)
    outbox.put_abort(AAbort(0, 0))
    assert b"".join(outbox.buffers(10**6)) == bytes.fromhex("07000000000400000000")


def test_bytes_that_leave_after_all_was_forgotten_count_for_nothing() -> None:
    outbox = Outbox()
    outbox.learn_maximum(0)
    outbox.put_p_data(1, 0, bytes(100))
    outbox.buffers(10**6)
    outbox.clear()
    assert outbox.sent(112) == []
    assert outbox.length == 0
