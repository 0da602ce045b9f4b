"""What the machine decides is performed: releases, aborts, and what an observer sees of it."""

from __future__ import annotations

import pytest

from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm import Event, State
from dul_fsm.pdu import PDUType, encode
from dul_fsm.upper_layer import (
    AssociateIndication,
    Buffer,
    CloseTransport,
    ProviderAbortIndication,
    ReleaseConfirmation,
    ReleaseIndication,
    UpperLayer,
)
from tests.pdu import wire
from tests.upper_layer import support
from tests.upper_layer.support import (
    ABORT_BY_USER,
    P_DATA,
    RELEASE_RQ,
    ROLES,
    Bench,
    abort,
    p_data,
    shown,
)

# Release -----------------------------------------------------------------------------------------


def test_in_a_collision_the_requestor_answers_first_and_both_are_released() -> None:
    ours, theirs = Bench.at("requestor", State.Sta6), Bench.at("acceptor", State.Sta6)
    ours.apply(Event.Evt11)
    theirs.apply(Event.Evt11)
    request, answer = ours.leave(), theirs.leave()
    assert request == answer == RELEASE_RQ
    assert ours.receive(answer) == theirs.receive(request) == [ReleaseIndication(collision=True)]
    assert (ours.upper.state, theirs.upper.state) == (State.Sta9, State.Sta10)
    with pytest.raises(LocalProtocolError):
        theirs.apply(Event.Evt14)
    ours.apply(Event.Evt14)
    assert ours.state() is State.Sta11
    assert theirs.receive(ours.leave()) == [ReleaseConfirmation()]
    assert theirs.state() is State.Sta12
    theirs.apply(Event.Evt14)
    assert theirs.state() is State.Sta13
    assert ours.receive(theirs.leave()) == [ReleaseConfirmation(), CloseTransport()]
    assert theirs.end() == []
    assert ours.state() is theirs.state() is State.Sta1


# Abort -------------------------------------------------------------------------------------------

LONG = bytes(1000)


@pytest.mark.parametrize("gone", [0, 1, 1011, 1012, 1013, 2024])
def test_a_local_abort_overtakes_what_waits_but_not_a_pdu_that_has_begun_to_leave(
    gone: int,
) -> None:
    bench = Bench.at("requestor", State.Sta6)
    for _ in range(3):
        bench.upper.p_data_request(1, 0, LONG, bench.now)
    data = b"".join(bench.upper.data_to_send())
    bench.upper.data_sent(gone, bench.now)
    bench.apply(Event.Evt15)
    rest = data[gone : -(-gone // 1012) * 1012]
    assert bench.leave() == rest + ABORT_BY_USER


CAUSES = {
    "unrecognized-PDU": (b"\x08", 1),
    "unexpected-PDU": (wire.RQ_BYTES[:6], 2),
    "invalid length": (bytes.fromhex("04 00 00000005"), 6),
    "longer than our maximum": (bytes.fromhex("04 00 00020001"), 6),
    "fixed length": (bytes.fromhex("05 00 00000000"), 6),
    "context id": (p_data(b"", 2), 6),
    "context not accepted": (p_data(b"", 3), 6),
    "PDV overruns": (bytes.fromhex("04 00 00000006 00000003 01 03"), 6),
    "bytes left over": (bytes.fromhex("04 00 00000007 00000002 01 03 00"), 6),
}


@pytest.mark.parametrize(("data", "reason"), CAUSES.values(), ids=CAUSES)
@pytest.mark.parametrize("role", ROLES)
def test_each_cause_aborts_as_provider_with_its_reason_and_the_user_is_told_it(
    role: str, data: bytes, reason: int
) -> None:
    bench = Bench.at(role, State.Sta6)
    (indication,) = bench.receive(data)
    assert isinstance(indication, ProviderAbortIndication)
    assert (indication.reason, indication.received) == (reason, False)
    assert bench.leave() == abort(reason)
    (step,) = bench.steps
    assert step.fault == indication.text != ""
    assert step.pdu is None


ASSOCIATION_CAUSES = {
    "10H twice": (wire.ac_body(wire.NAME, wire.NAME, wire.CONTEXT_AC, wire.USER), 5),
    "50H twice": (wire.ac_body(wire.NAME, wire.CONTEXT_AC, wire.USER, wire.USER), 5),
    "no 50H": (wire.ac_body(wire.NAME, wire.CONTEXT_AC), 6),
    "context id twice": (wire.ac_body(wire.NAME, wire.CONTEXT_AC, wire.CONTEXT_AC, wire.USER), 6),
    "item overruns": (wire.ac_body(wire.NAME, wire.CONTEXT_AC, wire.USER[:-1]), 6),
}


@pytest.mark.parametrize(("body", "reason"), ASSOCIATION_CAUSES.values(), ids=ASSOCIATION_CAUSES)
def test_an_invalid_acceptance_aborts_as_provider_with_its_reason(body: bytes, reason: int) -> None:
    bench = Bench.at("requestor", State.Sta5)
    told = bench.receive(b"\2\0" + len(body).to_bytes(4, "big") + body)
    assert shown(told) == [("A-P-ABORT", reason, False)]
    assert bench.leave() == abort(reason)


@pytest.mark.parametrize("data", [b"\xff", P_DATA, bytes.fromhex("01 00 00000000")])
def test_before_any_association_every_abort_is_source_0_reason_0_and_the_observer_learns_why(
    data: bytes,
) -> None:
    bench = Bench.at("acceptor", State.Sta2)
    assert bench.receive(data) == []
    assert bench.leave() == ABORT_BY_USER
    assert bench.steps[0].fault


def test_after_evt19_everything_is_discarded() -> None:
    bench = Bench.at("requestor", State.Sta6)
    bench.receive(b"\xff" + ABORT_BY_USER)
    bench.leave()
    retained = bench.upper.bytes_retained
    for data in (ABORT_BY_USER, wire.RQ_BYTES, b"\xfe", bytes(3000)):
        assert bench.receive(data) == []
    assert [step.event for step in bench.steps] == [Event.Evt19]
    assert bench.leave() == b""
    assert bench.upper.bytes_retained == retained
    assert bench.state() is State.Sta13
    assert bench.pass_deadline() == [CloseTransport()]


def test_after_an_unexpected_pdu_those_behind_it_are_judged() -> None:
    bench = Bench.at("requestor", State.Sta8)
    told = bench.receive(P_DATA + P_DATA + wire.RQ_BYTES + ABORT_BY_USER)
    assert shown(told) == [("A-P-ABORT", 2, False), CloseTransport()]
    names = [(step.event, step.action and step.action.name) for step in bench.steps]
    assert names == [
        (Event.Evt10, "AA-8"),
        (Event.Evt10, "AA-6"),
        (Event.Evt6, "AA-7"),
        (Event.Evt16, "AA-2"),
    ]


def test_one_a_abort_at_most_leaves_whatever_comes() -> None:
    bench = Bench.at("acceptor", State.Sta3)
    bench.receive(P_DATA)
    out = bench.leave()
    for _ in range(3):
        bench.receive(wire.RQ_BYTES)
        out += bench.leave()
    bench.receive(b"\xff")
    assert out + bench.leave() == abort(2)


def test_an_answer_that_has_not_begun_to_leave_gives_way_to_an_abort() -> None:
    bench = Bench.at("acceptor", State.Sta3)
    bench.apply(Event.Evt8)
    bench.receive(wire.RQ_BYTES)
    assert bench.leave() == abort(2)


# The observer ------------------------------------------------------------------------------------


def test_the_observer_sees_each_step_with_its_pdu() -> None:
    bench = Bench("acceptor")
    for event in support.PATHS["acceptor"][State.Sta6]:
        bench.apply(event)
        bench.told()
    bench.receive(P_DATA)
    bench.apply(Event.Evt9)
    bench.receive(wire.RQ_BYTES)
    seen = [
        (s.event, s.state, s.action and s.action.name, s.next_state, s.pdu and s.pdu.pdu_type)
        for s in bench.steps
    ]
    assert seen == [
        (Event.Evt5, State.Sta1, "AE-5", State.Sta2, None),
        (Event.Evt6, State.Sta2, "AE-6", State.Sta3, PDUType.A_ASSOCIATE_RQ),
        (Event.Evt7, State.Sta3, "AE-7", State.Sta6, PDUType.A_ASSOCIATE_AC),
        (Event.Evt10, State.Sta6, "DT-2", State.Sta6, PDUType.P_DATA_TF),
        (Event.Evt9, State.Sta6, "DT-1", State.Sta6, None),
        (Event.Evt6, State.Sta6, "AA-8", State.Sta13, None),
    ]
    faults = [step.fault for step in bench.steps]
    assert faults == [None] * 5 + ["A-ASSOCIATE-RQ is not expected in Sta6"]


def test_the_observer_sees_a_pdu_when_its_last_byte_has_left_and_not_before() -> None:
    bench = Bench.at("requestor", State.Sta6)
    bench.apply(Event.Evt9)
    bench.apply(Event.Evt11)
    total = bench.upper.bytes_to_send
    assert total == 14 + 10
    for left in range(1, total + 1):
        bench.upper.data_sent(1, bench.now)
        expected = [PDUType.P_DATA_TF, PDUType.A_RELEASE_RQ][: (left >= 14) + (left >= 24)]
        assert [sent.pdu_type for sent in bench.sent] == expected
    assert [sent.length for sent in bench.sent] == [14, 10]


def test_the_observer_never_sees_a_pdu_that_did_not_leave() -> None:
    bench = Bench.at("requestor", State.Sta6)
    bench.apply(Event.Evt9)
    bench.end()
    assert bench.sent == []
    assert bench.leave() == b""


def test_without_an_observer_everything_is_the_same() -> None:
    upper = UpperLayer(requestor=False)
    upper.transport_opened(0.0)
    upper.receive_data(wire.RQ_BYTES, 0.0)
    assert upper.next_indication() == AssociateIndication(wire.RQ)
    upper.a_associate_accept(wire.AC, 0.0)
    (buffer,) = upper.data_to_send()
    upper.data_sent(len(buffer), 0.0)
    assert buffer == support.OUR_AC


def test_what_is_sent_is_given_in_buffers_of_about_the_limit() -> None:
    bench = Bench.at("requestor", State.Sta6)
    for _ in range(4):
        bench.upper.p_data_request(1, 0, LONG, bench.now)
    buffers: list[Buffer] = bench.upper.data_to_send(2500)
    assert [len(buffer) for buffer in buffers] == [12, 1000, 12, 1000, 12]


def test_a_request_is_what_the_peer_reads() -> None:
    bench = Bench("requestor")
    bench.apply(Event.Evt1)
    assert bench.leave() == b""  # not before the transport is open
    bench.apply(Event.Evt2)
    assert bench.leave() == encode(wire.RQ) == wire.RQ_BYTES
