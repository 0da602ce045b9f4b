"""P-DATA-TF: its header, its PDVs, each invalid case with its reason, that nothing is copied."""

from __future__ import annotations

import struct

import pytest

from dul_fsm.errors import PDUError
from dul_fsm.pdu import MAX_PDVS, PDV, PDataTF, decode_pdvs, encode, p_data_header
from tests import oracle
from tests.pdu.wire import P_DATA, P_DATA_BYTES


def pdv(fragment: bytes, context_id: int = 1, control: int = 0) -> bytes:
    return (len(fragment) + 2).to_bytes(4, "big") + bytes((context_id, control)) + fragment


def reason(body: bytes) -> int:
    """The reason for which this body is refused."""
    with pytest.raises(PDUError) as error:
        decode_pdvs(memoryview(body))
    return error.value.reason


@pytest.mark.parametrize("length", [0, 1, 2, 4, 250, 65530, 131066, (1 << 32) - 7])
def test_the_header_holds_both_lengths(length: int) -> None:
    header = p_data_header(255, 2, length)
    assert header == b"".join(
        (
            b"\x04\0",
            (length + 6).to_bytes(4, "big"),
            (length + 2).to_bytes(4, "big"),
            b"\xff\2",
        )
    )


@pytest.mark.parametrize("control", range(4))
@pytest.mark.parametrize("context_id", [1, 3, 127, 255])
def test_a_header_and_its_fragment_are_a_p_data_tf(context_id: int, control: int) -> None:
    value = PDV(context_id, control in (1, 3), control in (2, 3), b"ab")
    data = p_data_header(context_id, control, 2) + b"ab"
    assert data == encode(PDataTF((value,)))
    assert decode_pdvs(memoryview(data)[6:]) == (value,)


def test_a_header_that_has_no_bytes_is_refused() -> None:
    for arguments in ((256, 0, 0), (1, 256, 0), (1, 0, -7), (1, 0, (1 << 32) - 6)):
        with pytest.raises(struct.error):
            p_data_header(*arguments)


@pytest.mark.parametrize("control", range(256))
def test_bits_0_and_1_of_the_message_control_header_count_and_no_others(control: int) -> None:
    (got,) = decode_pdvs(memoryview(pdv(b"", 1, control)))
    meaning = oracle.codes()["Message control header"][control & 3]
    assert got.is_command == meaning.startswith("command")
    assert got.is_last == meaning.endswith("last")


@pytest.mark.parametrize("context_id", range(256))
def test_the_context_id_of_a_pdv_is_odd(context_id: int) -> None:
    body = pdv(b"ab", context_id)
    if context_id % 2:
        assert decode_pdvs(memoryview(body))[0].context_id == context_id
    else:
        assert reason(body) == 6


@pytest.mark.parametrize("length", range(69))
def test_a_fragment_has_any_length_odd_and_none_included(length: int) -> None:
    fragment = bytes(range(length))
    assert decode_pdvs(memoryview(pdv(fragment))) == (PDV(1, False, False, fragment),)


@pytest.mark.parametrize("stated", range(69))
@pytest.mark.parametrize("there", [0, 1, 62])
def test_a_pdv_whose_length_is_not_what_is_there_is_invalid(stated: int, there: int) -> None:
    body = stated.to_bytes(4, "big") + b"\1\0" + bytes(there)
    if stated == there + 2:
        decode_pdvs(memoryview(body))
    else:
        assert reason(body) == 6


def test_a_pdv_without_its_control_header_is_invalid_even_if_a_valid_one_seems_to_follow() -> None:
    assert reason(bytes.fromhex("00000001 01 00000002 01 00")) == 6


def test_a_pdv_of_4_gib_is_invalid() -> None:
    assert reason(b"\xff\xff\xff\xff\1\0" + bytes(60)) == 6


def test_a_p_data_tf_without_a_pdv_is_invalid() -> None:
    for length in range(6):
        assert reason(bytes(length)) == 6


@pytest.mark.parametrize("end", range(len(P_DATA_BYTES) - 6))
def test_a_p_data_tf_cut_short_is_invalid_except_between_its_pdvs(end: int) -> None:
    body = P_DATA_BYTES[6 : 6 + end]
    if end == 10:
        assert decode_pdvs(memoryview(body)) == P_DATA.pdvs[:1]
    else:
        assert reason(body) == 6


def test_several_pdvs_are_kept_in_the_order_of_the_wire() -> None:
    body = b"".join(pdv(bytes((number,)), 1 + 2 * number) for number in range(128))
    got = decode_pdvs(memoryview(body))
    assert [(one.context_id, bytes(one.fragment)) for one in got] == [
        (1 + 2 * number, bytes((number,))) for number in range(128)
    ]


def test_a_fragment_is_a_slice_of_the_buffer_and_not_a_copy() -> None:
    buffer = bytearray(pdv(b"abcd") + pdv(b"ef"))
    first, second = decode_pdvs(memoryview(buffer))
    buffer[6:10] = b"ABCD"
    buffer[-1:] = b"F"
    assert (first.fragment, second.fragment) == (b"ABCD", b"eF")
    assert isinstance(first.fragment, memoryview)
    assert first.fragment.obj is buffer


def test_the_number_of_pdvs_in_a_pdu_is_bounded() -> None:
    body = pdv(b"") * MAX_PDVS
    assert len(decode_pdvs(memoryview(body))) == MAX_PDVS
    assert reason(body + pdv(b"")) == 0


def test_a_p_data_tf_without_a_pdv_or_with_too_many_is_not_sent() -> None:
    with pytest.raises(ValueError, match="with 0 PDVs"):
        encode(PDataTF(()))
    assert len(encode(PDataTF((PDV(1, True, True, b""),) * MAX_PDVS))) == 6 + 6 * MAX_PDVS
    with pytest.raises(ValueError, match="with 65537 PDVs"):
        encode(PDataTF((PDV(1, True, True, b""),) * (MAX_PDVS + 1)))


@pytest.mark.parametrize("context_id", [-1, 0, 2, 256, 257])
def test_a_pdv_with_an_impossible_context_id_is_not_sent(context_id: int) -> None:
    with pytest.raises(ValueError, match=f"id {context_id} is not odd"):
        encode(PDataTF((PDV(context_id, True, True, b""),)))


def test_a_fragment_may_be_a_memoryview() -> None:
    value = PDataTF((PDV(1, False, True, memoryview(b"abcd")[1:3]),))
    assert encode(value) == bytes.fromhex("04 00 00000008 00000004 01 02") + b"bc"
