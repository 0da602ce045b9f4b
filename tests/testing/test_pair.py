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
    assert pair.invoke(NGetRQ(VERIFICATION, 1, "1.2.3")).status == 0x0211
