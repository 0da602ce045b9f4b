"""The Upper Layer protocol machine of PS3.8 §9.2: names in, names out.

`table` is Table 9-10, `actions` Tables 9-6 to 9-9, `names` the states and events, `machine` the
one compiled machine and its only door, `step`.
"""

from dul_fsm.fsm.actions import ACTIONS, Action, Effect, Fork, Outcome
from dul_fsm.fsm.machine import MACHINE, Core, Step, compile_machine, step
from dul_fsm.fsm.names import Event, Kind, State
from dul_fsm.fsm.table import TABLE, Table

__all__ = [
    "ACTIONS",
    "MACHINE",
    "TABLE",
    "Action",
    "Core",
    "Effect",
    "Event",
    "Fork",
    "Kind",
    "Outcome",
    "State",
    "Step",
    "Table",
    "compile_machine",
    "step",
]
