"""PS3.8 Table 9-10 as text, CSV, Markdown and a Mermaid diagram, made from the running table.

What a person reads and what a script compares is then what the machine does.

Not here: printing it (`cli`).
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from dul_fsm.fsm.actions import Action, Fork
from dul_fsm.fsm.names import Event, State
from dul_fsm.fsm.table import TABLE, Table

WIDTH = 100
"""Columns that the text form keeps to."""

BLANK = "N/A"
"""What the CSV says of a cell that the standard leaves blank."""

_ANSWERS = {
    Fork.ACCEPTABLE: ("if acceptable", "if not acceptable"),
    Fork.REQUESTOR: ("if association-requestor", "if association-acceptor"),
}


def next_states(action: Action) -> tuple[State, ...]:
    """Where an action may lead, the answer "yes" to its question first."""
    return tuple(dict.fromkeys(outcome.next_state for outcome in action.outcomes))


def actions(table: Table = TABLE) -> tuple[Action, ...]:
    """The actions that the table names, in the order of PS3.8 Tables 9-6 to 9-9."""
    order = ("AE", "DT", "AR", "AA")

    def key(action: Action) -> tuple[int, int]:
        group, _, number = action.name.partition("-")
        return order.index(group), int(number)

    return tuple(
        sorted({action.name: action for action in table.values() if action}.values(), key=key)
    )


def as_csv(table: Table = TABLE) -> str:
    """One line for each of the 247 cells, under a header: `event,state,action,next_states`.

    A fork has its next states joined by `|`; a blank cell has `N/A` for both. No value needs
    quotes. Ends with a newline, as all forms do.
    """
    lines = ["event,state,action,next_states"]
    for (event, state), action in table.items():
        name, leads = BLANK, BLANK
        if action is not None:
            name, leads = action.name, "|".join(s.name for s in next_states(action))
        lines.append(f"{event.name},{state.name},{name},{leads}")
    return "\n".join(lines) + "\n"


def as_text(table: Table = TABLE) -> str:
    """The grid, and under it what its names mean; at most `WIDTH` columns."""
    lines = ["PS3.8 Table 9-10: DICOM Upper Layer protocol state transition table", ""]
    lines.append(_row("", [state.name for state in State]))
    for event in Event:
        cells = [table[event, state] for state in State]
        lines.append(_row(event.name, [action.name if action else "" for action in cells]))
    lines += ["", "Events"]
    for event in Event:
        lines.append(f"  {event.name:6} {event.meaning}")
    lines += ["", "States"]
    for state in State:
        lines.append(f"  {state.name:6} {state.meaning}")
    lines += ["", "Actions"]
    for action in actions(table):
        lines += _entry(action)
    return "\n".join(lines) + "\n"


def _row(name: str, cells: list[str]) -> str:
    return (f"{name:6}" + "".join(f"{cell:6}" for cell in cells)).rstrip()


def _entry(action: Action) -> Iterator[str]:
    name = action.name
    for effects, state, condition in _outcomes(action):
        first = f"  {name:6} "
        text = f"{condition}{effects}; next state {state.name}"
        yield from wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
        name = ""


def _outcomes(action: Action) -> Iterator[tuple[str, State, str]]:
    """The effects of each outcome in words, where it leads, and when it applies."""
    answers = _ANSWERS[action.fork] if action.fork else ("",)
    for outcome, answer in zip(action.outcomes, answers, strict=True):
        effects = "; ".join(effect.value for effect in outcome.effects) or "nothing"
        yield effects, outcome.next_state, f"{answer}: " if answer else ""


def as_markdown(table: Table = TABLE) -> str:
    """The grid and the actions as two Markdown tables."""
    lines = [
        f"| | {' | '.join(state.name for state in State)} |",
        f"|---|{'---|' * len(State)}",
    ]
    for event in Event:
        cells = [table[event, state] for state in State]
        names = " | ".join(action.name if action else "" for action in cells)
        lines.append(f"| **{event.name}** {event.meaning} | {names} |")
    lines += ["", "| action | effects | next state |", "|---|---|---|"]
    for action in actions(table):
        for effects, state, condition in _outcomes(action):
            lines.append(f"| {action.name} | {condition}{effects} | {state.name} |")
    return "\n".join(lines) + "\n"


def as_mermaid(table: Table = TABLE) -> str:
    """A Mermaid `stateDiagram-v2`: one arrow for each pair of states that transitions connect.

    Its label names the events and, after a slash, the action: `Evt3, Evt4 / AA-8`.
    """
    lines = ["stateDiagram-v2"]
    for state in State:
        # Mermaid takes a semicolon for the end of a line.
        lines.append(f'    state "{state.name}: {state.meaning.replace(";", ",")}" as {state.name}')
    lines.append("    [*] --> Sta1")
    arrows: dict[tuple[State, State], dict[str, list[str]]] = {}
    for state in State:
        for event in Event:
            action = table[event, state]
            if action is None:
                continue
            answers = _ANSWERS[action.fork] if action.fork else ("",)
            for leads in next_states(action):
                # Both answers of a fork may lead to one state; it then has no condition there.
                given = [
                    a
                    for o, a in zip(action.outcomes, answers, strict=True)
                    if o.next_state is leads
                ]
                label = action.name + (f" {given[0]}" if len(given) == 1 and given[0] else "")
                arrows.setdefault((state, leads), {}).setdefault(label, []).append(event.name)
    for (state, leads), labels in arrows.items():
        text = "<br/>".join(f"{', '.join(events)} / {label}" for label, events in labels.items())
        lines.append(f"    {state.name} --> {leads.name} : {text}")
    return "\n".join(lines) + "\n"


FORMS = {"text": as_text, "csv": as_csv, "markdown": as_markdown, "mermaid": as_mermaid}
"""The forms by name."""
