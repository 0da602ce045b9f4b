"""A tap is told what passes and has its say first; a connection with one keeps every clause."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from dul_fsm.testing.transport_tools import Clause
from dul_fsm.testing.transports import CLAUSES, check_transport
from dul_fsm.transports import TCP, Faults, Loopback, Transport, pair, taps, waiting
from dul_fsm.transports.base import Buffer, TransportClosed
from dul_fsm.transports.taps import Tap, Tapped, TappedTransport
from tests.transports.helpers import (
    PATIENCE,
    MakePair,
    Task,
    clog,
    receive_exactly,
    receive_to_end,
    send_all,
)

GREETING = b"220 ready"


class Noted(Tap):
    """Says and hears something first, in two parts, and notes everything."""

    opening = GREETING
    missing = 3
    hung_up = "it never told who it is"

    def __init__(self, local: str = "") -> None:
        self.local = local
        self.takes: list[bytes] = []
        self.passed: dict[str, bytearray] = {"sent": bytearray(), "received": bytearray()}
        self.ends = 0

    def take(self, data: bytes) -> None:
        self.takes.append(data)
        if len(self.takes) == 1:
            if data != b"220":
                raise ConnectionError("it is no friend")
            self.missing = len(GREETING) - 3
        else:
            self.peer = data.decode().strip()

    def sent(self, data: memoryview) -> None:
        assert not self.ends
        self.passed["sent"] += data

    def received(self, data: memoryview) -> None:
        assert not self.ends
        self.passed["received"] += data

    def closed(self) -> None:
        self.ends += 1


def noted(**keywords: Any) -> tuple[Transport, TappedTransport, Noted]:
    """A peer without a tap, and an end with one."""
    peer, lower = pair(**keywords)
    tap = Noted()
    return peer, TappedTransport(lower, tap), tap


def scratch() -> memoryview:
    return memoryview(bytearray(8))


# The clauses -------------------------------------------------------------------------------------


def over_tcp(make: Callable[[str], Tap]) -> tuple[Transport, Transport]:
    """Both ends have such a tap, and have said what comes first."""
    endpoint = Tapped(TCP("127.0.0.1", 0), accepting=make)
    with closing(endpoint.listen()) as listener:
        port = int(listener.address.rpartition(":")[2])
        connected = Tapped(TCP("127.0.0.1", port), connecting=make).connect(PATIENCE)
        accepted = listener.accept()
    assert isinstance(accepted, TappedTransport)
    accepted.start(PATIENCE)
    return connected, accepted


def over_a_ragged_loopback() -> tuple[Transport, Transport]:
    """Where no call moves much, in either direction."""
    faults = Faults(max_receive=7000, max_send=5000, seed=3)
    one, other = (TappedTransport(end, Noted()) for end in pair(faults=faults, peer_faults=faults))
    for end in (one, other):
        end.start(PATIENCE)
    return one, other


WIRES: dict[str, MakePair] = {
    "no say": partial(over_tcp, Tap),
    "both speak first": partial(over_tcp, Noted),
    "ragged": over_a_ragged_loopback,
}


@pytest.mark.parametrize("clause", CLAUSES, ids=str)
@pytest.mark.parametrize("wire", WIRES)
def test_a_connection_with_a_tap_keeps(wire: str, clause: Clause) -> None:
    check_transport(WIRES[wire], clauses=[clause])


# What a tap is told ------------------------------------------------------------------------------


def test_a_tap_is_told_what_passes_after_what_comes_first() -> None:
    peer, end, tap = noted(faults=Faults(max_send=1), peer_faults=Faults(max_receive=2))
    with closing(peer), closing(end):
        send_all(peer, GREETING + b"question")
        assert receive_exactly(end, 8) == b"question"
        pieces: list[Buffer] = [b"", b"an ", bytearray(b"ans"), memoryview(b"wer")]
        assert end.send(pieces, PATIENCE) == 9
        assert receive_exactly(peer, 18) == GREETING + b"an answer"
    assert tap.takes == [b"220", b" ready"]
    assert tap.passed == {"sent": b"an answer", "received": b"question"}
    assert tap.peer == "ready"


def test_a_tap_is_told_of_what_was_taken_only() -> None:
    """And again in order, when the rest is sent; a time-out tells it nothing."""
    peer, end, tap = noted(capacity=16)
    with closing(peer), closing(end):
        assert end.send([b"12345", b"67890"], PATIENCE) == 16 - len(GREETING)
        assert tap.passed["sent"] == b"1234567"
        with pytest.raises(TimeoutError):
            end.send([b"890"], 0)
        assert tap.passed["sent"] == b"1234567"
        assert receive_exactly(peer, 16) == GREETING + b"1234567"
        assert end.send([b"890"], 0) == 3
        assert tap.passed["sent"] == b"1234567890"


def test_a_tap_is_told_of_the_end_once_and_of_nothing_after_it() -> None:
    peer, end, tap = noted()
    with closing(peer):
        send_all(peer, GREETING)
        receiving = Task(end.receive_into, scratch(), None).blocked()
        closers = [Task(end.close) for _ in range(4)]
        for task in closers:
            task.result()
        with pytest.raises(TransportClosed):
            receiving.result()
        end._tapping.sent([b"late"], 4)
        end._tapping.received(memoryview(b"late"), 4)
    assert tap.ends == 1
    assert not any(tap.passed.values())


def test_a_tap_is_told_one_thing_at_a_time() -> None:
    """So that it needs no lock, though one thread sends while another receives."""
    inside, go_on = threading.Event(), threading.Event()

    class Slow(Tap):
        order: list[str] = []  # noqa: RUF012

        def sent(self, data: memoryview) -> None:
            inside.set()
            assert go_on.wait(PATIENCE)
            self.order.append("sent")

        def received(self, data: memoryview) -> None:
            self.order.append("received")

        def closed(self) -> None:
            self.order.append("closed")

    peer, lower = pair()
    end = TappedTransport(lower, Slow())
    with closing(peer), closing(end):
        sending = Task(end.send, [b"x"], PATIENCE)
        assert inside.wait(PATIENCE)
        send_all(peer, b"y")
        receiving = Task(end.receive_into, scratch(), PATIENCE).blocked()
        assert Slow.order == []
        go_on.set()
        assert (sending.result(), receiving.result()) == (1, 1)
    assert Slow.order == ["sent", "received", "closed"]


def test_who_does_not_want_the_bytes_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tap: Tap, data: memoryview) -> None:
        raise AssertionError("told")

    monkeypatch.setattr(Tap, "sent", refuse)
    monkeypatch.setattr(Tap, "received", refuse)
    one, other = (TappedTransport(end, Tap()) for end in pair())
    with closing(one), closing(other):
        send_all(one, b"x")
        assert receive_exactly(other, 1) == b"x"


# What comes first --------------------------------------------------------------------------------


def test_the_timeout_of_a_receive_is_for_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    asked: list[float | None] = []

    class Trickle:
        def send(self, buffers: Sequence[Buffer], timeout: float | None) -> int:
            nonlocal now
            now += 1.0
            asked.append(timeout)
            return 3

        def receive_into(self, view: memoryview, timeout: float | None) -> int:
            nonlocal now
            now += 1.0
            asked.append(timeout)
            view[:3] = b"220"
            return 3

        def close(self) -> None: ...

    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(waiting, "time", clock)
    for timeout in (20.0, 0, None):
        asked.clear()
        assert TappedTransport(Trickle(), Noted()).receive_into(scratch(), timeout) == 3
        if timeout is None:
            assert asked == [None] * 7
        elif timeout == 0:
            assert asked == [0.0] * 7
        else:
            assert asked == [20.0, 19.0, 18.0, 17.0, 16.0, 15.0, 14.0]


def test_an_end_before_what_comes_first_is_told_in_the_tap_s_words_and_stays() -> None:
    peer, end, tap = noted()
    with closing(end):
        send_all(peer, GREETING[:5])
        with pytest.raises(TimeoutError):
            end.receive_into(scratch(), 0)
        peer.close()
        for _ in range(2):
            with pytest.raises(ConnectionError, match="it never told who it is"):
                end.receive_into(scratch(), None)
        assert end.peer == "loopback:a"
        assert tap.takes == [b"220"]


def test_what_a_peer_said_is_received_though_it_is_gone_before_it_was_greeted() -> None:
    peer, end, _ = noted()
    with closing(end):
        send_all(peer, GREETING + b"the last words")
        peer.close()
        assert receive_to_end(end) == b"the last words"


def test_what_a_tap_refuses_lets_nothing_through_after_it() -> None:
    peer, end, tap = noted()
    with closing(peer), closing(end):
        send_all(peer, b"no friend" + bytes(20))
        for _ in range(2):
            with pytest.raises(ConnectionError, match="it is no friend"):
                end.receive_into(scratch(), None)
        assert tap.passed["received"] == b""


def test_a_tap_that_breaks_lets_nothing_through_either() -> None:
    class Mistaken(Tap):
        missing = 1

        def take(self, data: bytes) -> None:
            raise KeyError

    peer, lower = pair()
    end = TappedTransport(lower, Mistaken())
    with closing(peer), closing(end):
        send_all(peer, b"x and more")
        with pytest.raises(KeyError):
            end.receive_into(scratch(), None)
        with pytest.raises(ConnectionError, match="KeyError"):
            end.receive_into(scratch(), None)


def test_an_empty_view_is_refused_before_anything_is_waited_for() -> None:
    peer, end, _ = noted()
    with closing(peer), closing(end), pytest.raises(ValueError, match="empty"):
        end.receive_into(memoryview(bytearray()), None)


def test_who_is_silent_delays_nobody_but_itself() -> None:
    loopback = Loopback()
    with closing(Tapped(loopback, accepting=Noted).listen()) as listener:
        with closing(loopback.connect(PATIENCE)), closing(listener.accept()) as silent:
            waits = Task(silent.receive_into, scratch(), None).blocked()
            with closing(loopback.connect(PATIENCE)) as peer, closing(listener.accept()) as end:
                send_all(peer, GREETING + b"x")
                assert receive_exactly(end, 1) == b"x"
            assert not waits.done
        with suppress(OSError):
            waits.result()


@pytest.mark.parametrize("call", ["send", "receive_into", "peer"])
def test_close_wakes_who_waits_for_what_comes_first(call: str) -> None:
    peer, end, _ = noted(capacity=4)
    calls: dict[str, Callable[[], object]] = {
        "send": lambda: end.send([b"x"], None),
        "receive_into": lambda: end.receive_into(scratch(), None),
        "peer": lambda: end.peer,
    }
    with closing(peer):
        first = Task(calls[call]).blocked()
        others = [Task(other).blocked() for name, other in calls.items() if name != call]
        assert not first.done
        end.close()
        for task in (first, *others):
            with suppress(TransportClosed):
                assert task.result() == "loopback:a"


def test_what_comes_first_is_sent_once_whoever_is_first() -> None:
    """A sender and a receiver at a time, where little fits, and calls that may not wait."""
    peer, end, _ = noted(capacity=4)
    with closing(peer), closing(end):
        with pytest.raises(TimeoutError):
            end.send([b"x"], 0)
        receiving = Task(end.receive_into, scratch(), None).blocked()
        with pytest.raises(TimeoutError):
            end.send([b"x"], 0)  # the other thread is at it
        sending = Task(send_all, end, b"a request").blocked()
        assert receive_exactly(peer, 18) == GREETING + b"a request"
        sending.result()
        send_all(peer, GREETING + b"x")
        assert receiving.result() == 1


def test_the_name_may_be_asked_for_while_another_thread_receives() -> None:
    peer, end, _ = noted()
    with closing(peer), closing(end):
        receiving = Task(end.receive_into, scratch(), None).blocked()
        asking = Task(lambda: end.peer).blocked()
        assert not asking.done
        send_all(peer, GREETING)
        assert asking.result() == "ready"
        assert not receiving.done
        send_all(peer, b"x")
        assert receiving.result() == 1


@pytest.mark.parametrize("somebody_receives", [True, False])
def test_the_name_is_not_waited_for_for_ever(
    somebody_receives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taps, "NAME_PATIENCE", 0.0)
    peer, end, _ = noted()
    with closing(peer), closing(end):
        if somebody_receives:
            receiving = Task(end.receive_into, scratch(), None).blocked()
        assert end.peer == "loopback:a"
        send_all(peer, GREETING + b"x")
        assert receiving.result() if somebody_receives else True
        assert end.peer == "ready"


# The endpoint ------------------------------------------------------------------------------------


def test_an_endpoint_makes_a_tap_for_each_connection() -> None:
    made: list[Noted] = []

    def make(local: str) -> Noted:
        made.append(Noted(local))
        return made[-1]

    loopback = Loopback()
    endpoint = Tapped(loopback, connecting=make, accepting=make)
    with closing(endpoint.listen()) as listener:
        assert listener.address == "loopback"
        for _ in range(2):
            with closing(endpoint.connect(PATIENCE)) as one, closing(listener.accept()) as other:
                send_all(other, b"x")
                assert receive_exactly(one, 1) == b"x"
    assert [tap.local for tap in made] == ["loopback:1", "loopback", "loopback:2", "loopback"]
    assert [tap.ends for tap in made] == [1] * 4


def test_connecting_ends_with_the_timeout_if_the_opening_does_not_fit() -> None:
    taps_made: list[Noted] = []

    def make(local: str) -> Noted:
        taps_made.append(Noted(local))
        return taps_made[-1]

    loopback = Loopback(capacity=4)
    with closing(loopback.listen()) as listener:
        with pytest.raises(TimeoutError):
            Tapped(loopback, connecting=make).connect(0)
        with closing(listener.accept()) as dropped:
            assert receive_to_end(dropped) == GREETING[:4]
    assert [tap.ends for tap in taps_made] == [1]


def test_a_tap_that_cannot_be_made_closes_the_connection() -> None:
    def fail(local: str) -> Tap:
        raise OSError("no room on the tape")

    loopback = Loopback()
    endpoint = Tapped(loopback, connecting=fail, accepting=fail)
    with closing(endpoint.listen()) as listener:
        with pytest.raises(OSError, match="no room"):
            endpoint.connect(PATIENCE)
        with closing(loopback.connect(PATIENCE)) as peer:
            for _ in range(2):  # the connection above, too, waits to be accepted
                with pytest.raises(OSError, match="no room"):
                    listener.accept()
            assert receive_to_end(peer) == b""


def test_safety_is_that_of_the_transport_below() -> None:
    one, other = pair()
    with closing(one), closing(other):
        plain = TappedTransport(one, Tap())
        assert (plain.secure, plain.peer_certificate) == (False, None)
    safe: Any = SimpleNamespace(secure=True, peer_certificate="shown", local="here", peer="there")
    wrapped = TappedTransport(safe, Tap())
    assert wrapped.secure
    assert wrapped.peer_certificate is safe.peer_certificate
    assert (wrapped.local, wrapped.peer) == ("here", "there")
    assert Tapped(safe).secure
    endpoint = Tapped(TCP("pacs.example.org", 104))
    assert (endpoint.secure, str(endpoint)) == (False, "pacs.example.org:104")


def test_a_tap_does_not_import_asyncio() -> None:
    code = "import sys, dul_fsm.transports.taps; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_clogged_connection_carries_the_other_way_all_the_same() -> None:
    """Once what comes first is over: it never holds up a conversation."""
    peer, end, _ = noted()
    with closing(peer), closing(end):
        end.start(PATIENCE)
        clog(end)
        send_all(peer, GREETING + b"x")
        assert receive_exactly(end, 1) == b"x"
