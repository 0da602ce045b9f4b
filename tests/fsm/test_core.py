"""A `Core` before its first event."""

from __future__ import annotations

import pytest

from dul_fsm.fsm import Core, Event, State, step


@pytest.mark.parametrize("requestor", [True, False])
def test_core_starts_idle_and_knows_its_role(requestor: bool) -> None:
    core = Core(requestor=requestor)
    assert core.state is State.Sta1
    assert core.requestor is requestor


def test_request_is_acceptable_unless_the_provider_has_said_otherwise() -> None:
    core = Core(requestor=False)
    step(core, Event.Evt5)
    step(core, Event.Evt6)
    assert core.state is State.Sta3
