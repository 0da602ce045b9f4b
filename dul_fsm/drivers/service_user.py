"""The eleven DIMSE services, as their user invokes them (PS3.7 §9.1, §10.1).

Written once for both ways to wait: what a service returns is final, the response or what is
awaited for it, or several, an iterator or an asynchronous one.

Not here: requests (`invocations`), waiting (`scu`, `dul_fsm.aio`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

from dul_fsm.dimse import Priority
from dul_fsm.drivers.invocations import ContextOf, Invocation
from dul_fsm.drivers.requestor import Requestor
from dul_fsm.services.outcomes import DataSetLike

if TYPE_CHECKING:
    from pydicom import Dataset

Final = TypeVar("Final", covariant=True)
"""The final response, or what to await for it."""
Several = TypeVar("Several", covariant=True)
"""The responses as they come."""


class ServiceUser(Requestor, ABC, Generic[Final, Several]):
    """The services; a data set is a pydicom `Dataset` or encoded in the context's transfer syntax.

    `context`: see `invocations`.
    """

    @abstractmethod
    def _invoke(self, make: Callable[[], Invocation]) -> Final:
        """Begin what `make` makes; the final response."""

    @abstractmethod
    def _invoke_each(self, make: Callable[[], Invocation]) -> Several:
        """Begin what `make` makes; each response as it comes."""

    # DIMSE-C ------------------------------------------------------------------------------------

    def c_echo(self) -> Final:
        """C-ECHO (PS3.7 §9.1.5); the response, with its status."""
        return self._invoke(self.echo_request)

    def c_store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax: str,
        data: DataSetLike,
        *,
        priority: int = Priority.MEDIUM,
        move_originator_application_entity_title: str | None = None,
        move_originator_message_id: int | None = None,
    ) -> Final:
        """C-STORE (PS3.7 §9.1.1) of a data set; the response, with its status.

        `data` is encoded in `transfer_syntax`: bytes-like, an iterable of bytes-like, or a
        `dimse.Source`; it leaves as it is, uncopied, and is the caller's again on return. Or a
        pydicom `Dataset`. An iterable or source is read where it is sent: in an event loop, if
        there is one.
        """
        return self._invoke(
            lambda: self.store_request(
                sop_class_uid,
                sop_instance_uid,
                transfer_syntax,
                data,
                priority=priority,
                move_originator_application_entity_title=move_originator_application_entity_title,
                move_originator_message_id=move_originator_message_id,
            )
        )

    def c_store_data_set(self, data_set: Dataset, *, priority: int = Priority.MEDIUM) -> Final:
        """C-STORE (PS3.7 §9.1.1) of a pydicom `Dataset`; the response, with its status.

        In the transfer syntax of its `file_meta` if that was accepted, else, unless its pixels are
        compressed, in an uncompressed one that was.
        """
        return self._invoke(lambda: self.store_data_set_request(data_set, priority=priority))

    def c_find(
        self,
        sop_class_uid: str,
        identifier: DataSetLike,
        *,
        priority: int = Priority.MEDIUM,
        transfer_syntax: str | None = None,
    ) -> Several:
        """C-FIND (PS3.7 §9.1.2): each pending response as it comes, at last the final one.

        To leave the iteration early, or to close it, sends a C-CANCEL; the final response is taken.
        """
        return self._invoke_each(
            lambda: self.find_request(
                sop_class_uid, identifier, priority=priority, transfer_syntax=transfer_syntax
            )
        )

    def c_get(
        self,
        sop_class_uid: str,
        identifier: DataSetLike,
        *,
        priority: int = Priority.MEDIUM,
        transfer_syntax: str | None = None,
    ) -> Several:
        """C-GET (PS3.7 §9.1.3): each pending response as it comes, at last the final one.

        What is retrieved comes as C-STOREs to the handler given to `associate`, for the SOP
        Classes of which `roles` made this side the SCP. Left early as `c_find` is.
        """
        return self._invoke_each(
            lambda: self.get_request(
                sop_class_uid, identifier, priority=priority, transfer_syntax=transfer_syntax
            )
        )

    def c_move(
        self,
        sop_class_uid: str,
        identifier: DataSetLike,
        destination: str,
        *,
        priority: int = Priority.MEDIUM,
        transfer_syntax: str | None = None,
    ) -> Several:
        """C-MOVE (PS3.7 §9.1.4): each pending response as it comes, at last the final one.

        `destination`: an AE title that the peer knows. Left early as `c_find` is.
        """
        return self._invoke_each(
            lambda: self.move_request(
                sop_class_uid,
                identifier,
                destination,
                priority=priority,
                transfer_syntax=transfer_syntax,
            )
        )

    # DIMSE-N ------------------------------------------------------------------------------------

    def n_event_report(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        event_type_id: int,
        information: DataSetLike | None = None,
        *,
        context: ContextOf | None = None,
        transfer_syntax: str | None = None,
    ) -> Final:
        """N-EVENT-REPORT (PS3.7 §10.1.1), as the SCP; the response, with its status."""
        return self._invoke(
            lambda: self.n_event_report_request(
                sop_class_uid,
                sop_instance_uid,
                event_type_id,
                information,
                context=context,
                transfer_syntax=transfer_syntax,
            )
        )

    def n_get(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        attributes: Iterable[int] = (),
        *,
        context: ContextOf | None = None,
        transfer_syntax: str | None = None,
    ) -> Final:
        """N-GET (PS3.7 §10.1.2) of attributes by their tags, or of all; the response."""
        return self._invoke(
            lambda: self.n_get_request(
                sop_class_uid,
                sop_instance_uid,
                attributes,
                context=context,
                transfer_syntax=transfer_syntax,
            )
        )

    def n_set(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        modifications: DataSetLike,
        *,
        context: ContextOf | None = None,
        transfer_syntax: str | None = None,
    ) -> Final:
        """N-SET (PS3.7 §10.1.3); the response, with its status."""
        return self._invoke(
            lambda: self.n_set_request(
                sop_class_uid,
                sop_instance_uid,
                modifications,
                context=context,
                transfer_syntax=transfer_syntax,
            )
        )

    def n_action(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        action_type_id: int,
        information: DataSetLike | None = None,
        *,
        context: ContextOf | None = None,
        transfer_syntax: str | None = None,
    ) -> Final:
        """N-ACTION (PS3.7 §10.1.4); the response, with its status."""
        return self._invoke(
            lambda: self.n_action_request(
                sop_class_uid,
                sop_instance_uid,
                action_type_id,
                information,
                context=context,
                transfer_syntax=transfer_syntax,
            )
        )

    def n_create(
        self,
        sop_class_uid: str,
        sop_instance_uid: str | None = None,
        attributes: DataSetLike | None = None,
        *,
        context: ContextOf | None = None,
        transfer_syntax: str | None = None,
    ) -> Final:
        """N-CREATE (PS3.7 §10.1.5); the response, which names the instance if this does not."""
        return self._invoke(
            lambda: self.n_create_request(
                sop_class_uid,
                sop_instance_uid,
                attributes,
                context=context,
                transfer_syntax=transfer_syntax,
            )
        )

    def n_delete(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        *,
        context: ContextOf | None = None,
        transfer_syntax: str | None = None,
    ) -> Final:
        """N-DELETE (PS3.7 §10.1.6); the response, with its status."""
        return self._invoke(
            lambda: self.n_delete_request(
                sop_class_uid,
                sop_instance_uid,
                context=context,
                transfer_syntax=transfer_syntax,
            )
        )
