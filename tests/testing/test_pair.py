"""Two associations joined in memory, as a user's test would use them."""

from __future__ import annotations

import pytest

import dul_fsm.testing
from dul_fsm.association import Aborted, Accepted, Message, Origin, Rejected, Released
from dul_fsm.dimse import CEchoRQ, CStoreRQ, NGetRQ
from dul_fsm.fsm import State
from dul_fsm.pdu import AAssociateRQ
from dul_fsm.services.handler import Accept, Handler, Reject
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.testing import Ladder, Pair
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import Faults
from dul_fsm.upper_layer import OpenTransport

CT = "1.2.840.10008.5.1.4.1.1.2"


class MyHandler(Handler):
    def __init__(self) -> None:
        self.stored = b""

    def c_store_requested(self, message: Message) -> int:
        self.stored = message.data_set
        return 0x0000


def test_a_users_test_takes_five_lines() -> None:
    pair = Pair(MyHandler())
    pair.associate([VERIFICATION])
    assert pair.invoke(CEchoRQ(VERIFICATION, message_id=1)).status == 0x0000
    pair.release()
    assert isinstance(pair.acceptor.end, Released)


def test_names_are_imported_when_they_are_asked_for() -> None:
    assert dul_fsm.testing.Pair is Pair
    assert dul_fsm.testing.Ladder is Ladder
    with pytest.raises(AttributeError, match="Nothing"):
        _ = dul_fsm.testing.Nothing


@pytest.mark.parametrize("split", [None, 1, 7])
@pytest.mark.parametrize("capacity", [1, 1000, 262144])
def test_the_wire_may_be_narrow_and_bytes_may_come_in_pieces(
    split: int | None, capacity: int
) -> None:
    handler = MyHandler()
    pair = Pair(handler, split=split, capacity=capacity)
    pair.associate([CT])
    assert pair.invoke(CStoreRQ(CT, 1, "1.2.3"), bytes(5000)).status == 0
    assert handler.stored == bytes(5000)
    pair.release()


def test_who_may_not_associate_is_told_why() -> None:
    class Refusing(Handler):
        def associate_requested(self, request: AAssociateRQ) -> Accept | Reject:
            return Reject(2, 1, 1)

    pair = Pair(Refusing())
    with pytest.raises(AssertionError, match="requestor is in Sta1"):
        pair.associate([VERIFICATION])
    assert isinstance(pair.requestor.end, Rejected)


def test_where_nobody_listens_nothing_opens() -> None:
    pair = Pair()
    pair.listens = False
    pair.request([VERIFICATION])
    pair.run()
    assert pair.requestor.events[0] == OpenTransport()
    assert isinstance(pair.requestor.end, Aborted)
    assert pair.acceptor.association.state is State.Sta1


def test_time_passes_in_advance_only() -> None:
    pair = Pair(time_limits=(TimeLimits(idle=10), None))
    pair.associate([VERIFICATION])
    pair.advance(9)
    assert pair.now == 9
    assert pair.requestor.end is None
    pair.invoke(CEchoRQ(VERIFICATION, 1))
    pair.advance(9.5)
    assert pair.requestor.end is None
    pair.advance(1)
    assert pair.now == 19.5
    assert isinstance(pair.requestor.end, Aborted)
    assert pair.requestor.end.origin is Origin.TIME_LIMIT
    assert isinstance(pair.acceptor.end, Aborted)


def test_a_connection_that_is_cut_is_lost_to_both() -> None:
    pair = Pair()
    pair.associate([VERIFICATION])
    pair.cut()
    pair.cut()
    pair.run()
    for side in (pair.requestor, pair.acceptor):
        assert side.end == Aborted(Origin.TRANSPORT, None, "the connection was lost")
        assert pair.other(pair.other(side)) is side


def test_a_side_that_does_not_read_makes_its_peer_wait() -> None:
    pair = Pair(capacity=100, time_limits=(TimeLimits(write=5), None))
    pair.associate([CT])
    pair.acceptor.reads = False
    context = pair.requestor.association.context_for(CT)
    pair.requestor.association.send_request(context, CStoreRQ(CT, 1, "1.2.3"), bytes(5000))
    pair.run()
    assert len(pair.acceptor.incoming) == 100
    pair.advance(5)
    assert isinstance(pair.requestor.end, Aborted)


def test_a_side_that_does_not_perform_is_the_tests_own() -> None:
    pair = Pair()
    pair.acceptor.performs = False
    pair.request([VERIFICATION])
    pair.run()
    assert pair.acceptor.association.state is State.Sta3
    assert pair.acceptor.events == [pair.acceptor.events[0]]


def test_what_happened_is_listed_and_can_be_drawn() -> None:
    ladder = Ladder()
    pair = Pair(observers=(ladder.observer("SCU"), ladder.observer("SCP")))
    pair.associate([VERIFICATION])
    pair.release()
    assert any(isinstance(event, Accepted) for event in pair.requestor.events)
    assert "A-RELEASE-RQ" in ladder.render()


def test_what_the_handler_raises_is_kept() -> None:
    class Broken(Handler):
        def c_echo_requested(self, message: Message) -> int:
            raise KeyError("bug")

    pair = Pair(Broken())
    pair.associate([VERIFICATION])
    assert pair.invoke(CEchoRQ(VERIFICATION, 1)).status == 0x0110
    assert [type(error) for error in pair.acceptor.failures] == [KeyError]


def test_any_request_can_be_invoked() -> None:
    pair = Pair()
    pair.associate([VERIFICATION])
    assert pair.invoke(NGetRQ(VERIFICATION, 1, "1.2.3")).status == 0x0118


# Bytes with a delay -------------------------------------------------------------------------------


def test_each_exchange_costs_a_round_trip_of_virtual_time() -> None:
    pair = Pair(delay=1)
    pair.associate([VERIFICATION])
    assert pair.now == 4  # the connection, and the request with its answer
    pair.invoke(CEchoRQ(VERIFICATION, 1))
    assert pair.now == 6
    pair.release()
    assert pair.now == 9  # and the acceptor has seen the connection closed
    for side in (pair.requestor, pair.acceptor):
        assert side.end == Released()
        assert side.association.state is State.Sta1


def test_run_moves_no_clock_and_advance_moves_it_to_what_arrives() -> None:
    pair = Pair(delay=1)
    pair.request([VERIFICATION])
    pair.run()
    assert pair.now == 0
    pair.advance(2.5)
    assert (pair.now, pair.acceptor.association.state) == (2.5, State.Sta2)
    pair.advance(0.5)
    assert pair.acceptor.association.established
    assert not pair.requestor.association.established
    pair.advance(1)
    assert pair.requestor.association.established


def test_a_time_limit_passes_while_bytes_are_under_way() -> None:
    pair = Pair(delay=10, time_limits=(TimeLimits(connect=None, association=15), None))
    pair.request([VERIFICATION])
    pair.run_until(lambda: pair.requestor.end)
    assert pair.now == 35
    assert isinstance(pair.requestor.end, Aborted)
    assert pair.requestor.end.origin is Origin.TIME_LIMIT


def test_what_arrives_at_the_limit_is_in_time() -> None:
    pair = Pair(delay=10, time_limits=(TimeLimits(connect=None, association=20), None))
    pair.associate([VERIFICATION])
    assert pair.now == 40


def test_who_gives_up_while_the_connection_opens_is_not_told_of_it() -> None:
    pair = Pair(delay=10, time_limits=(TimeLimits(connect=5), None))
    pair.request([VERIFICATION])
    pair.advance(60)
    assert isinstance(pair.requestor.end, Aborted)
    assert pair.requestor.association.state is State.Sta1
    assert pair.acceptor.association.state is State.Sta1


def test_nobody_listens_is_told_after_a_round_trip_and_only_to_who_still_waits() -> None:
    for limit, when in ((30, 20), (5, 5)):
        pair = Pair(delay=10, time_limits=(TimeLimits(connect=limit), None))
        pair.listens = False
        pair.request([VERIFICATION])
        pair.advance(when)
        assert isinstance(pair.requestor.end, Aborted)
        pair.advance(60)


def test_what_is_under_way_counts_towards_the_capacity() -> None:
    pair = Pair(delay=1, capacity=100)
    pair.associate([CT])
    context = pair.requestor.association.context_for(CT)
    pair.requestor.association.send_request(context, CStoreRQ(CT, 1, "1.2.3"), bytes(5000))
    pair.run()
    assert pair.requestor.way.count == 100
    pair.advance(1)
    assert pair.requestor.way.count == 100
    assert not pair.acceptor.incoming


@pytest.mark.parametrize("delay", [-1, float("inf"), float("nan")])
def test_a_delay_is_a_number_of_seconds(delay: float) -> None:
    with pytest.raises(ValueError, match="delay"):
        Pair(delay=delay)


# Faults -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0, 0.5])
@pytest.mark.parametrize("seed", range(4))
def test_pieces_drawn_from_a_seed_arrive_as_one_stream(seed: int, delay: float) -> None:
    times = set()
    for _ in range(2):
        handler = MyHandler()
        faults = Faults(max_send=50, max_receive=9, seed=seed)
        pair = Pair(handler, faults=(faults, faults), delay=delay, capacity=700)
        pair.associate([CT])
        assert pair.invoke(CStoreRQ(CT, 1, "1.2.3"), bytes(5000)).status == 0
        assert handler.stored == bytes(5000)
        pair.release()
        times.add((pair.now, pair.requestor.way.sent, pair.acceptor.way.sent))
    assert len(times) == 1


@pytest.mark.parametrize("delay", [0, 0.5])
def test_a_connection_is_cut_after_every_number_of_bytes(delay: float) -> None:
    whole = Pair(delay=delay)
    whole.associate([VERIFICATION])
    for count in range(whole.requestor.way.sent):
        pair = Pair(faults=(Faults(cut_after=count), None), delay=delay)
        pair.request([VERIFICATION])
        pair.advance(5)
        assert pair.requestor.way.sent == count
        assert isinstance(pair.requestor.end, Aborted)
        assert pair.requestor.end.origin is Origin.TRANSPORT
        assert pair.acceptor.association.state is State.Sta1


def test_what_stalls_goes_on_when_it_is_told_to_and_its_end_too() -> None:
    limits = TimeLimits(association=None)
    pair = Pair(faults=(None, Faults(stall_after=0)), delay=1, time_limits=(limits, None))
    pair.request([VERIFICATION])
    pair.advance(20)
    assert pair.acceptor.association.established
    assert not pair.requestor.association.established
    pair.acceptor.association.send_abort(pair.now)
    pair.advance(20)
    assert pair.requestor.end is None
    pair.acceptor.resume()
    pair.run_until(lambda: pair.requestor.end)
    assert pair.now == 41
    assert isinstance(pair.requestor.events[1], Accepted)


def test_who_has_half_closed_cannot_send_and_still_hears() -> None:
    pair = Pair()
    pair.associate([VERIFICATION])
    pair.requestor.half_close()
    pair.requestor.half_close()
    pair.requestor.association.send_release_request(pair.now)
    pair.run()
    end = Aborted(Origin.TRANSPORT, None, "the connection was lost: the stream has ended")
    assert pair.requestor.end == end
    assert isinstance(pair.acceptor.end, Aborted)


def test_a_stream_ends_after_a_number_of_bytes() -> None:
    pair = Pair(faults=(Faults(half_close_after=80), None))
    pair.request([VERIFICATION])
    pair.run()
    assert pair.requestor.way.sent == 80
    assert isinstance(pair.requestor.end, Aborted)
    assert pair.acceptor.association.state is State.Sta1
