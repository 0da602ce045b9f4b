"""The values of user information: their defaults, and that no secret is shown."""

from __future__ import annotations

import dataclasses

import pytest

from dul_fsm.pdu import DEFAULT_MAXIMUM_LENGTH, UserIdentityAC, UserIdentityRQ, UserInformation


def test_by_default_only_the_maximum_length_is_sent() -> None:
    values = dataclasses.asdict(UserInformation())
    assert values.pop("maximum_length") == DEFAULT_MAXIMUM_LENGTH == 131072
    assert set(values.values()) == {None, ()}


def test_a_user_identity_shows_how_long_its_fields_are_and_nothing_else() -> None:
    identity = UserIdentityRQ(2, b"JANE", b"secret", True)
    assert repr(identity) == (
        "UserIdentityRQ(identity_type=2, primary_field=<4 bytes>,"
        " secondary_field=<6 bytes>, positive_response_requested=True)"
    )


def test_a_server_response_shows_how_long_it_is_and_nothing_else() -> None:
    assert repr(UserIdentityAC(b"ticket")) == "UserIdentityAC(server_response=<6 bytes>)"


def test_user_information_does_not_show_the_secrets_in_it() -> None:
    shown = repr(
        UserInformation(
            user_identity=UserIdentityRQ(2, b"JANE", b"secret"),
            user_identity_response=UserIdentityAC(b"ticket"),
        )
    )
    assert not any(word in shown for word in ("JANE", "secret", "ticket"))


def test_values_with_a_repr_of_their_own_are_frozen_and_compared_by_value() -> None:
    identity = UserIdentityRQ(1, b"a")
    assert identity == UserIdentityRQ(1, b"a", b"", False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        identity.primary_field = b"b"  # type: ignore[misc]
