"""A-ASSOCIATE-RQ and -AC: their items, each invalid case with its reason, what is tolerated."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pytest

from dul_fsm.errors import PDUError
from dul_fsm.pdu import (
    AAssociateAC,
    AAssociateRQ,
    PresentationContextAC,
    PresentationContextRQ,
    UserInformation,
    decode,
    encode,
)
from dul_fsm.pdu.associate import decode_associate_ac, decode_associate_rq
from tests.pdu.wire import (
    AC,
    AC_BYTES,
    CONTEXT_AC,
    CONTEXT_RQ,
    FIXED,
    NAME,
    RQ,
    RQ_BYTES,
    USER,
    ac_body,
    item,
    rq_body,
)

ABSTRACT = item(0x30, b"1.1")
TRANSFER = item(0x40, b"1.2")


def context_rq(*sub_items: bytes, context_id: int = 1) -> bytes:
    return item(0x20, bytes((context_id, 0, 0, 0)) + b"".join(sub_items))


def context_ac(*sub_items: bytes, context_id: int = 1, result: int = 0) -> bytes:
    return item(0x21, bytes((context_id, 0, result, 0)) + b"".join(sub_items))


# Both PDUs by the same rules: name -> (decode, body with these items, a presentation context).
Case = tuple[
    Callable[[bytes], AAssociateRQ | AAssociateAC], Callable[..., bytes], Callable[..., bytes]
]
BOTH: dict[str, Case] = {
    "A-ASSOCIATE-RQ": (
        decode_associate_rq,
        rq_body,
        lambda context_id=1: context_rq(ABSTRACT, TRANSFER, context_id=context_id),
    ),
    "A-ASSOCIATE-AC": (
        decode_associate_ac,
        ac_body,
        lambda context_id=1: context_ac(TRANSFER, context_id=context_id),
    ),
}
both = pytest.mark.parametrize("case", BOTH.values(), ids=BOTH)


def refused(case: Case, *items: bytes) -> int:
    """The reason for which the PDU with these items is refused."""
    decode_it, body, _ = case
    with pytest.raises(PDUError) as error:
        decode_it(body(*items))
    return error.value.reason


# Fixed fields -------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", range(69))
@both
def test_the_fixed_fields_alone_are_too_short(case: Case, length: int) -> None:
    with pytest.raises(PDUError) as error:
        case[0](FIXED[:length])
    assert error.value.reason == 6


@pytest.mark.parametrize("version", [0, 1, 2, 3, 0x8000, 0xFFFF])
@both
def test_the_protocol_version_is_kept_as_it_came(case: Case, version: int) -> None:
    decode_it, body, _ = case
    assert decode_it(version.to_bytes(2, "big") + body()[2:]).protocol_version == version


@pytest.mark.parametrize("position", [1, 8, 9, *range(42, 74)])
def test_reserved_bytes_of_a_request_are_not_tested(position: int) -> None:
    data = bytearray(RQ_BYTES)
    data[position] = 0xFF
    got = decode(bytes(data))
    assert isinstance(got, AAssociateRQ)
    assert dataclasses.replace(got, reserved=bytes(32)) == RQ
    assert got.reserved == bytes(data[42:74])


@pytest.mark.parametrize("position", [1, 8, 9, *range(10, 74)])
def test_reserved_bytes_and_the_echo_of_an_answer_are_not_tested(position: int) -> None:
    data = bytearray(AC_BYTES)
    data[position] = 0xFF
    got = decode(bytes(data))
    assert isinstance(got, AAssociateAC)
    assert dataclasses.replace(got, echo=AC.echo) == AC
    assert got.echo == bytes(data[10:74])


@pytest.mark.parametrize(
    ("field", "title"),
    [
        (b"ABC             ", "ABC"),
        (b"             ABC", "ABC"),
        (b"  A B  C        ", "A B  C"),
        (b"ABCDEFGHIJKLMNOP", "ABCDEFGHIJKLMNOP"),
        (b"                ", ""),
        (b"\xc4rzte\\\n\0        ", "\xc4rzte\\\n\0"),
    ],
)
def test_an_ae_title_is_read_without_the_spaces_at_its_ends(field: bytes, title: str) -> None:
    body = rq_body()
    got = decode_associate_rq(body[:4] + field + body[20:])
    assert (got.called_ae_title, got.calling_ae_title) == (title, "ANY-SCU")
    got = decode_associate_rq(body[:20] + field + body[36:])
    assert (got.called_ae_title, got.calling_ae_title) == ("ANY-SCP", title)


# Items --------------------------------------------------------------------------------------------


@both
def test_items_come_in_any_order(case: Case) -> None:
    decode_it, body, context = case
    wanted = decode_it(body())
    assert wanted == decode_it(body(NAME, context(), USER))
    for items in itertools.permutations((NAME, context(), USER)):
        assert decode_it(body(*items)) == wanted


@pytest.mark.parametrize("kind", sorted({*range(256)} - {0x10, 0x20, 0x21, 0x50}))
@both
def test_each_item_of_unknown_type_is_skipped(case: Case, kind: int) -> None:
    decode_it, body, context = case
    unknown = item(kind, b"\xff" * 5)
    got = decode_it(body(unknown, NAME, unknown, context(), item(kind, b""), USER, unknown))
    assert got == decode_it(body())


def test_a_context_item_of_the_other_pdu_is_an_unknown_one() -> None:
    assert decode_associate_rq(rq_body(NAME, CONTEXT_RQ, CONTEXT_AC, USER)) == decode_associate_rq(
        rq_body()
    )
    assert decode_associate_ac(ac_body(NAME, CONTEXT_AC, CONTEXT_RQ, USER)) == decode_associate_ac(
        ac_body()
    )
    assert refused(BOTH["A-ASSOCIATE-RQ"], NAME, CONTEXT_AC, USER) == 6
    assert refused(BOTH["A-ASSOCIATE-AC"], NAME, CONTEXT_RQ, USER) == 6


@both
def test_a_missing_item_is_invalid(case: Case) -> None:
    items = [NAME, case[2](), USER]
    for missing in range(3):
        assert refused(case, *items[:missing], *items[missing + 1 :]) == 6


@both
def test_a_second_application_context_or_user_information_is_unexpected(case: Case) -> None:
    context = case[2]()
    assert refused(case, NAME, NAME, context, USER) == 5
    assert refused(case, NAME, context, USER, NAME) == 5
    assert refused(case, NAME, context, USER, USER) == 5
    assert refused(case, USER, NAME, context, item(0x50, b"")) == 5


@pytest.mark.parametrize("length", range(69))
@both
def test_an_application_context_name_has_1_to_64_characters(case: Case, length: int) -> None:
    decode_it, body, context = case
    name = item(0x10, b"1" * length)
    if 1 <= length <= 64:
        got = decode_it(body(name, context(), USER))
        assert got.application_context_name == "1" * length
    else:
        assert refused(case, name, context(), USER) == 6


@both
def test_an_invalid_user_information_makes_the_pdu_invalid(case: Case) -> None:
    assert refused(case, NAME, case[2](), item(0x50, item(0x51, bytes(3)))) == 6
    assert refused(case, NAME, case[2](), item(0x50, b"\x51\0\0")) == 6


@both
def test_an_item_that_overruns_the_pdu_is_invalid(case: Case) -> None:
    assert refused(case, NAME, case[2](), USER, b"\x99\0\0\1") == 6
    assert refused(case, NAME, case[2](), USER, b"\x99") == 6


@pytest.mark.parametrize("data", [RQ_BYTES, AC_BYTES], ids=BOTH)
def test_a_pdu_that_ends_too_early_is_invalid_wherever_it_ends(data: bytes) -> None:
    decode_it = decode_associate_rq if data is RQ_BYTES else decode_associate_ac
    for end in range(6, len(data)):
        with pytest.raises(PDUError) as error:
            decode_it(data[6:end])
        assert error.value.reason == 6


# Presentation contexts ----------------------------------------------------------------------------


@pytest.mark.parametrize("context_id", range(256))
@both
def test_a_presentation_context_id_is_odd(case: Case, context_id: int) -> None:
    decode_it, body, context = case
    if context_id % 2:
        got = decode_it(body(NAME, context(context_id), USER))
        assert got.presentation_contexts[0].context_id == context_id
    else:
        assert refused(case, NAME, context(context_id), USER) == 6


@both
def test_a_presentation_context_id_occurs_once(case: Case) -> None:
    context = case[2]
    assert refused(case, NAME, context(7), context(7), USER) == 6
    assert refused(case, NAME, context(7), context(9), USER, context(7)) == 6


@both
def test_all_128_presentation_contexts_are_kept_in_the_order_of_the_wire(case: Case) -> None:
    decode_it, body, context = case
    ids = [*range(255, 0, -2)]
    pdu = decode_it(body(NAME, *(context(context_id) for context_id in ids), USER))
    assert [context.context_id for context in pdu.presentation_contexts] == ids
    assert decode(encode(pdu)) == pdu


@pytest.mark.parametrize("length", range(4))
@both
def test_a_presentation_context_of_less_than_4_bytes_is_invalid(case: Case, length: int) -> None:
    kind = case[2]()[0]
    assert refused(case, NAME, item(kind, b"\1\0\0\0"[:length]), USER) == 6


# What is sent -------------------------------------------------------------------------------------


@pytest.mark.parametrize("title", ["A", "  A", "A  ", "x" * 16, " " + "x" * 16 + " ", "a b.~!"])
def test_an_ae_title_is_sent_padded_with_spaces(title: str) -> None:
    data = encode(dataclasses.replace(RQ, called_ae_title=title, calling_ae_title="me"))
    assert data[10:42] == title.strip().ljust(16).encode() + b"me              "


@pytest.mark.parametrize("title", ["", " ", "x" * 17, "a\\b", "a\nb", "a\0", "\x7f", "\xe9"])
@pytest.mark.parametrize("field", ["called", "calling"])
def test_an_ae_title_that_the_standard_forbids_is_not_sent(field: str, title: str) -> None:
    pdu = dataclasses.replace(
        RQ,
        called_ae_title=title if field == "called" else "A",
        calling_ae_title=title if field == "calling" else "A",
    )
    with pytest.raises(ValueError, match=f"{field} AE title"):
        encode(pdu)


CONTEXT = PresentationContextRQ(1, "1.1", ("1.2",))
ANSWER = PresentationContextAC(1, 0, "1.2")


@pytest.mark.parametrize(
    ("contexts", "message"),
    [
        ((), "no presentation context"),
        ((dataclasses.replace(CONTEXT, context_id=2),), "id 2 is not odd"),
        ((dataclasses.replace(CONTEXT, context_id=257),), "id 257 is not odd"),
        ((dataclasses.replace(CONTEXT, context_id=-1),), "id -1 is not odd"),
        ((CONTEXT, CONTEXT), "id 1 is there twice"),
        ((dataclasses.replace(CONTEXT, transfer_syntaxes=()),), "1 has no transfer syntax"),
        ((dataclasses.replace(CONTEXT, abstract_syntax=""),), "abstract syntax: ''"),
        ((dataclasses.replace(CONTEXT, transfer_syntaxes=("",)),), "transfer syntax: ''"),
        (
            (dataclasses.replace(CONTEXT, transfer_syntaxes=("1" * 64,) * 1000),),
            "item 20H: 68011 bytes do not fit",
        ),
    ],
)
def test_a_proposal_that_the_standard_forbids_is_not_sent(
    contexts: tuple[PresentationContextRQ, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        encode(dataclasses.replace(RQ, presentation_contexts=contexts))


@pytest.mark.parametrize(
    ("contexts", "message"),
    [
        ((), "no presentation context"),
        ((dataclasses.replace(ANSWER, context_id=0),), "id 0 is not odd"),
        ((ANSWER, ANSWER), "id 1 is there twice"),
        ((dataclasses.replace(ANSWER, transfer_syntax=None),), "accepted without transfer syntax"),
        ((dataclasses.replace(ANSWER, transfer_syntax="1" * 65),), "transfer syntax: .* has 65"),
        ((dataclasses.replace(ANSWER, result=256),), "presentation context result: 256"),
    ],
)
def test_an_answer_that_the_standard_forbids_is_not_sent(
    contexts: tuple[PresentationContextAC, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        encode(dataclasses.replace(AC, presentation_contexts=contexts))


@pytest.mark.parametrize("pdu", [RQ, AC], ids=BOTH)
def test_a_version_or_name_that_has_no_place_is_not_sent(pdu: AAssociateRQ | AAssociateAC) -> None:
    with pytest.raises(ValueError, match="protocol version: 65536"):
        encode(dataclasses.replace(pdu, protocol_version=65536))
    with pytest.raises(ValueError, match="application context name: ''"):
        encode(dataclasses.replace(pdu, application_context_name=""))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_the_reserved_bytes_of_a_request_are_32(length: int) -> None:
    with pytest.raises(ValueError, match=f"reserved: {length} bytes, not 32"):
        encode(dataclasses.replace(RQ, reserved=bytes(length)))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_the_echo_in_an_answer_is_64_bytes(length: int) -> None:
    with pytest.raises(ValueError, match=f"echo: {length} bytes, not 64"):
        encode(dataclasses.replace(AC, echo=bytes(length)))


def test_the_echo_of_an_answer_is_what_the_request_had_there() -> None:
    echo = encode(RQ)[10:74]
    assert encode(dataclasses.replace(AC, echo=echo))[10:74] == echo


def test_an_a_associate_pdu_longer_than_we_take_is_not_sent() -> None:
    contexts = tuple(
        PresentationContextRQ(context_id, "1.1", ("1" * 64,) * 200)
        for context_id in range(1, 256, 2)
    )
    with pytest.raises(ValueError, match=r"A-ASSOCIATE PDU of \d+ bytes, 1048576 fit"):
        encode(AAssociateRQ("A", "B", contexts, UserInformation()))
