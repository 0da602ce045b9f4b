"""However the stream is cut, it says the same; and memory follows what arrived."""

from __future__ import annotations

import pytest

from dul_fsm.fsm import Event, State
from dul_fsm.upper_layer import (
    AssociateIndication,
    ReleaseIndication,
)
from tests.upper_layer import support
from tests.upper_layer.support import (
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    Bench,
    p_data,
    shown,
)

SESSION = b"".join(
    (
        support.rq(1),
        *(p_data(bytes((n,)) * n) for n in (0, 1, 2, 5, 40)),
        bytes.fromhex("04 00 0000000E 00000002 01 01 00000004 01 02 0102"),
        RELEASE_RQ,
    )
)
"""What an acceptor receives in an association from its request to its release."""


def listen_to(chunks: list[bytes]) -> tuple[list[object], bytes, list[object]]:
    """What an acceptor is told, sends and steps through while these chunks arrive."""
    bench = Bench.at("acceptor", State.Sta2)
    told: list[object] = []
    for chunk in chunks:
        bench.upper.receive_data(chunk, bench.now)
        while (indication := bench.upper.next_indication()) is not None:
            told += shown([indication])
            if isinstance(indication, AssociateIndication):
                bench.apply(Event.Evt7)
            elif isinstance(indication, ReleaseIndication):
                bench.apply(Event.Evt14)
    steps: list[object] = [(s.event, s.state, s.action, s.next_state) for s in bench.steps]
    return told, bench.leave(), steps


WHOLE = listen_to([SESSION])


def test_the_session_is_what_it_should_be() -> None:
    told, sent, steps = WHOLE
    assert len(told) == 1 + 5 + 2 + 1
    assert sent == support.OUR_AC + RELEASE_RP
    assert len(steps) == 1 + 1 + 5 + 1 + 1 + 1


@pytest.mark.parametrize("cut", range(1, len(SESSION)))
def test_every_split_in_two_gives_the_same(cut: int) -> None:
    assert listen_to([SESSION[:cut], SESSION[cut:]]) == WHOLE


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
def test_every_size_of_chunk_gives_the_same(size: int) -> None:
    chunks = [SESSION[at : at + size] for at in range(0, len(SESSION), size)]
    assert listen_to(chunks) == WHOLE


def test_the_zero_copy_pair_gives_the_same_as_receive_data() -> None:
    bench = Bench.at("acceptor", State.Sta6)
    room = bench.upper.receive_buffer()
    room[: len(P_DATA)] = P_DATA
    bench.upper.buffer_filled(len(P_DATA), bench.now)
    assert shown(bench.told()) == [(1, True, True, bytes.fromhex("AABBCCDD"))]


@pytest.mark.parametrize("maximum_length", [0, 16384, 131072, 2**32 - 1])
def test_any_number_of_bytes_may_arrive_at_once(maximum_length: int) -> None:
    bench = Bench.at("acceptor", State.Sta6, maximum_length=maximum_length)
    data = p_data(bytes(16378)) * 128
    bench.upper.receive_data(data, bench.now)
    assert bench.upper.bytes_retained <= 2 * len(data) + 4096
    assert len(bench.told()) == 128


def test_no_more_is_retained_than_arrived_whatever_a_header_announces() -> None:
    for header in (bytes.fromhex("01 00 00100000"), bytes.fromhex("02 00 00100000")):
        role, state = ("acceptor", State.Sta2) if header[0] == 1 else ("requestor", State.Sta5)
        bench = Bench.at(role, state)
        bench.receive(header)
        assert bench.upper.bytes_retained == 4096
    bench = Bench.at("acceptor", State.Sta6, maximum_length=0)
    bench.receive(bytes.fromhex("04 00 01000000"))
    assert bench.upper.bytes_retained == 4096


@pytest.mark.parametrize("maximum_length", [0, 16384, 131072])
def test_what_is_retained_does_not_grow_with_the_number_of_pdus(maximum_length: int) -> None:
    bench = Bench.at("acceptor", State.Sta6, maximum_length=maximum_length)
    pdu = p_data(bytes(10000))
    for _ in range(200):
        bench.receive(pdu)
    assert bench.upper.bytes_retained <= max(2 * (maximum_length + 6), 4 * len(pdu))
