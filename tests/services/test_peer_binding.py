"""`PeerBinding`: by its certificate, a peer may use the AE titles that were given to it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dul_fsm.services.peer_binding import PeerBinding

HEX = "0123456789abcdef" * 4
COLONS = ":".join(HEX[i : i + 2] for i in range(0, 64, 2)).upper()


@dataclass(frozen=True)
class Shown:
    names: tuple[str, ...] = ()
    fingerprint: str = "f" * 64


def test_a_name_may_use_its_ae_titles_and_no_others() -> None:
    binding = PeerBinding({"ct1.example.org": ["CT1", " CT1B "], "us1.example.org": "US1"})
    ct = Shown(("other.example.org", "ct1.example.org"))
    assert [binding.allows(ct, title) for title in ("CT1", "CT1B", "US1", "", "ct1")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_names_do_not_care_for_case() -> None:
    assert PeerBinding({"CT1.Example.org": "CT1"}).allows(Shown(("ct1.EXAMPLE.org",)), "CT1")


@pytest.mark.parametrize("key", [HEX, HEX.upper(), COLONS, f"SHA256:{COLONS}", f" {HEX}"])
def test_a_fingerprint_is_taken_in_all_its_forms(key: str) -> None:
    binding = PeerBinding({key: "CT1"})
    assert binding.allows(Shown(fingerprint=HEX), "CT1")
    assert not binding.allows(Shown(), "CT1")


def test_who_matches_several_may_use_the_titles_of_all() -> None:
    binding = PeerBinding({"ct1.example.org": "CT1", HEX: "CT2", COLONS: ["CT3"]})
    shown = Shown(("ct1.example.org",), HEX)
    assert all(binding.allows(shown, title) for title in ("CT1", "CT2", "CT3"))


def test_who_shows_nothing_or_something_unknown_may_use_none() -> None:
    binding = PeerBinding({"ct1.example.org": "CT1"})
    assert not binding.allows(None, "CT1")
    assert not binding.allows(Shown(("stranger.example.org",)), "CT1")
    assert not PeerBinding({}).allows(Shown(("ct1.example.org",)), "CT1")


@pytest.mark.parametrize("title", ["", "  ", "SEVENTEEN LETTERS"])
def test_what_cannot_be_an_ae_title_is_refused(title: str) -> None:
    with pytest.raises(ValueError, match="1 to 16 characters"):
        PeerBinding({"ct1.example.org": title})
