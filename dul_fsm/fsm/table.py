"""PS3.8 Table 9-10, the state transition table of the Upper Layer protocol machine.

Lay it next to the standard: a row is an event, a column is a state, a cell names the action of
Tables 9-6 to 9-9, and `____` is a cell that the standard leaves blank. The next state stands
with the action. Nothing else in this package decides what happens when.
"""

from __future__ import annotations

from typing import TypeAlias

# isort: off
# fmt: off
from dul_fsm.fsm.actions import (
    AA_1, AA_2, AA_3, AA_4, AA_5, AA_6, AA_7, AA_8,
    AE_1, AE_2, AE_3, AE_4, AE_5, AE_6, AE_7, AE_8,
    AR_1, AR_2, AR_3, AR_4, AR_5, AR_6, AR_7, AR_8, AR_9, AR_10,
    DT_1, DT_2,
    Action,
)
from dul_fsm.fsm.names import Event, State

Table: TypeAlias = "dict[tuple[Event, State], Action | None]"

____ = None
(Evt1, Evt2, Evt3, Evt4, Evt5, Evt6, Evt7, Evt8, Evt9, Evt10,
 Evt11, Evt12, Evt13, Evt14, Evt15, Evt16, Evt17, Evt18, Evt19) = tuple(Event)

_GRID: dict[Event, tuple[Action | None, ...]] = {
    #        Sta1  Sta2  Sta3  Sta4  Sta5  Sta6  Sta7  Sta8  Sta9  Sta10 Sta11 Sta12 Sta13
    Evt1:  (AE_1, ____, ____, ____, ____, ____, ____, ____, ____, ____, ____, ____, ____),
    Evt2:  (____, ____, ____, AE_2, ____, ____, ____, ____, ____, ____, ____, ____, ____),
    Evt3:  (____, AA_1, AA_8, ____, AE_3, AA_8, AA_8, AA_8, AA_8, AA_8, AA_8, AA_8, AA_6),
    Evt4:  (____, AA_1, AA_8, ____, AE_4, AA_8, AA_8, AA_8, AA_8, AA_8, AA_8, AA_8, AA_6),
    Evt5:  (AE_5, ____, ____, ____, ____, ____, ____, ____, ____, ____, ____, ____, ____),
    Evt6:  (____, AE_6, AA_8, ____, AA_8, AA_8, AA_8, AA_8, AA_8, AA_8, AA_8, AA_8, AA_7),
    Evt7:  (____, ____, AE_7, ____, ____, ____, ____, ____, ____, ____, ____, ____, ____),
    Evt8:  (____, ____, AE_8, ____, ____, ____, ____, ____, ____, ____, ____, ____, ____),
    Evt9:  (____, ____, ____, ____, ____, DT_1, ____, AR_7, ____, ____, ____, ____, ____),
    Evt10: (____, AA_1, AA_8, ____, AA_8, DT_2, AR_6, AA_8, AA_8, AA_8, AA_8, AA_8, AA_6),
    Evt11: (____, ____, ____, ____, ____, AR_1, ____, ____, ____, ____, ____, ____, ____),
    Evt12: (____, AA_1, AA_8, ____, AA_8, AR_2, AR_8, AA_8, AA_8, AA_8, AA_8, AA_8, AA_6),
    Evt13: (____, AA_1, AA_8, ____, AA_8, AA_8, AR_3, AA_8, AA_8, AR_10,AR_3, AA_8, AA_6),
    Evt14: (____, ____, ____, ____, ____, ____, ____, AR_4, AR_9, ____, ____, AR_4, ____),
    Evt15: (____, ____, AA_1, AA_2, AA_1, AA_1, AA_1, AA_1, AA_1, AA_1, AA_1, AA_1, ____),
    Evt16: (____, AA_2, AA_3, ____, AA_3, AA_3, AA_3, AA_3, AA_3, AA_3, AA_3, AA_3, AA_2),
    Evt17: (____, AA_5, AA_4, AA_4, AA_4, AA_4, AA_4, AA_4, AA_4, AA_4, AA_4, AA_4, AR_5),
    Evt18: (____, AA_2, ____, ____, ____, ____, ____, ____, ____, ____, ____, ____, AA_2),
    Evt19: (____, AA_1, AA_8, ____, AA_8, AA_8, AA_8, AA_8, AA_8, AA_8, AA_8, AA_8, AA_7),
}
# fmt: on

TABLE: Table = {
    (event, state): cell
    for event, row in _GRID.items()
    for state, cell in zip(State, row, strict=True)
}
"""Every cell of Table 9-10: 247, of which 123 name an action."""
