"""Any primitive, at any time: it is performed, or refused and nothing has changed."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from dul_fsm.errors import LocalProtocolError
from dul_fsm.fsm import State
from dul_fsm.testing.strategies import byte_streams, primitives
from dul_fsm.upper_layer import UpperLayer

Primitive = Callable[[UpperLayer, float], None]

STEPS = st.lists(st.one_of(primitives(), byte_streams(2), st.sampled_from(["opened", "closed"])))


def seen(upper: UpperLayer) -> tuple[object, ...]:
    return upper.state, upper.deadline, upper.bytes_to_send, upper.maximum_fragment


@given(requestor=st.booleans(), steps=STEPS)
def test_a_refused_primitive_changes_nothing_and_no_other_error_comes_out(
    requestor: bool, steps: list[Primitive | bytes | str]
) -> None:
    upper = UpperLayer(requestor=requestor)
    for now, step in enumerate(steps):
        if isinstance(step, bytes):
            upper.receive_data(step, now)
        elif step == "opened":
            upper.transport_opened(now)
        elif step == "closed":
            upper.transport_closed(now)
        elif not isinstance(step, str):
            before = seen(upper)
            try:
                step(upper, now)
            except (LocalProtocolError, ValueError):
                assert seen(upper) == before
        while upper.next_indication() is not None:
            pass
        assert upper.artim_running() == (upper.state in (State.Sta2, State.Sta13))
