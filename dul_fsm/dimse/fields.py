"""What every command has: its code, its name, and whether a data set goes with it.

PS3.7 Annex E.1 (command fields), §9.3 and §10.3 (messages).

Rules
  * A command says for itself whether a data set follows it: `has_data_set` stands for the
    element (0000,0800). Where the standard leaves no choice, it is not a field.

Not here: the commands themselves (`composite`, `normalized`), bytes (`command_set`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar, Final, Literal, TypeAlias

NO_DATA_SET: Final = 0x0101
"""Command Data Set Type of a message without a data set; any other value announces one."""

DATA_SET_PRESENT: Final = 0x0001
"""Command Data Set Type that we send with a data set: the value every known peer sends itself."""

DataSetRule: TypeAlias = Literal["always", "optional", "never"]
"""Whether a message carries a data set, by its kind (PS3.7 §9.3, §10.3)."""


class CommandField(IntEnum):
    """(0000,0100): what kind of message this is (PS3.7 Table E.1-1)."""

    C_STORE_RQ = 0x0001
    C_GET_RQ = 0x0010
    C_FIND_RQ = 0x0020
    C_MOVE_RQ = 0x0021
    C_ECHO_RQ = 0x0030
    N_EVENT_REPORT_RQ = 0x0100
    N_GET_RQ = 0x0110
    N_SET_RQ = 0x0120
    N_ACTION_RQ = 0x0130
    N_CREATE_RQ = 0x0140
    N_DELETE_RQ = 0x0150
    C_CANCEL_RQ = 0x0FFF
    C_STORE_RSP = 0x8001
    C_GET_RSP = 0x8010
    C_FIND_RSP = 0x8020
    C_MOVE_RSP = 0x8021
    C_ECHO_RSP = 0x8030
    N_EVENT_REPORT_RSP = 0x8100
    N_GET_RSP = 0x8110
    N_SET_RSP = 0x8120
    N_ACTION_RSP = 0x8130
    N_CREATE_RSP = 0x8140
    N_DELETE_RSP = 0x8150


class Priority(IntEnum):
    """(0000,0700): how urgent a request is (PS3.7 §9.3.1.1)."""

    MEDIUM = 0x0000
    HIGH = 0x0001
    LOW = 0x0002


class CommandBase:
    """What the 23 commands share. A command states its `command_field`; the rest follows."""

    __slots__ = ()

    command_field: ClassVar[CommandField]
    """(0000,0100)."""
    name: ClassVar[str]
    """As the standard writes it: "C-STORE-RQ"."""
    is_request: ClassVar[bool]
    """A request, C-CANCEL-RQ among them; else a response."""
    awaits_response: ClassVar[bool]
    """Whether there is a response to it: to all requests but C-CANCEL-RQ."""
    data_set: ClassVar[DataSetRule]
    """Whether the message must, may or must not carry a data set."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "command_field" in cls.__dict__:
            cls.name = cls.command_field.name.replace("_", "-")
            # PS3.7 Table E.1-1: a response is its request + 8000H.
            cls.is_request = not cls.command_field & 0x8000
            cls.awaits_response = cls.is_request and cls.command_field != CommandField.C_CANCEL_RQ


class WithDataSet(CommandBase):
    """A command that is always followed by a data set."""

    __slots__ = ()

    data_set = "always"
    has_data_set: ClassVar[bool] = True
    """Always."""


class WithOptionalDataSet(CommandBase):
    """A command that says so when a data set follows it, in a field `has_data_set`."""

    __slots__ = ()

    data_set = "optional"


class WithoutDataSet(CommandBase):
    """A command that is the whole message."""

    __slots__ = ()

    data_set = "never"
    has_data_set: ClassVar[bool] = False
    """Never."""
