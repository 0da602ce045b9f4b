"""Whole PDUs: known bytes both ways, headers, fixed lengths, every type that is not one."""

from __future__ import annotations

import pytest

from dul_fsm.errors import PDUError
from dul_fsm.pdu import (
    MAX_ASSOCIATE_LENGTH,
    MAX_P_DATA_LENGTH,
    PDU,
    AAbort,
    AAssociateRJ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    check_header,
    decode,
    decode_body,
    encode,
)
from tests import oracle
from tests.pdu.wire import AC_BYTES, KNOWN, P_DATA_BYTES, RQ_BYTES

FIXED_TYPES = [3, 5, 6, 7]


def header_reason(pdu_type: int, pdu_length: int, maximum_length: int) -> int:
    """The reason for which this header is refused."""
    with pytest.raises(PDUError) as error:
        check_header(pdu_type, pdu_length, maximum_length)
    return error.value.reason


def reason(data: bytes) -> int:
    """The reason for which these bytes are refused."""
    with pytest.raises(PDUError) as error:
        decode(data)
    return error.value.reason


# Known bytes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "pdu"), KNOWN.values(), ids=KNOWN)
def test_known_bytes_are_read_and_written(data: bytes, pdu: PDU) -> None:
    assert decode(data) == pdu
    assert encode(pdu) == data


@pytest.mark.parametrize(("data", "pdu"), KNOWN.values(), ids=KNOWN)
def test_a_body_is_read_from_bytes_and_from_a_view_alike(data: bytes, pdu: PDU) -> None:
    assert decode_body(data[0], data[6:]) == pdu
    assert decode_body(data[0], memoryview(bytearray(b"?" + data + b"?"))[7:-1]) == pdu


@pytest.mark.parametrize("name", sorted({*KNOWN} - {"P-DATA-TF"}))
def test_a_pdu_outlives_the_buffer_that_it_was_read_from(name: str) -> None:
    data, pdu = KNOWN[name]
    buffer = bytearray(data)
    got = decode_body(data[0], memoryview(buffer)[6:])
    buffer[:] = bytes(len(buffer))
    assert got == pdu


@pytest.mark.parametrize(("data", "pdu"), KNOWN.values(), ids=KNOWN)
def test_each_fixed_field_stands_where_its_table_says(data: bytes, pdu: PDU) -> None:
    for field in oracle.layouts()[f"{pdu.pdu_type:02X}H"]:
        if field.span is None:
            continue
        first, last = field.span
        value = data[first - 1 : last]
        if field.name == "PDU-type":
            assert value[0] == pdu.pdu_type
        elif field.name == "PDU-length":
            assert int.from_bytes(value, "big") == len(data) - 6
        elif field.type == "zero":
            assert value == bytes(last - first + 1)
        elif field.name in ("Result", "Source", "Reason/Diag."):
            name = "reason" if "/" in field.name else field.name.lower()
            assert value[0] == getattr(pdu, name)


# Headers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pdu_type", [0, *range(8, 256)])
def test_a_type_that_is_none_of_the_seven_is_not_recognized(pdu_type: int) -> None:
    assert header_reason(pdu_type, 4, 0) == 1
    assert header_reason(pdu_type, 0xFFFFFFFF, 0) == 1
    assert reason(bytes((pdu_type, 0, 0, 0, 0, 4, 0, 0, 0, 0))) == 1
    with pytest.raises(PDUError, match=f"PDU-type {pdu_type:02X}H is not known") as error:
        decode_body(pdu_type, b"")
    assert error.value.reason == 1


@pytest.mark.parametrize("length", [*range(69), 0xFFFFFFFF])
@pytest.mark.parametrize("pdu_type", FIXED_TYPES)
def test_a_pdu_of_fixed_length_is_4_bytes_long(pdu_type: int, length: int) -> None:
    if length == 4:
        check_header(pdu_type, length, 1)
        decode_body(pdu_type, bytes(4))
        return
    assert header_reason(pdu_type, length, 0) == 6
    body = bytes(min(length, 100))
    with pytest.raises(PDUError, match=f"PDU-length {len(body)}, not 4") as error:
        decode_body(pdu_type, body)
    assert error.value.reason == 6


@pytest.mark.parametrize(
    "length", [*range(69), 69, 1000, MAX_ASSOCIATE_LENGTH, MAX_ASSOCIATE_LENGTH + 1, 0xFFFFFFFF]
)
@pytest.mark.parametrize("pdu_type", [1, 2])
def test_an_a_associate_pdu_is_68_bytes_to_1_mib_long(pdu_type: int, length: int) -> None:
    # The maximum length is no limit to these (PS3.8 §D.1).
    if 68 <= length <= 1 << 20:
        check_header(pdu_type, length, 16)
    else:
        assert header_reason(pdu_type, length, 0) == 6


@pytest.mark.parametrize("length", range(69))
@pytest.mark.parametrize("maximum", [0, 6, 16, 67, 68])
def test_a_p_data_tf_is_6_bytes_to_the_maximum_length_long(maximum: int, length: int) -> None:
    if 6 <= length <= (maximum or 68):
        check_header(4, length, maximum)
    else:
        assert header_reason(4, length, maximum) == 6


def test_without_a_maximum_length_a_p_data_tf_is_up_to_16_mib_long() -> None:
    assert MAX_P_DATA_LENGTH == 1 << 24
    check_header(4, MAX_P_DATA_LENGTH, 0)
    assert header_reason(4, MAX_P_DATA_LENGTH + 1, 0) == 6


def test_a_maximum_length_of_our_own_counts_even_beyond_16_mib() -> None:
    check_header(4, MAX_P_DATA_LENGTH + 1, 0xFFFFFFFF)


def test_a_refused_header_names_the_pdu_and_the_lengths() -> None:
    with pytest.raises(PDUError, match="A-RELEASE-RP with PDU-length 5, not 4"):
        check_header(6, 5, 0)
    with pytest.raises(PDUError, match="P-DATA-TF with PDU-length 17, not 6 to 16"):
        check_header(4, 17, 16)


# Whole PDUs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", range(6))
def test_less_than_a_header_is_no_pdu(length: int) -> None:
    assert reason(KNOWN["A-ABORT"][0][:length]) == 6


@pytest.mark.parametrize("data", [data for data, _ in KNOWN.values()], ids=KNOWN)
def test_bytes_missing_or_left_over_are_invalid(data: bytes) -> None:
    assert reason(data + b"\0") == 6
    assert reason(data[:-1]) == 6


def test_a_pdu_length_that_is_not_what_follows_is_invalid_even_if_the_rest_is_right() -> None:
    assert reason(bytes.fromhex("04 00 0000000A") + P_DATA_BYTES[6:]) == 6


@pytest.mark.parametrize("data", [data for data, _ in KNOWN.values()], ids=KNOWN)
def test_the_reserved_byte_of_each_header_is_not_tested(data: bytes) -> None:
    assert decode(data[:1] + b"\xff" + data[2:]) == decode(data)


def test_reserved_bytes_of_fixed_pdus_are_not_tested() -> None:
    assert decode(bytes.fromhex("03 FF 00000004 FF 01 02 03")) == AAssociateRJ(1, 2, 3)
    assert decode(bytes.fromhex("05 FF 00000004 FFFFFFFF")) == AReleaseRQ()
    assert decode(bytes.fromhex("06 FF 00000004 FFFFFFFF")) == AReleaseRP()
    assert decode(bytes.fromhex("07 FF 00000004 FF FF 02 06")) == AAbort(2, 6)


@pytest.mark.parametrize("code", range(256))
def test_each_code_of_a_reject_and_an_abort_is_kept_as_it_came(code: int) -> None:
    for pdu in (
        AAssociateRJ(code, 1, 1),
        AAssociateRJ(1, code, 1),
        AAssociateRJ(1, 1, code),
        AAbort(code, 0),
        AAbort(2, code),
    ):
        assert decode(encode(pdu)) == pdu


@pytest.mark.parametrize("code", [-1, 256])
@pytest.mark.parametrize("field", ["result", "source", "reason"])
def test_a_code_that_is_not_a_byte_is_not_sent(field: str, code: int) -> None:
    values = {"result": 1, "source": 1, "reason": 1, field: code}
    with pytest.raises(ValueError, match=rf"{field}: {code} is not in 0\.\.255"):
        encode(AAssociateRJ(**values))
    del values["result"]
    if field != "result":
        with pytest.raises(ValueError, match=rf"{field}: {code} is not in 0\.\.255"):
            encode(AAbort(**values))


def test_each_byte_changed_to_each_value_raises_pdu_error_or_nothing() -> None:
    reasons = set()
    for data in (RQ_BYTES, AC_BYTES, P_DATA_BYTES):
        for position in range(len(data)):
            for value in range(256):
                changed = data[:position] + bytes((value,)) + data[position + 1 :]
                try:
                    decode(changed)
                except PDUError as error:
                    reasons.add(error.reason)
    assert reasons == {1, 5, 6}


def test_the_fragments_of_a_decoded_pdu_are_slices_of_its_bytes() -> None:
    pdu = decode(P_DATA_BYTES)
    assert isinstance(pdu, PDataTF)
    assert all(
        isinstance(pdv.fragment, memoryview) and pdv.fragment.obj is P_DATA_BYTES
        for pdv in pdu.pdvs
    )
