"""pynetdicom as a user of services: `python -m tests.interop.pynetdicom_scu ROLE PORT`.

    mpps PORT                N-CREATE of a performed procedure step, N-SET to complete it: at first
                             without its series, then with one; N-GET of what became of it
    print PORT               a film session: created, set, printed by N-ACTION, deleted; N-GET of
                             the printer, and one event of it with `--report`
    commit PORT UID...       N-ACTION of storage commitment for CT images of these SOP Instance
                             UIDs; waits for the N-EVENT-REPORT
    find PORT UID, get PORT UID, move PORT UID
                             C-FIND, C-GET or C-MOVE of this study, the last to THEIRS, that is
                             cancelled after the second response

It prints a line of JSON for each response, and for each report that came. pynetdicom's own
programs use the C-services only, and never cancel.
"""

from __future__ import annotations

import argparse
import json
import queue
import ssl
import sys
from typing import Any, TypeAlias

from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role, evt, sop_class
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation

from tests.interop.pynetdicom_pauses import steady

HOST = "127.0.0.1"

classes: Any = sop_class
"""SOP Classes by name: pynetdicom makes the names when it is imported."""

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
QUERIES = ("find", "get", "move")
PATIENCE = 20.0
"""Seconds to wait for a report."""

Reports: TypeAlias = "queue.Queue[dict[str, object]]"
"""What came by N-EVENT-REPORT."""


def tell(operation: str, status: Dataset, attributes: Dataset | None = None) -> None:
    """Print a line of JSON. No status: the peer did not answer."""
    line: dict[str, object] = {"operation": operation, "status": status.get("Status")}
    if "ErrorComment" in status:
        line["comment"] = str(status.ErrorComment)
    if attributes is not None:
        line["attributes"] = attributes.to_json_dict()
    print(json.dumps(line), flush=True)


def mpps(association: Any) -> None:
    """A performed procedure step (PS3.4 Annex F)."""
    sop_class, uid = classes.ModalityPerformedProcedureStep, generate_uid()
    scheduled = Dataset()
    scheduled.StudyInstanceUID = generate_uid()
    scheduled.AccessionNumber = "W-2001"
    step = Dataset()
    step.ScheduledStepAttributesSequence = [scheduled]
    step.PatientName, step.PatientID = "LOVELACE^ADA", "LOV-1"
    step.PerformedProcedureStepID = "PPS-1"
    step.PerformedStationAETitle = "CT-SCANNER"
    step.PerformedProcedureStepStartDate = "20240301"
    step.PerformedProcedureStepStartTime = "083000"
    step.PerformedProcedureStepStatus = "IN PROGRESS"
    step.Modality = "CT"
    tell("N-CREATE", *association.send_n_create(step, sop_class, uid))
    changes = Dataset()
    changes.PerformedProcedureStepStatus = "COMPLETED"
    changes.PerformedProcedureStepEndDate = "20240301"
    changes.PerformedProcedureStepEndTime = "084500"
    tell("N-SET", *association.send_n_set(changes, sop_class, uid))
    series = Dataset()
    series.ProtocolName = "HEAD"
    series.SeriesInstanceUID = generate_uid()
    changes.PerformedSeriesSequence = [series]
    tell("N-SET", *association.send_n_set(changes, sop_class, uid))
    retrieve = classes.ModalityPerformedProcedureStepRetrieve
    tell("N-GET", *association.send_n_get([0x00400252], retrieve, uid))


def film(association: Any, reports: Reports | None) -> None:
    """A film session (PS3.4 Annex H), in the context of the meta SOP Class.

    With `reports` the printer is to report an event after the N-ACTION.
    """
    # pynetdicom does not tell its user a name that the peer chose, so it has to be chosen here.
    uid = generate_uid()
    session, meta = classes.BasicFilmSession, classes.BasicGrayscalePrintManagementMeta
    wishes = Dataset()
    wishes.NumberOfCopies, wishes.MediumType = "1", "PAPER"
    tell("N-CREATE", *association.send_n_create(wishes, session, uid, meta_uid=meta))
    wishes.NumberOfCopies = "2"
    tell("N-SET", *association.send_n_set(wishes, session, uid, meta_uid=meta))
    tell(
        "N-GET",
        *association.send_n_get(
            [0x21100010], classes.Printer, classes.PrinterInstance, meta_uid=meta
        ),
    )
    tell("N-ACTION", *association.send_n_action(None, 1, session, uid, meta_uid=meta))
    if reports is not None:
        print(json.dumps(reports.get(timeout=PATIENCE)), flush=True)
    tell("N-DELETE", association.send_n_delete(session, uid, meta_uid=meta))
    tell("N-DELETE", association.send_n_delete(session, uid, meta_uid=meta))


def commit(association: Any, uids: list[str], reports: Reports) -> None:
    """Storage commitment (PS3.4 Annex J)."""
    items = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT_IMAGE_STORAGE, uid
        items.append(item)
    transaction = Dataset()
    transaction.TransactionUID = generate_uid()
    transaction.ReferencedSOPSequence = items
    sop_class = classes.StorageCommitmentPushModel
    instance = classes.StorageCommitmentPushModelInstance
    tell("N-ACTION", *association.send_n_action(transaction, 1, sop_class, instance))
    print(json.dumps(reports.get(timeout=PATIENCE)), flush=True)


def cancel(association: Any, verb: str, study: str) -> None:
    """Begin a query or a retrieval, and cancel it after the second response."""
    name = {"find": "Find", "get": "Get", "move": "Move"}[verb]
    model = getattr(classes, f"StudyRootQueryRetrieveInformationModel{name}")
    keys = Dataset()
    keys.QueryRetrieveLevel, keys.StudyInstanceUID = "STUDY", study
    more = {"move_aet": "THEIRS"} if verb == "move" else {}
    responses = getattr(association, f"send_c_{verb}")(keys, query_model=model, msg_id=7, **more)
    for number, (status, _) in enumerate(responses, 1):
        tell(f"C-{name.upper()}", status)
        if number == 2:
            association.send_c_cancel(7, query_model=model)


def client_context(ca: str, cert: str) -> ssl.SSLContext:
    """Trusts a CA, and shows a certificate."""
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert)
    return context


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("mpps", "print", "commit", *QUERIES))
    parser.add_argument("port", type=int)
    parser.add_argument("uids", nargs="*")
    parser.add_argument("-aet", "--calling-aet", default="PYNETDICOM")
    parser.add_argument("-aec", "--called-aet", default="ARCHIVE")
    parser.add_argument("--listen", type=int, help="take reports on a new association, here")
    parser.add_argument("--report", action="store_true", help="print: wait for an event")
    parser.add_argument("--tls", nargs=2, metavar=("CA", "CERT"), help="over TLS; PEM files")
    parser.add_argument("--window", type=int, help="operations at once to propose, both ways")
    options = parser.parse_args()

    reports: Reports = queue.Queue()

    def report(event: Any) -> tuple[int, None]:
        reports.put(
            {
                "operation": "N-EVENT-REPORT",
                "event_type": event.event_type,
                "attributes": event.event_information.to_json_dict(),
                "here": event.assoc.is_requestor,
            }
        )
        return 0x0000, None

    handlers: list[Any] = [
        (evt.EVT_N_EVENT_REPORT, report),
        (evt.EVT_C_STORE, lambda event: 0x0000),
    ]
    ae = AE(options.calling_aet)
    if options.listen:
        ae.add_supported_context(classes.StorageCommitmentPushModel, scu_role=True, scp_role=True)
        ae.start_server((HOST, options.listen), block=False, evt_handlers=handlers)
    for uid in (
        classes.ModalityPerformedProcedureStep,
        classes.ModalityPerformedProcedureStepRetrieve,
        classes.BasicGrayscalePrintManagementMeta,
        classes.StorageCommitmentPushModel,
        classes.StudyRootQueryRetrieveInformationModelFind,
        classes.StudyRootQueryRetrieveInformationModelGet,
        classes.StudyRootQueryRetrieveInformationModelMove,
        CT_IMAGE_STORAGE,
    ):
        ae.add_requested_context(uid)
    negotiation: list[Any] = [build_role(CT_IMAGE_STORAGE, scp_role=True)]
    if options.window:
        window = AsynchronousOperationsWindowNegotiation()
        window.maximum_number_operations_invoked = options.window
        window.maximum_number_operations_performed = options.window
        negotiation.append(window)
    association = ae.associate(
        HOST,
        options.port,
        ae_title=options.called_aet,
        evt_handlers=handlers,
        ext_neg=negotiation,
        tls_args=(client_context(*options.tls), HOST) if options.tls else None,
    )
    if not association.is_established:
        sys.exit("no association")
    steady(association)
    if options.window:
        agreed = association.acceptor.asynchronous_operations
        print(json.dumps({"operation": "window", "agreed": agreed}), flush=True)
    try:
        if options.role == "mpps":
            mpps(association)
        elif options.role == "print":
            film(association, reports if options.report else None)
        elif options.role in QUERIES:
            cancel(association, options.role, options.uids[0])
        else:
            commit(association, options.uids, reports)
        association.release()
    finally:
        # Else its thread would keep the process; nothing happens if it is released.
        association.abort()


if __name__ == "__main__":
    main()
