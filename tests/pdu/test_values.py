"""The values of PDUs: their types, their defaults, what they do not show, that they are frozen."""

from __future__ import annotations

import dataclasses

import pytest

from dul_fsm.pdu import (
    PDU,
    PDV,
    AAssociateAC,
    AAssociateRQ,
    PDataTF,
    PDUType,
    PresentationContextAC,
    PresentationContextRQ,
    UserInformation,
)
from tests.pdu.wire import KNOWN


@pytest.mark.parametrize(("number", "name"), [*enumerate(KNOWN, 1)])
def test_each_pdu_knows_its_type(number: int, name: str) -> None:
    pdu = KNOWN[name][1]
    assert pdu.pdu_type is PDUType(number)
    assert pdu.pdu_type.name.replace("_", "-") == name


@pytest.mark.parametrize("pdu", [pdu for _, pdu in KNOWN.values()], ids=KNOWN)
def test_each_pdu_is_frozen_and_slotted(pdu: PDU) -> None:
    assert not hasattr(pdu, "__dict__")
    assert hash(pdu) == hash(dataclasses.replace(pdu))
    for name in (field.name for field in dataclasses.fields(pdu)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(pdu, name, None)


def test_an_association_is_proposed_and_answered_with_the_defaults_of_the_standard() -> None:
    context = PresentationContextRQ(1, "1.1", ("1.2",))
    rq = AAssociateRQ("SCP", "SCU", (context,), UserInformation())
    ac = AAssociateAC((PresentationContextAC(1, 0, "1.2"),), UserInformation())
    for pdu in (rq, ac):
        assert pdu.application_context_name == "1.2.840.10008.3.1.1.1"
        assert pdu.protocol_version == 1
    assert rq.reserved == bytes(32)
    assert ac.echo == bytes(64)


def test_a_fragment_is_not_shown_because_it_may_be_a_patients() -> None:
    shown = repr(PDataTF((PDV(3, False, True, b"DOE^JANE"),)))
    assert "DOE" not in shown
    assert "PDV(context_id=3, is_command=False, is_last=True, fragment=<8 bytes>)" in shown
