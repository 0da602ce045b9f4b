"""Every step of the machine as text: `python -m tests.fsm.snapshot` writes snapshot.txt anew.

A change in the machine so shows in review as the lines that changed. Look at each before you
commit: PS3.8 Table 9-10 does not change, so neither should they.
"""

from __future__ import annotations

from pathlib import Path

from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm import Core, Event, State, step

FILE = Path(__file__).with_name("snapshot.txt")
COMMAND = "python -m tests.fsm.snapshot"

HEADER = f"""\
# Every step: event, state, role, answer of AE-6 -> action, next state, effects in order.
# Written by `{COMMAND}`; not to be edited by hand.
"""


def _line(event: Event, state: State, requestor: bool, acceptable: bool) -> str:
    core = Core(requestor=requestor)
    core.state = state
    core.acceptable = acceptable
    try:
        action, effects = step(core, event)
    except LocalProtocolError:
        what = "refused"
    else:
        what = action.name if action else "dropped"
        what = f"{what:8}{core.state.name:6}{'; '.join(effect.value for effect in effects)}"
    role = "requestor" if requestor else "acceptor"
    verdict = "acceptable" if acceptable else "unacceptable"
    return f"{event.name:6}{state.name:6}{role:10}{verdict:13}-> {what}".rstrip()


def render() -> str:
    """The text that snapshot.txt should have."""
    lines = [
        _line(event, state, requestor, acceptable)
        for event in Event
        for state in State
        for requestor in (True, False)
        for acceptable in (True, False)
    ]
    return HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
