"""Whatever is encoded comes back, whatever is decoded is a value or a `PDUError`, in linear work.

Work is counted in calls, never in time: each turn of a loop in the codec calls something.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dul_fsm.errors import PDUError
from dul_fsm.pdu import (
    MAX_PDVS,
    PDU,
    AAssociateAC,
    AAssociateRQ,
    PDataTF,
    PDUType,
    check_header,
    decode,
    decode_body,
    encode,
    p_data_header,
)
from dul_fsm.testing import strategies as dicom

REASONS = {0, 1, 5, 6}

BY_TYPE: dict[PDUType, st.SearchStrategy[PDU]] = {
    PDUType.A_ASSOCIATE_RQ: dicom.a_associate_rqs(),
    PDUType.A_ASSOCIATE_AC: dicom.a_associate_acs(),
    PDUType.A_ASSOCIATE_RJ: dicom.a_associate_rjs(),
    PDUType.P_DATA_TF: dicom.p_data_tfs(),
    PDUType.A_RELEASE_RQ: dicom.a_release_rqs(),
    PDUType.A_RELEASE_RP: dicom.a_release_rps(),
    PDUType.A_ABORT: dicom.a_aborts(),
}


def outcome(decode_it: Callable[[], PDU]) -> PDU | int:
    """The PDU, or the reason for which there is none."""
    try:
        return decode_it()
    except PDUError as error:
        reason, text = error.reason, str(error)
    assert reason in REASONS
    assert text
    return reason


def calls(work: Callable[[], object]) -> int:
    """How many calls, of Python and of C functions, this work takes."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    # A garbage collection in between would call the callbacks of whoever watches it.
    before, collecting = sys.getprofile(), gc.isenabled()
    gc.disable()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
        if collecting:
            gc.enable()
    return count


# Round trips --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pdu_type", PDUType)
@given(data=st.data())
def test_every_pdu_comes_back_from_its_bytes(pdu_type: PDUType, data: st.DataObject) -> None:
    pdu = data.draw(BY_TYPE[pdu_type])
    encoded = encode(pdu)
    assert pdu.pdu_type is pdu_type
    assert encoded[0] == pdu_type
    assert encoded[1] == 0
    assert int.from_bytes(encoded[2:6], "big") == len(encoded) - 6
    assert decode(encoded) == pdu
    assert decode_body(pdu_type, encoded[6:]) == pdu
    check_header(pdu_type, len(encoded) - 6, 0)


@given(pdv=dicom.pdvs())
def test_a_header_and_a_fragment_are_the_bytes_of_a_p_data_tf(pdv: Any) -> None:
    header = p_data_header(pdv.context_id, pdv.is_command | pdv.is_last << 1, len(pdv.fragment))
    assert header + pdv.fragment == encode(PDataTF((pdv,)))


@given(data=dicom.almost_pdus())
def test_whatever_is_decoded_encodes_to_something_that_decodes_to_the_same(data: bytes) -> None:
    """The AE titles and version names that break the rules aside, which are replaced here."""
    pdu = outcome(lambda: decode(data))
    if isinstance(pdu, int):
        return
    if isinstance(pdu, AAssociateRQ):
        pdu = dataclasses.replace(pdu, called_ae_title="A", calling_ae_title="B")
    if isinstance(pdu, AAssociateRQ | AAssociateAC):
        pdu = dataclasses.replace(
            pdu,
            user_information=dataclasses.replace(
                pdu.user_information, implementation_version_name="C"
            ),
        )
    if isinstance(pdu, AAssociateAC):
        # A rejected presentation context that came without a 40H goes out with one.
        answers = (
            dataclasses.replace(context, transfer_syntax=context.transfer_syntax or "1.2")
            for context in pdu.presentation_contexts
        )
        pdu = dataclasses.replace(pdu, presentation_contexts=tuple(answers))
    assert decode(encode(pdu)) == pdu


# Anything -----------------------------------------------------------------------------------------


@given(data=dicom.almost_pdus())
def test_almost_a_pdu_is_a_pdu_or_a_pdu_error(data: bytes) -> None:
    outcome(lambda: decode(data))


@given(data=dicom.mutated_pdus())
def test_a_mutated_pdu_is_a_pdu_or_a_pdu_error(data: bytes) -> None:
    outcome(lambda: decode(data))


@given(pdu_type=st.integers(0, 255), body=st.binary(max_size=300))
def test_any_bytes_are_a_body_or_a_pdu_error_from_bytes_and_views_alike(
    pdu_type: int, body: bytes
) -> None:
    from_bytes = outcome(lambda: decode_body(pdu_type, body))
    from_view = outcome(lambda: decode_body(pdu_type, memoryview(bytearray(body))))
    assert from_bytes == from_view
    if pdu_type not in (*PDUType,):
        assert from_bytes == 1


@given(body=dicom.associate_bodies())
def test_any_items_are_an_a_associate_pdu_or_a_pdu_error(body: bytes) -> None:
    for pdu_type in (1, 2):
        pdu = outcome(lambda pdu_type=pdu_type: decode_body(pdu_type, body))  # type: ignore[misc]
        if isinstance(pdu, AAssociateRQ | AAssociateAC):
            ids = [context.context_id for context in pdu.presentation_contexts]
            assert all(context_id % 2 for context_id in ids)
            assert 0 < len({*ids}) == len(ids) <= 128


@given(data=st.data(), pdu=dicom.pdus())
def test_a_pdu_cut_off_anywhere_is_no_pdu(data: st.DataObject, pdu: PDU) -> None:
    encoded = encode(pdu)
    end = data.draw(st.integers(0, len(encoded) - 1))
    assert outcome(lambda: decode(encoded[:end])) == 6


@given(
    pdu_type=st.integers(0, 255),
    length=st.one_of(st.integers(0, 200), st.integers(0, 0xFFFFFFFF)),
    maximum=st.one_of(st.just(0), st.integers(6, 200), st.integers(6, 0xFFFFFFFF)),
)
def test_a_header_that_passes_says_how_much_is_buffered_at_most(
    pdu_type: int, length: int, maximum: int
) -> None:
    reason = None
    try:
        check_header(pdu_type, length, maximum)
    except PDUError as error:
        reason = error.reason
    if reason is None:
        assert length <= max(1 << 20, maximum or 1 << 24)
    else:
        assert reason == (6 if pdu_type in (*PDUType,) else 1)


@given(data=st.data(), stream=dicom.byte_streams())
def test_the_pieces_of_a_stream_are_the_stream(data: st.DataObject, stream: bytes) -> None:
    """The strategy for pieces, which tests of the upper layer rely on, loses nothing."""
    pieces = data.draw(dicom.chunked(stream))
    assert b"".join(pieces) == stream
    assert all(pieces)


# Linear work --------------------------------------------------------------------------------------


def _item(kind: int, content: bytes) -> bytes:
    return bytes((kind, 0)) + len(content).to_bytes(2, "big") + content


def _rq(*items: bytes) -> bytes:
    return bytes(68) + b"".join(items)


_NAME = _item(0x10, b"1.2")
_CONTEXT = _item(0x20, b"\1\0\0\0" + _item(0x30, b"1") + _item(0x40, b"1"))
_USER = _item(0x50, b"")


# What a peer might repeat to keep us busy: (PDU-type, body with this many repetitions, the most).
WORST: dict[str, tuple[int, Callable[[int], bytes], int]] = {
    "unknown items": (1, lambda n: _rq(_NAME, _CONTEXT, _USER, _item(0x99, b"") * n), 20000),
    "unknown sub-items of 20H": (
        1,
        lambda n: _rq(
            _NAME,
            _item(0x20, b"\1\0\0\0" + _item(0x30, b"1") + _item(0x40, b"1") + _item(0x99, b"") * n),
            _USER,
        ),
        10000,
    ),
    "transfer syntaxes of 20H": (
        1,
        lambda n: _rq(
            _NAME, _item(0x20, b"\1\0\0\0" + _item(0x30, b"1") + _item(0x40, b"1.2") * n), _USER
        ),
        9000,
    ),
    "transfer syntaxes of a rejected 21H": (
        2,
        lambda n: _rq(_NAME, _item(0x21, b"\1\0\1\0" + _item(0x40, b"") * n), _USER),
        10000,
    ),
    "proposed contexts of 60 kB": (
        1,
        lambda n: _rq(
            _NAME,
            *(
                _item(
                    0x20,
                    bytes((2 * i + 1, 0, 0, 0)) + _item(0x30, b"1") + _item(0x40, b"1") * 1000,
                )
                for i in range(n)
            ),
            _USER,
        ),
        100,
    ),
    "unknown sub-items of 50H": (
        1,
        lambda n: _rq(_NAME, _CONTEXT, _item(0x50, _item(0x99, b"") * n)),
        10000,
    ),
    "role selections": (
        1,
        lambda n: _rq(_NAME, _CONTEXT, _item(0x50, _item(0x54, b"\0\1" + b"1" + b"\1\1") * n)),
        7000,
    ),
    "extended negotiations": (
        1,
        lambda n: _rq(_NAME, _CONTEXT, _item(0x50, _item(0x56, b"\0\1" + b"1") * n)),
        8000,
    ),
    "common extended negotiations": (
        1,
        lambda n: _rq(
            _NAME, _CONTEXT, _item(0x50, _item(0x57, b"\0\1" + b"1" + b"\0\1" + b"1" + b"\0\0") * n)
        ),
        5000,
    ),
    "related general SOP classes": (
        1,
        lambda n: _rq(
            _NAME,
            _CONTEXT,
            _item(
                0x50,
                _item(
                    0x57,
                    b"\0\1" + b"1" + b"\0\1" + b"1" + (3 * n).to_bytes(2, "big") + b"\x00\x011" * n,
                ),
            ),
        ),
        20000,
    ),
    "padding of a UID": (
        1,
        lambda n: _rq(_item(0x10, b"1" + bytes(n)), _CONTEXT, _USER),
        60000,
    ),
    "empty PDVs": (4, lambda n: b"\0\0\0\2\1\0" * n, 60000),
}


@pytest.mark.parametrize("name", WORST)
def test_ten_times_as_much_of_anything_is_at_most_ten_times_the_work(name: str) -> None:
    pdu_type, body, most = WORST[name]
    few = body(most // 10)
    many = body(most // 10 * 10)
    assert not isinstance(outcome(lambda: decode_body(pdu_type, many)), int)
    assert calls(lambda: decode_body(pdu_type, many)) <= 10 * calls(
        lambda: decode_body(pdu_type, few)
    )


@pytest.mark.parametrize("name", WORST)
def test_every_byte_pays_for_four_calls_at_most(name: str) -> None:
    pdu_type, body, most = WORST[name]
    data = body(most)
    assert calls(lambda: decode_body(pdu_type, data)) <= 4 * len(data) + 100


@given(data=dicom.almost_pdus())
def test_every_byte_pays_for_four_calls_at_most_whatever_they_are(data: bytes) -> None:
    assert calls(lambda: outcome(lambda: decode(data))) <= 4 * len(data) + 100


@pytest.mark.parametrize("name", WORST)
def test_memory_is_bounded_by_the_bytes_that_came(name: str) -> None:
    """At most 64 bytes for each, which an empty PDV of 6 bytes comes nearest to."""
    pdu_type, body, most = WORST[name]
    data = body(most)
    tracemalloc.start()
    try:
        pdu = decode_body(pdu_type, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pdu is not None
    assert peak <= 64 * len(data) + 10_000
    assert most <= MAX_PDVS or pdu_type != 4


def test_items_that_are_skipped_take_no_memory() -> None:
    data = _rq(_NAME, _CONTEXT, _USER, _item(0x99, b"") * 20000)
    tracemalloc.start()
    try:
        decode_body(1, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000
