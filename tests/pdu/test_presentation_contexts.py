"""Presentation contexts: their sub-items, each invalid case, and that a rejection is not tested."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from dul_fsm.errors import PDUError
from dul_fsm.pdu import PresentationContextAC, PresentationContextRQ, encode
from dul_fsm.pdu.associate import decode_associate_ac, decode_associate_rq
from tests.pdu.wire import AC, IMPLICIT, NAME, USER, ac_body, item, rq_body

ABSTRACT = item(0x30, b"1.1")
TRANSFER = item(0x40, b"1.2")


def context_rq(*sub_items: bytes) -> bytes:
    return item(0x20, b"\1\0\0\0" + b"".join(sub_items))


def context_ac(*sub_items: bytes, result: int = 0) -> bytes:
    return item(0x21, bytes((1, 0, result, 0)) + b"".join(sub_items))


def answers(*sub_items: bytes, result: int = 0) -> PresentationContextAC:
    """The one presentation context of an A-ASSOCIATE-AC whose 21H has these sub-items."""
    body = ac_body(NAME, context_ac(*sub_items, result=result), USER)
    (context,) = decode_associate_ac(body).presentation_contexts
    return context


def reason(body: bytes, *, ac: bool = False) -> int:
    """The reason for which this body is refused."""
    with pytest.raises(PDUError) as error:
        (decode_associate_ac if ac else decode_associate_rq)(body)
    return error.value.reason


# What is received ---------------------------------------------------------------------------------


def test_reserved_bytes_of_a_presentation_context_are_not_tested() -> None:
    body = rq_body(NAME, item(0x20, b"\1\xff\xff\xff" + ABSTRACT + TRANSFER), USER)
    assert decode_associate_rq(body) == decode_associate_rq(rq_body())
    body = ac_body(NAME, item(0x21, b"\1\xff\0\xff" + TRANSFER), USER)
    assert decode_associate_ac(body) == decode_associate_ac(ac_body())


def test_sub_items_come_in_any_order_and_unknown_ones_are_skipped() -> None:
    second = item(0x40, b"1.3")
    sub_items = (ABSTRACT, TRANSFER, second, item(0x10, b""), item(0x99, b"\xff"))
    for order in itertools.permutations(sub_items):
        (got,) = decode_associate_rq(rq_body(NAME, context_rq(*order), USER)).presentation_contexts
        syntaxes = ("1.2", "1.3") if order.index(TRANSFER) < order.index(second) else ("1.3", "1.2")
        assert got == PresentationContextRQ(1, "1.1", syntaxes)


@pytest.mark.parametrize(
    "sub_items",
    [
        (),
        (ABSTRACT,),
        (TRANSFER,),
        (ABSTRACT, ABSTRACT, TRANSFER),
        (ABSTRACT, TRANSFER, ABSTRACT),
        (ABSTRACT, item(0x40, b"")),
        (ABSTRACT, item(0x40, b"\xff")),
        (item(0x30, b""), TRANSFER),
        (item(0x30, b"1" * 65), TRANSFER),
        (ABSTRACT, TRANSFER, b"\x40"),
        (ABSTRACT, TRANSFER, b"\x40\0\0"),
        (ABSTRACT, TRANSFER, b"\x40\0\0\2" + b"1"),
        (ABSTRACT, TRANSFER, b"\x99\0\xff\xff"),
    ],
)
def test_a_proposed_context_without_one_30h_and_a_40h_or_with_an_overrun_is_invalid(
    sub_items: tuple[bytes, ...],
) -> None:
    assert reason(rq_body(NAME, context_rq(*sub_items), USER)) == 6


@pytest.mark.parametrize("length", range(69))
@pytest.mark.parametrize("kind", [0x30, 0x40])
def test_the_uids_of_a_proposed_context_have_1_to_64_characters(kind: int, length: int) -> None:
    other = TRANSFER if kind == 0x30 else ABSTRACT
    body = rq_body(NAME, context_rq(item(kind, b"1" * length), other), USER)
    if 1 <= length <= 64:
        decode_associate_rq(body)
    else:
        assert reason(body) == 6


def test_the_same_transfer_syntax_twice_is_kept_twice() -> None:
    body = rq_body(NAME, context_rq(ABSTRACT, TRANSFER, TRANSFER), USER)
    (context,) = decode_associate_rq(body).presentation_contexts
    assert context.transfer_syntaxes == ("1.2", "1.2")


@pytest.mark.parametrize("result", range(256))
def test_each_result_of_an_answered_context_is_kept_as_it_came(result: int) -> None:
    assert answers(TRANSFER, result=result) == PresentationContextAC(1, result, "1.2")


@pytest.mark.parametrize("result", range(1, 256))
def test_a_rejected_context_may_lack_its_transfer_syntax(result: int) -> None:
    assert answers(result=result) == PresentationContextAC(1, result, None)


@pytest.mark.parametrize(
    ("sub_items", "transfer_syntax"),
    [
        ((item(0x40, b""),), None),
        ((item(0x40, b"\xff"),), None),
        ((item(0x40, b"1" * 65),), None),
        ((item(0x40, b""), TRANSFER), None),
        ((TRANSFER, TRANSFER), "1.2"),
        ((TRANSFER, item(0x40, b"")), "1.2"),
    ],
)
def test_the_transfer_syntax_of_a_rejected_context_is_not_tested(
    sub_items: tuple[bytes, ...], transfer_syntax: str | None
) -> None:
    assert answers(*sub_items, result=3).transfer_syntax == transfer_syntax


@pytest.mark.parametrize(
    "sub_items",
    [
        (),
        (ABSTRACT,),
        (TRANSFER, TRANSFER),
        (TRANSFER, item(0x40, b"")),
        (item(0x40, b""),),
        (item(0x40, b""), TRANSFER),
        (item(0x40, b"\xff"),),
        (item(0x40, b"1" * 65),),
    ],
)
def test_an_accepted_context_has_exactly_one_transfer_syntax(sub_items: tuple[bytes, ...]) -> None:
    assert reason(ac_body(NAME, context_ac(*sub_items), USER), ac=True) == 6


@pytest.mark.parametrize("result", [0, 3])
def test_an_overrun_within_an_answered_context_is_invalid_whatever_the_result(result: int) -> None:
    for overrun in (b"\x40", b"\x40\0\0\1", b"\x99\0\xff\xff"):
        context = context_ac(TRANSFER, overrun, result=result)
        assert reason(ac_body(NAME, context, USER), ac=True) == 6


def test_an_abstract_syntax_that_an_answer_repeats_is_skipped() -> None:
    assert answers(ABSTRACT, TRANSFER, item(0x99, b"")) == PresentationContextAC(1, 0, "1.2")


# What is sent ------------------------------------------------------------------------------------


def test_a_rejected_context_is_sent_with_a_40h_even_when_there_is_none_to_name() -> None:
    pdu = dataclasses.replace(AC, presentation_contexts=(PresentationContextAC(1, 2, None),))
    assert item(0x21, b"\1\0\2\0" + item(0x40, IMPLICIT.encode())) in encode(pdu)
