"""A PDU is judged as early as it can be, and only then kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dul_fsm.fsm import Event, State
from dul_fsm.pdu import PresentationContextAC, PresentationContextRQ
from dul_fsm.upper_layer.inbox import FIRST_CAPACITY
from dul_fsm.upper_layer.receiver import EVENT_OF_PDU, Arrival, Receiver
from tests import oracle
from tests.pdu import wire
from tests.upper_layer import support


def receiver(maximum_length: int = 131072) -> Receiver:
    made = Receiver(maximum_length)
    made.learn_contexts(wire.RQ, wire.AC)
    return made


def feed(receiver: Receiver, data: bytes, state: State = State.Sta6) -> list[Arrival]:
    """These bytes arrive in `state`, which stays; every PDU that then is there."""
    arrivals = []
    while True:
        while (arrival := receiver.next(state)) is not None:
            arrivals.append(arrival)
        if not data:
            return arrivals
        room = receiver.inbox.writable(receiver.needed)
        count = min(len(room), len(data))
        room[:count] = data[:count]
        receiver.filled(count, state)
        data = data[count:]


def fault_of(arrivals: list[Arrival]) -> tuple[Event, int, str]:
    (arrival,) = arrivals
    assert arrival.fault is not None
    assert (arrival.pdu, arrival.body) == (None, None)
    return arrival.event, arrival.fault.reason, str(arrival.fault)


def test_each_pdu_type_is_the_event_that_the_transcription_names() -> None:
    names = {row["what"]: number for number, row in oracle.events().items()}
    assert {code: event.value for code, event in EVENT_OF_PDU.items()} == {
        code: names[name] for code, name in oracle.codes()["PDU-type"].items()
    }


def test_several_pdus_in_one_read_come_out_one_by_one_in_order() -> None:
    data = support.P_DATA + support.RELEASE_RQ + support.ABORT_BY_USER
    arrivals = feed(receiver(), data)
    assert [a.event for a in arrivals] == [Event.Evt10, Event.Evt12, Event.Evt16]
    assert all(arrival.pdu and arrival.fault is None for arrival in arrivals)


def test_a_wanted_pdu_waits_for_its_last_byte() -> None:
    made = receiver()
    assert feed(made, support.P_DATA[:-1]) == []
    assert made.in_pdu
    (arrival,) = feed(made, support.P_DATA[-1:])
    assert arrival.event is Event.Evt10
    assert arrival.body is not None
    assert bytes(arrival.body) == support.P_DATA[6:]
    assert not made.in_pdu


def test_an_unwanted_pdu_happens_at_once_and_its_body_is_skipped_unread() -> None:
    made = receiver()
    header = bytes.fromhex("04 00 00020000")
    event, reason, text = fault_of(feed(made, header, State.Sta8))
    assert (event, reason, text) == (Event.Evt10, 2, "P-DATA-TF is not expected in Sta8")
    for _ in range(128):
        # What looks like PDUs within it is none.
        assert feed(made, (support.ABORT_BY_USER * 103)[:1024], State.Sta13) == []
        assert not made.in_pdu
    assert made.inbox.capacity == FIRST_CAPACITY
    (arrival,) = feed(made, support.ABORT_BY_USER, State.Sta13)
    assert (arrival.event, arrival.fault) == (Event.Evt16, None)


def test_the_rest_of_a_pdu_that_has_become_unwanted_is_not_waited_for() -> None:
    made = receiver()
    assert feed(made, bytes.fromhex("04 00 00020000") + bytes(100), State.Sta6) == []
    event, reason, _ = fault_of(feed(made, b"", State.Sta13))
    assert (event, reason) == (Event.Evt10, 2)
    for _ in range(127):
        assert feed(made, bytes(1024), State.Sta13) == []
        assert not made.in_pdu
    assert feed(made, bytes(1024 - 100), State.Sta13) == []
    (arrival,) = feed(made, support.ABORT_BY_USER, State.Sta13)
    assert arrival.event is Event.Evt16
    assert made.inbox.capacity == FIRST_CAPACITY


@pytest.mark.parametrize(
    ("data", "reason", "text"),
    [
        (b"\x08", 1, "08H is not the type of a PDU"),
        (b"\x00", 1, "00H is not the type of a PDU"),
        (bytes.fromhex("04 00 00020001"), 6, "P-DATA-TF with PDU-length 131073, not 6 to 131072"),
        (bytes.fromhex("05 00 00000005"), 6, "A-RELEASE-RQ with PDU-length 5, not 4"),
        (bytes.fromhex("04 00 00000006 00000002 02 03"), 6, "presentation context id 2 is even"),
        (bytes.fromhex("04 00 00000006 00000002 03 03"), 6, "context 3 was not accepted"),
        (bytes.fromhex("04 00 00000006 00000002 05 03"), 6, "context 5 was not accepted"),
        (
            bytes.fromhex("04 00 0000000C 00000002 01 03 00000002 05 03"),
            6,
            "context 5 was not accepted",
        ),
    ],
)
def test_an_invalid_pdu_is_evt19_with_its_reason_and_what_follows_is_discarded(
    data: bytes, reason: int, text: str
) -> None:
    made = receiver()
    event, said, why = fault_of(feed(made, data + support.ABORT_BY_USER))
    assert (event, said) == (Event.Evt19, reason)
    assert text in why
    for follows in (support.ABORT_BY_USER, support.RQ, bytes(100)):
        assert feed(made, follows, State.Sta13) == []
    assert not made.in_pdu
    assert made.inbox.capacity == FIRST_CAPACITY


@pytest.mark.parametrize(
    ("pdu", "reason"),
    [
        (wire.item(0x10, b"1.2") + wire.item(0x10, b"1.2"), 5),
        (wire.USER, 6),
    ],
)
def test_the_reason_of_an_invalid_association_pdu_is_that_of_its_decoder(
    pdu: bytes, reason: int
) -> None:
    body = wire.FIXED + pdu
    data = b"\1\0" + len(body).to_bytes(4, "big") + body
    event, said, _ = fault_of(feed(receiver(), data, State.Sta2))
    assert (event, said) == (Event.Evt19, reason)


@pytest.mark.parametrize("state", [State.Sta1, State.Sta4])
def test_without_a_transport_connection_bytes_are_nothing(state: State) -> None:
    made = receiver()
    assert feed(made, support.ABORT_BY_USER, state) == []
    assert not made.in_pdu


def test_a_reset_receiver_hears_again_and_knows_no_contexts() -> None:
    made = receiver()
    feed(made, b"\xff")
    made.reset()
    assert made.accepted_ids == frozenset()
    (arrival,) = feed(made, support.RQ, State.Sta2)
    assert arrival.event is Event.Evt6


def test_discarding_forgets_what_has_begun() -> None:
    made = receiver()
    feed(made, support.P_DATA[:10])
    made.discard()
    assert not made.in_pdu
    (arrival,) = feed(made, support.RELEASE_RQ)
    assert arrival.event is Event.Evt12


@pytest.mark.parametrize(
    ("proposed", "answered", "accepted"),
    [
        ({1: ("1.2",)}, [(1, 0, "1.2")], {1}),
        ({1: ("1.2",)}, [(1, 0, "1.2"), (3, 0, "1.2")], {1}),  # 3 was not proposed
        ({1: ("1.2",)}, [(1, 0, "1.3")], set()),  # nor was 1.3
        ({1: ("1.2",), 3: ("1.2",)}, [(1, 3, "1.2"), (3, 0, "1.2")], {3}),
        ({1: ("1.2",)}, [(1, 1, "1.2")], set()),
        ({1: ("1.2",)}, [(1, 255, None)], set()),
        ({1: ("1.2", "1.3")}, [(1, 0, "1.3")], {1}),
        ({1: ("1.2",)}, [], set()),
    ],
)
def test_data_may_come_on_what_was_proposed_and_accepted(
    proposed: dict[int, tuple[str, ...]],
    answered: list[tuple[int, int, str | None]],
    accepted: set[int],
) -> None:
    made = Receiver(0)
    contexts = [PresentationContextRQ(i, "1.1", syntaxes) for i, syntaxes in proposed.items()]
    made.learn_contexts(
        replace(wire.RQ, presentation_contexts=tuple(contexts)),
        replace(
            wire.AC,
            presentation_contexts=tuple(PresentationContextAC(*answer) for answer in answered),
        ),
    )
    assert made.accepted_ids == accepted


@pytest.mark.parametrize(("maximum_length", "largest"), [(0, 2**24), (16384, 16384), (6, 6)])
def test_our_maximum_length_limits_the_pdu_length(maximum_length: int, largest: int) -> None:
    fits, too_long = (b"\4\0" + n.to_bytes(4, "big") for n in (largest, largest + 1))
    assert feed(receiver(maximum_length), fits) == []
    assert fault_of(feed(receiver(maximum_length), too_long))[:2] == (Event.Evt19, 6)
