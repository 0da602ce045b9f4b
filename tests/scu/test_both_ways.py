"""What the peer requests while this side's own operations are under way: C-GET, notifications."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
from pydicom import Dataset

from dul_fsm import aio
from dul_fsm.association import Message
from dul_fsm.dimse import CGetRSP, NEventReportRQ
from dul_fsm.errors import AssociationAborted, AssociationTimeout
from dul_fsm.negotiation import Window
from dul_fsm.scp import serve
from dul_fsm.scu import associate
from dul_fsm.services.handler import AbortAssociation, Handler
from dul_fsm.services.outcomes import Instance, Notification, Reply
from dul_fsm.services.sop_classes import STUDY_ROOT_GET, VERIFICATION, choose_any
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import Loopback
from dul_fsm.transports.loopback import Faults
from tests.drivers.support import CT, LITTLE, PATIENCE, Background, nothing_left

COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
DATA = b"\x10\0\x20\0LO\2\0ab" * 100
INSTANCES = 5


class Archive(Handler):
    """Has five instances, and commits itself at once."""

    choose = staticmethod(choose_any(lambda uid: True))

    def c_get_requested(self, message: Message) -> list[Instance]:
        return [
            Instance(
                sop_class_uid=CT,
                sop_instance_uid=f"1.2.{number}",
                transfer_syntaxes=(LITTLE,),
                open=lambda transfer_syntax: nullcontext(DATA),
            )
            for number in range(INSTANCES)
        ]

    def n_action_requested(self, message: Message) -> Reply:
        done = Notification(COMMITMENT, COMMITMENT_INSTANCE, 1, message.decode())
        return Reply(notifications=[done])


class Receiver(Handler):
    """Takes what comes."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []
        self.events: list[NEventReportRQ] = []
        self.ends = 0

    def c_store_requested(self, message: Message) -> int:
        self.stored.append(message.data_set)
        return 0

    def n_event_report_requested(self, message: Message) -> int:
        assert isinstance(message.command, NEventReportRQ)
        self.events.append(message.command)
        return 0

    def aborted(self, event: object) -> None:
        self.ends += 1


def query() -> Dataset:
    data_set = Dataset()
    data_set.PatientID = "1"
    return data_set


def options(handler: Handler, **keywords: object) -> dict[str, Any]:
    return {
        "contexts": [VERIFICATION, STUDY_ROOT_GET, (CT, [LITTLE]), COMMITMENT],
        "roles": {CT: (True, True)},
        "window": Window(4, 4),
        "handler": handler,
        **keywords,
    }


@pytest.fixture
def peer() -> Iterator[Loopback]:
    endpoint = Loopback()
    with nothing_left(), serve(Archive, endpoint):
        yield endpoint


def test_what_is_retrieved_comes_to_the_handler(peer: Loopback) -> None:
    handler = Receiver()
    with associate(peer, **options(handler)) as association:
        *pending, final = association.c_get(STUDY_ROOT_GET, query())
    assert handler.stored == [DATA] * INSTANCES
    assert isinstance(final.command, CGetRSP)
    assert (final.status, final.command.number_of_completed_suboperations) == (0, INSTANCES)
    assert [message.status for message in pending] == [0xFF00] * len(pending)


def test_several_threads_may_retrieve_at_once(peer: Loopback) -> None:
    handler = Receiver()
    with associate(peer, **options(handler)) as association:
        get = partial(association.c_get, STUDY_ROOT_GET, query())
        calls = [Background(lambda: [message.status for message in get()]) for _ in range(6)]
        assert {call.join().result[-1] for call in calls} == {0}  # type: ignore[index]
    assert handler.stored == [DATA] * (6 * INSTANCES)


def test_several_tasks_may_retrieve_at_once(peer: Loopback) -> None:
    async def retrieve() -> None:
        handler = Receiver()
        async with aio.associate(peer, **options(handler)) as association:
            responses = await asyncio.gather(
                *(association.c_get(STUDY_ROOT_GET, query()).response() for _ in range(6))
            )
        assert [message.status for message in responses] == [0] * 6
        assert handler.stored == [DATA] * (6 * INSTANCES)

    asyncio.run(retrieve())


def test_a_commitment_is_reported_on_the_same_association(peer: Loopback) -> None:
    """PS3.4 Annex J: N-ACTION, its response, then the N-EVENT-REPORT the other way."""
    handler = Receiver()
    with associate(peer, **options(handler)) as association:
        assert association.n_action(COMMITMENT, COMMITMENT_INSTANCE, 1, query()).status == 0
        assert association.serve(lambda: bool(handler.events), PATIENCE)
        assert association.established

    async def commit() -> None:
        async with aio.associate(peer, **options(handler)) as association:
            response = await association.n_action(COMMITMENT, COMMITMENT_INSTANCE, 1, query())
            assert response.status == 0
            assert await association.serve(lambda: len(handler.events) == 2, PATIENCE)

    asyncio.run(commit())
    assert [event.event_type_id for event in handler.events] == [1, 1]


def retrieve_all(endpoint: Loopback, handler: Handler, **keywords: object) -> None:
    with associate(endpoint, **options(handler, **keywords)) as association:
        for _ in association.c_get(STUDY_ROOT_GET, query()):
            pass


def test_a_connection_that_is_lost_at_any_point_of_a_c_get_is_told_once() -> None:
    """By either side's bytes; nothing is left, and no wait is longer than its limit."""
    lost = 0
    for after in [*range(200, 1200, 61), *range(1200, 9000, 611)]:
        with nothing_left():
            handler = Receiver()
            endpoint = Loopback(faults=Faults(cut_after=after))
            with serve(Archive, endpoint):
                try:
                    retrieve_all(endpoint, handler)
                except AssociationAborted:
                    lost += 1
            assert handler.ends <= 1
            assert handler.stored == [DATA] * len(handler.stored)
    assert lost > 10


@pytest.mark.parametrize("point", range(INSTANCES))
@pytest.mark.parametrize("how", ["abort", "silence"])
def test_a_peer_that_aborts_or_falls_silent_at_any_instance(how: str, point: int) -> None:
    silent = threading.Event()

    class Fails(Archive):
        def c_get_requested(self, message: Message) -> list[Instance]:
            instances = super().c_get_requested(message)
            bad = instances[point]
            instances[point] = Instance(
                sop_class_uid=CT,
                sop_instance_uid=bad.sop_instance_uid,
                transfer_syntaxes=(LITTLE,),
                open=fail,
            )
            return instances

    def fail(transfer_syntax: str) -> Any:
        if how == "abort":
            raise AbortAssociation("as told")
        silent.wait(PATIENCE)
        raise AbortAssociation("at last")

    with nothing_left():
        endpoint, handler = Loopback(), Receiver()
        with serve(Fails, endpoint):
            kind = AssociationTimeout if how == "silence" else AssociationAborted
            limits = TimeLimits(response=0.1, artim=0.1)
            with pytest.raises(kind):
                retrieve_all(endpoint, handler, time_limits=limits)
            silent.set()
    assert handler.ends == 1
    assert len(handler.stored) == point
