"""Several operations in flight: matched whatever the order, and none disturbs another."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dul_fsm.association import (
    Aborted,
    CancelRequested,
    DataReceived,
    Message,
    Operation,
    Origin,
    RequestReceived,
    ResponseReceived,
)
from dul_fsm.dimse import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CStoreRQ,
    CStoreRSP,
    decode_command,
    respond_to,
)
from dul_fsm.errors import LocalProtocolError
from dul_fsm.negotiation import Window, build_answer, build_request
from dul_fsm.pdu import PDV, PDataTF, decode
from dul_fsm.services.sop_classes import STUDY_ROOT_FIND, VERIFICATION
from dul_fsm.testing.pair import Pair, Side
from dul_fsm.timers import TimeLimit, TimeLimits
from tests.association.support import (
    CHOOSE,
    CONTEXTS,
    CT,
    FOREVER,
    command_pdv,
    context,
    drain,
    end,
    ends,
    inject_pdvs,
    manual,
    store,
)


def windowed(
    invoked: int = 8,
    performed: int = 8,
    *,
    pair: Pair | None = None,
    granted: Window | None = None,
    roles: Mapping[str, tuple[bool, bool]] | None = None,
) -> Pair:
    """An association with a window; nothing is done that the test does not do."""
    pair = pair or manual()
    request = build_request(
        CONTEXTS,
        calling_ae_title="SCU",
        called_ae_title="SCP",
        maximum_length=pair.requestor.association.maximum_length,
        roles=roles,
        window=Window(invoked, performed),
    )
    pair.requestor.association.send_associate_request(request, pair.now)
    pair.run_until(lambda: pair.acceptor.association.request)
    answer = build_answer(
        request,
        CHOOSE,
        maximum_length=pair.acceptor.association.maximum_length,
        roles=roles,
        window=Window(0, 0) if granted is None else granted,
    )
    pair.acceptor.association.send_associate_accept(answer, pair.now)
    pair.run_until(lambda: pair.requestor.association.established)
    pair.requestor.events.clear()
    pair.acceptor.events.clear()
    return pair


def invoke(
    side: Side, request: CEchoRQ | CStoreRQ | CFindRQ, data: bytes | None = None
) -> Operation:
    uid = request.affected_sop_class_uid
    return side.association.send_request(context(side, uid), request, data)


def received(side: Side) -> list[Message]:
    """The requests that arrived, in order."""
    return [event.message for event in side.events if isinstance(event, RequestReceived)]


def respond(side: Side, message: Message, status: int = 0, data: bytes | None = None) -> None:
    values = {} if data is None else {"has_data_set": True}
    response = respond_to(message.command, status, **values)  # type: ignore[arg-type]
    side.association.send_response(message, response, data)


def told(side: Side) -> list[ResponseReceived]:
    return [event for event in side.events if isinstance(event, ResponseReceived)]


# Matching ----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations(range(8)),
    sizes=st.lists(st.integers(0, 5000), min_size=8, max_size=8),
    maximum=st.sampled_from([16, 128, 4096]),
)
def test_responses_in_any_order_find_their_operations(
    order: list[int], sizes: list[int], maximum: int
) -> None:
    """Each operation gets its own response, whatever the order, and each data set arrives whole."""
    pair = windowed(pair=manual(maximum_lengths=(maximum, maximum)))
    assembled: dict[int, bytearray] = {}
    operations = [
        invoke(pair.requestor, store(100 + index), bytes([index]) * size)
        for index, size in enumerate(sizes)
    ]
    pair.run()
    for event in pair.acceptor.events:
        if isinstance(event, DataReceived):
            request = cast(CStoreRQ, event.message.command)
            assembled.setdefault(request.message_id, bytearray()).extend(event.fragment)
    for index, size in enumerate(sizes):
        assert assembled.get(100 + index, b"") == bytes([index]) * size
    requests = received(pair.acceptor)
    for index in order:
        respond(pair.acceptor, requests[index], 0xB000 + index)
    pair.run()
    assert [event.operation for event in told(pair.requestor)] == [operations[i] for i in order]
    for event in told(pair.requestor):
        assert event.final
        assert event.message.status == 0xB000 + operations.index(event.operation)
    assert not pair.requestor.association.operations.any
    assert not pair.acceptor.association.operations.any


action = st.one_of(
    st.tuples(st.just("store"), st.integers(0, 300)),
    st.tuples(st.just("find"), st.integers(0, 300)),
    st.tuples(st.just("cancel"), st.integers(1, 8)),
    st.tuples(st.just("drain"), st.integers(1, 400)),
)


@settings(max_examples=60, deadline=None)
@given(actions=st.lists(action, max_size=25), maximum=st.sampled_from([16, 32, 64]))
def test_fragments_of_different_messages_never_interleave(
    actions: list[tuple[str, int]], maximum: int
) -> None:
    """PS3.7 §6.3.1: each message leaves whole before the next, whenever that was begun."""
    pair = windowed(0, pair=manual(maximum_lengths=(maximum, maximum)))
    side, wire = pair.requestor, bytearray()
    begun = 0
    for what, number in actions:
        association = side.association
        if what == "drain":
            wire += drain_some(side, number)
        elif what == "cancel":
            association.send_cancel(context(side, STUDY_ROOT_FIND), number)
        else:
            begun += 1
            data = bytes([begun]) * number
            if what == "store":
                invoke(side, store(begun), data)
            else:
                invoke(side, CFindRQ(STUDY_ROOT_FIND, begun), data)
    wire += drain(side.association, 1000)
    messages = list(whole_messages(wire))
    requests = [(command, data) for command, data in messages if not isinstance(command, CCancelRQ)]
    assert len(requests) == begun
    for command, data in requests:
        assert data == bytes([command.message_id]) * len(data)


def drain_some(side: Side, count: int) -> bytes:
    """Let the transport take at most `count` bytes."""
    buffers = side.association.data_to_send(count)
    taken = b"".join(buffers)[:count]
    side.association.data_sent(len(taken), 0.0)
    return taken


def whole_messages(wire: bytearray) -> Iterator[tuple[Any, bytes]]:
    """Commands and data sets from the bytes of P-DATA-TF PDUs, each of which follows the last."""
    pdvs: deque[PDV] = deque()
    while wire:
        length = 6 + int.from_bytes(wire[2:6], "big")
        pdu = decode(bytes(wire[:length]))
        assert isinstance(pdu, PDataTF)
        pdvs += pdu.pdvs
        del wire[:length]

    def one(is_command: bool, context_id: int) -> bytes:
        whole = bytearray()
        while True:
            pdv = pdvs.popleft()
            assert (pdv.is_command, pdv.context_id) == (is_command, context_id)
            whole += pdv.fragment
            if pdv.is_last:
                return bytes(whole)

    while pdvs:
        context_id = pdvs[0].context_id
        command = decode_command(one(True, context_id))
        yield command, one(False, context_id) if command.has_data_set else b""


def test_message_ids_are_unique_among_those_in_flight() -> None:
    pair = windowed(0)
    association = pair.requestor.association
    for _ in range(3):
        ids = [association.operations.next_message_id() for _ in range(300)]
        for message_id in ids:
            invoke(pair.requestor, CEchoRQ(VERIFICATION, message_id))
        assert len(association.operations.invoked) == len(set(association.operations.invoked))
        with pytest.raises(LocalProtocolError, match="already in flight"):
            invoke(pair.requestor, CEchoRQ(VERIFICATION, ids[0]))
    assert len(association.operations.invoked) == 900  # and 0 is no limit
    pair.run()
    for message in received(pair.acceptor):
        respond(pair.acceptor, message)
    pair.run()
    assert not association.operations.any


@pytest.mark.parametrize(
    ("proposed", "granted", "room"),
    [(8, 8, 8), (8, 3, 3), (3, 8, 3), (0, 5, 5), (5, 0, 5), (1, 8, 1)],
)
def test_the_window_is_the_narrower_of_the_two(proposed: int, granted: int, room: int) -> None:
    pair = windowed(proposed, granted=Window(invoked=1, performed=granted))
    association = pair.requestor.association
    assert association.window.invoked == room
    assert pair.acceptor.association.window.performed == room
    for message_id in range(room):
        assert not association.operations.full
        invoke(pair.requestor, CEchoRQ(VERIFICATION, message_id))
    assert association.operations.full
    with pytest.raises(LocalProtocolError, match="await their response"):
        invoke(pair.requestor, CEchoRQ(VERIFICATION, 999))
    assert not ends(pair.requestor)


def test_both_sides_may_have_several_in_flight_at_once() -> None:
    """The acceptor's requests go the other way, with Message IDs of their own."""
    pair = windowed(3, 2, roles={VERIFICATION: (True, True)})
    assert pair.acceptor.association.window == Window(2, 3)
    for side, count in ((pair.requestor, 3), (pair.acceptor, 2)):
        for message_id in range(count):
            invoke(side, CEchoRQ(VERIFICATION, message_id))
        with pytest.raises(LocalProtocolError, match="await their response"):
            invoke(side, CEchoRQ(VERIFICATION, 9))
    pair.run()
    for side in (pair.requestor, pair.acceptor):
        for message in received(side):
            respond(side, message)
    pair.run()
    assert [len(told(side)) for side in (pair.requestor, pair.acceptor)] == [3, 2]


# Strange responses -------------------------------------------------------------------------------


def test_a_response_on_the_wrong_context_is_dropped_and_the_right_one_still_counts() -> None:
    pair = windowed()
    operation = invoke(pair.requestor, CEchoRQ(VERIFICATION, 7))
    wrong = context(pair.requestor, CT).context_id
    inject_pdvs(pair.requestor, command_pdv(CEchoRSP(7, 0xB00B), wrong))
    pair.run()
    assert not told(pair.requestor)
    assert pair.requestor.association.operations.invoked == {7: operation}
    respond(pair.acceptor, received(pair.acceptor)[0])
    pair.run()
    (event,) = told(pair.requestor)
    assert (event.operation, event.message.status) == (operation, 0)
    assert not ends(pair.requestor)


@pytest.mark.parametrize(
    "response",
    [CEchoRSP(8, 0), CStoreRSP(7, 0), CFindRSP(7, 0xFF00, True)],
    ids=["unknown id", "another service", "another service with a data set"],
)
def test_a_response_that_answers_nothing_is_dropped_and_never_answered(
    response: CEchoRSP | CStoreRSP | CFindRSP,
) -> None:
    pair = windowed()
    invoke(pair.requestor, CEchoRQ(VERIFICATION, 7))
    pair.run()
    pdvs = [command_pdv(response)]
    if response.has_data_set:
        pdvs.append(PDV(1, False, True, b"data"))
    inject_pdvs(pair.requestor, *pdvs)
    before = pair.requestor.way.sent
    pair.run()
    assert not told(pair.requestor)
    assert pair.requestor.way.sent == before
    assert not ends(pair.requestor)


def test_a_second_final_response_is_dropped() -> None:
    pair = windowed()
    invoke(pair.requestor, CEchoRQ(VERIFICATION, 7))
    pair.run()
    respond(pair.acceptor, received(pair.acceptor)[0])
    inject_pdvs(pair.requestor, command_pdv(CEchoRSP(7, 0xB00B)))
    pair.run()
    assert len(told(pair.requestor)) == 1
    assert not ends(pair.requestor)


# C-CANCEL ----------------------------------------------------------------------------------------


def cancels(side: Side) -> list[int]:
    return [event.message_id for event in side.events if isinstance(event, CancelRequested)]


def find(pair: Pair, message_id: int = 7) -> Operation:
    return invoke(pair.requestor, CFindRQ(STUDY_ROOT_FIND, message_id), b"identifier")


def test_a_cancel_before_the_first_response() -> None:
    pair = windowed()
    operation = find(pair)
    pair.requestor.association.send_cancel(operation.context, 7)
    pair.run()
    assert cancels(pair.acceptor) == [7]
    respond(pair.acceptor, received(pair.acceptor)[0], 0xFE00)
    pair.run()
    (event,) = told(pair.requestor)
    assert (event.final, event.message.status) == (True, 0xFE00)


def test_a_cancel_twice_is_told_twice_and_answered_once() -> None:
    pair = windowed()
    operation = find(pair)
    for _ in range(2):
        pair.requestor.association.send_cancel(operation.context, 7)
    pair.run()
    assert cancels(pair.acceptor) == [7, 7]
    respond(pair.acceptor, received(pair.acceptor)[0], 0xFE00)
    pair.run()
    assert len(told(pair.requestor)) == 1


def test_a_cancel_after_the_final_response_is_not_sent() -> None:
    pair = windowed()
    operation = find(pair)
    pair.run()
    respond(pair.acceptor, received(pair.acceptor)[0])
    pair.run()
    before = pair.requestor.way.sent
    pair.requestor.association.send_cancel(operation.context, 7)
    pair.run()
    assert pair.requestor.way.sent == before


def test_a_cancel_that_crosses_the_final_response_does_nothing() -> None:
    pair = windowed()
    operation = find(pair)
    pair.run()
    respond(pair.acceptor, received(pair.acceptor)[0])
    pair.requestor.association.send_cancel(operation.context, 7)
    pair.run()
    assert not cancels(pair.acceptor)
    assert len(told(pair.requestor)) == 1
    assert not ends(pair.acceptor)


@pytest.mark.parametrize(("message_id", "uid"), [(7, VERIFICATION), (7, CT), (8, STUDY_ROOT_FIND)])
def test_a_cancel_of_nothing_is_dropped_and_never_answered(message_id: int, uid: str) -> None:
    """On the wrong context, or of an unknown Message ID."""
    pair = windowed()
    find(pair)
    pair.run()
    where = context(pair.acceptor, uid).context_id
    inject_pdvs(pair.acceptor, command_pdv(CCancelRQ(message_id), where))
    before = pair.acceptor.way.sent
    pair.run()
    assert not cancels(pair.acceptor)
    assert pair.acceptor.way.sent == before
    assert not ends(pair.acceptor)


# What is lent, and for how long ------------------------------------------------------------------


def test_a_data_set_is_lent_until_its_last_byte_has_left() -> None:
    """An early response does not end that."""
    pair = windowed(pair=manual(capacity=1000))
    first = invoke(pair.requestor, store(1), bytes(100))
    second = invoke(pair.requestor, store(2), bytes(50_000))
    association = pair.requestor.association
    assert association.lends(first)
    assert association.lends(second)
    pair.acceptor.reads = False
    pair.run()
    assert not association.lends(first)
    assert association.lends(second)
    inject_pdvs(
        pair.requestor, command_pdv(CStoreRSP(2, 0xA700), context(pair.requestor, CT).context_id)
    )
    pair.run()
    (event,) = told(pair.requestor)
    assert event.operation is second
    assert event.final
    assert association.lends(second)
    pair.acceptor.reads = True
    pair.run()
    assert not association.lends(second)


def test_nothing_is_lent_once_the_association_has_ended_and_all_has_left() -> None:
    pair = windowed(pair=manual(capacity=1000))
    operation = invoke(pair.requestor, store(1), bytes(50_000))
    pair.acceptor.reads = False
    pair.run()
    association = pair.requestor.association
    association.send_abort(pair.now)
    assert association.lends(operation)  # some of it is on its way, and the A-ABORT behind it
    drain(association, 1000)
    assert not association.lends(operation)


# Limits and ends ---------------------------------------------------------------------------------


def test_each_operation_has_its_own_response_limit() -> None:
    """The responses to others are no sign of its life."""
    limits = TimeLimits(response=10)
    pair = windowed(pair=manual(limits))
    invoke(pair.requestor, CEchoRQ(VERIFICATION, 1))
    pair.run()
    for number in range(2, 6):
        pair.advance(2.0)
        invoke(pair.requestor, CEchoRQ(VERIFICATION, number))
        pair.run()
        respond(pair.acceptor, received(pair.acceptor)[-1])
        pair.run()
    assert pair.now == 8.0
    assert not ends(pair.requestor)
    assert pair.requestor.association.deadline == 10.0
    pair.advance(2.0)
    ended = end(pair.requestor)
    assert isinstance(ended, Aborted)
    assert (ended.origin, ended.limit) == (Origin.TIME_LIMIT, TimeLimit.RESPONSE)


def test_a_pending_response_is_a_sign_of_life_of_its_own_operation_only() -> None:
    pair = windowed(pair=manual(TimeLimits(response=10)))
    finding = find(pair, 1)
    pair.run()
    pair.advance(4.0)
    invoke(pair.requestor, CEchoRQ(VERIFICATION, 2))
    pair.run()
    pair.advance(4.0)
    query, echo = received(pair.acceptor)
    respond(pair.acceptor, query, 0xFF00, b"a match ")
    pair.run()
    assert pair.requestor.association.deadline == 14.0  # the echo's
    respond(pair.acceptor, echo)
    pair.run()
    assert pair.requestor.association.deadline == 18.0  # the find's
    assert list(pair.requestor.association.operations.awaiting) == [finding]


def test_what_the_peer_requests_is_a_sign_of_its_life() -> None:
    """A C-GET without pending responses: its sub-operations show that it goes on."""
    pair = windowed(pair=manual(TimeLimits(response=10)))
    find(pair, 1)
    pair.run()
    pair.advance(6.0)
    inject_pdvs(pair.requestor, command_pdv(CEchoRQ(VERIFICATION, 1)))
    pair.run()
    assert pair.requestor.association.deadline == 16.0


@pytest.mark.parametrize("how", ["peer's abort", "peer's release", "silence", "cut"])
def test_the_end_is_told_once_whatever_is_in_flight(how: str) -> None:
    pair = windowed(pair=manual(TimeLimits(response=10)))
    for message_id in range(8):
        invoke(pair.requestor, CEchoRQ(VERIFICATION, message_id))
    pair.run()
    if how == "peer's abort":
        pair.acceptor.association.send_abort(pair.now)
    elif how == "peer's release":
        pair.acceptor.association.send_release_request(pair.now)
        pair.run()
        pair.requestor.association.send_release_response(pair.now)
    elif how == "cut":
        pair.cut()
    else:
        pair.advance(10.0)
    pair.run()
    end(pair.requestor)
    association = pair.requestor.association
    assert not association.operations.any
    assert not association.operations.awaiting
    assert association.deadline is None or how in ("silence", "peer's release")  # ARTIM


# What it is for ----------------------------------------------------------------------------------


def seconds_for_100_stores(window: int, seed: int) -> float:
    """Virtual seconds from the first request to the last response, 5 ms each way.

    The acceptor answers what it has in a random order.
    """
    shuffle = random.Random(seed).shuffle
    pair = Pair(time_limits=(FOREVER, FOREVER), delay=0.005)
    pair.requestor.performs = pair.acceptor.performs = False
    windowed(window, pair=pair)
    association = pair.requestor.association
    operations: list[Operation] = []
    performed, began = 0, pair.now
    while len(told(pair.requestor)) < 100:
        while len(operations) < 100 and not association.operations.full:
            operations.append(invoke(pair.requestor, store(len(operations)), bytes(100)))
        pair.run()
        requests = received(pair.acceptor)[performed:]
        performed += len(requests)
        shuffle(requests)
        for request in requests:
            respond(pair.acceptor, request)
        pair.run()
        pair.advance(0.005)
    assert {event.operation for event in told(pair.requestor)} == set(operations)
    return pair.now - began


@pytest.mark.parametrize("seed", range(3))
def test_a_window_of_8_takes_an_eighth_of_the_time(seed: int) -> None:
    """100 C-STOREs over 5 ms each way, responses in a random order: virtual time, exact."""
    assert seconds_for_100_stores(1, seed) == pytest.approx(100 * 0.010)
    assert seconds_for_100_stores(8, seed) == pytest.approx(13 * 0.010)  # 100 / 8, rounded up
