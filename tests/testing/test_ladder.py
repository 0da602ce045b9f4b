"""The ladder diagram: what is recorded, whoever records it, and a whole one."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from dul_fsm.association import (
    AssociateRequested,
    Association,
    Event,
    ReleaseRequested,
    RequestReceived,
)
from dul_fsm.dimse import CEchoRQ, CStoreRQ, respond_to
from dul_fsm.fsm import TABLE, State
from dul_fsm.fsm import Event as Evt
from dul_fsm.negotiation import build_answer, build_request
from dul_fsm.pdu import PDV, AAssociateRQ, PDataTF, UserInformation
from dul_fsm.services.sop_classes import VERIFICATION, choose_any, is_storage
from dul_fsm.testing.ladder import Ladder
from dul_fsm.upper_layer import CloseTransport, Observation, OpenTransport, Stepped

CT = "1.2.840.10008.5.1.4.1.1.2"


class Exchange:
    """Two associations joined without transports, driven in one thread."""

    def __init__(self, ladder: Ladder, maximum_length: int = 100) -> None:
        self.scu = Association(requestor=True, observer=ladder.observer("SCU"))
        self.scp = Association(
            requestor=False, maximum_length=maximum_length, observer=ladder.observer("SCP")
        )
        self.ladder = ladder

    def associate(self) -> None:
        request = build_request(
            [VERIFICATION, CT], called_ae_title="B", calling_ae_title="A", maximum_length=0
        )
        self.ladder.call("SCU", "associate request")
        self.scu.send_associate_request(request, 0.0)
        self.run()

    def run(self) -> None:
        """Until neither side has anything more to do."""
        while self.serve(self.scu, self.scp) or self.serve(self.scp, self.scu):
            pass

    def serve(self, here: Association, there: Association) -> bool:
        busy = False
        while (event := here.next_event()) is not None:
            self.happen(event, here, there)
            busy = True
        while data := self.leave(here):
            there.receive_data(data, 0.0)
            busy = True
        return busy

    @staticmethod
    def leave(here: Association) -> bytes:
        """What is due leaves that side."""
        data = b"".join(here.data_to_send())
        if data:
            here.data_sent(len(data), 0.0)
        return data

    def happen(self, event: Event, here: Association, there: Association) -> None:
        match event:
            case OpenTransport():
                there.transport_opened(0.0)
                here.transport_opened(0.0)
            case CloseTransport():
                there.transport_closed(0.0)
            case AssociateRequested(request):
                answer = build_answer(
                    request,
                    choose_any(VERIFICATION, is_storage),
                    maximum_length=here.maximum_length,
                )
                here.send_associate_accept(answer, 0.0)
            case RequestReceived(message):
                assert isinstance(message.command, CEchoRQ | CStoreRQ)
                here.send_response(message, respond_to(message.command, 0))
            case ReleaseRequested():
                here.send_release_response(0.0)
            case _:
                pass


def whole() -> Ladder:
    """Association, C-ECHO, C-STORE in several fragments, release."""
    ladder = Ladder()
    exchange = Exchange(ladder)
    exchange.associate()
    scu = exchange.scu
    ladder.call("SCU", "C-ECHO request")
    scu.send_request(scu.context_for(VERIFICATION), CEchoRQ(VERIFICATION, 1))
    exchange.run()
    ladder.call("SCU", "C-STORE request")
    scu.send_request(scu.context_for(CT), CStoreRQ(CT, 2, "1.2.3"), bytes(200))
    exchange.run()
    ladder.call("SCU", "release request")
    scu.send_release_request(0.0)
    exchange.run()
    ladder.told("SCU", "released")
    return ladder


WHOLE = """\
                         SCU                                            SCP
         event  action  state │                                      │ state  action  event
         associate request ─▶ │                                      │
          Evt1    AE-1   Sta4 │┄┄┄┄┄┄┄┄┄┄┄┄┄┄ connect ┄┄┄┄┄┄┄┄┄┄┄┄┄┄▶│ Sta2   AE-5    Evt5
          Evt2    AE-2   Sta5 │───── A-ASSOCIATE-RQ (328 bytes) ────▶│ Sta3   AE-6    Evt6
                              │              A calls B               │
                              │       2 presentation contexts        │
          Evt3    AE-3   Sta6 │◀───── A-ASSOCIATE-AC (236 bytes) ────│ Sta6   AE-7    Evt7
                              │       2 of 2 contexts accepted       │
                              │                                      │
            C-ECHO request ─▶ │                                      │
          Evt9    DT-1   Sta6 │──────── P-DATA-TF (80 bytes) ───────▶│ Sta6   DT-2    Evt10
                              │              C-ECHO-RQ               │
         Evt10    DT-2   Sta6 │◀──────── P-DATA-TF (90 bytes) ───────│ Sta6   DT-1    Evt9
                              │       C-ECHO-RSP 0000H Success       │
                              │                                      │
           C-STORE request ─▶ │                                      │
       Evt9 ×5    DT-1   Sta6 │────── P-DATA-TF ×5 (360 bytes) ─────▶│ Sta6   DT-2    Evt10 ×5
                              │     C-STORE-RQ and its data set      │
         Evt10    DT-2   Sta6 │◀─────── P-DATA-TF (112 bytes) ───────│ Sta6   DT-1    Evt9
                              │      C-STORE-RSP 0000H Success       │
                              │                                      │
           release request ─▶ │                                      │
         Evt11    AR-1   Sta7 │────── A-RELEASE-RQ (10 bytes) ──────▶│ Sta8   AR-2    Evt12
         Evt13    AR-3   Sta1 │◀────── A-RELEASE-RP (10 bytes) ──────│ Sta13  AR-4    Evt14
                  ◀─ released │                                      │
                              │┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ close ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄▶│ Sta1   AR-5    Evt17
"""


def stepped(event: Evt, state: State, pdu: PDataTF | AAssociateRQ | None = None) -> Stepped:
    action = TABLE[event, state]
    assert action is not None
    return Stepped(event, state, action, action.outcome.next_state, pdu)


def body(ladder: Ladder) -> list[str]:
    """The lines below the two of the head."""
    return ladder.render().splitlines()[2:]


def p_data(context_id: int, fragment: bytes, *, command: bool, last: bool) -> Observation:
    pdu = PDataTF((PDV(context_id, command, last, fragment),))
    return stepped(Evt.Evt10, State.Sta6, pdu)


def test_a_whole_association_reads_as_it_happened() -> None:
    assert whole().render() == WHOLE.rstrip("\n")


def test_associations_may_follow_each_other_on_one_ladder() -> None:
    ladder = Ladder()
    for _ in range(2):
        exchange = Exchange(ladder)
        exchange.associate()
        exchange.scu.send_abort(0.0)
        exchange.run()
    lines = body(ladder)
    half = len(lines) // 2
    assert [s for s in lines[:half] if s.strip("│ ")] == [s for s in lines[half:] if s.strip("│ ")]
    assert sum("A-ABORT (10 bytes)" in line for line in lines) == 2


def test_records_are_numbered_in_order_whichever_thread_makes_them() -> None:
    ladder = Ladder()

    def talk() -> None:
        for number in range(200):
            ladder.told("SCU", str(number))

    threads = [threading.Thread(target=talk) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    orders = [record.order for record in ladder.records]
    assert orders == list(range(800))


def test_a_command_set_that_cannot_be_decoded_is_said_to_be_one() -> None:
    ladder = Ladder()
    ladder.observer("SCP")(p_data(1, b"nonsense", command=True, last=True))
    assert "undecodable" in ladder.render()


def test_what_a_peer_says_cannot_steer_the_terminal() -> None:
    ladder = Ladder()
    request = AAssociateRQ("B", "\x1b[2J\x07A", (), UserInformation())
    ladder.observer("SCP")(stepped(Evt.Evt6, State.Sta2, request))
    ladder.told("SCP", "called by \x1b[2J")
    ladder.note("\x1b")
    assert "\x1b" not in ladder.render()
    assert "?[2J?A calls B" in ladder.render()


@pytest.mark.parametrize("record", [Ladder.call, Ladder.told])
def test_a_side_must_be_one_of_the_two(record: Callable[[Ladder, str, str], None]) -> None:
    with pytest.raises(ValueError, match="neither 'SCU' nor 'SCP'"):
        record(Ladder(), "scu", "text")
    with pytest.raises(ValueError, match="neither 'A' nor 'B'"):
        Ladder("A", "B").observer("SCU")
