"""What is sent is pulled: bounded, as its bytes are taken, and as the peer can receive it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dul_fsm.association import (
    Aborted,
    Event,
    Origin,
    RequestReceived,
    ResponseReceived,
)
from dul_fsm.association.association import SEND_AHEAD, SEND_AHEAD_OF_SLOWER
from dul_fsm.dimse import (
    CFindRQ,
    CFindRSP,
)
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION
from dul_fsm.testing.pair import Side
from tests.association.support import (
    CT,
    accept,
    context,
    drain,
    end,
    ends,
    established,
    manual,
    store,
)


def find(message_id: int = 1) -> CFindRQ:
    return CFindRQ(STUDY_ROOT_FIND, message_id)


def kinds(events: list[Event]) -> list[type[Event]]:
    return [type(event) for event in events]


class Counted:
    """An iterable that knows how much of it was taken."""

    def __init__(self, chunks: int, size: int) -> None:
        self.taken = 0
        self._left = chunks
        self._chunk = bytes(size)

    def __iter__(self) -> Iterator[bytes]:
        while self._left:
            self._left -= 1
            self.taken += len(self._chunk)
            yield self._chunk


def sending(data: object, maximum_length: int = 1030) -> Side:
    side = established(manual(maximum_lengths=(16384, maximum_length))).requestor
    side.association.send_request(context(side, CT), store(), data)  # type: ignore[arg-type]
    return side


def test_no_more_is_ever_cut_than_the_limit_and_one_fragment() -> None:
    association = sending(bytes(100_000)).association
    total = 0
    while buffers := association.data_to_send(4000):
        # Asking again cuts nothing more: what was cut has not left.
        assert sum(map(len, buffers)) == association._upper.bytes_to_send <= 4000 + 1024 + 12
        association.data_sent(100 if total % 3 else len(buffers[0]), 0.0)
        total += 1
    assert not association.sending


def test_a_source_is_consumed_only_as_its_bytes_are_taken() -> None:
    source = Counted(1000, 1024)
    association = sending(source).association
    assert source.taken == 0
    sent = 0
    while buffers := association.data_to_send(4096):
        assert source.taken <= sent + 4096 + 3 * 1024
        association.data_sent(len(buffers[0]), 0.0)
        sent += len(buffers[0])
    assert source.taken == 1000 * 1024


def test_a_transport_that_takes_all_it_is_given_is_given_as_much_again() -> None:
    association = sending(bytes(3 * SEND_AHEAD)).association
    for _ in range(2):
        given = sum(map(len, association.data_to_send()))
        assert SEND_AHEAD <= given <= SEND_AHEAD + 1024 + 12
        association.data_sent(given, 0.0)


def test_a_transport_that_once_did_not_is_given_less_from_then_on() -> None:
    association = sending(bytes(3 * SEND_AHEAD)).association
    given = sum(map(len, association.data_to_send()))
    association.data_sent(given - 1, 0.0)
    while buffers := association.data_to_send():
        given = sum(map(len, buffers))
        assert given <= SEND_AHEAD_OF_SLOWER + 1024 + 12
        association.data_sent(given, 0.0)
    assert not association.sending


def test_a_limit_of_zero_cuts_nothing() -> None:
    association = sending(bytes(3000)).association
    assert association.data_to_send(0) == []
    assert association.sending


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_a_source_raises_comes_out_and_aborts(error: type[BaseException]) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(2048)
        raise error("no more")

    pair = established()
    one = pair.requestor
    one.association.send_request(context(one, CT), store(), broken())
    with pytest.raises(error, match="no more"):
        pair.run()
    pair.run()
    assert end(one) == Aborted(Origin.LOCAL_USER, None, "the source of a data set failed")
    # The peer was not given the half for the whole.
    assert kinds(pair.acceptor.events)[-2:] != [RequestReceived, Aborted]
    assert isinstance(end(pair.acceptor), Aborted)
    assert RequestReceived not in kinds(pair.acceptor.events)


@pytest.mark.parametrize("maximum", [0, 8, 9, 128, 16384])
def test_the_peers_maximum_length_is_kept_to_both_ways(maximum: int) -> None:
    longest = []

    pair = established(manual(maximum_lengths=(maximum, maximum)))
    one, two = pair.requestor, pair.acceptor
    request_data, response_data = bytes(range(250)), b"x" * 249
    one.association.send_request(context(one, STUDY_ROOT_FIND), find(), request_data)
    stream = drain(one.association, 64)
    two.incoming += stream
    longest += lengths(stream)
    pair.run()
    request = two.events[-1]
    assert isinstance(request, RequestReceived)
    two.association.send_response(request.message, CFindRSP(1, 0xFF00, True), response_data)
    stream = drain(two.association, 64)
    longest += lengths(stream)
    one.incoming += stream
    pair.run()
    assert isinstance(one.events[-1], ResponseReceived)
    assert not ends(one)
    assert max(longest) <= (maximum or 1 << 32)
    if maximum in (8, 128):
        assert max(longest) == maximum
    # The longest fragment that fits is even (PS3.8 Annex E.1).
    assert all((length - 6) % 2 == 0 for length in longest if length != longest[-1])


def lengths(stream: bytes) -> list[int]:
    """The PDU-lengths of a stream of PDUs."""
    found = []
    while stream:
        found.append(int.from_bytes(stream[2:6], "big"))
        stream = stream[6 + found[-1] :]
    return found


@pytest.mark.parametrize("maximum", range(1, 8))
@pytest.mark.parametrize("narrow", ["requestor", "acceptor"])
def test_a_maximum_length_without_room_for_a_fragment_ends_the_association(
    maximum: int, narrow: str
) -> None:
    maxima = (maximum, 16384) if narrow == "requestor" else (16384, maximum)
    pair = manual(maximum_lengths=maxima)
    pair.request([VERIFICATION])
    pair.run()
    accept(pair)
    wide = pair.other(getattr(pair, narrow))
    event = end(wide)
    assert isinstance(event, Aborted)
    assert event.origin is Origin.LOCAL_USER
    assert "maximum length leaves no room" in event.text
    assert isinstance(end(getattr(pair, narrow)), Aborted)
