"""Programs at the other end of a benchmark; `python benchmarks/peers.py NAME ARGUMENTS`.

    receive PORT                   a bare socket that takes objects and answers each
    send PORT CHUNK FOLDER         a bare socket that sends the files of a folder
    echo KIND PORT N               one association, N C-ECHOs; KIND: dul_fsm or pynetdicom
    associate KIND PORT N          N associations, one after the other, each with one C-ECHO
    hold PORT N                    N associations that do nothing, until SIGTERM
    serve-aio PORT                 an asyncio SCP that discards
    negotiate KIND N               N times 30 contexts; prints seconds by clock and processor each
    worklist KIND PORT FOLDER      an SCP of the worklist whose items are in FOLDER
    find KIND PORT N               a C-FIND of a worklist of N items
    find-first KIND PORT           the same, cancelled after the first match

Nothing is imported that the program of that name does not need: their memory is measured.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

HOST = "127.0.0.1"
OVERHEAD = 12
"""Bytes before a fragment in a P-DATA-TF: the headers of PDU and PDV."""
ANSWER = 100
"""Bytes of an answer: about those of a C-STORE-RSP."""
LENGTH = struct.Struct(">Q")


def receive(port: str) -> None:
    """Take objects: their length, their bytes, an answer."""
    with socket.create_server((HOST, int(port))) as server:
        buffer = memoryview(bytearray(1 << 18))
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection:
                while count := connection.recv_into(buffer):
                    left = LENGTH.unpack_from(buffer)[0] + LENGTH.size - count
                    while left:
                        left -= connection.recv_into(buffer[:left])
                    connection.sendall(bytes(ANSWER))


def send(port: str, chunk: str, folder: str) -> None:
    """Send files as P-DATA-TFs of `chunk` bytes would go, one system call each."""
    import mmap

    size = int(chunk) - 6  # the maximum length counts the header of the PDV
    names = sorted(os.listdir(folder))
    with socket.create_connection((HOST, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        header = bytes(OVERHEAD)
        for name in names:
            with (
                open(os.path.join(folder, name), "rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping,
                memoryview(mapping) as view,
            ):
                chunks = -(-len(view) // size)
                connection.sendall(LENGTH.pack(len(view) + OVERHEAD * chunks))
                for start in range(0, len(view), size):
                    with view[start : start + size] as part:
                        taken = connection.sendmsg((header, part))
                        if taken < OVERHEAD:
                            connection.sendall(header[taken:])
                            taken = OVERHEAD
                        if taken < OVERHEAD + len(part):
                            connection.sendall(part[taken - OVERHEAD :])
            left = ANSWER
            while left:
                left -= len(connection.recv(left))


def echo(kind: str, port: str, count: str) -> None:
    """Many C-ECHOs."""
    with _association(kind, int(port)) as c_echo:
        for _ in range(int(count)):
            c_echo()


def associate(kind: str, port: str, count: str) -> None:
    """Many associations."""
    for _ in range(int(count)):
        with _association(kind, int(port)) as c_echo:
            c_echo()


class _association:
    """An association with the Verification SOP Class; entered, it is what sends a C-ECHO."""

    def __init__(self, kind: str, port: int) -> None:
        if kind == "dul_fsm":
            from dul_fsm import associate

            ours = associate(HOST, port)
            self._release: Callable[[], object] = ours.release
            self._echo: Callable[[], int] = lambda: ours.c_echo().status
        else:
            from pynetdicom import AE

            ae = AE()
            ae.dimse_timeout = 5.0  # now and then it misses an answer
            ae.add_requested_context("1.2.840.10008.1.1")
            theirs = ae.associate(HOST, port)
            self._release = theirs.release
            # No status: it has lost the association, or the answer.
            self._echo = lambda: theirs.send_c_echo().get("Status", 0xFFFF)

    def _checked(self) -> None:
        if self._echo():
            raise SystemExit("a C-ECHO was not answered with success")

    def __enter__(self) -> Callable[[], None]:
        return self._checked

    def __exit__(self, *_: object) -> None:
        self._release()


def hold(port: str, count: str) -> None:
    """Many idle associations."""
    from dul_fsm import associate

    held = [associate(HOST, int(port)) for _ in range(int(count))]
    print("held", flush=True)
    signal.pause()
    os._exit(len(held) and 0)  # the server sees the connections end


def serve_aio(port: str) -> None:
    """The asyncio SCP."""
    import asyncio

    from dul_fsm import aio

    async def run() -> None:
        async with aio.serve(port=int(port), max_associations=5000) as server:
            await server.wait()

    aio.raise_descriptor_limit()
    asyncio.run(run())


def negotiate(kind: str, count: str) -> None:
    """Ours: decode, negotiate, answer. pynetdicom's: decode alone."""
    from time import perf_counter, process_time

    from dul_fsm.negotiation import build_request
    from dul_fsm.pdu import encode

    uids = [f"1.2.840.10008.5.1.4.1.1.{number}" for number in range(1, 31)]
    request = encode(
        build_request(uids, called_ae_title="SCP", calling_ae_title="SCU", maximum_length=131072)
    )
    once = _ours_negotiates(request) if kind == "dul_fsm" else _pynetdicom_decodes(request)
    for _ in range(20):
        once()
    clock, processor = perf_counter(), process_time()
    for _ in range(int(count)):
        once()
    spent = (perf_counter() - clock, process_time() - processor)
    print(*(seconds / int(count) for seconds in spent))


def _ours_negotiates(request: bytes) -> Callable[[], None]:
    from dul_fsm.association import AssociateRequested, Association
    from dul_fsm.negotiation import build_answer
    from dul_fsm.services.handler import Handler

    choose = Handler().choose

    def once() -> None:
        association = Association(requestor=False)
        association.transport_opened(0.0)
        association.receive_data(request, 0.0)
        event = association.next_event()
        assert isinstance(event, AssociateRequested)
        answer = build_answer(event.request, choose, maximum_length=association.maximum_length)
        association.send_associate_accept(answer, 0.0)
        assert sum(map(len, association.data_to_send())) > len(request) // 4
        assert len(association.contexts) == 30

    return once


def _pynetdicom_decodes(request: bytes) -> Callable[[], None]:
    from pynetdicom.pdu import A_ASSOCIATE_RQ

    def once() -> None:
        pdu = A_ASSOCIATE_RQ()
        pdu.decode(request)
        assert len(pdu.presentation_context) == 30

    return once


# Worklists ---------------------------------------------------------------------------------------

KEYS = ("AccessionNumber", "PatientName", "PatientID", "StudyInstanceUID", "RequestedProcedureID")
STEP_KEYS = ("Modality", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepID")
WORKLIST_FIND = "1.2.840.10008.5.1.4.31"


def worklist(kind: str, port: str, folder: str) -> None:
    """Find what is scheduled. All items are read before."""
    from pydicom import dcmread

    names = sorted(name for name in os.listdir(folder) if name.endswith(".wl"))
    items = [dcmread(os.path.join(folder, name)) for name in names]
    if kind == "dul_fsm":
        from dul_fsm import serve
        from dul_fsm.query import Worklist
        from dul_fsm.scp.worklist import WorklistHandler

        scheduled = Worklist()
        for item in items:
            scheduled.add(item)
        serve(lambda: WorklistHandler(scheduled), port=int(port)).wait()
    else:
        _pynetdicom_worklist(int(port), items)


def _pynetdicom_worklist(port: int, items: list[Any]) -> None:
    from pydicom import Dataset
    from pynetdicom import AE, evt

    def answers(event: Any) -> Iterator[tuple[int, Any]]:
        # It leaves the matching to its user; of universal keys alone there is nothing to match.
        (asked,) = event.identifier.ScheduledProcedureStepSequence
        for item in items:
            if event.is_cancelled:
                yield 0xFE00, None
                return
            answer, step = Dataset(), Dataset()
            for key in event.identifier:
                if key.VR != "SQ":
                    answer.add(item[key.tag])
            for key in asked:
                step.add(item.ScheduledProcedureStepSequence[0][key.tag])
            answer.ScheduledProcedureStepSequence = [step]
            yield 0xFF00, answer

    ae = AE()
    ae.add_supported_context(WORKLIST_FIND)
    ae.start_server((HOST, port), evt_handlers=[(evt.EVT_C_FIND, answers)])


def _identifier() -> Any:
    from pydicom import Dataset

    step, identifier = Dataset(), Dataset()
    for keyword in STEP_KEYS:
        setattr(step, keyword, None)
    for keyword in KEYS:
        setattr(identifier, keyword, None)
    identifier.ScheduledProcedureStepSequence = [step]
    return identifier


def find(kind: str, port: str, count: str) -> None:
    """All matches, decoded."""
    found = 0
    with _matches(kind, int(port)) as matches:
        for match in matches:
            found += bool(match.AccessionNumber)
    if found != int(count):
        raise SystemExit(f"{found} matches, not {count}")


def find_first(kind: str, port: str) -> None:
    """One match; then a C-CANCEL, and what still comes."""
    with _matches(kind, int(port)) as matches:
        next(matches)
        matches.close()


@contextmanager
def _matches(kind: str, port: int) -> Iterator[Generator[Any, None, None]]:
    """An association, and in it the matches; closed early they cancel the query."""
    if kind == "dul_fsm":
        from dul_fsm import associate
        from dul_fsm.query import MODALITY_WORKLIST
        from dul_fsm.scu.query import find

        identifier = _identifier()
        with associate(HOST, port, contexts=[WORKLIST_FIND]) as association:
            yield find(association, identifier, MODALITY_WORKLIST)
        return

    from pynetdicom import AE

    ae, identifier = AE(), _identifier()
    ae.add_requested_context(WORKLIST_FIND)
    theirs = ae.associate(HOST, port)

    def matches() -> Generator[Any, None, None]:
        responses = theirs.send_c_find(identifier, WORKLIST_FIND, msg_id=1)
        done = False
        try:
            for status, match in responses:
                if status.get("Status", 0xFFFF) not in (0xFF00, 0xFF01):
                    done = True
                    return
                yield match
        finally:
            if not done:
                theirs.send_c_cancel(1, query_model=WORKLIST_FIND)
                for _ in responses:
                    pass

    yield matches()
    theirs.release()


PROGRAMS: dict[str, Callable[..., None]] = {
    "receive": receive,
    "send": send,
    "echo": echo,
    "associate": associate,
    "hold": hold,
    "serve-aio": serve_aio,
    "negotiate": negotiate,
    "worklist": worklist,
    "find": find,
    "find-first": find_first,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
