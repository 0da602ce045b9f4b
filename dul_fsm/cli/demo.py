"""`dul-fsm demo`: the whole way of an image from an SCU to an SCP, every step of it shown.

Three associations, in memory and over TCP: one that echoes, stores a real image and is released;
one that the SCP rejects; one that the SCU aborts. Each is drawn as a ladder, and each is held
against what should have happened; at the end the image that was stored is compared with the one
that was sent.

Both runs use what an application would use: `scu.associate` and `scp.serve`, each side in its own
thread, over a `Loopback` or over `TCP`. A single-threaded pump over two `Association` objects
would be simpler to order, but would show the machine and not the product; a `Ladder` draws by
cause and effect, so that the text is the same on every run and over either transport.
"""

from __future__ import annotations

import hashlib
import tempfile
import textwrap
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from dul_fsm.association import Aborted, Message, Origin, Sink
from dul_fsm.dimse import SUCCESS, Response
from dul_fsm.errors import AssociationRejected, DULError
from dul_fsm.files import Part10File, StudyFolder, open_data_set, read_part10
from dul_fsm.fsm import Effect, Event, State
from dul_fsm.negotiation import IMPLEMENTATION_CLASS_UID
from dul_fsm.pdu import RejectReasonUser, RejectResult, RejectSource
from dul_fsm.scp import serve
from dul_fsm.scp.storage import StorageEvent, StorageHandler, Stored
from dul_fsm.scu import SCUAssociation, associate
from dul_fsm.services.sop_classes import VERIFICATION
from dul_fsm.testing.ladder import MAXIMUM_WIDTH, Ladder, Step
from dul_fsm.transports import TCP, Connector, Loopback
from dul_fsm.upper_layer import Observation, Stepped

IMAGE: Final = "CT_small.dcm"
"""A CT image of 128 x 128 pixels that comes with pydicom."""

SCU_AE_TITLE: Final = "DEMO-SCU"
SCP_AE_TITLE: Final = "DEMO-SCP"
UNKNOWN_AE_TITLE: Final = "NOBODY"

MAXIMUM_LENGTH: Final = 16384
"""What the SCP advertises, bytes: small enough for the image to take several P-DATA-TF PDUs."""

PATIENCE: Final = 10.0
"""Seconds for the SCP's thread to notice that an association is over; it takes milliseconds."""

_CALLS: Final = {
    Event.Evt1: "connect, associate request",
    Event.Evt7: "associate accept",
    Event.Evt8: "associate reject",
    Event.Evt11: "release request",
    Event.Evt14: "release response",
    Event.Evt15: "abort",
}
_TOLD: Final = {
    Effect.ACCEPT_TRANSPORT: "connection accepted",
    Effect.INDICATE_A_ASSOCIATE: "associate requested",
    Effect.CONFIRM_A_ASSOCIATE_ACCEPTED: "associate accepted",
    Effect.CONFIRM_A_ASSOCIATE_REJECTED: "associate rejected",
    Effect.INDICATE_A_RELEASE: "release requested",
    Effect.CONFIRM_A_RELEASE: "released",
    Effect.INDICATE_ABORT_BY_SOURCE: "aborted",
    Effect.INDICATE_A_P_ABORT: "aborted by the provider",
}


def demo(*, tcp: bool = True, memory: bool = True, width: int | None = None) -> int:
    """Show it. Returns 0 if everything was as it should be, else 1.

    `tcp`, `memory`: over which transports. `width`: columns; by default those of the terminal,
    100 at most.
    """
    print(textwrap.fill(_INTRODUCTION, min(width or MAXIMUM_WIDTH, MAXIMUM_WIDTH)))
    image = read_part10(_image_path())
    runs: list[_Run] = []
    with tempfile.TemporaryDirectory(prefix="dul-fsm-demo-") as root:
        if memory:
            runs.append(_Run("In memory", Loopback(), image, Path(root, "memory"), width))
        if tcp:
            runs.append(_Run("Over TCP", TCP("127.0.0.1", 0), image, Path(root, "tcp"), width))
        for run in runs:
            run.play()
        problems = [problem for run in runs for problem in run.problems]
        problems += _compare(image, runs)
    if not problems:
        print("\nEverything was as it should be.")
        return 0
    print("\nNot as it should be:")
    for problem in problems:
        print(f"  {problem}")
    return 1


_INTRODUCTION: Final = (
    "An SCU and an SCP talk to each other, and each line is something that really happened. "
    "Between the two lifelines: the PDUs; dashed, the transport connection. Beside them: what each "
    "side's state machine did (PS3.8 Table 9-10): event, action, and the state that it led to. The "
    "short arrows out there: what each side's application calls, and what it is told."
)


def _image_path() -> str:
    from pydicom.data import get_testdata_file

    # A file of the package itself: nothing is ever downloaded here.
    path = get_testdata_file(IMAGE, download=False)
    if not isinstance(path, str):
        raise FileNotFoundError(f"pydicom came without its test file {IMAGE}")
    return path


# One association ---------------------------------------------------------------------------------


class _Scene:
    """One association: its ladder, and what is remembered of it for the check at the end."""

    def __init__(self) -> None:
        self.ladder = Ladder()
        self.scu_observer = self._narrate("SCU")
        self.scp_observer = self._narrate("SCP")
        self.scp_closed = threading.Event()
        self.aborted: Aborted | None = None
        self.stored: Stored | None = None

    def _narrate(self, side: str) -> Callable[[Observation], None]:
        """An observer that also records what the upper layer's user calls and is told."""
        ladder = self.ladder
        observe = ladder.observer(side)

        def narrate(observation: Observation) -> None:
            if isinstance(observation, Stepped) and observation.event in _CALLS:
                ladder.call(side, _CALLS[observation.event])
            observe(observation)
            for effect in _effects(observation):
                if effect in _TOLD:
                    ladder.told(side, _TOLD[effect])

        return narrate

    def states(self, side: str) -> list[State]:
        """The states that a side went through, Sta1 at the start left out."""
        visited = [State.Sta1]
        for record in self.ladder.records:
            if isinstance(record, Step) and record.side == side:
                visited += [record.next_state] if record.next_state is not visited[-1] else []
        return visited[1:]


def _effects(observation: Observation) -> list[Effect]:
    """What the machine did in a step."""
    if not isinstance(observation, Stepped) or observation.action is None:
        return []
    outcomes = observation.action.outcomes
    taken = (o for o in outcomes if o.next_state is observation.next_state)
    return [effect for outcome in taken for effect in outcome.effects]


class _Handler(StorageHandler):
    """The SCP's application: a storage SCP that records what it is told and what it answers."""

    def __init__(self, folder: StudyFolder, scene: _Scene) -> None:
        super().__init__(folder, self._remember)
        self._scene = scene
        self._ladder = scene.ladder

    def _remember(self, event: StorageEvent) -> None:
        if isinstance(event, Stored):
            self._scene.stored = event

    def c_echo_requested(self, message: Message) -> int:
        self._ladder.told("SCP", "C-ECHO requested")
        return self._answer("C-ECHO", super().c_echo_requested(message))

    def open_sink(self, message: Message) -> Sink:
        self._ladder.told("SCP", "C-STORE-RQ received")
        return super().open_sink(message)

    def c_store_requested(self, message: Message) -> int:
        self._ladder.told("SCP", "data set received")
        self._ladder.told("SCP", "C-STORE requested")
        return self._answer("C-STORE", super().c_store_requested(message))

    def _answer(self, operation: str, status: int) -> int:
        self._ladder.call("SCP", f"{operation} response {status:04X}H")
        return status

    def aborted(self, event: Aborted) -> None:
        super().aborted(event)
        self._scene.aborted = event

    def closed(self) -> None:
        super().closed()
        self._scene.scp_closed.set()


# One transport -----------------------------------------------------------------------------------


class _Run:
    """The three associations over one transport."""

    def __init__(
        self, name: str, endpoint: Connector, image: Part10File, root: Path, width: int | None
    ) -> None:
        self.name = name
        self.problems: list[str] = []
        self.stored: Path | None = None
        self.root = root
        self._endpoint = endpoint
        self._image = image
        self._width = width
        self._scene = _Scene()

    def play(self) -> None:
        """Run and show all three."""
        folder = StudyFolder(self.root, implementation_class_uid=IMPLEMENTATION_CLASS_UID)
        self._scene.ladder.call("SCP", "listen")
        with serve(
            lambda: _Handler(folder, self._scene),
            self._endpoint,
            ae_title=SCP_AE_TITLE,
            require_called_ae_title=True,
            maximum_length=MAXIMUM_LENGTH,
            # Whichever association it is: there is one at a time.
            observer=lambda observation: self._scene.scp_observer(observation),
        ) as server:
            if isinstance(self._endpoint, TCP):
                self._endpoint = TCP("127.0.0.1", server.port)
            print(f"\n\n{self.name}: the SCP listens on {server.address}")
            for number, act in enumerate(_ACTS, 1):
                print(f"\n{self.name}, association {number}: {act.heading}\n")
                self._perform(act)

    def _perform(self, act: _Act) -> None:
        scene = self._scene
        try:
            act.perform(self, scene)
        except (DULError, OSError) as error:
            self._expect(f"{act.heading}: what was raised", repr(error), "nothing")
        closed = scene.scp_closed.wait(PATIENCE)
        self._expect(f"{act.heading}: the SCP's connection is closed", closed, True)
        scene.ladder.print(width=self._width)
        for side, wanted in (("SCU", act.scu_states), ("SCP", act.scp_states)):
            self._expect(f"{act.heading}: states of the {side}", scene.states(side), wanted)
        self._scene = _Scene()

    def _associate(self, scene: _Scene, called_ae_title: str = SCP_AE_TITLE) -> SCUAssociation:
        image = self._image
        return associate(
            self._endpoint,
            contexts=[VERIFICATION, (image.sop_class_uid, [image.transfer_syntax_uid])],
            calling_ae_title=SCU_AE_TITLE,
            called_ae_title=called_ae_title,
            observer=scene.scu_observer,
        )

    def store(self, scene: _Scene) -> None:
        """C-ECHO, C-STORE, release."""
        image, ladder = self._image, scene.ladder
        with self._associate(scene) as association, open_data_set(image) as data_set:
            ladder.call("SCU", "C-ECHO request")
            self._answered(scene, "C-ECHO", association.c_echo())
            ladder.call("SCU", "C-STORE request")
            response = association.c_store(
                image.sop_class_uid, image.sop_instance_uid, image.transfer_syntax_uid, data_set
            )
            self._answered(scene, "C-STORE", response)
        self.stored = scene.stored.path if scene.stored else None

    def _answered(self, scene: _Scene, operation: str, response: Message) -> None:
        command = response.command
        status = f"{command.status:04X}H" if isinstance(command, Response) else "no status"
        scene.ladder.told("SCU", f"{operation} response {status}")
        self._expect(f"status of the {operation}", status, f"{SUCCESS:04X}H")

    def be_rejected(self, scene: _Scene) -> None:
        """Call an AE title that the SCP does not have."""
        codes: tuple[int, int, int] | str = "nothing"
        try:
            self._associate(scene, UNKNOWN_AE_TITLE).abort()
        except AssociationRejected as error:
            codes = error.result, error.source, error.reason
        self._expect("result, source and reason of the rejection", codes, _NOT_RECOGNIZED)

    def abort(self, scene: _Scene) -> None:
        """Abort as soon as the association is established."""
        self._associate(scene).abort()
        scene.scp_closed.wait(PATIENCE)
        origin = scene.aborted.origin if scene.aborted else "nobody"
        self._expect("who aborted, as the SCP was told", origin, Origin.PEER_USER)

    def _expect(self, what: str, got: object, wanted: object) -> None:
        if got != wanted:
            self.problems.append(f"{self.name}: {what}: {_text(got)} instead of {_text(wanted)}")


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(_text, value))
    return value.name if isinstance(value, Enum) else str(value)


_NOT_RECOGNIZED: Final = (
    RejectResult.REJECTED_PERMANENT,
    RejectSource.SERVICE_USER,
    RejectReasonUser.CALLED_AE_TITLE_NOT_RECOGNIZED,
)


@dataclass(frozen=True, slots=True)
class _Act:
    """One association of a run, and what its two machines should go through after Sta1."""

    heading: str
    perform: Callable[[_Run, _Scene], None]
    scu_states: list[State]
    scp_states: list[State]


_S = State
_ACTS: Final = (
    _Act(
        "an image is stored",
        _Run.store,
        [_S.Sta4, _S.Sta5, _S.Sta6, _S.Sta7, _S.Sta1],
        [_S.Sta2, _S.Sta3, _S.Sta6, _S.Sta8, _S.Sta13, _S.Sta1],
    ),
    _Act(
        "the SCP rejects a call to another AE title",
        _Run.be_rejected,
        [_S.Sta4, _S.Sta5, _S.Sta1],
        [_S.Sta2, _S.Sta3, _S.Sta13, _S.Sta1],
    ),
    _Act(
        "the SCU aborts",
        _Run.abort,
        [_S.Sta4, _S.Sta5, _S.Sta6, _S.Sta13, _S.Sta1],
        [_S.Sta2, _S.Sta3, _S.Sta6, _S.Sta1],
    ),
)


# The comparison ----------------------------------------------------------------------------------


def _compare(image: Part10File, runs: list[_Run]) -> list[str]:
    """Show where the image is now, and whether it is the one that was sent; what was not so."""
    problems: list[str] = []
    print(f"\n\nThe data set of {image.path.name}, byte for byte\n")
    with open_data_set(image) as sent:
        print(f"  sent      {_fingerprint(sent)}")
        for run in runs:
            print(f"\n  {run.name}: stored in a temporary folder as")
            if run.stored is None:
                print("    nothing")
                problems.append(f"{run.name}: the image was not stored")
                continue
            for depth, part in enumerate(run.stored.relative_to(run.root).parts):
                print(f"    {'  ' * depth}{part}")
            with open_data_set(read_part10(run.stored)) as stored:
                identical = stored == sent
                print(f"  received  {_fingerprint(stored)}")
            print(f"    {'identical' if identical else 'NOT IDENTICAL'}")
            if not identical:
                problems.append(f"{run.name}: the bytes stored are not the bytes sent")
    return problems


def _fingerprint(data: memoryview) -> str:
    return f"{len(data):,} bytes\n    sha256 {hashlib.sha256(data).hexdigest()}"
