"""What is remembered of A-ASSOCIATE PDUs: the same for the same bytes, bounded, and no secrets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dul_fsm.errors import PDUError
from dul_fsm.pdu import (
    AAssociateAC,
    AAssociateRQ,
    PresentationContextAC,
    PresentationContextRQ,
    RoleSelection,
    UserIdentityAC,
    UserIdentityRQ,
    UserInformation,
    associate,
    decode,
    encode,
)

CONTEXT = PresentationContextRQ(1, "1.2.3", ("1.2.840.10008.1.2",))
ANSWER = PresentationContextAC(1, 0, "1.2.840.10008.1.2")


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    associate._remembered.clear()
    yield
    associate._remembered.clear()


def request(info: UserInformation, calling_ae_title: str = "SCU") -> bytes:
    return encode(AAssociateRQ("SCP", calling_ae_title, (CONTEXT,), info))


def test_who_proposes_the_same_again_gets_the_same_values_and_its_own_ae_titles() -> None:
    one, other = (decode(request(UserInformation(), title)) for title in ("ONE", "OTHER"))
    assert isinstance(one, AAssociateRQ)
    assert isinstance(other, AAssociateRQ)
    assert one.presentation_contexts is other.presentation_contexts
    assert one.user_information is other.user_information
    assert (one.calling_ae_title, other.calling_ae_title) == ("ONE", "OTHER")


def test_a_request_and_an_answer_of_the_same_bytes_are_not_taken_for_each_other() -> None:
    body = request(UserInformation())
    decode(body)
    with pytest.raises(PDUError, match="no 21H item"):
        decode(b"\2" + body[1:])


@pytest.mark.parametrize(
    "pdu",
    [
        AAssociateRQ(
            "SCP", "SCU", (CONTEXT,), UserInformation(user_identity=UserIdentityRQ(2, b"U", b"P"))
        ),
        AAssociateAC((ANSWER,), UserInformation(user_identity_response=UserIdentityAC(b"T"))),
    ],
    ids=["request", "answer"],
)
def test_a_user_identity_is_never_remembered(pdu: AAssociateRQ | AAssociateAC) -> None:
    assert decode(encode(pdu)) == pdu
    assert not associate._remembered


def test_what_cannot_be_decoded_is_judged_anew_each_time() -> None:
    broken = request(UserInformation())[:-1]
    broken = broken[:2] + (len(broken) - 6).to_bytes(4, "big") + broken[6:]
    for _ in range(2):
        with pytest.raises(PDUError):
            decode(broken)
    assert not associate._remembered


def test_no_more_and_nothing_longer_is_remembered_than_there_is_room_for() -> None:
    for number in range(2 * associate._REMEMBERED + 1):
        decode(request(UserInformation(maximum_length=number)))
        assert 0 < len(associate._remembered) <= associate._REMEMBERED
    associate._remembered.clear()
    room = associate._LONGEST_REMEMBERED - (len(request(UserInformation())) - 6)
    role = RoleSelection("1.2.3.4", True, True)  # 15 bytes
    fits, last = divmod(room, 15)
    roles = (role,) * (fits - 1) + (RoleSelection("1" * (7 + last), True, True),)
    longest = UserInformation(role_selections=roles)
    decode(request(longest))
    assert len(associate._remembered) == 1
    decode(
        request(
            UserInformation(
                role_selections=(*roles[:-1], RoleSelection("1" * (8 + last), True, True))
            )
        )
    )
    assert len(associate._remembered) == 1
