"""The names of the machine: states and events (PS3.8 §9.2.1 and the rows of Table 9-10).

`Sta1`..`Sta13` are the standard's. `Evt1`..`Evt19` are the row order of Table 9-10, a numbering
that the field shares although the standard does not print it.

Not here: what happens (`actions`), and when (`table`).
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """A state of the Upper Layer protocol machine (PS3.8 Tables 9-1 to 9-5)."""

    meaning: str

    def __new__(cls, number: int, meaning: str) -> State:
        state = object.__new__(cls)
        state._value_ = number
        state.meaning = meaning
        return state

    # Identity is equality for the members of an Enum; the default hashes the name in Python.
    __hash__ = object.__hash__

    Sta1 = 1, "Idle"
    Sta2 = 2, "Transport open; waiting for A-ASSOCIATE-RQ PDU"
    Sta3 = 3, "Waiting for local A-ASSOCIATE response"
    Sta4 = 4, "Waiting for the transport connection to open"
    Sta5 = 5, "Waiting for A-ASSOCIATE-AC or A-ASSOCIATE-RJ PDU"
    Sta6 = 6, "Association established; ready for data transfer"
    Sta7 = 7, "Waiting for A-RELEASE-RP PDU"
    Sta8 = 8, "Waiting for local A-RELEASE response"
    Sta9 = 9, "Release collision, requestor side; waiting for local A-RELEASE response"
    Sta10 = 10, "Release collision, acceptor side; waiting for A-RELEASE-RP PDU"
    Sta11 = 11, "Release collision, requestor side; waiting for A-RELEASE-RP PDU"
    Sta12 = 12, "Release collision, acceptor side; waiting for local A-RELEASE response"
    Sta13 = 13, "Waiting for the transport connection to close; the association is gone"


class Kind(Enum):
    """Where an event comes from."""

    PRIMITIVE = "primitive issued by the local user"
    TRANSPORT = "transport service"
    PDU = "PDU received from the peer"
    TIMER = "ARTIM timer"


class Event(Enum):
    """An event of the Upper Layer protocol machine (the rows of PS3.8 Table 9-10)."""

    kind: Kind
    meaning: str

    def __new__(cls, number: int, kind: Kind, meaning: str) -> Event:
        event = object.__new__(cls)
        event._value_ = number
        event.kind = kind
        event.meaning = meaning
        return event

    __hash__ = object.__hash__

    Evt1 = 1, Kind.PRIMITIVE, "A-ASSOCIATE request"
    Evt2 = 2, Kind.TRANSPORT, "transport connection confirmed"
    Evt3 = 3, Kind.PDU, "A-ASSOCIATE-AC PDU received"
    Evt4 = 4, Kind.PDU, "A-ASSOCIATE-RJ PDU received"
    Evt5 = 5, Kind.TRANSPORT, "transport connection indicated"
    Evt6 = 6, Kind.PDU, "A-ASSOCIATE-RQ PDU received"
    Evt7 = 7, Kind.PRIMITIVE, "A-ASSOCIATE response (accept)"
    Evt8 = 8, Kind.PRIMITIVE, "A-ASSOCIATE response (reject)"
    Evt9 = 9, Kind.PRIMITIVE, "P-DATA request"
    Evt10 = 10, Kind.PDU, "P-DATA-TF PDU received"
    Evt11 = 11, Kind.PRIMITIVE, "A-RELEASE request"
    Evt12 = 12, Kind.PDU, "A-RELEASE-RQ PDU received"
    Evt13 = 13, Kind.PDU, "A-RELEASE-RP PDU received"
    Evt14 = 14, Kind.PRIMITIVE, "A-RELEASE response"
    Evt15 = 15, Kind.PRIMITIVE, "A-ABORT request"
    Evt16 = 16, Kind.PDU, "A-ABORT PDU received"
    Evt17 = 17, Kind.TRANSPORT, "transport connection closed"
    Evt18 = 18, Kind.TIMER, "ARTIM timer expired"
    Evt19 = 19, Kind.PDU, "unrecognized or invalid PDU received"
