"""Whatever arrives, however it is cut, and whatever the user does: the table decides, and no more.

The splits of one long session in two are enumerated in tests/upper_layer/test_streams.py.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm import Event, Kind, State
from dul_fsm.testing import strategies as dicom
from dul_fsm.upper_layer import AssociateIndication, Indication, ReleaseIndication
from dul_fsm.upper_layer.inbox import FIRST_CAPACITY
from tests.fsm import expected
from tests.upper_layer import support
from tests.upper_layer.support import CONNECTED, PDU_OF, PLACES, Bench, shown

ARTIM_STATES = (State.Sta2, State.Sta13)

KNOWN_PDUS = st.lists(st.sampled_from([*PDU_OF.values(), support.rq(0)]), max_size=8).map(b"".join)
"""Streams of valid PDUs, and of what no PDU begins with, mostly at the wrong time."""

STREAMS = st.one_of(dicom.byte_streams(), KNOWN_PDUS, st.binary(max_size=200))


def answer(bench: Bench, indication: Indication) -> None:
    """What a willing user does about it."""
    if isinstance(indication, AssociateIndication) and bench.upper.state is State.Sta3:
        bench.apply(Event.Evt7)
    elif isinstance(indication, ReleaseIndication) and bench.upper.state in (
        State.Sta8,
        State.Sta9,
    ):
        bench.apply(Event.Evt14)


def run(place: tuple[str, State], chunks: list[bytes]) -> tuple[list[object], list[object]]:
    """Told and stepped through when these chunks arrive and the transport ends.

    Not what has left: a close or an abort overtakes what waits, and how much that is depends on
    when the transport took bytes.
    """
    bench = Bench.at(*place)
    told: list[object] = []
    for chunk in chunks:
        bench.upper.receive_data(chunk, bench.now)
        while (indication := bench.upper.next_indication()) is not None:
            told += shown([indication])
            answer(bench, indication)
        bench.leave()
    told += shown(bench.end())
    return told, [(step.event, step.state, step.next_state) for step in bench.steps]


@given(st.sampled_from(CONNECTED), STREAMS, st.data())
def test_any_split_of_any_stream_gives_the_same(
    place: tuple[str, State], stream: bytes, data: st.DataObject
) -> None:
    """What is told and stepped depends on the bytes and not on the reads they came in."""
    assert run(place, data.draw(dicom.chunked(stream))) == run(place, [stream])


@given(st.sampled_from(CONNECTED), STREAMS, st.data())
def test_whatever_a_peer_sends_never_raises_and_stays_within_its_bounds(
    place: tuple[str, State], stream: bytes, data: st.DataObject
) -> None:
    """No exception, one A-ABORT at most, ARTIM where it belongs, memory by what arrived."""
    bench = Bench.at(*place)
    received, out = 0, b""
    for chunk in data.draw(dicom.chunked(stream)):
        bench.receive(chunk)
        out += bench.leave()
        received += len(chunk)
        assert bench.upper.artim_running() == (bench.upper.state in ARTIM_STATES)
        assert bench.upper.bytes_retained <= 2 * received + FIRST_CAPACITY
    aborts = [sent for sent in bench.sent if sent.pdu_type == 7]
    assert len(aborts) <= 1
    assert out.endswith(b"\x07\0\0\0\0\4" + out[-4:] if aborts else b"")
    for step in bench.steps:
        assert step.action is not None
    bench.end()
    assert bench.upper.state is State.Sta1
    assert bench.upper.deadline is None


@given(
    st.sampled_from(PLACES),
    st.lists(
        st.one_of(st.sampled_from(Event), st.sampled_from(["send", "wait", "half"])), max_size=25
    ),
)
def test_any_sequence_of_events_follows_the_table(
    place: tuple[str, State], doings: list[Event | str]
) -> None:
    """After each event the state is that of spec/; what the table leaves blank changes nothing."""
    role, _ = place
    bench = Bench.at(*place)
    for doing in doings:
        state = bench.upper.state
        if doing == "send":
            bench.leave()
        elif doing == "wait":
            bench.now += 0.25
            bench.upper.handle_timeout(bench.now)
            bench.told()
        elif doing == "half":
            # Half an A-ABORT; whatever comes next is the rest of it, so no state is predicted.
            bench.receive(support.ABORT_BY_USER[:4])
            bench.end()
        elif isinstance(doing, Event):
            if doing is {"requestor": Event.Evt5, "acceptor": Event.Evt2}[role]:
                continue
            if (role, doing) == ("acceptor", Event.Evt1):
                continue
            if doing is Event.Evt18:
                if not bench.upper.artim_running():
                    continue
                bench.turn_to_deadline()
                bench.upper.handle_timeout(bench.now)
                bench.told()
                assert bench.upper.state is State.Sta1
                continue
            row = expected.step(doing, state, requestor=role == "requestor", acceptable=True)
            deaf = any(step.event is Event.Evt19 for step in bench.steps) and state is State.Sta13
            refused = False
            try:
                bench.apply(doing)
            except LocalProtocolError:
                refused = True
            bench.told()
            assert refused == (row is None and doing.kind is Kind.PRIMITIVE)
            if deaf and doing.kind is Kind.PDU:
                assert bench.upper.state is State.Sta13
            else:
                assert bench.upper.state is (state if row is None else row.next_state)
            if bench.upper.state is State.Sta1:
                bench.steps.clear()
        assert bench.upper.artim_running() == (bench.upper.state in ARTIM_STATES)
