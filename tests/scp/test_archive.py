"""`scp.archive`: what was stored is found and given back, in a transfer syntax that is accepted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import pytest
from pydicom import Dataset

from dul_fsm.association import Message
from dul_fsm.dimse import CEchoRQ, status
from dul_fsm.dimse.data_set import encode_data_set
from dul_fsm.negotiation import AcceptedContext, ContextLike
from dul_fsm.pdu import SOPClassExtendedNegotiation
from dul_fsm.query import (
    PATIENT_ROOT,
    STUDY_ROOT,
    IndexedInstance,
    InformationModel,
    InstanceIndex,
    model_of,
)
from dul_fsm.scp import serve
from dul_fsm.scp.archive import (
    QUERY_RETRIEVE,
    ArchiveHandler,
    Queried,
    Retrieving,
    instance_of,
)
from dul_fsm.scp.storage import StorageHandler
from dul_fsm.scu import SCUAssociation, associate
from dul_fsm.scu.query import OperationFailed, find, get, move, scp_roles
from dul_fsm.services.handler import Destination, Handler
from dul_fsm.services.sop_classes import (
    MODALITY_WORKLIST_FIND,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    choose_any,
)
from dul_fsm.transports import Connector, Loopback
from tests.scp.studies import CT, EXPLICIT, IMPLICIT, STUDY, Archive, identifier, instance

JPEG = "1.2.840.10008.1.2.4.50"
MPEG = "1.2.840.10008.1.2.4.102"
STUDIES = identifier("QueryRetrieveLevel=STUDY", "StudyInstanceUID", "PatientName")
THE_STUDY = identifier("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={STUDY}")


@contextmanager
def archive(
    root: Path, destinations: Mapping[str, Connector | Destination] | None = None
) -> Iterator[tuple[Archive, Loopback]]:
    made, endpoint = Archive(root, destinations), Loopback()
    with serve(made, endpoint):
        yield made, endpoint


def connect(
    endpoint: Loopback,
    *,
    storing: ContextLike = (CT, [EXPLICIT]),
    handler: Handler | None = None,
    asks: bytes = b"",
) -> SCUAssociation:
    asked = [SOPClassExtendedNegotiation(uid, asks) for uid in QUERY_RETRIEVE]
    return associate(
        endpoint,
        contexts=[storing, *QUERY_RETRIEVE],
        called_ae_title="ARCHIVE",
        roles={CT: (True, True)},
        handler=handler,
        extended_negotiations=asked if asks else (),
    )


def test_what_was_stored_is_found_at_once_by_another_association(tmp_path: Path) -> None:
    with archive(tmp_path) as (_, endpoint), connect(endpoint) as one, connect(endpoint) as other:
        assert list(find(other, STUDIES)) == []
        one.c_store_data_set(instance(1))
        (match,) = find(other, STUDIES)
        assert (match.StudyInstanceUID, match.PatientName) == (STUDY, "Doe^Jane")
        assert match.RetrieveAETitle == "ARCHIVE"


@pytest.mark.parametrize("root", [PATIENT_ROOT, STUDY_ROOT], ids=lambda root: root.name)
def test_both_roots_find_each_level_that_they_have(tmp_path: Path, root: InformationModel) -> None:
    keys = {
        "PATIENT": ["PatientID=42"],
        "STUDY": [f"StudyInstanceUID={STUDY}"],
        "SERIES": [f"SeriesInstanceUID={STUDY}.1"],
        "IMAGE": ["SOPInstanceUID"],
    }
    with archive(tmp_path) as (made, endpoint), connect(endpoint) as association:
        made.put(*(instance(number) for number in (1, 2, 4)))
        above: list[str] = []
        for level in root.levels:
            asked = identifier(f"QueryRetrieveLevel={level}", *above, *keys[level])
            assert len(list(find(association, asked, root))) == (2 if level == "IMAGE" else 1)
            above += keys[level]


def test_keys_that_an_index_does_not_have_are_told_with_the_match(tmp_path: Path) -> None:
    with archive(tmp_path) as (made, endpoint), connect(endpoint) as association:
        made.put(instance(1))
        for key, expected in (("StudyDate", status.PENDING), ("PatientSpeciesDescription", 0xFF01)):
            asked = identifier("QueryRetrieveLevel=STUDY", "StudyInstanceUID", key)
            first, last = association.c_find(STUDY_ROOT_FIND, asked)
            assert (first.status, last.status) == (expected, status.SUCCESS)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["StudyInstanceUID"], "no QueryRetrieveLevel"),
        (["QueryRetrieveLevel=PATIENT", "PatientID=42"], "QueryRetrieveLevel is 'PATIENT'"),
        (["QueryRetrieveLevel=SERIES", "SeriesInstanceUID=1.2"], "needs StudyInstanceUID"),
    ],
)
def test_an_identifier_that_is_not_legal_is_refused_and_why_is_said(
    tmp_path: Path, keys: list[str], words: str
) -> None:
    asked = identifier(*keys)
    with archive(tmp_path, {"THERE": Loopback()}) as (_, endpoint), connect(endpoint) as scu:
        for operation in (
            lambda: list(find(scu, asked)),
            lambda: get(scu, asked),
            lambda: move(scu, asked, "THERE"),
        ):
            with pytest.raises(OperationFailed) as refused:
                operation()
            assert refused.value.status == status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS
            assert words in refused.value.comment


def test_what_is_no_data_set_is_a_failure_of_that_operation_alone(tmp_path: Path) -> None:
    with archive(tmp_path) as (_, endpoint), connect(endpoint) as association:
        (response,) = association.c_find(STUDY_ROOT_FIND, b"\xff" * 11)
        assert response.status == status.PROCESSING_FAILURE
        assert list(find(association, STUDIES)) == []


def test_relational_queries_and_retrievals_are_for_who_negotiates_them(tmp_path: Path) -> None:
    asked = identifier("QueryRetrieveLevel=IMAGE", f"SOPInstanceUID={STUDY}.1.2")
    with archive(tmp_path) as (made, endpoint):
        made.put(instance(1), instance(2))
        receiver = Archive(tmp_path / "received")
        with connect(endpoint, asks=b"\x01\x01\x01", handler=receiver()) as association:
            answers = association.answer.user_information.extended_negotiations
            assert {answer.information for answer in answers} == {b"\x01\x00\x00"}
            assert {answer.sop_class_uid for answer in answers} == set(QUERY_RETRIEVE)
            (match,) = find(association, asked)
            assert match.SOPInstanceUID == f"{STUDY}.1.2"
            assert get(association, asked).completed == 1
        for asks in (b"", b"\x00\x01\x01"):
            with connect(endpoint, asks=asks) as association:
                answers = association.answer.user_information.extended_negotiations
                assert {answer.information for answer in answers} <= {b"\x00\x00\x00"}
                with pytest.raises(OperationFailed):
                    list(find(association, asked))


def test_get_brings_a_study_and_counts_it(tmp_path: Path) -> None:
    receiver = Archive(tmp_path / "received")
    with archive(tmp_path) as (made, endpoint):
        made.put(*(instance(number) for number in range(1, 6)))
        with connect(endpoint, handler=receiver()) as association:
            result = get(association, THE_STUDY)
    assert (result.completed, result.failed, result.warnings, result.ok) == (5, 0, 0, True)
    assert receiver.stored() == [instance(number) for number in range(1, 6)]


@pytest.mark.parametrize("accepted", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize("kept", [IMPLICIT, EXPLICIT])
def test_an_instance_is_recoded_where_the_peer_does_not_take_it_as_it_is(
    tmp_path: Path, kept: str, accepted: str
) -> None:
    receiver = Archive(tmp_path / "received")
    with archive(tmp_path) as (made, endpoint):
        made.put(instance(1, transfer_syntax=kept))
        with connect(endpoint, storing=(CT, [accepted]), handler=receiver()) as association:
            assert get(association, THE_STUDY).completed == 1
    (stored,) = receiver.stored()
    assert stored == instance(1)
    assert stored.file_meta.TransferSyntaxUID == accepted


def test_what_cannot_be_recoded_or_is_gone_fails_and_the_others_arrive(tmp_path: Path) -> None:
    receiver = Archive(tmp_path / "received")
    with archive(tmp_path) as (made, endpoint):
        broken = instance(2, transfer_syntax=JPEG, PixelData=b"no jpeg ")
        broken["PixelData"].VR = "OB"
        broken["PixelData"].is_undefined_length = True
        broken.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\xdd\xe0\x00\x00\x00\x00"
        made.put(instance(1), broken, instance(3))
        for path in tmp_path.glob(f"{STUDY}.1.3-*.dcm"):
            path.unlink()
        with connect(endpoint, handler=receiver()) as association:
            result = get(association, THE_STUDY)
    assert (result.status, result.completed, result.failed) == (0xB000, 1, 2)
    assert sorted(result.failed_sop_instance_uids) == [f"{STUDY}.1.2", f"{STUDY}.1.3"]
    assert not result.ok
    assert receiver.uids() == [f"{STUDY}.1.1"]


def test_a_video_is_not_decompressed_and_an_image_may_be() -> None:
    def syntaxes(stored: str) -> tuple[str, ...]:
        return instance_of(IndexedInstance(CT, "1.2", stored, None), Path("x")).transfer_syntaxes

    assert syntaxes(MPEG) == (MPEG,)
    assert syntaxes(JPEG) == (JPEG, EXPLICIT, IMPLICIT)
    assert syntaxes(IMPLICIT) == (IMPLICIT, EXPLICIT)


@pytest.mark.parametrize("destination", [Loopback(), None], ids=["a connector", "a Destination"])
def test_move_sends_a_study_to_a_destination(tmp_path: Path, destination: Loopback | None) -> None:
    connector = destination or Loopback()
    there = destination or Destination(
        connector=connector, called_ae_title="THERE", calling_ae_title="MOVER"
    )
    receiver = Archive(tmp_path / "received")
    with archive(tmp_path / "kept", {"WORKSTATION": there}) as (made, endpoint):
        made.put(*(instance(number) for number in range(1, 6)))
        with serve(receiver, connector), connect(endpoint) as association:
            result = move(association, THE_STUDY, "WORKSTATION")
            assert (result.status, result.completed) == (0, 5)
            with pytest.raises(OperationFailed) as unknown:
                move(association, THE_STUDY, "ELSEWHERE")
    assert unknown.value.status == status.MOVE_DESTINATION_UNKNOWN
    assert len(receiver.uids()) == 5
    opened = receiver.told[0]
    names = ("THERE", "MOVER") if destination is None else ("WORKSTATION", "ARCHIVE")
    assert (opened.called_ae_title, opened.calling_ae_title) == names  # type: ignore[union-attr]


def test_who_asks_for_what_is_told(tmp_path: Path) -> None:
    there = Loopback()
    with archive(tmp_path / "kept", {"WORKSTATION": there}) as (made, endpoint):
        made.put(*(instance(number) for number in range(1, 4)))
        receiver = Archive(tmp_path / "received")
        with serve(receiver, there), connect(endpoint, handler=receiver()) as association:
            assert len(list(find(association, STUDIES))) == 1
            assert get(association, THE_STUDY).completed == 3
            assert move(association, THE_STUDY, "WORKSTATION").completed == 3
    opened, *told, _ = made.told
    who = opened.peer, opened.calling_ae_title
    assert told == [
        Queried(*who, level="STUDY", matches=1, complete=True),
        Retrieving(*who, destination="", instances=3),
        Retrieving(*who, destination="WORKSTATION", instances=3),
    ]


class Endless(InstanceIndex):
    """Finds the same study again and again."""

    def find(self, *arguments: object, **keywords: object) -> Iterator[Dataset]:
        """As often as it is asked."""
        return repeat(STUDIES)


def test_a_query_that_is_cancelled_is_told_as_not_complete(tmp_path: Path) -> None:
    made, endpoint = Archive(tmp_path), Loopback()
    made.index = Endless()
    with serve(made, endpoint), connect(endpoint) as association:
        matches = find(association, STUDIES)
        next(matches)
        matches.close()
    _, queried, _ = made.told
    assert isinstance(queried, Queried)
    assert not queried.complete
    assert queried.matches >= 1


def test_a_class_that_is_not_served_is_refused(tmp_path: Path) -> None:
    class Wide(ArchiveHandler):
        choose = staticmethod(choose_any(lambda uid: True))

    made, endpoint = Archive(tmp_path), Loopback()
    with (
        serve(lambda: Wide(made.folder, made.index), endpoint),
        associate(endpoint, contexts=[MODALITY_WORKLIST_FIND, "1.2.3"]) as association,
    ):
        for responses in (
            association.c_find(MODALITY_WORKLIST_FIND, STUDIES),
            association.c_find("1.2.3", STUDIES),
            association.c_get("1.2.3", THE_STUDY),
        ):
            (response,) = responses
            assert response.status == status.SOP_CLASS_NOT_SUPPORTED
    handler = Wide(made.folder, made.index, destinations={"THERE": endpoint})
    message = Message(AcceptedContext(1, "1.2.3", EXPLICIT, scu=False, scp=True), CEchoRQ("1", 1))
    assert handler.c_move_requested(message) == status.SOP_CLASS_NOT_SUPPORTED


def test_each_class_that_is_served_has_a_model() -> None:
    assert {STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE} < set(QUERY_RETRIEVE)
    assert all(model_of(uid) for uid in QUERY_RETRIEVE)


def test_a_file_that_is_no_instance_to_be_found_is_kept_with_a_warning(tmp_path: Path) -> None:
    with archive(tmp_path) as (made, endpoint), connect(endpoint) as association:
        directory = instance(1, SOPClassUID="1.2.840.10008.1.3.10")
        response = association.c_store(
            CT, "1.2.3.1.1", EXPLICIT, encode_data_set(directory, EXPLICIT)
        )
        assert response.status == status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING
        assert len(made.stored()) == 1
        assert len(made.index) == 0


def test_scp_roles_let_a_plain_storage_handler_take_what_comes(tmp_path: Path) -> None:
    received = Archive(tmp_path / "received")
    with archive(tmp_path) as (made, endpoint):
        made.put(instance(1))
        with associate(
            endpoint,
            contexts=[CT, STUDY_ROOT_GET],
            roles=scp_roles([CT]),
            handler=StorageHandler(received.folder),
        ) as association:
            assert get(association, THE_STUDY).completed == 1
    assert received.uids() == [f"{STUDY}.1.1"]
