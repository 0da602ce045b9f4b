"""Whole sessions between two ends in memory, with faults from a seed, under a virtual clock.

`plan` is what a seed decides, `wire` the connection and what goes wrong with it, `users` the two
Application Entities, `end` one end with its user, `monitor` what must hold, `session` the run.

Rules
  * One thread, no real time, and chance only from `random.Random(seed)`: a seed is a session, on
    every machine.
  * The wire and the monitor know nothing of the code under test but its public face: what they say
    about a PDU they read off its bytes.

Not here: the command line and the summary (`simulate`), all interleavings of PDUs (`model`).
"""

from dul_fsm.testing.simulation.plan import Plan, make_plan
from dul_fsm.testing.simulation.session import Result, simulate

__all__ = ["Plan", "Result", "make_plan", "simulate"]
