"""Each of the 247 cells, in each role that can be there, by the calls that a user of the API has.

What should happen comes from spec/ (tests.fsm.expected); here it is only translated: an effect
into what the user is told, what leaves, and which deadline there is afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm import Effect, Event, Kind, State
from dul_fsm.pdu import AAssociateRJ
from dul_fsm.upper_layer import (
    AbortIndication,
    AssociateConfirmation,
    AssociateIndication,
    CloseTransport,
    Indication,
    OpenTransport,
    PDataIndication,
    ProviderAbortIndication,
    ReleaseConfirmation,
    ReleaseIndication,
)
from tests.fsm import expected
from tests.pdu import wire
from tests.upper_layer import support
from tests.upper_layer.support import LIMITS, PLACES, Bench, place_id, place_ids

NOT_IN_ROLE = {"requestor": Event.Evt5, "acceptor": Event.Evt2}
"""A transport connection that opens is Evt2 for who asked for it, else Evt5; never the other."""

CASES = [
    (role, state, event)
    for role, state in PLACES
    for event in Event
    if event is not NOT_IN_ROLE[role] and (role, event) != ("acceptor", Event.Evt1)
]


FORKED = [
    (role, state, event, acceptable)
    for role, state, event in CASES
    # The question of AE-6 is put to a request.
    for acceptable in ((True, False) if event is Event.Evt6 else (True,))
]
FORKED_IDS = [
    f"{place_id((role, state))}-{event.name}{'' if acceptable else '-unacceptable'}"
    for role, state, event, acceptable in FORKED
]

LIMIT_OF = {
    State.Sta2: LIMITS.artim,
    State.Sta4: LIMITS.connect,
    State.Sta5: LIMITS.association,
    State.Sta7: LIMITS.release,
    State.Sta10: LIMITS.release,
    State.Sta11: LIMITS.release,
    State.Sta13: LIMITS.artim,
}

SENT = {
    Effect.SEND_A_ASSOCIATE_RQ: support.RQ,
    Effect.SEND_A_ASSOCIATE_AC: support.OUR_AC,
    Effect.SEND_P_DATA_TF: support.OUR_P_DATA,
    Effect.SEND_A_RELEASE_RQ: support.RELEASE_RQ,
    Effect.SEND_A_RELEASE_RP: support.RELEASE_RP,
    Effect.SEND_A_ABORT_AS_USER: support.ABORT_BY_USER,
}

TOLD: dict[Effect, Indication] = {
    Effect.OPEN_TRANSPORT: OpenTransport(),
    Effect.CLOSE_TRANSPORT: CloseTransport(),
    Effect.INDICATE_A_ASSOCIATE: AssociateIndication(wire.RQ),
    Effect.CONFIRM_A_ASSOCIATE_ACCEPTED: AssociateConfirmation(wire.AC),
    Effect.CONFIRM_A_ASSOCIATE_REJECTED: AssociateConfirmation(AAssociateRJ(1, 1, 7)),
    Effect.INDICATE_A_RELEASE: ReleaseIndication(collision=False),
    Effect.INDICATE_A_RELEASE_COLLISION: ReleaseIndication(collision=True),
    Effect.CONFIRM_A_RELEASE: ReleaseConfirmation(),
    Effect.INDICATE_ABORT_BY_SOURCE: AbortIndication(),
}


def indications(effects: tuple[Effect, ...], event: Event) -> Iterator[Indication | str]:
    """What the user is told; a string stands for an indication of which only that is checked."""
    for effect in effects:
        if effect in TOLD:
            yield TOLD[effect]
        elif effect is Effect.INDICATE_P_DATA:
            yield "AABBCCDD"
        elif effect is Effect.INDICATE_A_P_ABORT:
            # AA-4 knows no reason; AA-8 tells the one that it sends.
            yield f"{None if event is Event.Evt17 else 1 if event is Event.Evt19 else 2}"


def seen(indication: Indication) -> Indication | str:
    if isinstance(indication, PDataIndication):
        (pdv,) = indication.pdvs
        assert (pdv.context_id, pdv.is_command, pdv.is_last) == (1, True, True)
        return bytes(pdv.fragment).hex().upper()
    if isinstance(indication, ProviderAbortIndication):
        assert not indication.received
        assert indication.text
        return str(indication.reason)
    return indication


def bytes_sent(effects: tuple[Effect, ...], event: Event) -> bytes:
    """What leaves because of these effects."""
    out = b""
    for effect in effects:
        if effect is Effect.SEND_A_ASSOCIATE_RJ:
            out += support.RJ if event is Event.Evt8 else support.VERSION_REJECTED
        elif effect is Effect.SEND_A_ABORT_AS_PROVIDER:
            out += support.abort(1 if event is Event.Evt19 else 2)
        else:
            out += SENT.get(effect, b"")
    return out


@pytest.mark.parametrize(("role", "state", "event", "acceptable"), FORKED, ids=FORKED_IDS)
def test_the_cell_does_what_the_standard_says_and_nothing_else(
    role: str, state: State, event: Event, acceptable: bool
) -> None:
    bench = Bench.at(role, state)
    upper = bench.upper
    row = expected.step(event, state, requestor=role == "requestor", acceptable=acceptable)
    before, entered = upper.deadline, bench.now
    bench.now += 1.0

    if row is None and event.kind is Kind.PRIMITIVE:
        with pytest.raises(LocalProtocolError) as refusal:
            bench.apply(event)
        for part in (event.name, event.meaning, state.name, "PS3.8 Table 9-10"):
            assert part in str(refusal.value)
    elif event is Event.Evt6 and not acceptable:
        upper.receive_data(support.rq(0), bench.now)
    else:
        bench.apply(event)

    told = [seen(indication) for indication in bench.told()]
    if row is None:
        assert told == []
        assert bench.leave() == b""
        assert upper.state is state
        assert upper.deadline == before
        assert {step.action for step in bench.steps} <= {None}
        assert upper.bytes_retained == 4096
        return

    assert told == list(indications(row.effects, event))
    assert bench.leave() == bytes_sent(row.effects, event)
    assert upper.state is row.next_state
    (step,) = bench.steps
    assert step.action is not None
    assert (step.event, step.state, step.action.name, step.next_state) == (
        event,
        state,
        row.action,
        row.next_state,
    )
    assert upper.artim_running() == (row.next_state in (State.Sta2, State.Sta13))
    since = entered if row.next_state is state else bench.now
    limit = LIMIT_OF.get(row.next_state)
    assert upper.deadline == (None if limit is None else since + limit)
    # A spurious call afterwards does nothing.
    upper.handle_timeout(bench.now)
    assert (bench.told(), upper.data_to_send(), upper.state) == ([], [], row.next_state)


NEVER = [
    # Evt2 and Evt5 belong to one role, and these states to the other.
    *((Event.Evt2, state) for state in (State.Sta2, State.Sta3, State.Sta10, State.Sta12)),
    *((Event.Evt5, state) for state in (State.Sta4, State.Sta5, State.Sta9, State.Sta11)),
    # So does Evt1: an acceptor that requests is refused, whatever its state (test_provider).
    *((Event.Evt1, state) for state in (State.Sta2, State.Sta3, State.Sta10, State.Sta12)),
]
"""Cells that no role can meet."""


ASSOCIATED = [(r, s) for r, s in support.CONNECTED if s not in (State.Sta2, State.Sta13)]


@pytest.mark.parametrize("source", [1, 2, 3, 255])
@pytest.mark.parametrize(("role", "state"), ASSOCIATED, ids=place_ids(ASSOCIATED))
def test_aa_3_indicates_an_a_p_abort_for_any_source_but_the_user(
    role: str, state: State, source: int
) -> None:
    bench = Bench.at(role, state)
    told = bench.receive(bytes((7, 0, 0, 0, 0, 4, 0, 0, source, 6)))
    indication, close = told
    assert isinstance(indication, ProviderAbortIndication)
    assert (indication.reason, indication.received) == (6, True)
    assert indication.text
    assert close == CloseTransport()
    assert bench.leave() == b""


@pytest.mark.parametrize("event", [Event.Evt6, Event.Evt19])
@pytest.mark.parametrize("role", support.ROLES)
def test_aa_7_sends_no_second_a_abort(role: str, event: Event) -> None:
    bench = Bench.at(role, State.Sta6)
    bench.apply(Event.Evt15)
    assert bench.leave() == support.ABORT_BY_USER
    bench.apply(event)
    assert bench.told() == []
    (_, step) = bench.steps
    assert step.action is not None
    assert step.action.name == "AA-7"
    assert bench.leave() == b""
    assert bench.upper.state is State.Sta13


def test_the_cases_are_all_cells_in_all_states_of_each_role() -> None:
    for role in support.ROLES:
        assert list(support.PATHS[role]) == expected.states(role)
    met = {(event, state) for _, state, event in CASES}
    assert met | set(NEVER) == {(event, state) for event in Event for state in State}
    assert not met & set(NEVER)
