"""`query.index`: what is in a folder answers queries and is found for retrieval."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.data import get_charset_files, get_testdata_file

from dul_fsm.files import NotStorable
from dul_fsm.query import (
    PATIENT_ROOT,
    STUDY_ROOT,
    IdentifierError,
    InformationModel,
    InstanceIndex,
    matches,
)
from dul_fsm.query.attributes import KNOWN, STORED, TAGS
from tests.query.samples import CT, MR, data_set, identifier

EXPLICIT = "1.2.840.10008.1.2.1"


def instance(
    patient: str, study: str, series: str, number: int, modality: str = "CT", **more: object
) -> Dataset:
    uid = f"{study}.{series}.{number}"
    return data_set(
        SOPClassUID=CT if modality == "CT" else MR,
        SOPInstanceUID=uid,
        PatientID=patient,
        PatientName=f"Name^{patient}",
        StudyInstanceUID=study,
        StudyDate=f"2020010{study[-1]}",
        SeriesInstanceUID=f"{study}.{series}",
        SeriesNumber=series,
        Modality=modality,
        InstanceNumber=number,
        **more,
    )


@pytest.fixture
def index() -> InstanceIndex:
    """Patient A: study 1.1 with CT (2 images) and MR (1), study 1.2 with CT (1); B: 1.3, CT (3)."""
    made = InstanceIndex()
    for one in [
        instance("A", "1.1", "1", 1),
        instance("A", "1.1", "1", 2),
        instance("A", "1.1", "2", 1, "MR"),
        instance("A", "1.2", "1", 1),
        instance("B", "1.3", "1", 1),
        instance("B", "1.3", "1", 2),
        instance("B", "1.3", "1", 3),
    ]:
        made.add(one, transfer_syntax_uid=EXPLICIT)
    return made


def found(index: InstanceIndex, model: InformationModel, level: str, *keys: str) -> list[Dataset]:
    return list(index.find(identifier(f"QueryRetrieveLevel={level}", *keys), model))


def values(answers: list[Dataset], keyword: str) -> list[object]:
    return [getattr(answer, keyword) for answer in answers]


# Finding -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "studies"),
    [
        ([], ["1.1", "1.2", "1.3"]),
        (["PatientID=A"], ["1.1", "1.2"]),
        (["PatientID=?"], ["1.1", "1.2", "1.3"]),
        (["PatientID=C"], []),
        (["PatientName=name^b"], ["1.3"]),
        (["StudyDate=20200102-"], ["1.2", "1.3"]),
        (["StudyInstanceUID=1.3\\1.1\\9.9\\1.3"], ["1.3", "1.1"]),
        (["StudyInstanceUID=1.3\\1.1", "PatientID=A"], ["1.1"]),
        (["ModalitiesInStudy=MR"], ["1.1"]),
        (["NumberOfStudyRelatedInstances=3"], ["1.1", "1.3"]),
        (["SeriesDescription=ignored at this level"], ["1.1", "1.2", "1.3"]),
    ],
)
def test_studies_are_found_by_their_attributes_and_their_patient_s(
    index: InstanceIndex, keys: list[str], studies: list[str]
) -> None:
    return_key = [] if any("StudyInstanceUID" in key for key in keys) else ["StudyInstanceUID"]
    answers = found(index, STUDY_ROOT, "STUDY", *keys, *return_key)
    assert values(answers, "StudyInstanceUID") == studies


def test_patients_are_found_in_the_patient_root(index: InstanceIndex) -> None:
    answers = found(
        index,
        PATIENT_ROOT,
        "PATIENT",
        "PatientName",
        "NumberOfPatientRelatedStudies",
        "NumberOfPatientRelatedSeries",
        "NumberOfPatientRelatedInstances",
    )
    assert [[element.value for element in answer][1:] for answer in answers] == [
        ["Name^A", 2, 3, 4],
        ["Name^B", 1, 1, 3],
    ]


def test_a_study_tells_what_is_in_it(index: InstanceIndex) -> None:
    (answer,) = found(
        index,
        PATIENT_ROOT,
        "STUDY",
        "PatientID=A",
        "StudyInstanceUID=1.1",
        "ModalitiesInStudy",
        "SOPClassesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    )
    assert list(answer.ModalitiesInStudy) == ["CT", "MR"]
    assert list(answer.SOPClassesInStudy) == [CT, MR]
    assert answer.NumberOfStudyRelatedSeries == 2
    assert answer.NumberOfStudyRelatedInstances == 3


def test_series_and_images_are_found_in_what_is_named_above_them(index: InstanceIndex) -> None:
    answers = found(
        index,
        STUDY_ROOT,
        "SERIES",
        "StudyInstanceUID=1.1",
        "Modality=CT",
        "SeriesInstanceUID",
        "NumberOfSeriesRelatedInstances",
        "PatientName",
    )
    (series,) = answers
    assert series.SeriesInstanceUID == "1.1.1"
    assert series.NumberOfSeriesRelatedInstances == 2
    assert series.PatientName == "Name^A"
    images = found(
        index,
        STUDY_ROOT,
        "IMAGE",
        "StudyInstanceUID=1.1",
        "SeriesInstanceUID=1.1.1",
        "InstanceNumber=2",
        "SOPInstanceUID",
        "AvailableTransferSyntaxUID",
    )
    (image,) = images
    assert image.SOPInstanceUID == "1.1.1.2"
    assert image.AvailableTransferSyntaxUID == EXPLICIT


def test_a_relational_query_skips_levels(index: InstanceIndex) -> None:
    asked = identifier("QueryRetrieveLevel=IMAGE", "SOPInstanceUID=1.3.1.2")
    with pytest.raises(IdentifierError):
        index.find(asked, STUDY_ROOT)
    (answer,) = index.find(asked, STUDY_ROOT, relational=True)
    assert answer.SOPInstanceUID == "1.3.1.2"


def test_an_unknown_unique_key_matches_no_value() -> None:
    """PS3.4 §C.2.2.1.1: unique keys are never unknown, other keys may be."""
    index = InstanceIndex()
    without = instance("A", "1.1", "1", 1)
    without.PatientID = ""
    index.add(without)
    assert not found(index, STUDY_ROOT, "STUDY", "PatientID=A")
    assert not found(index, STUDY_ROOT, "STUDY", "PatientID=?")
    assert found(index, STUDY_ROOT, "STUDY", "AccessionNumber=1")


def test_an_answer_says_where_to_retrieve_from_and_leaves_out_what_is_not_kept(
    index: InstanceIndex,
) -> None:
    asked = identifier("QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.3", "StudyID", "Rows")
    (answer,) = index.find(asked, STUDY_ROOT, retrieve_ae_title="PACS")
    assert [element.keyword for element in answer] == [
        "QueryRetrieveLevel",
        "RetrieveAETitle",
        "StudyInstanceUID",
        "StudyID",
    ]
    assert answer.RetrieveAETitle == "PACS"
    assert index.pending_status(asked, STUDY_ROOT) == 0xFF01
    del asked.Rows
    assert index.pending_status(asked, STUDY_ROOT) == 0xFF00


def test_an_answer_is_made_when_it_is_asked_for(index: InstanceIndex) -> None:
    answers = index.find(identifier("QueryRetrieveLevel=STUDY", "StudyInstanceUID"), STUDY_ROOT)
    next(answers)
    for number in (1, 2, 3):
        index.remove(f"1.3.1.{number}")
    assert [answer.StudyInstanceUID for answer in answers] == ["1.2"]


# Retrieving --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "level", "keys", "uids"),
    [
        (PATIENT_ROOT, "PATIENT", ["PatientID=B"], ["1.3.1.1", "1.3.1.2", "1.3.1.3"]),
        (STUDY_ROOT, "STUDY", ["StudyInstanceUID=1.1"], ["1.1.1.1", "1.1.1.2", "1.1.2.1"]),
        (STUDY_ROOT, "STUDY", ["StudyInstanceUID=1.2\\1.3", "PatientID=A"], ["1.2.1.1"]),
        (STUDY_ROOT, "STUDY", ["StudyInstanceUID=1.2", "StudyDate=19990101"], ["1.2.1.1"]),
        (STUDY_ROOT, "SERIES", ["StudyInstanceUID=1.1", "SeriesInstanceUID=1.1.2"], ["1.1.2.1"]),
        (
            STUDY_ROOT,
            "IMAGE",
            ["StudyInstanceUID=1.1", "SeriesInstanceUID=1.1.1", "SOPInstanceUID=1.1.1.2\\9"],
            ["1.1.1.2"],
        ),
        (STUDY_ROOT, "STUDY", ["StudyInstanceUID=9"], []),
        (PATIENT_ROOT, "STUDY", ["PatientID=B", "StudyInstanceUID=1.1"], []),
    ],
)
def test_a_retrieval_is_by_unique_keys_alone(
    index: InstanceIndex, model: InformationModel, level: str, keys: list[str], uids: list[str]
) -> None:
    selected = index.select(identifier(f"QueryRetrieveLevel={level}", *keys), model)
    assert [one.sop_instance_uid for one in selected] == uids


def test_what_is_selected_says_how_to_send_it(index: InstanceIndex) -> None:
    asked = identifier("QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2")
    (one,) = index.select(asked, STUDY_ROOT)
    assert (one.sop_class_uid, one.transfer_syntax_uid, one.path) == (CT, EXPLICIT, None)


def test_a_retrieval_that_names_nothing_is_an_error(index: InstanceIndex) -> None:
    with pytest.raises(IdentifierError):
        index.select(identifier("QueryRetrieveLevel=STUDY"), STUDY_ROOT)


# Adding and removing -----------------------------------------------------------------------------


def test_an_instance_that_comes_again_is_counted_once(index: InstanceIndex) -> None:
    before = len(index)
    moved = instance("A", "1.1", "1", 1)
    index.add(moved)
    assert len(index) == before
    moved.SeriesInstanceUID = "1.1.9"
    index.add(moved)
    assert len(index) == before
    keys = ["StudyInstanceUID=1.1", "SeriesInstanceUID", "NumberOfSeriesRelatedInstances"]
    counts = values(found(index, STUDY_ROOT, "SERIES", *keys), "NumberOfSeriesRelatedInstances")
    assert counts == [1, 1, 1]


def test_what_is_empty_is_gone(index: InstanceIndex) -> None:
    for number in (1, 2, 3):
        index.remove(f"1.3.1.{number}")
    assert not index.remove("never there")
    assert len(index) == 4
    assert values(found(index, PATIENT_ROOT, "PATIENT", "PatientID"), "PatientID") == ["A"]
    assert not found(index, STUDY_ROOT, "STUDY", "StudyInstanceUID=1.3")


def test_an_instance_is_removed_with_its_file_and_not_with_another(tmp_path: Path) -> None:
    index = InstanceIndex()
    index.add(instance("A", "1.1", "1", 1), path=tmp_path / "1.dcm")
    assert not index.remove("1.1.1.1", path=tmp_path / "2.dcm")
    assert len(index) == 1
    assert index.remove("1.1.1.1", path=str(tmp_path / "1.dcm"))
    assert len(index) == 0


def test_a_study_belongs_to_the_patient_that_it_came_with(index: InstanceIndex) -> None:
    index.add(instance("B", "1.1", "1", 9))
    (study,) = found(
        index, STUDY_ROOT, "STUDY", "StudyInstanceUID=1.1", "NumberOfStudyRelatedInstances"
    )
    assert study.NumberOfStudyRelatedInstances == 4
    assert not found(index, STUDY_ROOT, "STUDY", "StudyInstanceUID=1.1", "PatientID=B")


def test_a_later_instance_fills_in_what_was_missing(index: InstanceIndex) -> None:
    index.add(instance("A", "1.1", "1", 8, StudyDescription="Head"))
    (study,) = found(index, STUDY_ROOT, "STUDY", "StudyInstanceUID=1.1", "StudyDescription")
    assert study.StudyDescription == "Head"


def test_an_instance_without_its_identity_is_refused() -> None:
    with pytest.raises(ValueError, match="SOP Class UID"):
        InstanceIndex().add(data_set(SOPInstanceUID="1.2"))


def test_many_may_add_while_one_asks() -> None:
    index = InstanceIndex()
    asked = identifier("QueryRetrieveLevel=STUDY", "NumberOfStudyRelatedInstances")

    def add(patient: str) -> None:
        for number in range(200):
            index.add(instance(patient, f"1.{number % 7}{patient}", "1", number))

    threads = [threading.Thread(target=add, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert all(one.NumberOfStudyRelatedInstances for one in index.find(asked, STUDY_ROOT))
    for thread in threads:
        thread.join()
    assert len(index) == 800
    counts = values(list(index.find(asked, STUDY_ROOT)), "NumberOfStudyRelatedInstances")
    assert sum(int(str(count)) for count in counts) == 800


# Files -------------------------------------------------------------------------------------------

CT_FILE = Path(str(get_testdata_file("CT_small.dcm")))


def test_a_file_is_indexed_by_its_head() -> None:
    index = InstanceIndex()
    added = index.add_file(CT_FILE)
    assert added.path == CT_FILE
    (answer,) = found(index, STUDY_ROOT, "STUDY", "PatientName=compressed*", "ModalitiesInStudy")
    assert (answer.PatientName, answer.ModalitiesInStudy) == ("CompressedSamples^CT1", "CT")
    (image,) = index.select(
        identifier("QueryRetrieveLevel=PATIENT", "PatientID=1CT1"), PATIENT_ROOT
    )
    assert image == added


def test_a_folder_is_indexed_with_its_folders(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "1.dcm").write_bytes(CT_FILE.read_bytes())
    (tmp_path / ".arriving.part").write_bytes(CT_FILE.read_bytes())
    (tmp_path / "notes.txt").write_text("not DICOM")
    index = InstanceIndex()
    assert index.add_folder(tmp_path) == len(index) == 1


def test_what_is_no_instance_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("not DICOM")
    with pytest.raises(NotStorable):
        InstanceIndex().add_file(tmp_path / "x")


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("chrX1.dcm", "Wang^XiaoDong=王^小東"),
        ("chrGerm.dcm", "Äneas^Rüdiger"),
        ("chrH31.dcm", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("chrRuss.dcm", "Люкceмбypг"),  # noqa: RUF001
    ],
)
def test_names_are_read_in_their_character_set(name: str, person: str) -> None:
    index = InstanceIndex()
    index.add_file(str(get_charset_files(name)[0]))
    (answer,) = found(index, STUDY_ROOT, "STUDY", f"PatientName={person}")
    assert str(answer.PatientName) == person


def test_every_attribute_has_the_vr_of_the_data_dictionary_and_one_level() -> None:
    from pydicom.datadict import dictionary_VR

    assert {tag: vr for tag, (_, vr) in KNOWN.items()} == {tag: dictionary_VR(tag) for tag in KNOWN}
    assert sum(len(tags) for tags in STORED.values()) == len(TAGS) - 1


# Against an oracle -------------------------------------------------------------------------------

PLACES = st.lists(
    st.tuples(
        st.sampled_from(["A", "B"]),
        st.sampled_from(["1", "2"]),
        st.sampled_from(["1", "2"]),
        st.integers(1, 3),
    ),
    max_size=12,
    unique=True,
)
WANTED = st.fixed_dictionaries(
    {
        "PatientID": st.sampled_from(["", "*", "A", "?", "C"]),
        "StudyInstanceUID": st.sampled_from(["", "A1", "A1\\B1\\A2", "9"]),
        "StudyDate": st.sampled_from(["", "20200101", "-20200101", "20200102-"]),
        "SeriesInstanceUID": st.sampled_from(["", "A11", "A11\\B12"]),
        "Modality": st.sampled_from(["", "CT", "M*"]),
        "InstanceNumber": st.sampled_from(["", "2"]),
    }
)


@given(PLACES, WANTED, st.permutations(range(12)))
def test_images_are_found_that_trying_each_would_find(
    places: list[tuple[str, str, str, int]], wanted: dict[str, str], order: list[int]
) -> None:
    """The tree gives what matching each instance by itself gives, in whatever order they came."""
    instances = []
    for patient, study, series, number in places:
        made = instance(patient, f"{patient}{study}", series, number)
        made.SeriesInstanceUID = f"{patient}{study}{series}"
        # What is the series' own is the same in all its images.
        made.Modality = "CT" if series == "1" else "MR"
        instances.append(made)
    index = InstanceIndex()
    for position in order:
        if position < len(instances):
            index.add(instances[position])
    asked = identifier(
        "QueryRetrieveLevel=IMAGE",
        "SOPInstanceUID",
        *(f"{keyword}={value}" for keyword, value in wanted.items()),
    )
    answers = index.find(asked, PATIENT_ROOT, relational=True)
    assert sorted(one.SOPInstanceUID for one in answers) == sorted(
        one.SOPInstanceUID for one in instances if matches(asked, one)
    )
