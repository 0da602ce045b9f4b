"""Arguments and options that commands share, as the option parser wants them.

Not here: what is allowed in them (`options`), the commands (`app`, `query_app`).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import typer

from dul_fsm.cli.options import check_ae_title, check_maximum_length
from dul_fsm.cli.tls import TLSOptions

_T = TypeVar("_T")


def checked(check: Callable[[_T], _T]) -> Callable[[_T], _T]:
    """A check, for typer: wrong values are wrong usage."""

    def callback(value: _T) -> _T:
        try:
            return check(value)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return callback


Host: TypeAlias = Annotated[
    str, typer.Argument(metavar="HOST", help="The peer's name or address.", show_default=False)
]
Port: TypeAlias = Annotated[
    int,
    typer.Argument(
        metavar="PORT",
        help="Its TCP port, often 104 or 11112.",
        min=1,
        max=65535,
        show_default=False,
    ),
]
OurAETitle: TypeAlias = Annotated[
    str,
    typer.Option(
        "-aet", "--aet", metavar="TITLE", help="Our AE title.", callback=checked(check_ae_title)
    ),
]
PeersAETitle: TypeAlias = Annotated[
    str,
    typer.Option(
        "-aec",
        "--aec",
        metavar="TITLE",
        help="The peer's AE title.",
        callback=checked(check_ae_title),
    ),
]
MaxPDU: TypeAlias = Annotated[
    int,
    typer.Option(
        "--max-pdu",
        metavar="BYTES",
        help="Longest P-DATA-TF PDU that we receive; 0 for no limit.",
        callback=checked(check_maximum_length),
    ),
]
Verbose: TypeAlias = Annotated[
    bool,
    typer.Option(
        "-v", "--verbose", help="Print each step of the protocol machine and each PDU sent."
    ),
]
UseTLS: TypeAlias = Annotated[bool, typer.Option("--tls", help="Use TLS.")]


def _file(*names: str, help: str) -> Any:
    return typer.Option(*names, metavar="FILE", help=help, exists=True, show_default=False)


Cert: TypeAlias = Annotated[
    Path | None, _file("--cert", help="TLS: our certificate, with its chain (PEM).")
]
Key: TypeAlias = Annotated[
    Path | None, _file("--key", help="TLS: its key (PEM), if it is not in the same file.")
]
PeersCA: TypeAlias = Annotated[
    Path | None,
    _file("--ca", help="TLS: the CAs that sign the peer's certificate (PEM); else the system's."),
]
ClientsCA: TypeAlias = Annotated[
    Path | None,
    _file(
        "--ca",
        help="TLS: the CAs that sign clients' certificates (PEM); without it clients need none.",
    ),
]


class Profile(StrEnum):
    """The TLS profiles that are spoken."""

    b12 = "B.12"
    b13 = "B.13"


TLSProfile: TypeAlias = Annotated[
    Profile,
    typer.Option(
        "--tls-profile",
        help="TLS: section of PS3.15; B.12: BCP 195, B.13: Modified BCP 195.",
        case_sensitive=False,
    ),
]


def tls_options(
    tls: bool, cert: Path | None, key: Path | None, ca: Path | None, profile: Profile
) -> TLSOptions | None:
    """What the TLS options say; those that say nothing together are wrong usage."""
    given = {"--cert": cert, "--key": key, "--ca": ca}
    if not tls:
        for name, value in given.items():
            if value is not None:
                raise typer.BadParameter(f"{name} goes with --tls")
        return None
    if key is not None and cert is None:
        raise typer.BadParameter("--key goes with --cert")
    return TLSOptions(profile.value, cert, key, ca)


DEFAULT_MAX_PDU = 131072
