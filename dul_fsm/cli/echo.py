"""`dul-fsm echo`: does the peer answer?"""

from __future__ import annotations

from time import perf_counter

from dul_fsm.cli.explain import explain, fail, with_names
from dul_fsm.cli.options import INTERRUPTED
from dul_fsm.cli.tls import TLSOptions, connector
from dul_fsm.cli.watch import observer
from dul_fsm.dimse import describe
from dul_fsm.errors import DULError
from dul_fsm.scu.association import associate


def echo(
    host: str,
    port: int,
    *,
    calling_ae_title: str,
    called_ae_title: str,
    repeat: int,
    tls: TLSOptions | None,
    verbose: bool,
) -> int:
    """Associate, send the C-ECHOs, release, and print how it went; the exit status."""
    try:
        peer = connector(host, port, tls)
    except (OSError, ValueError) as error:
        fail(f"TLS: {with_names(str(error))}")
        return 1
    times: list[float] = []  # milliseconds
    failures = 0
    try:
        with associate(
            peer,
            calling_ae_title=calling_ae_title,
            called_ae_title=called_ae_title,
            observer=observer(verbose),
        ) as association:
            for number in range(1, repeat + 1):
                began = perf_counter()
                status: int = getattr(association.c_echo().command, "status", 0)
                times.append((perf_counter() - began) * 1000)
                failures += status != 0
                count = f" {number}" if repeat > 1 else ""
                print(
                    f"C-ECHO{count} {host}:{port} {called_ae_title}: "
                    f"{describe(status, 'C-ECHO')}, {times[-1]:.2f} ms",
                    flush=True,
                )
    except DULError as error:
        fail(explain(error, f"{host}:{port}"))
        failures += 1
    except KeyboardInterrupt:
        fail(f"interrupted; {len(times)} of {repeat} C-ECHOs answered")
        return INTERRUPTED
    if repeat > 1 and times:
        print(
            f"{len(times)} of {repeat} answered; "
            f"min {min(times):.2f}, mean {sum(times) / len(times):.2f}, max {max(times):.2f} ms"
        )
    return 1 if failures else 0
