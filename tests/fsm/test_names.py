"""States and events are those of PS3.8 §9.2.1 and Table 9-10."""

from __future__ import annotations

from dul_fsm.fsm import Event, Kind, State
from tests import oracle

FROM = {
    "user": Kind.PRIMITIVE,
    "transport": Kind.TRANSPORT,
    "PDU": Kind.PDU,
    "timer": Kind.TIMER,
}


def test_there_are_13_states_in_the_order_of_the_standard() -> None:
    assert [(state.name, state.value) for state in State] == [
        (f"Sta{number}", number) for number in oracle.states()
    ]
    assert len({state.meaning for state in State}) == 13


def test_there_are_19_events_in_the_order_of_the_standard_each_from_where_it_comes() -> None:
    assert [(event.name, event.value, event.kind) for event in Event] == [
        (f"Evt{number}", number, FROM[row["from"]]) for number, row in oracle.events().items()
    ]


def test_an_event_says_what_the_transcription_says() -> None:
    for number, row in oracle.events().items():
        if row["from"] == "PDU" and number != 19:
            assert Event[f"Evt{number}"].meaning == f"{row['what']} PDU received"
    assert len({event.meaning for event in Event}) == 19


def test_states_and_events_are_equal_to_themselves_only_and_can_be_keys() -> None:
    everything: list[object] = [*State, *Event, *Kind]
    assert len(set(everything)) == 13 + 19 + 4
    assert {State["Sta3"]: 1}[State.Sta3] == 1
