"""The eleven services as SCU, blocking and asyncio: what leaves, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID

from dul_fsm import aio
from dul_fsm.association import Association, Event, Message, RequestReceived
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
    Request,
)
from dul_fsm.dimse.data_set import decode_data_set, encode_data_set
from dul_fsm.drivers.invocations import Invocations
from dul_fsm.drivers.requestor import Implementation
from dul_fsm.errors import ContextNotAccepted, DataSetError
from dul_fsm.negotiation import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    IMPLICIT_VR_LITTLE_ENDIAN,
    AcceptedContext,
)
from dul_fsm.pdu import (
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityRQ,
)
from dul_fsm.scu import associate
from dul_fsm.services.sop_classes import (
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)
from dul_fsm.transports import Loopback
from tests.drivers.scripted import Acceptor
from tests.drivers.support import CT, nothing_left

MPPS = "1.2.840.10008.3.1.2.3.3"
COMMITMENT = "1.2.840.10008.1.20.1"
GRAYSCALE_PRINT = "1.2.840.10008.5.1.1.9"  # a Meta SOP Class
FILM_SESSION = "1.2.840.10008.5.1.1.1"

LITTLE = EXPLICIT_VR_LITTLE_ENDIAN
CONTEXTS = (
    VERIFICATION,
    (CT, [LITTLE]),
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    (MPPS, [IMPLICIT_VR_LITTLE_ENDIAN]),
    COMMITMENT,
    GRAYSCALE_PRINT,
)
ROLES = {COMMITMENT: (True, True)}


def identifier() -> Dataset:
    data_set = Dataset()
    data_set.PatientID = "42"
    return data_set


ENCODED = encode_data_set(identifier(), IMPLICIT_VR_LITTLE_ENDIAN)
EXPLICIT = encode_data_set(identifier(), LITTLE)

Call = Callable[[Any], Any]

SERVICES: dict[str, tuple[Call, Request, str, bytes]] = {
    # the call; the command that leaves, with Message ID 1; the context's class; its data set
    "c_echo": (lambda a: a.c_echo(), CEchoRQ(VERIFICATION, 1), VERIFICATION, b""),
    "c_store": (
        lambda a: a.c_store(
            CT,
            "1.2",
            LITTLE,
            b"data",
            priority=1,
            move_originator_application_entity_title="ME",
            move_originator_message_id=9,
        ),
        CStoreRQ(CT, 1, "1.2", 1, "ME", 9),
        CT,
        b"data",
    ),
    "c_find": (
        lambda a: a.c_find(STUDY_ROOT_FIND, identifier(), priority=2),
        CFindRQ(STUDY_ROOT_FIND, 1, 2),
        STUDY_ROOT_FIND,
        EXPLICIT,
    ),
    "c_get": (
        lambda a: a.c_get(STUDY_ROOT_GET, identifier()),
        CGetRQ(STUDY_ROOT_GET, 1),
        STUDY_ROOT_GET,
        EXPLICIT,
    ),
    "c_move": (
        lambda a: a.c_move(STUDY_ROOT_MOVE, identifier(), "THERE"),
        CMoveRQ(STUDY_ROOT_MOVE, 1, "THERE"),
        STUDY_ROOT_MOVE,
        EXPLICIT,
    ),
    "n_event_report": (
        lambda a: a.n_event_report(COMMITMENT, "1.2", 1, identifier()),
        NEventReportRQ(COMMITMENT, 1, "1.2", 1, True),
        COMMITMENT,
        EXPLICIT,
    ),
    "n_get": (
        lambda a: a.n_get(MPPS, "1.2", [0x00100010, 0x00100020]),
        NGetRQ(MPPS, 1, "1.2", (0x00100010, 0x00100020)),
        MPPS,
        b"",
    ),
    "n_set": (lambda a: a.n_set(MPPS, "1.2", identifier()), NSetRQ(MPPS, 1, "1.2"), MPPS, ENCODED),
    "n_action": (
        lambda a: a.n_action(COMMITMENT, "1.2", 1, [EXPLICIT[:3], EXPLICIT[3:]]),
        NActionRQ(COMMITMENT, 1, "1.2", 1, True),
        COMMITMENT,
        EXPLICIT,
    ),
    "n_create": (
        lambda a: a.n_create(MPPS, None, BytesIO(ENCODED)),
        NCreateRQ(MPPS, 1, True),
        MPPS,
        ENCODED,
    ),
    "n_delete": (
        lambda a: a.n_delete(FILM_SESSION, "1.2", context=GRAYSCALE_PRINT),
        NDeleteRQ(FILM_SESSION, 1, "1.2"),
        GRAYSCALE_PRINT,
        b"",
    ),
    "n_action without information": (
        lambda a: a.n_action(COMMITMENT, "1.2", 2),
        NActionRQ(COMMITMENT, 1, "1.2", 2, False),
        COMMITMENT,
        b"",
    ),
    "n_create with its own UID and no attributes": (
        lambda a: a.n_create(MPPS, "1.2"),
        NCreateRQ(MPPS, 1, False, "1.2"),
        MPPS,
        b"",
    ),
    "n_event_report without information": (
        lambda a: a.n_event_report(COMMITMENT, "1.2", 2),
        NEventReportRQ(COMMITMENT, 1, "1.2", 2, False),
        COMMITMENT,
        b"",
    ),
}


def answers(acceptor: Acceptor, event: Event) -> None:
    """Queries have one pending response; what may have a data set in its response has one."""
    if not isinstance(event, RequestReceived):
        return
    message, name = event.message, event.message.command.name
    if name == "C-FIND-RQ":
        acceptor.respond(message, 0xFF00, b"a match ")
    elif name in ("C-GET-RQ", "C-MOVE-RQ"):
        acceptor.respond(message, 0xFF00)
    reply = name in ("N-GET-RQ", "N-SET-RQ")
    acceptor.respond(message, 0, ENCODED if reply else None)


def invoke_blocking(endpoint: Loopback, call: Call) -> list[Message]:
    with associate(endpoint, contexts=CONTEXTS, roles=ROLES) as association:
        result = call(association)
        return [result] if isinstance(result, Message) else list(result)


def invoke_asyncio(endpoint: Loopback, call: Call) -> list[Message]:
    async def invoke() -> list[Message]:
        async with aio.associate(endpoint, contexts=CONTEXTS, roles=ROLES) as association:
            result = call(association)
            if isinstance(result, aio.AsyncOperation):
                return [message async for message in result]
            return [await result]

    return asyncio.run(invoke())


@pytest.fixture
def endpoint() -> Iterator[Loopback]:
    with nothing_left():
        yield Loopback()


@pytest.mark.parametrize("invoke", [invoke_blocking, invoke_asyncio])
@pytest.mark.parametrize("service", SERVICES)
def test_what_leaves_and_what_comes_back(
    endpoint: Loopback, service: str, invoke: Callable[[Loopback, Call], list[Message]]
) -> None:
    call, command, context, data = SERVICES[service]
    acceptor = Acceptor(endpoint, answers)
    messages = invoke(endpoint, call)
    acceptor.join()
    (event,) = (event for event in acceptor.events if isinstance(event, RequestReceived))
    assert event.message.command == command
    assert event.message.context.abstract_syntax == context
    assert event.message.data_set == data
    *pending, final = messages
    assert [message.status for message in pending] == [0xFF00] * (
        service in ("c_find", "c_get", "c_move")
    )
    assert final.status == 0
    if service == "c_find":
        assert pending[0].data_set == b"a match "
    if service in ("n_get", "n_set"):
        assert final.decode() == identifier()


# Data sets ---------------------------------------------------------------------------------------


def accepting(*contexts: tuple[str, str]) -> Invocations:
    """What may be invoked where these classes were accepted, each in one transfer syntax."""
    association = Association(requestor=True)
    association.contexts.update(
        {
            2 * index + 1: AcceptedContext(2 * index + 1, uid, syntax, True, False)
            for index, (uid, syntax) in enumerate(contexts)
        }
    )
    return Invocations(association)


def instance(transfer_syntax: str | None) -> Dataset:
    data_set = identifier()
    data_set.SOPClassUID = CT
    data_set.SOPInstanceUID = "1.2.3"
    if transfer_syntax:
        data_set.file_meta = FileMetaDataset()
        data_set.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    return data_set


@pytest.mark.parametrize(
    ("own", "accepted", "chosen"),
    [
        (LITTLE, [IMPLICIT_VR_LITTLE_ENDIAN, LITTLE], LITTLE),
        (IMPLICIT_VR_LITTLE_ENDIAN, [LITTLE, IMPLICIT_VR_LITTLE_ENDIAN], IMPLICIT_VR_LITTLE_ENDIAN),
        (None, [IMPLICIT_VR_LITTLE_ENDIAN, LITTLE], LITTLE),
        (LITTLE, [IMPLICIT_VR_LITTLE_ENDIAN], IMPLICIT_VR_LITTLE_ENDIAN),
        ("1.2.840.10008.1.2.4.50", [LITTLE, "1.2.840.10008.1.2.4.50"], "1.2.840.10008.1.2.4.50"),
    ],
)
def test_a_dataset_is_stored_in_a_transfer_syntax_that_was_accepted(
    own: str | None, accepted: list[str], chosen: str
) -> None:
    invocations = accepting(*((CT, syntax) for syntax in accepted))
    context, request, data = invocations.store_data_set_request(instance(own), priority=1)
    assert context.transfer_syntax == chosen
    assert request == CStoreRQ(CT, 1, "1.2.3", 1)
    assert isinstance(data, bytes)
    assert decode_data_set(data, chosen).PatientID == "42"


@pytest.mark.parametrize("own", [None, LITTLE, "1.2.840.10008.1.2.4.50"])
def test_a_dataset_that_the_peer_takes_in_no_fitting_syntax_is_refused(own: str | None) -> None:
    invocations = accepting((CT, "1.2.840.10008.1.2.4.70"))
    with pytest.raises(ContextNotAccepted, match="not with"):
        invocations.store_data_set_request(instance(own))
    assert invocations.next_message_id() == 1


def test_a_dataset_without_uids_cannot_be_stored() -> None:
    with pytest.raises(DataSetError, match="SOPClassUID"):
        accepting((CT, LITTLE)).store_data_set_request(identifier())


def test_an_element_that_cannot_be_encoded_is_named_and_takes_no_message_id() -> None:
    invocations = accepting((MPPS, LITTLE))
    data_set = identifier()
    data_set.add(DataElement(0x00280010, "US", 70000, validation_mode=IGNORE))
    with pytest.raises(DataSetError, match=r"0028, ?0010"):
        invocations.n_set_request(MPPS, "1.2", data_set)
    assert invocations.next_message_id() == 1


def test_a_dataset_is_stored_by_both_kinds_of_association(endpoint: Loopback) -> None:
    for invoke in (invoke_blocking, invoke_asyncio):
        acceptor = Acceptor(endpoint, answers)
        (message,) = invoke(endpoint, lambda a: a.c_store_data_set(instance(LITTLE)))
        assert message.status == 0
        acceptor.join()
        (event,) = (event for event in acceptor.events if isinstance(event, RequestReceived))
        assert event.message.decode().SOPInstanceUID == "1.2.3"


# Contexts ----------------------------------------------------------------------------------------


def test_a_context_may_be_named_by_itself_its_class_or_a_transfer_syntax() -> None:
    invocations = accepting((GRAYSCALE_PRINT, LITTLE), (GRAYSCALE_PRINT, IMPLICIT_VR_LITTLE_ENDIAN))
    with pytest.raises(ContextNotAccepted):
        invocations.n_create_request(FILM_SESSION)
    first = invocations.n_create_request(FILM_SESSION, context=GRAYSCALE_PRINT)
    assert first.context.context_id == 1
    second = invocations.n_create_request(
        FILM_SESSION, context=GRAYSCALE_PRINT, transfer_syntax=IMPLICIT_VR_LITTLE_ENDIAN
    )
    assert second.context.context_id == 3
    assert (
        invocations.n_create_request(FILM_SESSION, context=second.context).context.context_id == 3
    )


def test_a_notification_needs_the_scp_role() -> None:
    with pytest.raises(ContextNotAccepted, match="SCP"):
        accepting((COMMITMENT, LITTLE)).n_event_report_request(COMMITMENT, "1.2", 1)


# What is negotiated besides ----------------------------------------------------------------------

IDENTITIES = [
    UserIdentityRQ.username("Zoë"),
    UserIdentityRQ.username_and_passcode("me", "secret", positive_response_requested=True),
    UserIdentityRQ.kerberos(b"ticket"),
    UserIdentityRQ.saml("<assertion/>"),
    UserIdentityRQ.jwt("a.b.c"),
]


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: str(identity.identity_type))
def test_what_is_proposed_arrives_and_the_peer_says_who_it_is(
    endpoint: Loopback, identity: UserIdentityRQ
) -> None:
    extended = SOPClassExtendedNegotiation(STUDY_ROOT_FIND, b"\1")
    common = SOPClassCommonExtendedNegotiation(CT, "1.2.840.10008.4.2")
    acceptor = Acceptor(endpoint, answers)
    with associate(
        endpoint,
        contexts=CONTEXTS,
        user_identity=identity,
        extended_negotiations=[extended],
        common_extended_negotiations=[common],
    ) as association:
        assert association.peer_implementation == Implementation(
            IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
        )
        assert association.answer.user_information.extended_negotiations == ()
    acceptor.join()
    request = acceptor.association.request
    assert request is not None
    told = request.user_information
    assert told.user_identity == identity
    assert told.extended_negotiations == (extended,)
    assert told.common_extended_negotiations == (common,)


def test_identities_have_the_types_of_the_standard_and_keep_their_secrets() -> None:
    assert [identity.identity_type for identity in IDENTITIES] == [1, 2, 3, 4, 5]
    assert IDENTITIES[0].primary_field == "Zoë".encode()
    assert IDENTITIES[1].secondary_field == b"secret"
    assert IDENTITIES[1].positive_response_requested
    for identity in IDENTITIES:
        for secret in ("Zo", "secret", "ticket", "assertion", "a.b.c"):
            assert secret not in repr(identity)
