"""C-MOVE over the threaded server: three Application Entities, each with threads of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from dul_fsm.association import Aborted, Message, Released
from dul_fsm.drivers import loop
from dul_fsm.errors import AssociationError
from dul_fsm.scp import Server, serve
from dul_fsm.scp import server as server_module
from dul_fsm.scu import SCUAssociation, associate
from dul_fsm.services.handler import AbortAssociation, Destination
from dul_fsm.services.sop_classes import STUDY_ROOT_MOVE
from dul_fsm.timers import TimeLimits
from dul_fsm.transports import TCP, Connector, Loopback
from tests.certificates import Certificates, make
from tests.drivers.support import PATIENCE, Background, eventually, nothing_left
from tests.services.support import Shelf, Store, Told, failed, numbers
from tests.transports.test_tls_server import calling, listening

KINDS = ("loopback", "tcp")
ANY_UID = "1.2.840.10008.5.1.4.1.1."


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    with nothing_left():
        yield


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """Whatever was opened was left, once."""
    shelf = Shelf()
    yield shelf
    eventually(lambda: sorted(shelf.left) == sorted(shelf.opened))


class Archive(Told):
    """Moves what it has where it is told to."""

    def __init__(self, outcome: Any, destination: Destination | None) -> None:
        super().__init__()
        self.outcome = outcome
        self.destination = destination

    def move_destination(self, ae_title: str) -> Destination | None:
        return self.destination if ae_title == "FAR" else None

    def c_move_requested(self, message: Message) -> Any:
        return self.outcome


class Three:
    """A requestor's association with an archive, and a move destination."""

    def __init__(self, far: Store, archive: Archive, association: SCUAssociation) -> None:
        self.far, self.archive, self.association = far, archive, association
        self.archive_server: Server
        self.far_server: Server
        self.errors: list[BaseException] = []

    def move(self, destination: str = "FAR") -> list[Message]:
        return list(self.association.c_move(STUDY_ROOT_MOVE, b"", destination))


def listen(handler: Any, kind: str, **keywords: Any) -> tuple[Server, Connector]:
    if kind == "tcp":
        server = serve(handler, port=0, **keywords)
        return server, TCP("127.0.0.1", server.port)
    endpoint = Loopback()
    return serve(handler, endpoint, **keywords), endpoint


@contextmanager
def three(kind: str, outcome: Any, limits: TimeLimits | None = None) -> Iterator[Three]:
    errors: list[BaseException] = []
    with ExitStack() as stack:
        far = Store()
        far_server, connector = listen(lambda: far, kind)
        stack.enter_context(far_server)
        archive = Archive(outcome, Destination(connector, "FAR"))
        server, peer = listen(lambda: archive, kind, time_limits=limits, report=errors.append)
        stack.enter_context(server)
        association = associate(peer, contexts=[STUDY_ROOT_MOVE], calling_ae_title="ASKER")
        stack.callback(association.abort)
        one = Three(far, archive, association)
        one.archive_server, one.far_server, one.errors = server, far_server, errors
        yield one


@pytest.mark.parametrize("kind", KINDS)
def test_instances_go_to_a_third_application_entity(shelf: Shelf, kind: str) -> None:
    with three(kind, shelf.instances(5)) as one:
        one.far.statuses = {"1.2.2": 0xA700, "1.2.3": 0xB000}
        responses = one.move()
        assert [numbers(response) for response in responses] == [
            (4, 1, 0, 0),
            (3, 1, 1, 0),
            (2, 1, 1, 1),
            (1, 2, 1, 1),
            (None, 3, 1, 1),
        ]
        assert responses[-1].status == 0xB000
        assert failed(responses[-1]) == ["1.2.2"]
        command: Any = one.far.stored[0].command
        assert command.move_originator_application_entity_title == "ASKER"
        eventually(lambda: one.far.ends == [Released()])
        assert [response.status for response in one.move("NOBODY")] == [0xA801]
        assert one.move()[-1].status == 0xB000  # the association goes on
        one.association.release()


@pytest.mark.parametrize("kind", KINDS)
def test_a_destination_where_nobody_listens_has_all_failed(shelf: Shelf, kind: str) -> None:
    with three(kind, shelf.instances(2)) as one:
        one.far_server.close()
        (final,) = one.move()
        assert final.status == 0xA702
        assert failed(final) == ["1.2.1", "1.2.2"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_destination_that_aborts_in_the_middle_is_called_again(shelf: Shelf, kind: str) -> None:
    with three(kind, shelf.instances(4)) as one:

        def store(message: Message) -> None:
            if len(one.far.stored) == 2:
                raise AbortAssociation

        one.far.on_store = store
        final = one.move()[-1]
        assert final.status == 0xB000
        assert failed(final) == ["1.2.2"]
        eventually(lambda: len(one.far.ends) == 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_destination_that_falls_silent_is_given_up_when_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch, shelf: Shelf, kind: str
) -> None:
    monkeypatch.setattr(loop, "ABORT_PATIENCE", 0.1)
    leave = threading.Event()
    with three(kind, shelf.instances(2), TimeLimits(response=0.2)) as one:
        one.far.on_store = lambda message: leave.wait(PATIENCE)
        final = one.move()[-1]
        assert final.status == 0xA702
        assert failed(final) == ["1.2.1", "1.2.2"]
        leave.set()
        eventually(lambda: [type(end) for end in one.far.ends] == [Aborted])


@pytest.mark.parametrize("kind", KINDS)
def test_who_stops_listening_cancels_it(shelf: Shelf, kind: str) -> None:
    with three(kind, shelf.instances(500)) as one:
        responses = one.association.c_move(STUDY_ROOT_MOVE, b"", "FAR")
        assert next(responses).status == 0xFF00
        responses.close()  # type: ignore[attr-defined]
        assert len(one.far.stored) < 500
        eventually(lambda: one.far.ends == [Released()])
        one.association.release()


@pytest.mark.parametrize("kind", KINDS)
def test_a_requestor_that_goes_away_in_the_middle_leaves_nothing(shelf: Shelf, kind: str) -> None:
    with three(kind, shelf.instances(500)) as one:
        responses = one.association.c_move(STUDY_ROOT_MOVE, b"", "FAR")
        next(responses)
        one.association.abort()
        responses.close()  # type: ignore[attr-defined]
        eventually(lambda: one.archive.ends)
        eventually(lambda: one.far.ends == [Released()])
        assert len(one.far.stored) < 500
        eventually(lambda: not one.archive_server.connections + one.far_server.connections)
        assert not one.errors


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_closes_does_not_wait_for_the_destination(
    monkeypatch: pytest.MonkeyPatch, shelf: Shelf, kind: str
) -> None:
    monkeypatch.setattr(server_module, "STOP_PATIENCE", 0.5)
    inside, leave = threading.Event(), threading.Event()

    def stuck(message: Message) -> None:
        inside.set()
        leave.wait(PATIENCE)

    with three(kind, shelf.instances(2)) as one:
        one.far.on_store = stuck
        call = Background(one.move)
        assert inside.wait(PATIENCE)
        began = time.monotonic()
        one.archive_server.close()
        assert time.monotonic() - began < PATIENCE / 2
        eventually(lambda: not one.archive_server.connections)
        eventually(lambda: shelf.left == shelf.opened)
        leave.set()
        assert isinstance(call.join().error, AssociationError)
        eventually(lambda: [type(end) for end in one.far.ends] == [Aborted])
        eventually(lambda: [type(end) for end in one.archive.ends] == [Aborted])


def test_more_contexts_than_one_association_has_take_several(shelf: Shelf) -> None:
    instances = [
        shelf.instance(f"1.2.{number}", sop_class_uid=f"{ANY_UID}{number}")
        for number in range(1, 131)
    ]
    with three("loopback", instances) as one:
        assert one.move()[-1].status == 0
        eventually(lambda: one.far.ends == [Released(), Released()])
        assert len(one.far.stored) == 130


@pytest.mark.parametrize(
    ("far_secure", "clear", "status"), [(True, False, 0), (False, False, 0xA702), (False, True, 0)]
)
def test_what_came_over_tls_goes_over_tls_unless_the_handler_says_otherwise(
    shelf: Shelf, certificates: Certificates, far_secure: bool, clear: bool, status: int
) -> None:
    far = Store()
    endpoint: Any = listening(certificates) if far_secure else TCP("127.0.0.1", 0)
    with serve(lambda: far, endpoint) as far_server:
        connector: Connector = (
            calling(certificates, far_server.port)
            if far_secure
            else TCP("127.0.0.1", far_server.port)
        )
        archive = Archive(shelf.instances(1), Destination(connector, "FAR", clear=clear))
        with (
            serve(lambda: archive, listening(certificates)) as server,
            associate(calling(certificates, server.port), contexts=[STUDY_ROOT_MOVE]) as one,
        ):
            final = list(one.c_move(STUDY_ROOT_MOVE, b"", "FAR"))[-1]
            assert final.status == status
            assert far.uids == (["1.2.1"] if status == 0 else [])
            assert final.context.abstract_syntax == STUDY_ROOT_MOVE


def test_two_requestors_move_at_once(shelf: Shelf) -> None:
    with three("tcp", shelf.instances(20)) as one:
        with associate("127.0.0.1", one.archive_server.port, contexts=[STUDY_ROOT_MOVE]) as other:
            call = Background(lambda: list(other.c_move(STUDY_ROOT_MOVE, b"", "FAR")))
            assert one.move()[-1].status == 0
            result: Any = call.join().result
            assert result[-1].status == 0
        assert len(one.far.stored) == 40
