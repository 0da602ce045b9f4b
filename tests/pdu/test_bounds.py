"""One byte too few, one too many: the edges that the tests by module leave untouched."""

from __future__ import annotations

import dataclasses

import pytest

from dul_fsm.errors import PDUError
from dul_fsm.pdu import (
    MAX_ASSOCIATE_LENGTH,
    PresentationContextRQ,
    decode,
    decode_body,
    encode,
)
from tests.pdu.wire import (
    CONTEXT_AC,
    CONTEXT_RQ,
    FIXED,
    NAME,
    RQ,
    USER,
    ac_body,
    item,
    rq_body,
)


def fault(pdu_type: int, body: bytes) -> tuple[int, str]:
    """The reason and the text of the error."""
    with pytest.raises(PDUError) as caught:
        decode_body(pdu_type, body)
    return caught.value.reason, str(caught.value)


@pytest.mark.parametrize("pdu_type", [1, 2])
def test_associate_body_shorter_than_its_fixed_part_is_called_that(pdu_type: int) -> None:
    assert fault(pdu_type, FIXED[:67]) == (6, "A-ASSOCIATE PDU of 67 bytes, 68 are needed")
    assert fault(pdu_type, b"") == (6, "A-ASSOCIATE PDU of 0 bytes, 68 are needed")


@pytest.mark.parametrize("pdu_type", [1, 2])
def test_associate_body_of_its_fixed_part_alone_lacks_its_items(pdu_type: int) -> None:
    assert fault(pdu_type, FIXED) == (6, "no 10H item")


def test_rejected_context_of_three_bytes_is_too_short_although_its_result_is_there() -> None:
    short = item(0x21, bytes((3, 0, 3)))
    assert fault(2, ac_body(NAME, CONTEXT_AC, USER, short)) == (
        6,
        "21H: 3 bytes long, at least 4 are needed",
    )


@pytest.mark.parametrize("left", [1, 2, 3])
def test_too_few_bytes_for_a_sub_item_at_the_very_end_of_a_request_are_called_that(
    left: int,
) -> None:
    context = item(0x20, CONTEXT_RQ[4:] + bytes(left))
    assert fault(1, rq_body(NAME, USER, context)) == (
        6,
        f"20H: {left} bytes are left where a sub-item should start",
    )


def test_header_without_a_body_is_judged_by_its_type() -> None:
    with pytest.raises(PDUError) as caught:
        decode(bytes.fromhex("08 00 00000000"))
    assert caught.value.reason == 1


def test_unknown_type_is_said_before_a_length_that_is_not_there() -> None:
    with pytest.raises(PDUError) as caught:
        decode(bytes.fromhex("08 00 00000009"))
    assert caught.value.reason == 1


def test_associate_pdu_may_be_exactly_as_long_as_we_receive_and_no_longer() -> None:
    longest = dataclasses.replace(RQ, presentation_contexts=contexts(MAX_ASSOCIATE_LENGTH))
    encoded = encode(longest)
    assert len(encoded) == 6 + MAX_ASSOCIATE_LENGTH
    assert decode(encoded) == longest
    longer = dataclasses.replace(RQ, presentation_contexts=contexts(MAX_ASSOCIATE_LENGTH + 1))
    with pytest.raises(ValueError, match="fit"):
        encode(longer)


def contexts(length: int) -> tuple[PresentationContextRQ, ...]:
    """Presentation contexts that make `RQ` a PDU of this PDU-length."""
    left = length - len(encode(dataclasses.replace(RQ, presentation_contexts=(small(1),)))) + 6
    made = [small(1)]
    # A transfer syntax takes 4 bytes and its UID; a context with 900 of 60 characters fits an item.
    while left > 60_000:
        context = small(2 * len(made) + 1, *["1" * 60] * 900)
        made.append(context)
        left -= size(context)
    last = 2 * len(made) + 1
    left -= size(small(last))
    # The last UID takes what is left, 5 to 68 bytes with its header: 1 to 64 characters.
    many, rest = divmod(left - 5, 64)
    made.append(small(last, *["1" * 60] * many, "1" * (rest + 1)))
    return tuple(made)


def small(context_id: int, *more: str) -> PresentationContextRQ:
    """A context with these transfer syntaxes, and one that is short."""
    return PresentationContextRQ(context_id, "1.1", ("1.2", *more))


def size(context: PresentationContextRQ) -> int:
    """Bytes of its item."""
    return 8 + 4 + 3 + sum(4 + len(uid) for uid in context.transfer_syntaxes)
