"""What a P-DATA-TF costs in the core, counted and not timed: calls, and bytes allocated.

Speed is won by few calls and no copies, and lost the same way, a little at a time. A clock in a
test would fail on a busy machine and pass on a fast one; a count is the same everywhere. When one
of these fails, something that is done for each PDU has grown: see whether it has to be, and raise
the number here only if it has. When something shrinks, lower it.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from dul_fsm.association import Association
from dul_fsm.dimse import CEchoRQ, CStoreRQ
from dul_fsm.services.handler import Handler
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.testing import Pair

CT = "1.2.840.10008.5.1.4.1.1.2"
LENGTHS = (16384, 131072)
"""Maximum lengths: what many devices insist on, and what fast peers take."""

# What it is now, and a twentieth more: `transitions` and Python change a little with each release.
CALLS = {("sending", 16384): 20, ("receiving", 16384): 40}
CALLS |= {("sending", 131072): 22, ("receiving", 131072): 43}
CALLS_PER_ECHO = 350
"""Of both sides, from the request to the response: core and service, without a driver."""

BYTES = {"sending": 24000, "receiving": 16000}
"""Allocated at any one time, whatever the length of the PDUs. What is sent at once is 32 of the
short ones, each a few small objects; a copy of one of them on top of that is more."""
BYTES_KEPT = 48
"""Still there afterwards, for each PDU: less than the smallest object that could be kept."""


class Transfer:
    """A data set of so many PDUs, from a requestor to an acceptor that drops its fragments."""

    def __init__(self, maximum_length: int, pdus: int) -> None:
        pair = Pair(Handler(), maximum_lengths=(maximum_length, maximum_length))
        pair.associate([CT])
        self.maximum_length = maximum_length
        self.sender = pair.requestor.association
        self.receiver = pair.acceptor.association
        self.sender.send_request(
            self.sender.context_for(CT),
            CStoreRQ(CT, message_id=1, priority=0, affected_sop_instance_uid="1.2.3"),
            bytes((maximum_length - 6) * pdus),
        )

    def send(self, pdus: int = 1 << 30) -> None:
        """As many leave, or all, and nobody keeps them; give or take what is sent at once."""
        left = pdus * self.maximum_length
        while left > 0 and (buffers := self.sender.data_to_send()):
            count = sum(map(len, buffers))
            self.sender.data_sent(count, 0.0)
            left -= count

    def sent(self) -> memoryview:
        """The same, for who is to receive it."""
        wire = bytearray()
        while buffers := self.sender.data_to_send():
            wire += b"".join(buffers)
            self.sender.data_sent(sum(map(len, buffers)), 0.0)
        return memoryview(wire)


def receive(receiver: Association, data: memoryview) -> None:
    """It arrives, as much at a time as there is room for, and nobody keeps it."""
    while data:
        room = receiver.receive_buffer()
        count = min(len(room), len(data))
        room[:count] = data[:count]
        data = data[count:]
        receiver.buffer_filled(count, 0.0)
        while receiver.next_event() is not None:
            pass


def side(transfer: Transfer, name: str) -> Callable[[], None]:
    """What that side does for a transfer."""
    if name == "sending":
        return transfer.send
    data = transfer.sent()
    return lambda: receive(transfer.receiver, data)


def is_counted(caller: FrameType | None) -> bool:
    """Not if it is the test, or the kit that it uses."""
    name = caller.f_code.co_filename if caller else __file__
    return name != __file__ and Path(name).parent.name != "testing"


def count_calls(run: Callable[[], None]) -> int:
    """How many calls are made, of functions in C too, but by those of this file."""
    calls = 0

    def profile(frame: FrameType, event: str, _: Any) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += is_counted(frame.f_back if event == "call" else frame)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(before)
    return calls


def calls_per_pdu(name: str, maximum_length: int, few: int = 64, many: int = 192) -> float:
    """What the PDUs cost that one transfer has more than another, and nothing else."""
    less, more = (count_calls(side(Transfer(maximum_length, pdus), name)) for pdus in (few, many))
    return (more - less) / (many - few)


@pytest.mark.parametrize("maximum_length", LENGTHS)
@pytest.mark.parametrize("name", ["sending", "receiving"])
def test_a_pdu_takes_no_more_calls_than_it_did(name: str, maximum_length: int) -> None:
    calls = calls_per_pdu(name, maximum_length)
    most = CALLS[name, maximum_length]
    assert calls <= most, (
        f"{name} a P-DATA-TF of {maximum_length} bytes takes {calls:.1f} calls, not {most}: "
        f"something new is done for each PDU on the {name} side"
    )


def test_an_echo_takes_no_more_calls_than_it_did() -> None:
    pair = Pair(Handler())
    pair.associate([VERIFICATION])

    def echoes(count: int) -> None:
        for number in range(1, count + 1):
            assert pair.invoke(CEchoRQ(VERIFICATION, number)).status == 0

    echoes(10)
    calls = (count_calls(lambda: echoes(60)) - count_calls(lambda: echoes(10))) / 50
    assert calls <= CALLS_PER_ECHO, (
        f"a C-ECHO takes {calls:.1f} calls, not {CALLS_PER_ECHO}: something new is done for each "
        "operation"
    )


@pytest.mark.parametrize("name", ["sending", "receiving"])
def test_the_thousandth_pdu_takes_as_many_calls_as_the_tenth(name: str) -> None:
    early = calls_per_pdu(name, 4096, 64, 192)
    late = calls_per_pdu(name, 4096, 1024, 1152)
    assert late == pytest.approx(early, rel=0.05), (
        f"{name} a P-DATA-TF takes {early:.1f} calls early in a message and {late:.1f} late: the "
        f"{name} side looks at what it has done before"
    )


@pytest.mark.parametrize("maximum_length", LENGTHS)
@pytest.mark.parametrize("name", ["sending", "receiving"])
def test_no_fragment_is_copied_or_kept(name: str, maximum_length: int) -> None:
    transfer, half = Transfer(maximum_length, 256), 128
    # The first half is a warm-up: by then the receiver's buffer is as large as it gets.
    if name == "sending":
        transfer.send(half)
        run: Callable[[], None] = transfer.send
    else:
        data = transfer.sent()
        middle = len(data) // 2
        receive(transfer.receiver, data[:middle])
        run = partial(receive, transfer.receiver, data[middle:])
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before <= BYTES[name], (
        f"{name} P-DATA-TFs of {maximum_length} bytes takes {peak - before} bytes at a time, not "
        f"{BYTES[name]}: a fragment is copied on the {name} side"
    )
    assert (after - before) / half <= BYTES_KEPT, (
        f"{name} {half} P-DATA-TFs leaves {after - before} bytes behind on the {name} side"
    )
