"""The operations that an association may invoke: eleven requests, ready to be sent (PS3.7 §9, §10).

Rules
  * A request leaves on a presentation context that was accepted for its SOP Class, with the role
    that invokes it: as SCU, and an N-EVENT-REPORT as SCP. `context` names another one where the
    instance's class is not the context's own: Meta SOP Classes, as in print (PS3.4 Annex H).
  * Data sets are a pydicom `Dataset`, which is encoded in the context's transfer syntax, or come
    encoded in it already: bytes-like, an iterable of bytes-like, a binary file, a `dimse.Source`.
  * Nothing is sent here.

Not here: sending (`requestor`) and waiting (`scu`, `aio`), what becomes of it (`association`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from dul_fsm.association import Association
from dul_fsm.dimse import (
    CEchoRQ,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    CStoreRQ,
    NActionRQ,
    NCreateRQ,
    NDeleteRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    Priority,
    Request,
    SourceLike,
)
from dul_fsm.dimse.data_set import encode_data_set, is_data_set
from dul_fsm.errors import ContextNotAccepted, DataSetError
from dul_fsm.negotiation import DEFAULT_TRANSFER_SYNTAXES, AcceptedContext
from dul_fsm.services.outcomes import DataSetLike
from dul_fsm.services.sop_classes import VERIFICATION

if TYPE_CHECKING:
    from pydicom import Dataset

ContextOf: TypeAlias = AcceptedContext | str
"""The context to use: itself, or the abstract syntax that it was accepted for."""

CANCELLABLE = (CFindRQ, CGetRQ, CMoveRQ)
"""Requests that a C-CANCEL may stop (PS3.7 §9.3.2.3, §9.3.3.3, §9.3.4.3)."""


class Invocation(NamedTuple):
    """An operation to invoke."""

    context: AcceptedContext
    """What it leaves on."""
    request: Request
    """Its command set. The Message ID changes if another operation has it by then."""
    data: SourceLike | None = None
    """Its data set, encoded in the context's transfer syntax."""


class Invocations:
    """Makes invocations for one association."""

    def __init__(self, association: Association) -> None:
        self._association = association

    def context_for(
        self, sop_class_uid: str, transfer_syntax: str | None = None, *, as_scp: bool = False
    ) -> AcceptedContext:
        """The accepted context for a SOP Class; raises `ContextNotAccepted`.

        `as_scp`: one on which this side may send N-EVENT-REPORT (PS3.7 §10.1.1).
        """
        return self._association.context_for(sop_class_uid, transfer_syntax, as_scp=as_scp)

    def next_message_id(self) -> int:
        """A Message ID that is not in flight, 1 to 65535."""
        return self._association.operations.next_message_id()

    # DIMSE-C ------------------------------------------------------------------------------------

    def echo_request(self) -> Invocation:
        """C-ECHO (PS3.7 §9.1.5)."""
        context = self.context_for(VERIFICATION)
        return Invocation(context, CEchoRQ(VERIFICATION, self.next_message_id()))

    def store_request(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax: str,
        data: DataSetLike,
        *,
        priority: int = Priority.MEDIUM,
        move_originator_application_entity_title: str | None = None,
        move_originator_message_id: int | None = None,
    ) -> Invocation:
        """C-STORE (PS3.7 §9.1.1) of a data set in `transfer_syntax`.

        `move_originator_...`: whose C-MOVE this is a sub-operation of (PS3.7 §9.3.1.1).
        """
        context = self.context_for(sop_class_uid, transfer_syntax)
        encoded = encode(data, context)
        request = CStoreRQ(
            affected_sop_class_uid=sop_class_uid,
            message_id=self.next_message_id(),
            priority=priority,
            affected_sop_instance_uid=sop_instance_uid,
            move_originator_application_entity_title=move_originator_application_entity_title,
            move_originator_message_id=move_originator_message_id,
        )
        return Invocation(context, request, encoded)

    def store_data_set_request(
        self, data_set: Dataset, *, priority: int = Priority.MEDIUM
    ) -> Invocation:
        """C-STORE (PS3.7 §9.1.1) of a pydicom `Dataset`, in a transfer syntax that was accepted.

        That of its `file_meta`, or, if its pixels are not compressed, an uncompressed one. Raises
        `DataSetError` for one without SOP Class or SOP Instance UID.
        """
        uids = [str(data_set.get(name, "")) for name in ("SOPClassUID", "SOPInstanceUID")]
        if not all(uids):
            raise DataSetError("a data set without SOPClassUID or SOPInstanceUID cannot be stored")
        sop_class, sop_instance = uids
        context = self._context_to_store(data_set, sop_class)
        return self.store_request(
            sop_class, sop_instance, context.transfer_syntax, data_set, priority=priority
        )

    def _context_to_store(self, data_set: Dataset, sop_class: str) -> AcceptedContext:
        meta: Any = getattr(data_set, "file_meta", None)
        own = meta.get("TransferSyntaxUID") if meta is not None else None
        if own is None or not own.is_compressed:
            wanted = [own, *DEFAULT_TRANSFER_SYNTAXES] if own else DEFAULT_TRANSFER_SYNTAXES
            for transfer_syntax in wanted:
                try:
                    return self.context_for(sop_class, transfer_syntax)
                except ContextNotAccepted:
                    continue
        return self.context_for(sop_class, own or DEFAULT_TRANSFER_SYNTAXES[0])

    def find_request(
        self,
        sop_class_uid: str,
        identifier: DataSetLike,
        *,
        priority: int = Priority.MEDIUM,
        transfer_syntax: str | None = None,
    ) -> Invocation:
        """C-FIND (PS3.7 §9.1.2) of what matches `identifier`."""
        return self._query(CFindRQ, sop_class_uid, identifier, transfer_syntax, priority=priority)

    def get_request(
        self,
        sop_class_uid: str,
        identifier: DataSetLike,
        *,
        priority: int = Priority.MEDIUM,
        transfer_syntax: str | None = None,
    ) -> Invocation:
        """C-GET (PS3.7 §9.1.3) of what matches `identifier`, over this association."""
        return self._query(CGetRQ, sop_class_uid, identifier, transfer_syntax, priority=priority)

    def move_request(
        self,
        sop_class_uid: str,
        identifier: DataSetLike,
        destination: str,
        *,
        priority: int = Priority.MEDIUM,
        transfer_syntax: str | None = None,
    ) -> Invocation:
        """C-MOVE (PS3.7 §9.1.4) of what matches `identifier` to the AE title `destination`."""
        return self._query(
            CMoveRQ,
            sop_class_uid,
            identifier,
            transfer_syntax,
            move_destination=destination,
            priority=priority,
        )

    def _query(
        self,
        make: Callable[..., Request],
        sop_class_uid: str,
        identifier: DataSetLike,
        transfer_syntax: str | None,
        **values: Any,
    ) -> Invocation:
        context = self.context_for(sop_class_uid, transfer_syntax)
        data = encode(identifier, context)
        request = make(
            affected_sop_class_uid=sop_class_uid, message_id=self.next_message_id(), **values
        )
        return Invocation(context, request, data)

    # DIMSE-N ------------------------------------------------------------------------------------

    def n_event_report_request(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        event_type_id: int,
        information: DataSetLike | None = None,
        *,
        context: ContextOf | None = None,
        transfer_syntax: str | None = None,
    ) -> Invocation:
        """N-EVENT-REPORT (PS3.7 §10.1.1): this happened to an instance. Invoked by the SCP."""
        return self._normalized(
            NEventReportRQ,
            self._context_of(sop_class_uid, context, transfer_syntax, as_scp=True),
            information,
            affected_sop_class_uid=sop_class_uid,
            affected_sop_instance_uid=sop_instance_uid,
            event_type_id=event_type_id,
            has_data_set=information is not None,
        )

    def n_get_request(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        attributes: Iterable[int] = (),
        *,
        context: ContextOf | None = None,
        transfer_syntax: str | None = None,
    ) -> Invocation:
        """N-GET (PS3.7 §10.1.2) of attributes, by their tags; none for all of them."""
        return self._normalized(
            NGetRQ,
            self._context_of(sop_class_uid, context, transfer_syntax),
            None,
            requested_sop_class_uid=sop_class_uid,
            requested_sop_instance_uid=sop_instance_uid,
            attribute_identifier_list=tuple(int(tag) for tag in attributes),
        )

    def n_set_request(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        modifications: DataSetLike,
        *,
        context: ContextOf | None = None,
        transfer_syntax: str | None = None,
    ) -> Invocation:
        """N-SET (PS3.7 §10.1.3): change these attributes."""
        return self._normalized(
            NSetRQ,
            self._context_of(sop_class_uid, context, transfer_syntax),
            modifications,
            requested_sop_class_uid=sop_class_uid,
            requested_sop_instance_uid=sop_instance_uid,
        )

    def n_action_request(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        action_type_id: int,
        information: DataSetLike | None = None,
        *,
        context: ContextOf | None = None,
        transfer_syntax: str | None = None,
    ) -> Invocation:
        """N-ACTION (PS3.7 §10.1.4): do this with an instance."""
        return self._normalized(
            NActionRQ,
            self._context_of(sop_class_uid, context, transfer_syntax),
            information,
            requested_sop_class_uid=sop_class_uid,
            requested_sop_instance_uid=sop_instance_uid,
            action_type_id=action_type_id,
            has_data_set=information is not None,
        )

    def n_create_request(
        self,
        sop_class_uid: str,
        sop_instance_uid: str | None = None,
        attributes: DataSetLike | None = None,
        *,
        context: ContextOf | None = None,
        transfer_syntax: str | None = None,
    ) -> Invocation:
        """N-CREATE (PS3.7 §10.1.5); without an instance UID the peer chooses it."""
        return self._normalized(
            NCreateRQ,
            self._context_of(sop_class_uid, context, transfer_syntax),
            attributes,
            affected_sop_class_uid=sop_class_uid,
            affected_sop_instance_uid=sop_instance_uid,
            has_data_set=attributes is not None,
        )

    def n_delete_request(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        *,
        context: ContextOf | None = None,
        transfer_syntax: str | None = None,
    ) -> Invocation:
        """N-DELETE (PS3.7 §10.1.6) of an instance."""
        return self._normalized(
            NDeleteRQ,
            self._context_of(sop_class_uid, context, transfer_syntax),
            None,
            requested_sop_class_uid=sop_class_uid,
            requested_sop_instance_uid=sop_instance_uid,
        )

    def _context_of(
        self,
        sop_class_uid: str,
        context: ContextOf | None,
        transfer_syntax: str | None,
        *,
        as_scp: bool = False,
    ) -> AcceptedContext:
        if isinstance(context, AcceptedContext):
            return context
        return self.context_for(context or sop_class_uid, transfer_syntax, as_scp=as_scp)

    def _normalized(
        self,
        make: Callable[..., Request],
        context: AcceptedContext,
        data: DataSetLike | None,
        **values: Any,
    ) -> Invocation:
        encoded = None if data is None else encode(data, context)
        return Invocation(context, make(message_id=self.next_message_id(), **values), encoded)


def encode(data: DataSetLike, context: AcceptedContext) -> SourceLike:
    """A data set as it leaves on a context: a `Dataset` encoded, all else as it is.

    Raises `DataSetError`, naming the element that cannot be encoded.
    """
    return encode_data_set(data, context.transfer_syntax) if is_data_set(data) else data
