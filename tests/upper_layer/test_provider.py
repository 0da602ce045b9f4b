"""The service provider: what a user of it can rely on, beyond the cells of Table 9-10."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest

from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm import Event, State
from dul_fsm.pdu import AAssociateRJ, PresentationContextAC, encode
from dul_fsm.timers import TimeLimits
from dul_fsm.upper_layer import (
    AbortIndication,
    AssociateConfirmation,
    AssociateIndication,
    CloseTransport,
    OpenTransport,
    PDataIndication,
    ProviderAbortIndication,
    ReleaseConfirmation,
    ReleaseIndication,
    UpperLayer,
)
from dul_fsm.upper_layer.receiver import Arrival, Receiver
from tests.pdu import wire
from tests.upper_layer import support
from tests.upper_layer.support import (
    ABORT_BY_PROVIDER,
    ABORT_BY_USER,
    FRAGMENT,
    OUR_P_DATA,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    ROLES,
    Bench,
    abort,
    p_data,
    shown,
)

# Association establishment -----------------------------------------------------------------------


def test_a_requestor_and_an_acceptor_go_through_a_whole_association() -> None:
    ours, theirs = Bench("requestor"), Bench("acceptor")
    ours.apply(Event.Evt1)
    assert ours.told() == [OpenTransport()]
    ours.apply(Event.Evt2)
    theirs.apply(Event.Evt5)
    assert theirs.receive(ours.leave()) == [AssociateIndication(wire.RQ)]
    theirs.upper.a_associate_accept(wire.AC, theirs.now)
    assert ours.receive(theirs.leave()) == [AssociateConfirmation(wire.AC)]
    ours.apply(Event.Evt9)
    assert shown(theirs.receive(ours.leave())) == [(1, True, True, FRAGMENT)]
    theirs.apply(Event.Evt9)
    assert shown(ours.receive(theirs.leave())) == [(1, True, True, FRAGMENT)]
    ours.apply(Event.Evt11)
    assert theirs.receive(ours.leave()) == [ReleaseIndication(collision=False)]
    theirs.apply(Event.Evt14)
    assert ours.receive(theirs.leave()) == [ReleaseConfirmation(), CloseTransport()]
    assert theirs.end() == []
    assert ours.state() is theirs.state() is State.Sta1


def test_an_acceptance_echoes_bytes_11_to_74_of_the_request_as_they_came() -> None:
    bench = Bench("acceptor")
    bench.apply(Event.Evt5)
    odd = bytes(range(64))
    told = bench.receive(wire.RQ_BYTES[:10] + odd + wire.RQ_BYTES[74:])
    assert isinstance(told[0], AssociateIndication)
    bench.apply(Event.Evt7)
    assert bench.leave()[10:74] == odd


@pytest.mark.parametrize("version", [0x0001, 0x0003, 0x8001, 0xFFFF])
def test_a_protocol_version_with_bit_0_is_accepted(version: int) -> None:
    bench = Bench.at("acceptor", State.Sta2)
    (indication,) = bench.receive(support.rq(version))
    assert indication == AssociateIndication(replace(wire.RQ, protocol_version=version))
    assert bench.state() is State.Sta3


@pytest.mark.parametrize("version", [0x0000, 0x0002, 0x8000, 0xFFFE])
def test_a_protocol_version_without_bit_0_is_rejected_and_the_user_is_told_nothing(
    version: int,
) -> None:
    bench = Bench.at("acceptor", State.Sta2)
    assert bench.receive(support.rq(version)) == []
    assert bench.leave() == bytes.fromhex("03 00 00000004 00 01 02 02")
    assert bench.state() is State.Sta13
    assert bench.upper.artim_running()
    assert bench.end() == []


def test_a_protocol_version_in_an_acceptance_is_not_tested() -> None:
    bench = Bench.at("requestor", State.Sta5)
    bench.receive(wire.AC_BYTES[:6] + b"\0\2" + wire.AC_BYTES[8:])
    assert bench.state() is State.Sta6


def test_the_question_of_ae_6_is_put_to_each_request_anew() -> None:
    bench = Bench.at("acceptor", State.Sta2)
    bench.receive(support.rq(0))
    bench.end()
    bench.apply(Event.Evt5)
    bench.receive(support.rq(1))
    assert bench.state() is State.Sta3


@pytest.mark.parametrize("state", support.PATHS["acceptor"], ids=lambda state: state.name)
def test_an_acceptor_cannot_request_an_association(state: State) -> None:
    bench = Bench.at("acceptor", state)
    with pytest.raises(LocalProtocolError, match="cannot request"):
        bench.apply(Event.Evt1)
    assert (bench.upper.state, bench.told(), bench.leave()) == (state, [], b"")


def test_what_cannot_be_encoded_is_refused_while_nothing_has_happened() -> None:
    bench = Bench("requestor")
    with pytest.raises(ValueError, match="AE title"):
        bench.upper.a_associate_request(replace(wire.RQ, called_ae_title=""), 0.0)
    assert (bench.upper.state, bench.told()) == (State.Sta1, [])
    bench = Bench.at("acceptor", State.Sta3)
    with pytest.raises(ValueError, match="application context name"):
        bench.upper.a_associate_accept(replace(wire.AC, application_context_name=""), 0.0)
    with pytest.raises(ValueError, match="reason"):
        bench.upper.a_associate_reject(AAssociateRJ(1, 1, 256), 0.0)
    assert (bench.upper.state, bench.leave()) == (State.Sta3, b"")
    bench.apply(Event.Evt7)
    assert bench.state() is State.Sta6


@pytest.mark.parametrize("role", ROLES)
def test_an_upper_layer_serves_one_association_after_another(role: str) -> None:
    bench = Bench.at(role, State.Sta6)
    bench.receive(b"\xff")  # deaf, an A-ABORT sent, contexts accepted
    bench.leave()
    bench.end()
    assert bench.state() is State.Sta1
    for event in support.PATHS[role][State.Sta6]:
        bench.apply(event)
        bench.told()
        bench.leave()
    assert bench.state() is State.Sta6
    assert shown(bench.receive(P_DATA)) == [(1, True, True, bytes.fromhex("AABBCCDD"))]
    bench.apply(Event.Evt15)
    assert bench.leave() == ABORT_BY_USER


def test_what_an_upper_layer_is_can_be_read() -> None:
    upper = UpperLayer(requestor=True, maximum_length=5000)
    assert (upper.requestor, upper.maximum_length, upper.state) == (True, 5000, State.Sta1)
    assert upper.time_limits == TimeLimits()
    assert (upper.deadline, upper.bytes_to_send, upper.maximum_fragment) == (None, 0, 0)
    assert not UpperLayer(requestor=False).requestor
    limits = TimeLimits(artim=1.0)
    assert UpperLayer(requestor=False, time_limits=limits).time_limits is limits


# Data --------------------------------------------------------------------------------------------


def with_maximum(data: bytes, maximum_length: int | None) -> bytes:
    """The association PDU with another 51H, or with that turned into an unknown sub-item."""
    at = data.index(b"\x51\0\0\4")
    if maximum_length is None:
        return data[:at] + b"\x5f" + data[at + 1 :]
    return data[: at + 4] + maximum_length.to_bytes(4, "big") + data[at + 8 :]


MAXIMA = [
    (0, 262144),
    (None, 16378),
    (7, 0),
    (8, 2),
    (9, 2),
    (16384, 16378),
    (2**32 - 1, 262144),
]


@pytest.mark.parametrize(("maximum_length", "fragment"), MAXIMA)
@pytest.mark.parametrize("role", ROLES)
def test_the_longest_fragment_follows_from_what_the_peer_receives(
    role: str, maximum_length: int | None, fragment: int
) -> None:
    bench = Bench.at(role, State.Sta5 if role == "requestor" else State.Sta2)
    if role == "requestor":
        bench.receive(with_maximum(wire.AC_BYTES, maximum_length))
    else:
        bench.receive(with_maximum(wire.RQ_BYTES, maximum_length))
        bench.apply(Event.Evt7)
    bench.leave()
    upper = bench.upper
    assert upper.state is State.Sta6
    assert upper.maximum_fragment == fragment
    upper.p_data_request(1, 0, bytes(fragment), bench.now)
    assert len(bench.leave()) == fragment + 12
    for control in range(4):
        with pytest.raises(ValueError, match=f"longer than the {fragment} that the peer receives"):
            upper.p_data_request(1, control, bytes(fragment + 1), bench.now)
    assert upper.bytes_to_send == 0


@pytest.mark.parametrize(
    ("context_id", "control", "message"),
    [
        (3, 0, "context 3 was not accepted"),
        (2, 0, "not accepted"),
        (256, 0, "not accepted"),
        (1, 4, "has bits beyond 0 and 1"),
        (1, 256, "has bits"),
        (1, -1, "has bits"),
    ],
)
@pytest.mark.parametrize("state", [State.Sta6, State.Sta8])
def test_p_data_that_the_peer_could_not_take_is_refused_and_changes_nothing(
    state: State, context_id: int, control: int, message: str
) -> None:
    bench = Bench.at("requestor", state)
    deadline = bench.upper.deadline
    with pytest.raises(ValueError, match=message):
        bench.upper.p_data_request(context_id, control, FRAGMENT, bench.now)
    assert (bench.upper.state, bench.upper.bytes_to_send) == (state, 0)
    assert bench.upper.deadline == deadline
    assert bench.steps == []


@pytest.mark.parametrize("control", range(4))
def test_each_message_control_header_is_sent_as_asked(control: int) -> None:
    bench = Bench.at("requestor", State.Sta6)
    bench.upper.p_data_request(1, control, FRAGMENT, bench.now)
    assert bench.leave() == OUR_P_DATA[:11] + bytes((control,)) + FRAGMENT


def test_a_fragment_is_lent_until_it_has_left_and_no_longer() -> None:
    bench = Bench.at("requestor", State.Sta6)
    lent = bytearray(b"\1\2\3\4")
    bench.upper.p_data_request(1, 2, memoryview(lent), bench.now)
    with pytest.raises(BufferError):
        lent.append(5)
    assert bench.leave().endswith(b"\1\2\3\4")
    gc.collect()
    lent.append(5)


@pytest.mark.parametrize("role", ROLES)
def test_data_that_arrives_before_the_release_response_is_delivered(role: str) -> None:
    bench = Bench.at(role, State.Sta7)
    assert shown(bench.receive(P_DATA)) == [(1, True, True, bytes.fromhex("AABBCCDD"))]
    assert bench.state() is State.Sta7


@pytest.mark.parametrize("role", ROLES)
def test_data_can_be_sent_before_a_release_is_answered(role: str) -> None:
    bench = Bench.at(role, State.Sta8)
    bench.apply(Event.Evt9)
    assert bench.leave() == OUR_P_DATA
    bench.apply(Event.Evt14)
    assert bench.leave() == RELEASE_RP


def test_all_pdvs_of_a_pdu_are_indicated_together() -> None:
    bench = Bench.at("acceptor", State.Sta6)
    pdu = bytes.fromhex("04 00 0000000E 00000002 01 01 00000004 01 02 0102")
    (indication,) = bench.receive(pdu)
    assert shown([indication]) == [(1, True, False, b""), (1, False, True, b"\1\2")]


def test_a_pdv_for_a_context_that_was_not_accepted_aborts_and_none_of_its_pdu_is_indicated() -> (
    None
):
    bench = Bench.at("acceptor", State.Sta6)
    pdu = bytes.fromhex("04 00 0000000E 00000004 01 01 0102 00000002 03 02")
    assert shown(bench.receive(pdu)) == [("A-P-ABORT", 6, False)]
    assert bench.leave() == abort(6)


def test_a_context_that_was_accepted_without_being_proposed_carries_no_data() -> None:
    bench = Bench.at("requestor", State.Sta5)
    # Context 5 was not proposed at all, and 1 with another transfer syntax.
    bench.receive(
        encode(
            replace(
                wire.AC,
                presentation_contexts=(
                    PresentationContextAC(5, 0, wire.IMPLICIT),
                    PresentationContextAC(1, 0, "1.2.840.10008.1.2.9"),
                ),
            )
        )
    )
    assert bench.state() is State.Sta6
    for context_id in (1, 5):
        with pytest.raises(ValueError, match="not accepted"):
            bench.upper.p_data_request(context_id, 3, FRAGMENT, bench.now)
    assert shown(bench.receive(p_data(b"", 5))) == [("A-P-ABORT", 6, False)]


# The end of the transport ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "state", "data", "told"),
    [
        ("requestor", State.Sta6, ABORT_BY_USER, [AbortIndication(), CloseTransport()]),
        ("requestor", State.Sta6, ABORT_BY_PROVIDER, [("A-P-ABORT", 6, True), CloseTransport()]),
        ("requestor", State.Sta7, RELEASE_RP, [ReleaseConfirmation(), CloseTransport()]),
        (
            "acceptor",
            State.Sta6,
            P_DATA + P_DATA[:-1],
            [(1, True, True, bytes.fromhex("AABBCCDD")), ("A-P-ABORT", None, False)],
        ),
        (
            "acceptor",
            State.Sta6,
            RELEASE_RQ,
            [ReleaseIndication(collision=False), ("A-P-ABORT", None, False)],
        ),
        ("acceptor", State.Sta6, b"", [("A-P-ABORT", None, False)]),
    ],
)
def test_bytes_that_came_before_the_end_of_the_transport_are_judged_before_it(
    role: str, state: State, data: bytes, told: list[object]
) -> None:
    bench = Bench.at(role, state)
    bench.upper.receive_data(data, bench.now)
    assert shown(bench.end()) == told
    assert bench.state() is State.Sta1
    assert bench.upper.deadline is None


def test_what_was_judged_is_not_looked_at_again_before_something_new_has_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench.at("acceptor", State.Sta6)
    looked: list[State] = []
    look = Receiver.next

    def counted(receiver: Receiver, state: State) -> Arrival | None:
        looked.append(state)
        return look(receiver, state)

    monkeypatch.setattr(Receiver, "next", counted)
    upper, half = bench.upper, len(P_DATA) // 2
    upper.receive_data(P_DATA[:half], bench.now)
    assert [upper.next_indication() for _ in range(5)] == [None] * 5
    assert len(looked) == 1
    upper.receive_data(P_DATA[half:], bench.now)
    assert isinstance(upper.next_indication(), PDataIndication)
    assert [upper.next_indication() for _ in range(5)] == [None] * 5
    assert len(looked) == 2  # nothing is behind it
    upper.receive_data(P_DATA + P_DATA[:half], bench.now)
    assert isinstance(upper.next_indication(), PDataIndication)
    assert [upper.next_indication() for _ in range(5)] == [None] * 5
    assert len(looked) == 4  # the PDU, and that the next one is not complete
    bench.apply(Event.Evt9)  # what this side sends is nothing new
    assert upper.next_indication() is None
    assert len(looked) == 4
    bench.apply(Event.Evt15)  # in another state something else may be wanted
    assert upper.next_indication() is None
    assert looked[4:] == [State.Sta13] * 2  # it is not; what has come of it is skipped


def test_the_user_acts_in_the_state_it_has_been_told_of() -> None:
    bench = Bench.at("acceptor", State.Sta6)
    bench.upper.receive_data(P_DATA + RELEASE_RQ, bench.now)
    bench.upper.transport_closed(bench.now)
    assert isinstance(bench.upper.next_indication(), PDataIndication)
    assert bench.state() is State.Sta6
    bench.apply(Event.Evt9)
    assert bench.upper.next_indication() == ReleaseIndication(collision=False)
    assert bench.state() is State.Sta8
    bench.apply(Event.Evt14)
    assert bench.told() == []
    assert bench.state() is State.Sta1
    assert bench.leave() == b""


def test_a_lost_transport_has_no_reason_and_says_how_it_was_lost() -> None:
    bench = Bench.at("requestor", State.Sta4)
    bench.upper.transport_closed(bench.now, "refused")
    bench.upper.transport_closed(bench.now, "said twice")
    assert bench.told() == [ProviderAbortIndication(None, False, "refused")]
    assert bench.told() == []


def test_bytes_that_come_after_the_end_of_the_transport_are_nothing() -> None:
    bench = Bench.at("requestor", State.Sta6)
    bench.upper.transport_closed(bench.now)
    bench.upper.receive_data(ABORT_BY_USER, bench.now)
    assert shown(bench.told()) == [("A-P-ABORT", None, False)]


def test_bytes_and_the_end_of_a_transport_that_is_not_there_are_nothing() -> None:
    bench = Bench("acceptor")
    assert bench.receive(wire.RQ_BYTES) == []
    assert bench.end() == []
    bench.apply(Event.Evt5)
    assert bench.told() == []
    assert bench.state() is State.Sta2


def test_a_transport_that_opens_late_is_dropped_and_the_observer_sees_it() -> None:
    for role, event in (("requestor", Event.Evt2), ("acceptor", Event.Evt5)):
        bench = Bench.at(role, State.Sta6)
        bench.apply(event)
        assert [(step.event, step.action) for step in bench.steps] == [(event, None)]
        assert bench.state() is State.Sta6
