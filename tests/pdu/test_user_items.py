"""The user information item 50H and its sub-items 51H-59H, each valid and invalid case."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from dul_fsm.errors import PDUError
from dul_fsm.pdu import (
    AsynchronousOperationsWindow,
    RoleSelection,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityAC,
    UserIdentityRQ,
    UserInformation,
)
from dul_fsm.pdu.user_items import decode_user_information, encode_user_information
from tests.pdu.wire import field, item

# One sub-item of each type: content by the tables of Annex D, and what it stands for.
ROLE = field(b"1.2") + b"\1\0"
EXTENDED = field(b"1.2") + b"\xab"
COMMON = field(b"1.2") + field(b"1.3") + field(field(b"1.4") + field(b"1.55"))
IDENTITY = b"\2\1" + field(b"user") + field(b"pw")
RESPONSE = field(b"ok")
SAMPLES: dict[int, tuple[bytes, UserInformation]] = {
    0x51: (b"\0\1\0\2", UserInformation(maximum_length=0x10002)),
    0x52: (b"1.2.3", UserInformation(None, "1.2.3")),
    0x53: (
        b"\0\1\1\0",
        UserInformation(None, asynchronous_operations_window=AsynchronousOperationsWindow(1, 256)),
    ),
    0x54: (ROLE, UserInformation(None, role_selections=(RoleSelection("1.2", True, False),))),
    0x55: (b"NAME 1.0", UserInformation(None, None, "NAME 1.0")),
    0x56: (
        EXTENDED,
        UserInformation(None, extended_negotiations=(SOPClassExtendedNegotiation("1.2", b"\xab"),)),
    ),
    0x57: (
        COMMON,
        UserInformation(
            None,
            common_extended_negotiations=(
                SOPClassCommonExtendedNegotiation("1.2", "1.3", ("1.4", "1.55")),
            ),
        ),
    ),
    0x58: (IDENTITY, UserInformation(None, user_identity=UserIdentityRQ(2, b"user", b"pw", True))),
    0x59: (RESPONSE, UserInformation(None, user_identity_response=UserIdentityAC(b"ok"))),
}
CONTENTS = {kind: content for kind, (content, _) in SAMPLES.items()}


def decode(*sub_items: bytes) -> UserInformation:
    data = b"".join(sub_items)
    return decode_user_information(data, 0, len(data))


def reason(*sub_items: bytes) -> int:
    """The reason for which these sub-items are refused."""
    with pytest.raises(PDUError) as error:
        decode(*sub_items)
    return error.value.reason


@pytest.mark.parametrize("kind", SAMPLES)
def test_each_sub_item_is_read_and_written_as_its_table_says(kind: int) -> None:
    content, value = SAMPLES[kind]
    assert decode(item(kind, content)) == value
    assert encode_user_information(value) == item(0x50, item(kind, content))


def test_user_information_may_be_empty() -> None:
    assert decode() == UserInformation(maximum_length=None)
    assert encode_user_information(UserInformation(maximum_length=None)) == b"\x50\0\0\0"


@pytest.mark.parametrize("kinds", [*itertools.permutations(SAMPLES, 2)])
def test_sub_items_come_in_any_order(kinds: tuple[int, int]) -> None:
    first, second = (item(kind, CONTENTS[kind]) for kind in kinds)
    assert decode(first, second) == decode(second, first)


def test_sub_items_are_sent_in_increasing_order_of_type() -> None:
    everything = [item(kind, CONTENTS[kind]) for kind in SAMPLES]
    value = decode(*reversed(everything))
    assert encode_user_information(value) == item(0x50, b"".join(everything))


@pytest.mark.parametrize("kind", [0x51, 0x52, 0x53, 0x55, 0x58, 0x59])
def test_a_second_sub_item_of_what_occurs_once_is_unexpected(kind: int) -> None:
    sub_item = item(kind, CONTENTS[kind])
    assert reason(sub_item, sub_item) == 5
    assert reason(sub_item, item(0x99, b""), sub_item) == 5


def test_a_second_version_name_is_unexpected_even_after_an_empty_one() -> None:
    assert reason(item(0x55, b""), item(0x55, b"A")) == 5


def test_what_occurs_more_than_once_is_kept_in_the_order_of_the_wire() -> None:
    roles = [item(0x54, field(uid) + b"\0\1") for uid in (b"1.9", b"1.1", b"1.9")]
    extended = [item(0x56, field(uid)) for uid in (b"1.9", b"1.1")]
    common = [item(0x57, field(uid) + field(b"1") + field(b"")) for uid in (b"1.9", b"1.1")]
    value = decode(*roles, *extended, *common)
    assert [role.sop_class_uid for role in value.role_selections] == ["1.9", "1.1", "1.9"]
    assert [item.sop_class_uid for item in value.extended_negotiations] == ["1.9", "1.1"]
    assert [item.sop_class_uid for item in value.common_extended_negotiations] == ["1.9", "1.1"]


@pytest.mark.parametrize("kind", sorted({*range(256)} - {*SAMPLES}))
def test_each_sub_item_of_unknown_type_is_skipped(kind: int) -> None:
    unknown = item(kind, b"\xff" * 5)
    known = item(0x52, b"1.2")
    assert decode(unknown, known, unknown, item(kind, b"")) == decode(known)


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_second_byte_of_a_sub_item_is_reserved_except_in_a_57h(kind: int) -> None:
    content, value = SAMPLES[kind]
    sub_item = bytearray(item(kind, content))
    sub_item[1] = 0xFF
    got = decode(bytes(sub_item))
    if kind == 0x57:
        assert got.common_extended_negotiations[0].version == 255
    else:
        assert got == value


@pytest.mark.parametrize("length", range(69))
@pytest.mark.parametrize("kind", [0x51, 0x53])
def test_maximum_length_and_window_are_4_bytes_long(kind: int, length: int) -> None:
    sub_item = item(kind, bytes(length))
    if length == 4:
        decode(sub_item)
    else:
        assert reason(sub_item) == 6


@pytest.mark.parametrize("length", range(69))
def test_an_implementation_class_uid_has_1_to_64_characters(length: int) -> None:
    sub_item = item(0x52, b"1" * length)
    if 1 <= length <= 64:
        assert decode(sub_item).implementation_class_uid == "1" * length
    else:
        assert reason(sub_item) == 6


@pytest.mark.parametrize("length", range(69))
def test_a_version_name_of_any_length_is_put_up_with_and_an_empty_one_is_none(
    length: int,
) -> None:
    assert decode(item(0x55, b"x" * length)).implementation_version_name == ("x" * length or None)


def test_a_version_name_is_stripped_of_padding_and_need_not_be_ascii() -> None:
    assert decode(item(0x55, b"\xe9 1 \0")).implementation_version_name == "\xe9 1"
    assert decode(item(0x55, b" \0")).implementation_version_name is None


@pytest.mark.parametrize(
    ("kind", "length"),
    [(kind, length) for kind in (0x54, 0x58, 0x59) for length in range(len(CONTENTS[kind]))]
    + [(0x57, length) for length in range(len(COMMON))]
    + [(0x56, length) for length in range(len(EXTENDED) - 1)],
)
def test_a_sub_item_cut_short_anywhere_is_invalid(kind: int, length: int) -> None:
    assert reason(item(kind, CONTENTS[kind][:length])) == 6


@pytest.mark.parametrize("kind", [0x54, 0x58, 0x59])
@pytest.mark.parametrize("extra", range(1, 5))
def test_bytes_after_the_last_field_are_invalid(kind: int, extra: int) -> None:
    assert reason(item(kind, CONTENTS[kind] + bytes(extra))) == 6


@pytest.mark.parametrize("extra", range(5))
def test_bytes_at_the_end_of_a_57h_are_those_of_a_later_version_and_skipped(extra: int) -> None:
    assert decode(item(0x57, COMMON + b"\xff" * extra)) == SAMPLES[0x57][1]


@pytest.mark.parametrize("length", range(69))
def test_extended_negotiation_information_has_any_length(length: int) -> None:
    information = bytes(range(length))
    got = decode(item(0x56, field(b"1.2") + information)).extended_negotiations
    assert got == (SOPClassExtendedNegotiation("1.2", information),)


@pytest.mark.parametrize("length", range(69))
@pytest.mark.parametrize(
    "content",
    [
        lambda uid: (0x54, field(uid) + b"\0\1"),
        lambda uid: (0x56, field(uid)),
        lambda uid: (0x57, field(uid) + field(b"1") + field(b"")),
        lambda uid: (0x57, field(b"1") + field(uid) + field(b"")),
        lambda uid: (0x57, field(b"1") + field(b"1") + field(field(uid))),
    ],
    ids=["54H", "56H", "57H SOP class", "57H service class", "57H related"],
)
def test_each_uid_within_a_sub_item_has_1_to_64_characters(
    length: int, content: Callable[[bytes], tuple[int, bytes]]
) -> None:
    sub_item = item(*content(b"1" * length))
    if 1 <= length <= 64:
        decode(sub_item)
    else:
        assert reason(sub_item) == 6


def test_a_related_uid_must_not_run_over_its_list_even_if_bytes_follow_it() -> None:
    related = b"\0\5" + b"\0\4" + b"1.4"
    assert reason(item(0x57, field(b"1.2") + field(b"1.3") + related + bytes(9))) == 6


def test_a_57h_may_have_no_related_class() -> None:
    got = decode(item(0x57, field(b"1.2") + field(b"1.3") + field(b"")))
    assert got.common_extended_negotiations[0].related_general_sop_classes == ()


@pytest.mark.parametrize("scu", range(256))
def test_each_role_is_yes_unless_its_byte_is_zero(scu: int) -> None:
    scp = 255 - scu
    (role,) = decode(item(0x54, field(b"1.2") + bytes((scu, scp)))).role_selections
    assert (role.scu, role.scp) == (scu != 0, scp != 0)


@pytest.mark.parametrize("kind", range(256))
def test_each_user_identity_type_is_kept_as_it_came(kind: int) -> None:
    identity = decode(item(0x58, bytes((kind, 0)) + field(b"a") + field(b""))).user_identity
    assert identity == UserIdentityRQ(kind, b"a", b"", False)


@pytest.mark.parametrize("requested", range(256))
def test_a_response_is_requested_unless_the_byte_is_zero(requested: int) -> None:
    identity = decode(item(0x58, bytes((1, requested)) + field(b"") + field(b""))).user_identity
    assert identity is not None
    assert identity.positive_response_requested == (requested != 0)


@pytest.mark.parametrize("lengths", [(0, 0), (1, 0), (0, 1), (68, 68), (65525, 0)])
def test_the_fields_of_a_user_identity_have_any_length(lengths: tuple[int, int]) -> None:
    primary, secondary = (b"x" * length for length in lengths)
    value = UserInformation(None, user_identity=UserIdentityRQ(2, primary, secondary))
    encoded = encode_user_information(value)
    assert decode(encoded[4:]) == value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (UserInformation(maximum_length=-1), r"51H: -1 is not in 0\.\.4294967295"),
        (UserInformation(maximum_length=1 << 32), "51H: 4294967296 is not in"),
        (UserInformation(implementation_class_uid=""), "52H: '' has 0 characters"),
        (UserInformation(implementation_class_uid="1" * 65), "52H: .* has 65 characters"),
        (UserInformation(implementation_version_name=""), "55H: ''"),
        (UserInformation(implementation_version_name="x" * 17), "55H: .* is not 1 to 16"),
        (UserInformation(implementation_version_name="\xe9"), "55H: .* printable ASCII"),
        (UserInformation(implementation_version_name="a\n"), "55H: .* printable ASCII"),
        (
            UserInformation(asynchronous_operations_window=AsynchronousOperationsWindow(65536, 1)),
            "53H invoked: 65536",
        ),
        (
            UserInformation(asynchronous_operations_window=AsynchronousOperationsWindow(1, -1)),
            "53H performed: -1",
        ),
        (
            UserInformation(role_selections=(RoleSelection("", True, True),)),
            "54H: '' has 0 characters",
        ),
        (
            UserInformation(
                extended_negotiations=(SOPClassExtendedNegotiation("1.2", bytes(65531)),)
            ),
            "item 56H: 65536 bytes do not fit",
        ),
        (
            UserInformation(
                extended_negotiations=(SOPClassExtendedNegotiation("1.2", bytes(65530)),)
            ),
            "item 50H: .* bytes do not fit",
        ),
        (
            UserInformation(
                common_extended_negotiations=(SOPClassCommonExtendedNegotiation("1", ""),)
            ),
            "57H Service-class-uid: ''",
        ),
        (
            UserInformation(
                common_extended_negotiations=(SOPClassCommonExtendedNegotiation("1", "1", (), 256),)
            ),
            "57H Sub-Item-version: 256",
        ),
        (
            UserInformation(
                common_extended_negotiations=(
                    SOPClassCommonExtendedNegotiation("1", "1", ("1" * 64,) * 1000),
                )
            ),
            "57H Related-general-sop-class-identification: 66000 bytes",
        ),
        (
            UserInformation(user_identity=UserIdentityRQ(256, b"")),
            "58H User-Identity-Type: 256",
        ),
        (
            UserInformation(user_identity=UserIdentityRQ(1, bytes(65536))),
            "58H Primary-field: 65536 bytes",
        ),
        (
            UserInformation(user_identity=UserIdentityRQ(1, b"", bytes(65536))),
            "58H Secondary-field: 65536 bytes",
        ),
        (
            UserInformation(user_identity_response=UserIdentityAC(bytes(65536))),
            "59H Server-response: 65536 bytes",
        ),
    ],
)
def test_what_has_no_place_on_the_wire_is_not_sent(value: UserInformation, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_user_information(value)
