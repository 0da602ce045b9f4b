"""`query.matching`: PS3.4 §C.2.2.2, each kind of matching, and what is answered."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sequence import Sequence

from dul_fsm.dimse.data_set import decode_data_set, encode_data_set
from dul_fsm.query import Query, matches
from dul_fsm.query.matching import criterion_of, wild_card
from tests.query.samples import data_set, identifier

EXPLICIT = "1.2.840.10008.1.2.1"


def says(key: str, **attributes: object) -> bool:
    return matches(identifier(key), data_set(**attributes))


# Single values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "attributes", "expected"),
    [
        ("PatientID=42", {"PatientID": "42"}, True),
        ("PatientID=42", {"PatientID": " 42 "}, True),
        ("PatientID=42", {"PatientID": "042"}, False),
        ("PatientID=a", {"PatientID": "A"}, False),
        ("InstanceNumber=7", {"InstanceNumber": "007"}, True),
        ("InstanceNumber=7", {"InstanceNumber": "8"}, False),
        ("PatientWeight=70", {"PatientWeight": "70.0"}, True),
        ("Rows=512", {"Rows": 512}, True),
        ("Rows=512", {"Rows": 256}, False),
        ("StudyTime=2230", {"StudyTime": "223000"}, True),
        ("StudyTime=223000", {"StudyTime": "2230"}, True),
        ("StudyTime=2230", {"StudyTime": "223059.999999"}, True),
        ("StudyTime=2230", {"StudyTime": "223100"}, False),
        (
            "AcquisitionDateTime=19980128103000.0000",
            {"AcquisitionDateTime": "19980128103000"},
            True,
        ),
        (
            "AcquisitionDateTime=19980128103000",
            {"AcquisitionDateTime": "19980128073000-0300"},
            True,
        ),
        ("StudyDate=20200131", {"StudyDate": "2020.01.31"}, True),
        ("StudyDate=20200131", {"StudyDate": "unknown"}, False),
        ("PatientAge=010Y", {"PatientAge": "010Y"}, True),
        ("FrameIncrementPointer=00181063", {"FrameIncrementPointer": 0x00181063}, True),
    ],
)
def test_a_single_value(key: str, attributes: dict[str, object], expected: bool) -> None:
    assert says(key, **attributes) is expected


@pytest.mark.parametrize(
    ("key", "name", "expected"),
    [
        ("DOE^JOHN", "Doe^John", True),
        ("doe^john", "DOE^JOHN^^^", True),
        ("DOE^JOHN^^", "Doe^John", True),
        ("DOE", "Doe^John", False),
        ("DOE*", "Doe^John", True),
        ("DOE^*", "Doe", True),
        ("DOE^*", "Doering^John", False),
        ("*john", "Doe^John", True),
        ("D?E^J*", "Doe^John", True),
        ("王^小東", "Wang^XiaoDong=王^小東", True),
        ("wang*", "Wang^XiaoDong=王^小東", True),
        ("Wang^XiaoDong=王^小東", "Wang^XiaoDong=王^小東", True),
        ("Wang^XiaoDong=李^小東", "Wang^XiaoDong=王^小東", False),
        ("*=王*", "Wang^XiaoDong=王^小東", True),
        ("Döring", "DÖRING", True),
        ("Doring", "Döring", False),
    ],
)
def test_a_name_in_any_case_whole_or_by_group(key: str, name: str, expected: bool) -> None:
    assert says(f"PatientName={key}", PatientName=name) is expected


# Universal matching, and what is unknown ---------------------------------------------------------


@pytest.mark.parametrize("key", ["PatientID", "PatientID=*", "PatientID=**", "PatientName=*"])
def test_no_value_and_an_asterisk_match_everything(key: str) -> None:
    assert says(key, PatientID="42", PatientName="Doe")
    assert says(key, PatientID="")
    assert says(key)


def test_a_key_matches_what_is_unknown() -> None:
    """PS3.4 §C.2.2.1.2: a zero length attribute is a successful match."""
    assert says("AccessionNumber=1", AccessionNumber="")
    assert says("AccessionNumber=1")
    assert says("StudyDate=20200101", StudyDate=None)
    assert not says("AccessionNumber=1", AccessionNumber="2")


def test_what_is_about_the_query_is_not_matched() -> None:
    key = identifier("QueryRetrieveLevel=STUDY", "SpecificCharacterSet=ISO_IR 100")
    assert matches(key, data_set(QueryRetrieveLevel="IMAGE", SpecificCharacterSet="ISO_IR 192"))


def test_bytes_are_not_matched() -> None:
    assert matches(data_set(PixelData=b"\1\2"), data_set(PixelData=b"\3\4"))


# Lists -------------------------------------------------------------------------------------------


def test_a_list_of_uids_matches_each_of_them() -> None:
    assert says("StudyInstanceUID=1.2\\1.3", StudyInstanceUID="1.3")
    assert not says("StudyInstanceUID=1.2\\1.3", StudyInstanceUID="1.4")
    assert not says("StudyInstanceUID=1.*", StudyInstanceUID="1.4")


def test_one_of_several_values_is_enough() -> None:
    assert says("ModalitiesInStudy=MR", ModalitiesInStudy=["CT", "MR"])
    assert says("ModalitiesInStudy=M*", ModalitiesInStudy=["CT", "MR"])
    assert says("ModalitiesInStudy=US\\MR", ModalitiesInStudy=["CT", "MR"])
    assert not says("ModalitiesInStudy=US\\PT", ModalitiesInStudy=["CT", "MR"])


# Wild cards --------------------------------------------------------------------------------------


def is_like(pattern: str, text: str) -> bool:
    """The oracle: every way to read the pattern is tried."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(is_like(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and is_like(pattern[1:], text[1:])


@given(st.text("ab*?", max_size=8), st.text("ab\n", max_size=8))
def test_wild_cards_match_what_trying_everything_matches(pattern: str, text: str) -> None:
    """The compiled pattern and the oracle agree."""
    assert wild_card(pattern)(text) is is_like(pattern, text)


@given(st.text(max_size=12))
def test_all_else_stands_for_itself(text: str) -> None:
    """No character but two has a meaning in a pattern."""
    if not set(text) & set("*?"):
        assert wild_card(text)(text)
        assert wild_card(f"*{text}*")(f"a{text}b")


@pytest.mark.parametrize("vr_keyword", ["StudyDescription", "Modality", "AccessionNumber"])
def test_text_has_wild_cards_and_its_case_counts(vr_keyword: str) -> None:
    assert says(f"{vr_keyword}=C?*", **{vr_keyword: "CTX"})
    assert not says(f"{vr_keyword}=c*", **{vr_keyword: "CTX"})


def test_a_pattern_of_a_hostile_peer_comes_to_an_end() -> None:
    """It would not within anybody's life, if every way to read it were tried."""
    assert not wild_card("*a" * 2000 + "b")("a" * 10_000)


# Ranges ------------------------------------------------------------------------------------------

DAYS = st.dates(date(1990, 1, 1), date(1990, 3, 31))
BOUNDS = st.tuples(st.none() | DAYS, st.none() | DAYS).filter(any)


def text_of(day: date | None) -> str:
    return f"{day:%Y%m%d}" if day else ""


@given(BOUNDS, DAYS)
def test_a_range_of_dates_matches_the_days_in_it(
    bounds: tuple[date | None, date | None], day: date
) -> None:
    """The oracle counts days."""
    low, high = bounds
    expected = (low is None or low <= day) and (high is None or day <= high)
    key = f"StudyDate={text_of(low)}-{text_of(high)}"
    assert says(key, StudyDate=text_of(day)) is expected


MINUTES = st.integers(0, 24 * 60 - 1)


@given(MINUTES, MINUTES, st.integers(0, 24 * 3600 - 1))
def test_a_range_of_times_includes_its_last_minute(low: int, high: int, second: int) -> None:
    """The oracle counts seconds."""

    def clock(minute: int) -> str:
        return f"{minute // 60:02}{minute % 60:02}"

    found = f"{clock(second // 60)}{second % 60:02}"
    expected = low * 60 <= second <= high * 60 + 59
    assert says(f"StudyTime={clock(low)}-{clock(high)}", StudyTime=found) is expected


@given(st.integers(-12, 14), st.integers(0, 72))
def test_offsets_from_utc_are_taken_into_account(offset: int, hour: int) -> None:
    """A moment is in a range of UTC whatever zone it is told in."""
    moment = date(2020, 1, 1)
    local = timedelta(hours=hour + offset)
    day = moment + timedelta(days=local // timedelta(days=1))
    sign = "-" if offset < 0 else "+"
    found = f"{day:%Y%m%d}{local.seconds // 3600:02}0000{sign}{abs(offset):02}00"
    key = "AcquisitionDateTime=2020010200-2020010223"
    assert says(key, AcquisitionDateTime=found) is (24 <= hour <= 47)


def test_each_attribute_is_a_range_by_itself() -> None:
    """PS3.4 §C.2.2.2.5.4: a date and a time are combined only when it was negotiated."""
    key = identifier("StudyDate=20060705-20060707", "StudyTime=1000-1800")
    assert not matches(key, data_set(StudyDate="20060706", StudyTime="0900"))
    assert matches(key, data_set(StudyDate="20060706", StudyTime="1200"))


def test_what_a_peer_takes_for_a_date_is_compared_as_it_stands() -> None:
    asked = data_set(StudyDate="2020*")
    assert matches(asked, data_set(StudyDate="2020*"))
    assert not matches(asked, data_set(StudyDate="20200101"))


def test_what_somebody_took_for_a_number_matches_none() -> None:
    criterion = criterion_of(data_set(InstanceNumber="7")["InstanceNumber"])
    assert criterion is not None
    assert criterion(["x", "07"])
    assert not criterion(["x"])


# Sequences ---------------------------------------------------------------------------------------


def step(modality: str, day: str) -> Dataset:
    return data_set(
        Modality=modality, ScheduledProcedureStepStartDate=day, ScheduledStationName="A"
    )


TWO_STEPS = data_set(
    PatientID="1",
    ScheduledProcedureStepSequence=Sequence([step("CT", "20200101"), step("MR", "20200102")]),
)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["Modality=CT"], True),
        (["Modality=US"], False),
        (["Modality=CT", "ScheduledProcedureStepStartDate=20200101-"], True),
        (["Modality=CT", "ScheduledProcedureStepStartDate=20200102"], False),
    ],
)
def test_all_keys_of_an_item_match_in_one_item(keys: list[str], expected: bool) -> None:
    asked = identifier(*(f"ScheduledProcedureStepSequence.{key}" for key in keys))
    assert matches(asked, TWO_STEPS) is expected


def test_a_sequence_without_an_item_matches_and_is_returned_whole() -> None:
    query = Query(identifier("ScheduledProcedureStepSequence"))
    assert query.matches(TWO_STEPS)
    answer = query.response(TWO_STEPS)
    assert [item.Modality for item in answer.ScheduledProcedureStepSequence] == ["CT", "MR"]


def test_the_items_that_match_are_returned_with_what_was_asked_for() -> None:
    query = Query(
        identifier(
            "ScheduledProcedureStepSequence.Modality=MR",
            "ScheduledProcedureStepSequence.ScheduledPerformingPhysicianName",
        )
    )
    (item,) = query.response(TWO_STEPS).ScheduledProcedureStepSequence
    assert [element.keyword for element in item] == ["Modality", "ScheduledPerformingPhysicianName"]
    assert item.Modality == "MR"


def test_a_sequence_that_is_not_there_is_unknown() -> None:
    query = Query(identifier("ScheduledProcedureStepSequence.Modality=MR", "PatientID"))
    assert query.matches(data_set(PatientID="1"))
    assert len(query.response(data_set(PatientID="1")).ScheduledProcedureStepSequence) == 0


# Responses ---------------------------------------------------------------------------------------


def test_a_response_has_what_was_asked_for_and_no_more() -> None:
    query = Query(identifier("QueryRetrieveLevel=STUDY", "PatientID=4*", "StudyDate", "StudyID"))
    answer = query.response(
        data_set(PatientID="42", PatientName="Doe", StudyDate="20200101"), retrieve_ae_title="PACS"
    )
    assert {element.keyword: element.value for element in answer} == {
        "QueryRetrieveLevel": "STUDY",
        "RetrieveAETitle": "PACS",
        "PatientID": "42",
        "StudyDate": "20200101",
        "StudyID": None,
    }


def test_what_is_not_supported_is_left_out() -> None:
    query = Query(identifier("PatientID", "StudyID"))
    answer = query.response(Dataset(), supported={0x00100020})
    assert [element.keyword for element in answer] == ["PatientID"]


@pytest.mark.parametrize(
    ("name", "preferred", "expected"),
    [
        ("Doe", "ISO_IR 100", None),
        ("Döring", "ISO_IR 100", "ISO_IR 100"),
        ("Döring", "", "ISO_IR 192"),
        ("王", "ISO_IR 100", "ISO_IR 192"),
        ("Döring", "nonsense", "ISO_IR 192"),
        ("山田", "\\ISO 2022 IR 87", "ISO_IR 192"),
    ],
)
def test_the_character_set_is_one_that_the_names_fit_into(
    name: str, preferred: str, expected: str | None
) -> None:
    query = Query(identifier("PatientName", "SpecificCharacterSet=ISO_IR 100"))
    answer = query.response(data_set(PatientName=name), character_set=preferred)
    assert answer.get("SpecificCharacterSet") == expected
    decoded = decode_data_set(encode_data_set(answer, EXPLICIT), EXPLICIT)
    assert str(decoded.PatientName) == name


def test_a_name_that_was_read_in_one_character_set_is_answered_in_another() -> None:
    name = "Люкceмбypг"  # noqa: RUF001
    kept = data_set(SpecificCharacterSet="ISO_IR 144", PatientName=name)
    read = decode_data_set(encode_data_set(kept, EXPLICIT), EXPLICIT)
    answer = Query(identifier("PatientName")).response(read, character_set="ISO_IR 100")
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    again = decode_data_set(encode_data_set(answer, EXPLICIT), EXPLICIT)
    assert str(again.PatientName) == name
