"""The values that an AE is told."""

from __future__ import annotations

import errno

import pytest

from dul_fsm.association import Memory, Message
from dul_fsm.dimse import CEchoRQ, CEchoRSP, CStoreRQ
from dul_fsm.negotiation import IMPLICIT_VR_LITTLE_ENDIAN, AcceptedContext
from dul_fsm.services.sop_classes import VERIFICATION

CONTEXT = AcceptedContext(1, VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN, True, False)
PATIENT_ID = b"\x10\x00\x20\x00\x04\x00\x00\x00ABC "


def test_a_memory_keeps_what_is_written() -> None:
    memory = Memory()
    memory.write(memoryview(b"ab"))
    memory.write(memoryview(b"c"))
    assert memory.value() == b"abc"


def test_a_memory_takes_no_more_than_its_limit() -> None:
    memory = Memory(limit=3)
    memory.write(memoryview(b"abc"))
    with pytest.raises(OSError, match="3 bytes") as caught:
        memory.write(memoryview(b"d"))
    assert caught.value.errno == errno.ENOSPC
    assert memory.value() == b"abc"


def test_a_message_gives_its_data_set_if_it_was_kept_in_memory() -> None:
    message = Message(CONTEXT, CStoreRQ("1.2", 1, "1.2.3"))
    assert message.data_set == b""
    message.sink = Memory()
    message.sink.write(memoryview(PATIENT_ID))
    assert message.data_set == PATIENT_ID
    assert message.decode().PatientID == "ABC"


def test_only_a_response_has_a_status() -> None:
    assert Message(CONTEXT, CEchoRSP(1, 0x0211)).status == 0x0211
    with pytest.raises(TypeError, match="C-ECHO-RQ"):
        _ = Message(CONTEXT, CEchoRQ(VERIFICATION, 1)).status
