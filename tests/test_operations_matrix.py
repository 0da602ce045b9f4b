"""The eleven DIMSE services, invoked and performed, blocking and in asyncio: every cell is run.

`python -m tests.test_operations_matrix` writes docs/operations.md anew.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import dul_fsm.aio as aio
from dul_fsm.association import Message
from dul_fsm.dimse import COMMANDS, CommandField
from dul_fsm.scp import serve
from dul_fsm.scu import SCUAssociation, associate
from dul_fsm.services.handler import Accept, Destination, Handler, Reply
from dul_fsm.services.sop_classes import (
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    choose_any,
)
from dul_fsm.transports import TCP, Loopback
from tests.services.support import CT, EXPLICIT, Shelf, Store

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
COMMAND = "python -m tests.test_operations_matrix"

MPPS = "1.2.840.10008.3.1.2.3.3"
CONTEXTS: list[Any] = [
    VERIFICATION,
    (CT, [EXPLICIT]),
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    (MPPS, [EXPLICIT]),
]
ROLES = {CT: (True, True), MPPS: (True, True)}
DATA = b"data set"
INSTANCE = "1.2.3"


class Service(NamedTuple):
    """A DIMSE service, and what stands for it here."""

    name: str
    """As the standard has it."""
    section: str
    """Of PS3.7."""
    invoke: str
    """The method of an association."""
    arguments: tuple[Any, ...]
    """What it is called with."""
    perform: str
    """The method of a handler."""
    outcome: str
    """What that returns."""
    statuses: tuple[int, ...] = (0,)
    """Of the responses here."""
    answers: bytes = b""
    """The data set of the first response."""


SERVICES = (
    Service("C-ECHO", "9.1.5", "c_echo", (), "c_echo_requested", "a status"),
    Service(
        "C-STORE",
        "9.1.1",
        "c_store",
        (CT, INSTANCE, EXPLICIT, DATA),
        "c_store_requested",
        "a status",
    ),
    Service(
        "C-FIND",
        "9.1.2",
        "c_find",
        (STUDY_ROOT_FIND, DATA),
        "c_find_requested",
        "matches, or a status",
        (0xFF00, 0xFF00, 0),
        b"match",
    ),
    Service(
        "C-GET",
        "9.1.3",
        "c_get",
        (STUDY_ROOT_GET, DATA),
        "c_get_requested",
        "instances, or a status",
        (0xFF00, 0),
    ),
    Service(
        "C-MOVE",
        "9.1.4",
        "c_move",
        (STUDY_ROOT_MOVE, DATA, "FAR"),
        "c_move_requested",
        "instances, or a status",
        (0xFF00, 0),
    ),
    Service(
        "N-EVENT-REPORT",
        "10.1.1",
        "n_event_report",
        (MPPS, INSTANCE, 1, DATA),
        "n_event_report_requested",
        "a status, or a `Reply`",
        answers=b"reply",
    ),
    Service(
        "N-GET",
        "10.1.2",
        "n_get",
        (MPPS, INSTANCE, (0x00100010,)),
        "n_get_requested",
        "a status, or a `Reply`",
        answers=b"reply",
    ),
    Service(
        "N-SET",
        "10.1.3",
        "n_set",
        (MPPS, INSTANCE, DATA),
        "n_set_requested",
        "a status, or a `Reply`",
        answers=b"reply",
    ),
    Service(
        "N-ACTION",
        "10.1.4",
        "n_action",
        (MPPS, INSTANCE, 1, DATA),
        "n_action_requested",
        "a status, or a `Reply`",
        answers=b"reply",
    ),
    Service(
        "N-CREATE",
        "10.1.5",
        "n_create",
        (MPPS, None, DATA),
        "n_create_requested",
        "a status, or a `Reply`",
        answers=b"reply",
    ),
    Service(
        "N-DELETE",
        "10.1.6",
        "n_delete",
        (MPPS, INSTANCE),
        "n_delete_requested",
        "a status, or a `Reply`",
    ),
)

WAYS = ("blocking", "asyncio")
"""Both ways to wait."""


# Performing --------------------------------------------------------------------------------------


class Performs(Handler):
    """All eleven, by methods that return at once."""

    choose = staticmethod(choose_any(lambda uid: True))

    def __init__(self, far: Any = None) -> None:
        self.asked: list[str] = []
        self.seen: list[bytes] = []
        self.far = far

    def associate_requested(self, request: Any) -> Accept:
        return Accept(roles=ROLES)

    def _asked(self, name: str, message: Message) -> None:
        self.asked.append(name)
        self.seen.append(message.data_set)

    def _reply(self, name: str, message: Message) -> Any:
        self._asked(name, message)
        made = "1.2.9" if name == "n_create_requested" else None
        return Reply(data=b"reply", sop_instance_uid=made)

    def c_echo_requested(self, message: Message) -> Any:
        self._asked("c_echo_requested", message)
        return 0

    def c_store_requested(self, message: Message) -> Any:
        self._asked("c_store_requested", message)
        return 0

    def c_find_requested(self, message: Message) -> Any:
        self._asked("c_find_requested", message)
        return iter([b"match", b"match"])

    def c_get_requested(self, message: Message) -> Any:
        self._asked("c_get_requested", message)
        return iter(Shelf().instances(1))

    def c_move_requested(self, message: Message) -> Any:
        self._asked("c_move_requested", message)
        return Shelf().instances(2)

    def move_destination(self, ae_title: str) -> Any:
        return Destination(self.far, ae_title)

    def n_event_report_requested(self, message: Message) -> Any:
        return self._reply("n_event_report_requested", message)

    def n_get_requested(self, message: Message) -> Any:
        return self._reply("n_get_requested", message)

    def n_set_requested(self, message: Message) -> Any:
        return self._reply("n_set_requested", message)

    def n_action_requested(self, message: Message) -> Any:
        return self._reply("n_action_requested", message)

    def n_create_requested(self, message: Message) -> Any:
        return self._reply("n_create_requested", message)

    def n_delete_requested(self, message: Message) -> Any:
        self._asked("n_delete_requested", message)
        return 0


def asynchronous(name: str) -> Any:
    """The same method as a coroutine function; the matches as an asynchronous generator."""
    plain: Any = getattr(Performs, name)

    async def performed(self: Performs, message: Message) -> Any:
        await asyncio.sleep(0)
        outcome = plain(self, message)
        return aiter(_each(outcome)) if isinstance(outcome, Iterator) else outcome

    return performed


async def _each(items: Iterator[Any]) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


PerformsAsync: Any = type(
    "PerformsAsync",
    (Performs,),
    {service.perform: asynchronous(service.perform) for service in SERVICES},
)


class Run:
    """What came of a cell."""

    def __init__(self) -> None:
        self.handler: Performs
        self.responses: list[Message] = []
        self.store, self.far = Store(), Store()

    def check(self, service: Service) -> None:
        assert self.handler.asked == [service.perform]
        assert tuple(response.status for response in self.responses) == service.statuses
        assert self.responses[0].data_set == service.answers
        sent = DATA if DATA in service.arguments else b""
        assert self.handler.seen == [sent]
        # C-GET stores here, C-MOVE at the move destination.
        assert len(self.store.stored) == (service.name == "C-GET")
        assert len(self.far.stored) == 2 * (service.name == "C-MOVE")
        final: Any = self.responses[-1].command
        if service.name == "N-CREATE":
            assert final.affected_sop_instance_uid == "1.2.9"


# Invoking ----------------------------------------------------------------------------------------


def invoke(run: Run, service: Service, peer: Any) -> None:
    """By the blocking association."""
    with associate(peer, contexts=CONTEXTS, roles=ROLES, handler=run.store) as association:
        outcome = getattr(association, service.invoke)(*service.arguments)
        run.responses = [outcome] if isinstance(outcome, Message) else list(outcome)


async def invoke_async(run: Run, service: Service, peer: Any) -> None:
    """By the asyncio one."""
    store: Any = run.store
    async with aio.associate(peer, contexts=CONTEXTS, roles=ROLES, handler=store) as association:
        outcome: Any = getattr(association, service.invoke)(*service.arguments)
        if inspect.isawaitable(outcome) and not hasattr(outcome, "__aiter__"):
            run.responses = [await outcome]
        else:
            run.responses = [response async for response in outcome]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_blocking_invokes_what_blocking_performs(service: Service) -> None:
    run = Run()
    with ExitStack() as stack:
        far, near = Loopback(), Loopback()
        run.handler = Performs(far)
        stack.enter_context(serve(lambda: run.far, far))
        stack.enter_context(serve(lambda: run.handler, near))
        invoke(run, service, near)
    run.check(service)


@pytest.mark.parametrize("plain", [True, False], ids=["functions", "coroutines"])
@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_asyncio_invokes_what_asyncio_performs(service: Service, plain: bool) -> None:
    run = Run()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            far, near = Loopback(), Loopback()
            run.handler = (Performs if plain else PerformsAsync)(far)
            one: Any = lambda: run.far  # noqa: E731
            other: Any = lambda: run.handler  # noqa: E731
            await stack.enter_async_context(aio.serve(one, far))
            await stack.enter_async_context(aio.serve(other, near))
            await invoke_async(run, service, near)

    asyncio.run(main())
    run.check(service)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_blocking_invokes_what_asyncio_performs(service: Service) -> None:
    run = Run()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            far: Any = await stack.enter_async_context(aio.serve(_always(run.far), port=0))
            run.handler = PerformsAsync(TCP("127.0.0.1", far.port))
            near = await stack.enter_async_context(aio.serve(_always(run.handler), port=0))
            await asyncio.to_thread(invoke, run, service, TCP("127.0.0.1", near.port))

    asyncio.run(main())
    run.check(service)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_asyncio_invokes_what_blocking_performs(service: Service) -> None:
    run = Run()
    with ExitStack() as stack:
        far = stack.enter_context(serve(lambda: run.far, port=0))
        run.handler = Performs(TCP("127.0.0.1", far.port))
        near = stack.enter_context(serve(lambda: run.handler, port=0))
        asyncio.run(invoke_async(run, service, TCP("127.0.0.1", near.port)))
    run.check(service)


def _always(handler: Any) -> Any:
    return lambda: handler


# Nothing is missing ------------------------------------------------------------------------------


def test_every_service_of_the_standard_is_here() -> None:
    requests = {
        command.name.removesuffix("-RQ")
        for field, command in COMMANDS.items()
        if not field & 0x8000 and field is not CommandField.C_CANCEL_RQ
    }
    assert {service.name for service in SERVICES} == requests
    assert len(SERVICES) == 11


def test_every_method_of_a_handler_that_performs_is_here() -> None:
    methods = {
        name for name in vars(Handler) if name.startswith(("c_", "n_")) and name.endswith("ed")
    }
    assert {service.perform for service in SERVICES} == methods


@pytest.mark.parametrize("association", [SCUAssociation, aio.SCUAssociation])
def test_every_method_of_an_association_that_invokes_is_here(association: type) -> None:
    methods = {name for name in dir(association) if name.startswith(("c_", "n_"))}
    methods = {name for name in methods if not name.endswith("_request")}  # for `begin`
    others = {"c_store_file", "c_store_data_set"}  # C-STORE from other things
    assert {service.invoke for service in SERVICES} == methods - others


# The page ----------------------------------------------------------------------------------------

HEAD = f"""\
# Operations

All DIMSE services of PS3.7, each to be invoked and to be performed, blocking and in asyncio. Who
requested the association does not matter: roles say who may invoke what (PS3.7 §D.3.3.4), and a
method of a handler performs on either side.

<!-- Made by `{COMMAND}`, whose tests run every cell; not to be edited by hand. -->

"""

NOTES = """
Data sets are a pydicom `Dataset`, or encoded in the transfer syntax of the presentation context.
In asyncio a method of a handler may be a coroutine function, and matches and instances an
asynchronous generator.

Besides:

- C-STORE: `c_store_file` sends a Part 10 file, `c_store_data_set` a `Dataset`.
- C-FIND, C-GET, C-MOVE: a C-CANCEL leaves when the iteration is left early. A handler is not told:
  its iterator is closed.
- C-GET: the sub-operations are C-STOREs to the handler that was given to `associate`, on contexts
  for which `roles` made it the SCP.
- C-MOVE: the handler's `move_destination` says where to. The sub-operations leave on an association
  of their own.
- N-EVENT-REPORT: an SCP invokes it on an association of its own, with the role of the SCP, or after
  a response: `Reply.notifications`.
"""


def render() -> str:
    """What docs/operations.md is to be."""
    head = ["service", "PS3.7", "invoked with", "performed by", "which returns"]
    cells = [f"{way} {role}" for way in WAYS for role in ("invokes", "performs")]
    lines = ["| " + " | ".join(head + cells) + " |", "|---" * (len(head) + len(cells)) + "|"]
    for service in SERVICES:
        row = [
            service.name,
            f"§{service.section}",
            f"`{service.invoke}`",
            f"`{service.perform}`",
            service.outcome,
            *["yes"] * len(cells),
        ]
        lines.append("| " + " | ".join(row) + " |")
    return HEAD + "\n".join(lines) + "\n" + NOTES


def test_the_page_is_that_of_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), f"write it anew: {COMMAND}"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
