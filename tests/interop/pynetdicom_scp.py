"""pynetdicom as a server of everything: `python -m tests.interop.pynetdicom_scp PORT FOLDER`.

It stores, finds, gets and moves (Patient and Study Root, and a worklist), keeps performed
procedure steps and print objects, and commits to storage. It prints a line of JSON for each request
that it has performed, and serves until it is ended. pynetdicom's own `qrscp` needs a database and
has none of the N-services.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
import threading
import time
from collections.abc import Generator, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeAlias

from pydicom import Dataset, dcmread
from pydicom.multival import MultiValue
from pynetdicom import (
    AE,
    AllStoragePresentationContexts,
    build_context,
    build_role,
    evt,
    sop_class,
)

HOST = "127.0.0.1"
PATIENCE = 20.0

classes: Any = sop_class
"""SOP Classes by name: pynetdicom makes the names when it is imported."""

SUCCESS, PENDING, CANCEL = 0x0000, 0xFF00, 0xFE00
DUPLICATE, NO_SUCH_INSTANCE, MOVE_DESTINATION_UNKNOWN = 0x0111, 0x0112, 0xA801
UNIQUE_KEYS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
STORAGE_SYNTAXES = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
)
OTHERS = (
    classes.Verification,
    classes.PatientRootQueryRetrieveInformationModelFind,
    classes.PatientRootQueryRetrieveInformationModelGet,
    classes.PatientRootQueryRetrieveInformationModelMove,
    classes.StudyRootQueryRetrieveInformationModelFind,
    classes.StudyRootQueryRetrieveInformationModelGet,
    classes.StudyRootQueryRetrieveInformationModelMove,
    classes.ModalityWorklistInformationFind,
    classes.ModalityPerformedProcedureStep,
    classes.ModalityPerformedProcedureStepRetrieve,
    classes.ModalityPerformedProcedureStepNotification,
    classes.StorageCommitmentPushModel,
    classes.BasicGrayscalePrintManagementMeta,
    classes.BasicFilmSession,
    classes.Printer,
)

Event: TypeAlias = Any
"""pynetdicom's `evt.Event`, whose attributes depend on what happened."""
Answer: TypeAlias = tuple[int, Dataset | None]


def tell(**what: object) -> None:
    """Print a line of JSON."""
    # In one piece: associations tell from threads of their own.
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Archive:
    """What is stored, created and scheduled, and who may be sent something."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.ae_title = str(options.ae_title)
        self.until_cancelled = bool(options.until_cancelled)
        self.same_association = bool(options.report_here)
        self.printer_event = bool(options.printer_event)
        self.folder = Path(options.folder)
        self.worklist = [dcmread(path) for path in sorted(self.folder.glob("*.wl"))]
        self.stored: dict[str, Dataset] = {
            str(image.SOPInstanceUID): image
            for image in map(dcmread, sorted(self.folder.glob("*.dcm")))
        }
        self.created: dict[str, Dataset] = {}
        self.transactions: dict[Any, Dataset] = {}
        self.printing: set[Any] = set()
        self.destinations: dict[str, int] = {}
        for pair in options.destination:
            name, _, port = pair.partition("=")
            self.destinations[name] = int(port)

    # C-services ----------------------------------------------------------------------------------

    def store(self, event: Event) -> int:
        image = event.dataset
        image.file_meta = event.file_meta
        self.stored[str(image.SOPInstanceUID)] = image
        (self.folder / f"{image.SOPInstanceUID}.dcm").write_bytes(event.encoded_dataset())
        tell(
            operation="C-STORE",
            sop_instance=str(image.SOPInstanceUID),
            move_originator=event.request.MoveOriginatorApplicationEntityTitle,
            move_originator_message_id=event.request.MoveOriginatorMessageID,
        )
        return SUCCESS

    def find(self, event: Event) -> Iterator[Answer]:
        keys = event.identifier
        tell(operation="C-FIND", keys=keys.to_json_dict())
        worklist = event.context.abstract_syntax == classes.ModalityWorklistInformationFind
        found = self._scheduled(keys) if worklist else self._matches(keys)
        until = time.monotonic() + PATIENCE if self.until_cancelled else 0.0
        while not (yield from self._each(event, found)) and time.monotonic() < until:
            # pynetdicom receives nothing while it has something to send.
            time.sleep(0.01)

    def get(self, event: Event) -> Iterator[Any]:
        tell(operation="C-GET", keys=event.identifier.to_json_dict())
        images = self._images(event.identifier)
        yield len(images)
        yield from self._each(event, images)

    def move(self, event: Event) -> Iterator[Any]:
        tell(operation="C-MOVE", destination=event.move_destination.strip())
        port = self.destinations.get(event.move_destination.strip())
        if port is None:
            yield None, None  # pynetdicom answers A801H
            return
        images = self._images(event.identifier)
        contexts = [
            build_context(uid, list(STORAGE_SYNTAXES))
            for uid in sorted({str(image.SOPClassUID) for image in images})
        ]
        yield HOST, port, {"ae_title": event.move_destination.strip(), "contexts": contexts}
        yield len(images)
        yield from self._each(event, images)

    def _each(self, event: Event, found: list[Dataset]) -> Generator[Answer, None, bool]:
        """Yield each, unless the peer cancels; returns whether it has."""
        for one in found:
            if event.is_cancelled:
                tell(operation="C-CANCEL")
                yield CANCEL, None
                return True
            yield PENDING, one
        return False

    def _images(self, keys: Dataset) -> list[Dataset]:
        return [image for image in self.stored.values() if _fits(keys, image)]

    def _matches(self, keys: Dataset) -> list[Dataset]:
        """One match for each patient, study, series or image that fits (PS3.4 §C.2.2)."""
        matches: dict[str, Dataset] = {}
        for image in self._images(keys):
            identity = str(image.get(UNIQUE_KEYS[keys.QueryRetrieveLevel]))
            match = _only(keys, image)
            match.QueryRetrieveLevel = keys.QueryRetrieveLevel
            match.RetrieveAETitle = self.ae_title
            matches.setdefault(identity, match)
        return list(matches.values())

    def _scheduled(self, keys: Dataset) -> list[Dataset]:
        return [_only(keys, item) for item in self.worklist if _fits(keys, item)]

    # N-services ----------------------------------------------------------------------------------

    def create(self, event: Event) -> Answer:
        asked = event.request.AffectedSOPInstanceUID
        uid = str(asked or f"1.2.826.0.1.3680043.8.498.99.{len(self.created) + 1}")
        if uid in self.created:
            return DUPLICATE, None
        self.created[uid] = attributes = event.attribute_list
        tell(operation="N-CREATE", sop_instance=uid, attributes=attributes.to_json_dict())
        answer = Dataset()
        answer.update(attributes)
        if asked is None:
            answer.AffectedSOPInstanceUID = uid  # goes into the command set
        return SUCCESS, answer

    def set(self, event: Event) -> Answer:
        uid, changes = str(event.request.RequestedSOPInstanceUID), event.modification_list
        if uid not in self.created:
            return NO_SUCH_INSTANCE, None
        self.created[uid].update(changes)
        tell(operation="N-SET", sop_instance=uid, attributes=changes.to_json_dict())
        return SUCCESS, changes

    def read(self, event: Event) -> Answer:
        uid, wanted = str(event.request.RequestedSOPInstanceUID), event.attribute_identifiers
        printer = Dataset()
        printer.PrinterStatus, printer.PrinterName = "NORMAL", "PAPER"
        there = {**self.created, str(classes.PrinterInstance): printer}
        if uid not in there:
            return NO_SUCH_INSTANCE, None
        tell(operation="N-GET", sop_instance=uid, tags=[f"{tag:08X}" for tag in wanted])
        answer = Dataset()
        for element in there[uid]:
            if not wanted or element.tag in wanted:
                answer.add(element)
        return SUCCESS, answer

    def delete(self, event: Event) -> int:
        uid = str(event.request.RequestedSOPInstanceUID)
        if self.created.pop(uid, None) is None:
            return NO_SUCH_INSTANCE
        tell(operation="N-DELETE", sop_instance=uid)
        return SUCCESS

    def act(self, event: Event) -> Answer:
        uid = str(event.request.RequestedSOPInstanceUID)
        tell(operation="N-ACTION", sop_instance=uid, action_type=event.action_type)
        if uid == classes.StorageCommitmentPushModelInstance:
            self.transactions[event.assoc] = event.action_information
        elif uid not in self.created:
            return NO_SUCH_INSTANCE, None
        elif self.printer_event:
            self.printing.add(event.assoc)
        return SUCCESS, None

    def sent(self, event: Event) -> None:
        """A response has left: now what it promised may follow."""
        transaction = self.transactions.pop(event.assoc, None)
        if transaction is not None:
            # Here pynetdicom would wait for itself.
            threading.Thread(target=self._report, args=(event.assoc, transaction)).start()
        if event.assoc in self.printing:
            self.printing.remove(event.assoc)
            threading.Thread(target=self._warn, args=(event.assoc,)).start()

    def _warn(self, association: Any) -> None:
        """The printer has little paper left: an event of the Printer SOP Class (PS3.4 §H.4.6)."""
        status_info = Dataset()
        status_info.PrinterStatusInfo = "SUPPLY LOW"
        status, _ = association.send_n_event_report(
            status_info,
            2,
            classes.Printer,
            classes.PrinterInstance,
            meta_uid=classes.BasicGrayscalePrintManagementMeta,
        )
        tell(operation="N-EVENT-REPORT", status=status.get("Status"))

    def _report(self, asking: Any, transaction: Dataset) -> None:
        """The outcome of a storage commitment, as an N-EVENT-REPORT (PS3.4 §J.3.3)."""
        report, kept, failed = Dataset(), [], []
        report.TransactionUID = transaction.TransactionUID
        for item in transaction.ReferencedSOPSequence:
            if str(item.ReferencedSOPInstanceUID) in self.stored:
                kept.append(item)
            else:
                item.FailureReason = NO_SUCH_INSTANCE
                failed.append(item)
        if kept:
            report.ReferencedSOPSequence = kept
        if failed:
            report.FailedSOPSequence = failed
        association = asking
        if not self.same_association:
            association = self._call(asking.requestor.ae_title)
        if not association.is_established:
            tell(operation="N-EVENT-REPORT", error="no association")
            return
        status, _ = association.send_n_event_report(
            report,
            2 if failed else 1,
            classes.StorageCommitmentPushModel,
            classes.StorageCommitmentPushModelInstance,
        )
        tell(operation="N-EVENT-REPORT", status=status.get("Status"))
        if association is not asking:
            association.release()

    def _call(self, ae_title: str) -> Any:
        ae = AE(self.ae_title)
        ae.add_requested_context(classes.StorageCommitmentPushModel)
        role = build_role(classes.StorageCommitmentPushModel, scp_role=True)
        port = self.destinations[ae_title]
        return ae.associate(HOST, port, ae_title=ae_title, ext_neg=[role])


def _fits(keys: Dataset, there: Dataset) -> bool:
    """Single value, list of UID and wild card matching (PS3.4 §C.2.2.2), and sequences."""
    for key in keys:
        if key.keyword in ("QueryRetrieveLevel", "SpecificCharacterSet") or key.is_empty:
            continue
        if key.VR == "SQ":
            items = there.get(key.keyword, [])
            if key.value and not any(_fits(key.value[0], item) for item in items):
                return False
            continue
        wanted = key.value if isinstance(key.value, MultiValue) else [key.value]
        value = str(there.get(key.keyword, ""))
        if not any(fnmatchcase(value, str(one)) for one in wanted):
            return False
    return True


def _only(keys: Dataset, there: Dataset) -> Dataset:
    """The attributes that the keys name; empty what is not there."""
    answer = Dataset()
    for key in keys:
        if key.keyword in there:
            answer.add(there[key.keyword])
        else:
            setattr(answer, key.keyword, None)
    return answer


def server_context(ca: str, cert: str) -> ssl.SSLContext:
    """Shows a certificate, and wants to see one."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(cert)
    return context


def main() -> None:
    """Serve until a signal ends the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("folder")
    parser.add_argument("--ae-title", default="ARCHIVE")
    parser.add_argument("--destination", action="append", default=[], metavar="AE=PORT")
    parser.add_argument(
        "--until-cancelled",
        action="store_true",
        help=f"send all matches again and again until a C-CANCEL comes, for {PATIENCE:.0f} s",
    )
    parser.add_argument(
        "--report-here",
        action="store_true",
        help="N-EVENT-REPORT on the association of the N-ACTION, not on a new one",
    )
    parser.add_argument(
        "--printer-event",
        action="store_true",
        help="after the N-ACTION of a film session, an N-EVENT-REPORT of the printer",
    )
    parser.add_argument("--tls", nargs=2, metavar=("CA", "CERT"), help="over TLS; PEM files")
    parser.add_argument(
        "--window",
        action="store_true",
        help="answer who proposes an asynchronous operations window: one at a time",
    )
    options = parser.parse_args()
    archive = Archive(options)
    ae = AE(options.ae_title)
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(
            str(context.abstract_syntax), list(STORAGE_SYNTAXES), scu_role=True, scp_role=True
        )
    for uid in OTHERS:
        ae.add_supported_context(uid)
    # Without that handler there is no answer at all; what it returns is not looked at.
    window = [(evt.EVT_ASYNC_OPS, lambda event: (1, 1))] if options.window else []
    ae.start_server(
        (HOST, options.port),
        block=True,
        ssl_context=server_context(*options.tls) if options.tls else None,
        evt_handlers=[
            *window,
            (evt.EVT_C_STORE, archive.store),
            (evt.EVT_C_FIND, archive.find),
            (evt.EVT_C_GET, archive.get),
            (evt.EVT_C_MOVE, archive.move),
            (evt.EVT_N_CREATE, archive.create),
            (evt.EVT_N_SET, archive.set),
            (evt.EVT_N_GET, archive.read),
            (evt.EVT_N_DELETE, archive.delete),
            (evt.EVT_N_ACTION, archive.act),
            (evt.EVT_DIMSE_SENT, archive.sent),
        ],
    )


if __name__ == "__main__":
    main()
