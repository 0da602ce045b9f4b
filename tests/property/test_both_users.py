"""Both users against each other: any legal primitive at any time, over a wire that breaks.

Two real upper layers are joined by two streams of bytes. Hypothesis decides who does what when, how
many bytes arrive at a time, when time passes and when the connection goes.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from dul_fsm.fsm import State
from dul_fsm.pdu import AAssociateRJ, PDUType
from dul_fsm.testing.ladder_run import ACCEPT, FRAGMENT, REJECT, REQUEST
from dul_fsm.upper_layer import (
    AbortIndication,
    AssociateConfirmation,
    AssociateIndication,
    CloseTransport,
    Observation,
    OpenTransport,
    PDataIndication,
    PDUSent,
    ProviderAbortIndication,
    ReleaseConfirmation,
    TimeLimitPassed,
    UpperLayer,
)

RARELY = st.integers(0, 199).map(lambda number: number == 113)
"""What would end most runs before they have begun if it came as often as it may."""

ABORTABLE = frozenset(State) - {State.Sta1, State.Sta2, State.Sta13}
NO_TRANSPORT = (State.Sta1, State.Sta4)


class User:
    """One side: its upper layer, what it sent and was told."""

    def __init__(self, requestor: bool) -> None:
        self.upper = UpperLayer(requestor=requestor, observer=self._observe)
        self.wire = bytearray()  # on its way to this side
        self.peer = self
        self.open = False
        self.known = requestor
        self.ends = 0
        self.aborts = 0
        self.sent_data = 0
        self.received_data = 0

    def _observe(self, observation: Observation) -> None:
        if isinstance(observation, PDUSent):
            self.aborts += observation.pdu_type == PDUType.A_ABORT

    @property
    def state(self) -> State:
        return self.upper.state

    def settle(self, now: float) -> None:
        """Take every indication, and put what is to leave on the wire."""
        while (indication := self.upper.next_indication()) is not None:
            match indication:
                case OpenTransport():
                    pass
                case CloseTransport():
                    self.close()
                case AssociateIndication():
                    self.known = True
                case PDataIndication(pdvs):
                    assert all(bytes(pdv.fragment) == FRAGMENT for pdv in pdvs)
                    self.received_data += len(pdvs)
                case AbortIndication() | ProviderAbortIndication() | TimeLimitPassed():
                    self.ends += 1
                case AssociateConfirmation(AAssociateRJ()):
                    self.ends += 1
                case ReleaseConfirmation() if self.state is State.Sta1:
                    self.ends += 1
                case _:
                    pass
        while buffers := self.upper.data_to_send():
            data = b"".join(buffers)
            self.upper.data_sent(len(data), now)
            if self.peer.open:
                self.peer.wire += data

    def close(self) -> None:
        self.open = False
        self.wire.clear()


class BothUsers(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.requestor, self.acceptor = User(True), User(False)
        self.requestor.peer, self.acceptor.peer = self.acceptor, self.requestor
        self.connected = False

    def side(self, requestor: bool) -> User:
        return self.requestor if requestor else self.acceptor

    @initialize(fails=RARELY)
    def request_and_connect(self, fails: bool) -> None:
        self.requestor.upper.a_associate_request(REQUEST, self.now)
        self.requestor.settle(self.now)
        self.connected = True
        if fails:
            self.requestor.upper.transport_closed(self.now)
            self.requestor.settle(self.now)
            return
        self.requestor.open = self.acceptor.open = True
        for user in (self.requestor, self.acceptor):
            user.upper.transport_opened(self.now)
            user.settle(self.now)

    @rule(requestor=st.booleans(), count=st.sampled_from([7, 400, 400, 400]))
    def arrive(self, requestor: bool, count: int) -> None:
        user = self.side(requestor)
        if user.open and user.wire:
            user.upper.receive_data(bytes(user.wire[:count]), self.now)
            del user.wire[:count]
            user.settle(self.now)
            self.notice(user)

    @rule(requestor=st.booleans(), choice=st.integers(0, 9))
    def primitive(self, requestor: bool, choice: int) -> None:
        user = self.side(requestor)
        upper, state = user.upper, user.state
        if state is State.Sta3:
            if choice:
                upper.a_associate_accept(ACCEPT, self.now)
            else:
                upper.a_associate_reject(REJECT, self.now)
                user.ends += 1
        elif state in (State.Sta6, State.Sta8) and choice:
            upper.p_data_request(1, 3, FRAGMENT, self.now)
            user.sent_data += 1
        elif state is State.Sta6:
            upper.a_release_request(self.now)
        elif state in (State.Sta8, State.Sta9, State.Sta12):
            upper.a_release_response(self.now)
            user.ends += user.state is State.Sta13
        user.settle(self.now)
        self.notice(user)

    @precondition(
        lambda self: self.requestor.state in ABORTABLE or self.acceptor.state in ABORTABLE
    )
    @rule(requestor=st.booleans(), really=RARELY)
    def abort(self, requestor: bool, really: bool) -> None:
        user = self.side(requestor)
        if user.state in ABORTABLE and really:
            user.upper.a_abort_request(self.now)
            user.ends += 1
            user.settle(self.now)
            self.notice(user)

    @rule(long=RARELY)
    def time_passes(self, long: bool) -> None:
        self.now += 40.0 if long else 0.5
        for user in (self.requestor, self.acceptor):
            user.upper.handle_timeout(self.now)
            user.settle(self.now)
            self.notice(user)

    @precondition(lambda self: self.requestor.open and self.acceptor.open)
    @rule(really=RARELY)
    def breaks(self, really: bool) -> None:
        if really:
            for user in (self.requestor, self.acceptor):
                user.wire.clear()
                self.end(user)

    def notice(self, user: User) -> None:
        """A side that closed is noticed by the other once it has read what was on its way."""
        peer = user.peer
        for one, other in ((user, peer), (peer, user)):
            if one.open and not other.open and not one.wire:
                self.end(one)

    def end(self, user: User) -> None:
        user.upper.transport_closed(self.now)
        user.settle(self.now)
        user.close()

    @invariant()
    def what_must_hold(self) -> None:
        for user in (self.requestor, self.acceptor):
            assert user.upper.artim_running() == (user.state in (State.Sta2, State.Sta13))
            assert user.open == (user.state not in NO_TRANSPORT)
            assert user.aborts <= 1
            assert user.ends <= 1
            assert user.received_data <= user.peer.sent_data
            if user.known and self.connected and user.state in (State.Sta1, State.Sta13):
                assert user.ends == 1
            assert user.upper.bytes_retained <= 2 * (131072 + 6) + 4096

    def teardown(self) -> None:
        """From wherever it stopped, both sides come back to Sta1 if nobody does anything more."""
        for _ in range(6):
            for user in (self.requestor, self.acceptor):
                if user.open and user.wire:
                    user.upper.receive_data(bytes(user.wire), self.now)
                    user.wire.clear()
                if user.state in ABORTABLE:
                    user.upper.a_abort_request(self.now)
                    user.ends += 1
                user.settle(self.now)
                self.notice(user)
            self.now += 60.0
            for user in (self.requestor, self.acceptor):
                user.upper.handle_timeout(self.now)
                user.settle(self.now)
        self.connected = True
        self.what_must_hold()
        assert self.requestor.state is self.acceptor.state is State.Sta1


TestBothUsers = BothUsers.TestCase
TestBothUsers.settings = settings(max_examples=300, stateful_step_count=80, deadline=None)
