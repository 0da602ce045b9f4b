"""The order of a ladder diagram: causes before effects, however it was recorded."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dul_fsm.dimse import CEchoRQ, CStoreRQ, encode_command
from dul_fsm.fsm import Event as Evt
from dul_fsm.fsm import Kind, State
from dul_fsm.pdu import PDUType
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.testing.ladder import Ladder, Note, Record, Sent, Step
from dul_fsm.upper_layer import PDUSent
from tests.testing.test_ladder import CT, WHOLE, Exchange, body, p_data, stepped, whole


def replay(records: list[Record]) -> Ladder:
    """The same records, recorded in another order."""
    ladder = Ladder()
    for record in records:
        ladder._add(lambda order, record=record: replace(record, order=order))  # type: ignore[misc]
    return ladder


@given(st.data())
def test_the_drawing_does_not_depend_on_how_two_threads_interleave(data: st.DataObject) -> None:
    records = whole().records
    # What a record cannot come before, though a departure may be recorded after its arrival.
    needs: dict[int, int] = {}
    leaving: dict[str, list[int]] = {"SCU": [], "SCP": []}
    opening = closing = -1
    last: dict[str, int] = {}
    for record in records:
        assert not isinstance(record, Note)
        other = "SCP" if record.side == "SCU" else "SCU"
        if isinstance(record, Sent):
            leaving[record.side].append(last[record.side])
        elif isinstance(record, Step):
            if record.event.kind is Kind.PDU:
                needs[record.order] = leaving[other].pop(0)
            elif record.event is Evt.Evt5:
                needs[record.order] = opening
            elif record.event is Evt.Evt17:
                needs[record.order] = closing
            opening = record.order if record.event is Evt.Evt1 else opening
            closing = record.order if record.event is Evt.Evt13 else closing
        last[record.side] = record.order
    queues = [[r for r in records if getattr(r, "side", "") == side] for side in ("SCU", "SCP")]
    merged: list[Record] = []
    done = {-1}
    while any(queues):
        able = [queue for queue in queues if queue and needs.get(queue[0].order, -1) in done]
        queue = data.draw(st.sampled_from(able)) if len(able) > 1 else able[0]
        done.add(queue[0].order)
        merged.append(queue.pop(0))
    assert replay(merged).render() == WHOLE.rstrip("\n")


def test_an_arrow_starts_before_it_arrives_even_if_recorded_later() -> None:
    ladder = Ladder()
    scu, scp = ladder.observer("SCU"), ladder.observer("SCP")
    scu(stepped(Evt.Evt11, State.Sta6))
    scp(stepped(Evt.Evt12, State.Sta6))
    scu(PDUSent(PDUType.A_RELEASE_RQ, 10))
    (line,) = body(ladder)
    assert re.search(r"Sta7 │─+ A-RELEASE-RQ \(10 bytes\) ─+▶│ Sta8 ", line)


def test_pdus_that_cross_are_drawn_as_such() -> None:
    ladder = Ladder()
    exchange = Exchange(ladder)
    exchange.associate()
    before = len(body(ladder))
    exchange.scu.send_release_request(0.0)
    exchange.scp.send_release_request(0.0)
    there, back = exchange.leave(exchange.scu), exchange.leave(exchange.scp)
    exchange.scp.receive_data(there, 0.0)
    exchange.scu.receive_data(back, 0.0)
    exchange.run()
    said = [re.sub(r"[│┄─\s]+", " ", line).strip() for line in body(ladder)[before:]]
    assert said == [
        "Evt11 AR-1 Sta7 A-RELEASE-RQ (10 bytes) ▶",
        "Evt12 AR-8 Sta9 ◀ A-RELEASE-RQ (10 bytes) Sta7 AR-1 Evt11",
        "Evt14 AR-9 Sta11 A-RELEASE-RP (10 bytes) ▶",
        "Sta10 AR-8 Evt12",
        "Sta12 AR-10 Evt13",
        "Evt13 AR-3 Sta1 ◀ A-RELEASE-RP (10 bytes) Sta13 AR-4 Evt14",
        "close ▶ Sta1 AR-5 Evt17",
    ]


def test_nothing_is_drawn_across_a_note() -> None:
    ladder = Ladder()
    ladder.call("SCP", "first")
    ladder.note("the line is cut")
    ladder.call("SCU", "second")
    ladder.call("SCP", "third")
    said = [re.sub(r"[│─▶◀\s]+", " ", line).strip() for line in body(ladder)]
    assert [s for s in said if s] == ["first", "the line is cut", "second", "third"]


def test_each_message_is_an_arrow_of_its_own_however_many_pdus_it_takes() -> None:
    ladder = Ladder()
    exchange = Exchange(ladder)
    exchange.associate()
    scu = exchange.scu
    for message_id in (1, 2):
        scu.send_request(scu.context_for(CT), CStoreRQ(CT, message_id, "1.2.3"), bytes(200))
        exchange.run()
    arrows = [line for line in body(ladder) if "P-DATA-TF" in line and "▶" in line]
    assert len(arrows) == 2
    assert all("P-DATA-TF ×5 (" in line and "Evt9 ×5" in line for line in arrows)


def test_two_messages_in_one_burst_are_two_arrows() -> None:
    ladder = Ladder()
    scu, scp = ladder.observer("SCU"), ladder.observer("SCP")
    command = encode_command(CEchoRQ(VERIFICATION, 1))
    for _ in range(4):
        scu(stepped(Evt.Evt9, State.Sta6))
    for number in range(4):
        scu(PDUSent(PDUType.P_DATA_TF, 50))
        half = command[:40] if number % 2 == 0 else command[40:]
        scp(p_data(1, half, command=True, last=number % 2 == 1))
    lines = [line for line in body(ladder) if "P-DATA-TF" in line]
    assert [line.count("P-DATA-TF ×2 (100 bytes)") for line in lines] == [1, 1]
    assert sum("C-ECHO-RQ" in line for line in body(ladder)) == 2


def test_a_forged_pdu_takes_its_turn_among_those_that_were_sent() -> None:
    ladder = Ladder()
    scu, scp = ladder.observer("SCU"), ladder.observer("SCP")
    scu(stepped(Evt.Evt9, State.Sta6))
    scu(PDUSent(PDUType.P_DATA_TF, 50))
    ladder.forged("SCU", "an A-RELEASE-RQ is forged")
    scu(stepped(Evt.Evt15, State.Sta6))
    scu(PDUSent(PDUType.A_ABORT, 10))
    scp(p_data(1, b"", command=True, last=False))
    scp(stepped(Evt.Evt12, State.Sta6))
    scp(stepped(Evt.Evt16, State.Sta8))
    said = [re.sub(r"[│┄─\s]+", " ", line).strip() for line in body(ladder)]
    assert said == [
        "Evt9 DT-1 Sta6 P-DATA-TF (50 bytes) ▶",
        "an A-RELEASE-RQ is forged",
        "Evt15 AA-1 Sta13 A-ABORT (10 bytes) ▶",
        "Sta6 DT-2 Evt10",
        "A-RELEASE-RQ ▶ Sta8 AR-2 Evt12",
        "Sta1 AA-3 Evt16",
    ]


def test_a_forged_pdu_that_did_not_arrive_is_a_remark_only() -> None:
    ladder = Ladder()
    ladder.observer("SCP")(stepped(Evt.Evt17, State.Sta6))
    ladder.forged("SCU", "an A-ABORT is forged")
    assert [line.strip("│ ") for line in body(ladder)][-1] == "an A-ABORT is forged"
