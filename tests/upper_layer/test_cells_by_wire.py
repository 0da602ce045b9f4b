"""Each cell of what comes over the wire, as a peer sees it: bytes in, bytes out, closed or not.

Nothing here looks at indications but for the request to close the transport, and the reaction is
read off the action that spec/ has in the cell.
"""

from __future__ import annotations

import pytest

from dul_fsm.fsm import Event, State
from dul_fsm.upper_layer import CloseTransport, Indication
from tests import oracle
from tests.upper_layer import support
from tests.upper_layer.support import CONNECTED, PDU_OF, Bench, abort, place_id

PDUS = sorted(PDU_OF, key=lambda event: event.value)
CASES = [(role, state, event) for role, state in CONNECTED for event in PDUS]
IDS = [f"{place_id((role, state))}-{event.name}" for role, state, event in CASES]

UNWANTED = ("AA-1", "AA-6", "AA-7", "AA-8")
"""The actions of a PDU that the state does not want."""

CLOSING = ("AA-2", "AA-3", "AE-4", "AR-3")
"""The actions of a PDU that close the transport connection."""


def action_in(event: Event, state: State) -> str:
    action = oracle.state_table()[event.value, state.value]
    assert action is not None, "no transport connection is open there"
    return action


def answer(event: Event, state: State) -> bytes:
    """What the peer gets for it before the local user does anything."""
    match action_in(event, state):
        case "AA-1":
            return support.ABORT_BY_USER
        case "AA-7" | "AA-8":
            return abort(1 if event is Event.Evt19 else 2)
    return b""


def closed(told: list[Indication]) -> bool:
    return CloseTransport() in told


@pytest.mark.parametrize(("role", "state", "event"), CASES, ids=IDS)
def test_a_pdu_gets_its_answer_or_the_close(role: str, state: State, event: Event) -> None:
    bench = Bench.at(role, state)
    told = bench.receive(PDU_OF[event])
    assert bench.leave() == answer(event, state)
    assert closed(told) == (action_in(event, state) in CLOSING)


@pytest.mark.parametrize(("role", "state", "event"), CASES, ids=IDS)
def test_byte_by_byte_it_gets_the_same_and_at_the_same_byte_as_it_can_be_judged(
    role: str, state: State, event: Event
) -> None:
    bench = Bench.at(role, state)
    data = PDU_OF[event]
    out, told, reacted = b"", list[Indication](), 0
    for index, value in enumerate(data):
        told += bench.receive(bytes((value,)))
        out += bench.leave()
        if bench.steps and not reacted:
            reacted = index + 1
    assert out == answer(event, state)
    assert closed(told) == (action_in(event, state) in CLOSING)
    unwanted = action_in(event, state) in UNWANTED
    assert reacted == (1 if event is Event.Evt19 else 6 if unwanted else len(data))


ILLEGAL = [
    (role, state, event)
    for role, state, event in CASES
    if event is not Event.Evt19 and action_in(event, state) in UNWANTED
]


@pytest.mark.parametrize("length", [0, 4, 68, 2**32 - 1])
@pytest.mark.parametrize(
    ("role", "state", "event"),
    ILLEGAL,
    ids=[f"{place_id((role, state))}-{event.name}" for role, state, event in ILLEGAL],
)
def test_an_unwanted_type_is_judged_on_its_header_whatever_length_that_states(
    role: str, state: State, event: Event, length: int
) -> None:
    bench = Bench.at(role, state)
    bench.receive(PDU_OF[event][:2] + length.to_bytes(4, "big"))
    assert [step.event for step in bench.steps] == [event]
    assert bench.leave() == answer(event, state)


UNKNOWN_TYPES = [0, *range(8, 256)]


@pytest.mark.parametrize(("role", "state"), CONNECTED, ids=support.place_ids(CONNECTED))
def test_each_unknown_type_is_judged_on_its_first_byte(role: str, state: State) -> None:
    for pdu_type in UNKNOWN_TYPES:
        bench = Bench.at(role, state)
        bench.receive(bytes((pdu_type,)))
        assert [step.event for step in bench.steps] == [Event.Evt19]
        assert bench.leave() == answer(Event.Evt19, state)


WRONG_LENGTHS = {
    Event.Evt3: (0, 67, 2**20 + 1, 2**32 - 1),
    Event.Evt4: (0, 3, 5, 2**32 - 1),
    Event.Evt6: (0, 67, 2**20 + 1, 2**32 - 1),
    Event.Evt10: (0, 5, 2**17 + 1, 2**32 - 1),
    Event.Evt12: (0, 3, 5, 2**32 - 1),
    Event.Evt13: (0, 3, 5, 2**32 - 1),
    Event.Evt16: (0, 3, 5, 2**32 - 1),
}
WANTED = [
    (role, state, event, length)
    for role, state, event in CASES
    if event is not Event.Evt19 and action_in(event, state) not in UNWANTED
    for length in WRONG_LENGTHS[event]
]


@pytest.mark.parametrize(
    ("role", "state", "event", "length"),
    WANTED,
    ids=[f"{place_id((r, s))}-{event.name}-{length}" for r, s, event, length in WANTED],
)
def test_a_wanted_type_of_impossible_length_is_evt19_on_its_header_and_nothing_is_buffered(
    role: str, state: State, event: Event, length: int
) -> None:
    bench = Bench.at(role, state)
    retained = bench.upper.bytes_retained
    bench.receive(PDU_OF[event][:2] + length.to_bytes(4, "big"))
    assert [step.event for step in bench.steps] == [Event.Evt19]
    expected = answer(Event.Evt19, state)
    assert bench.leave() == (abort(6) if expected == abort(1) else expected)
    for _ in range(20):
        assert bench.receive(bytes(1000)) == []
    assert bench.upper.bytes_retained == retained


@pytest.mark.parametrize("half", [b"", b"\x04", support.P_DATA[:9]], ids=["0", "1", "9"])
@pytest.mark.parametrize(("role", "state"), CONNECTED, ids=support.place_ids(CONNECTED))
def test_the_end_of_the_transport_is_evt17_and_nothing_is_sent_any_more(
    role: str, state: State, half: bytes
) -> None:
    bench = Bench.at(role, state)
    bench.receive(half)
    bench.leave()
    bench.steps.clear()
    told = bench.end()
    assert bench.upper.state is State.Sta1
    assert [step.event for step in bench.steps] == [Event.Evt17]
    assert bench.leave() == b""
    assert not closed(told)  # it is closed


ARTIM_RUNS = [(role, state) for role, state in CONNECTED if state in (State.Sta2, State.Sta13)]


@pytest.mark.parametrize("half", [b"", b"\x01", support.RQ[:5]], ids=["0", "1", "5"])
@pytest.mark.parametrize(("role", "state"), ARTIM_RUNS, ids=support.place_ids(ARTIM_RUNS))
def test_artim_closes_without_a_byte_and_half_a_pdu_neither_stops_nor_stretches_it(
    role: str, state: State, half: bytes
) -> None:
    bench = Bench.at(role, state)
    deadline = bench.upper.deadline
    bench.now += 1.0
    bench.receive(half)
    assert bench.upper.deadline == deadline
    told = bench.pass_deadline()
    assert bench.now == deadline
    assert [step.event for step in bench.steps] == [Event.Evt18]
    assert told == [CloseTransport()]
    assert bench.leave() == b""
    assert bench.upper.state is State.Sta1
    assert bench.upper.deadline is None


@pytest.mark.parametrize(("role", "state"), CONNECTED, ids=support.place_ids(CONNECTED))
def test_artim_runs_in_sta2_and_sta13_and_nowhere_else(role: str, state: State) -> None:
    assert Bench.at(role, state).upper.artim_running() == (state in (State.Sta2, State.Sta13))


@pytest.mark.parametrize(("role", "state", "event"), CASES, ids=IDS)
def test_whatever_comes_first_the_connection_ends_when_the_peer_closes(
    role: str, state: State, event: Event
) -> None:
    bench = Bench.at(role, state)
    bench.receive(PDU_OF[event])
    bench.end()
    assert bench.upper.state is State.Sta1
    assert bench.upper.deadline is None
    assert bench.leave() == b""
