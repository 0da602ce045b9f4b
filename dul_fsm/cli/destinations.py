"""`--destination AE=HOST:PORT`: where `listen` sends what a C-MOVE asks for.

Rules: a destination is reached as it is written, `tls://` over TLS and `tcp://` in clear. Without
either it is in clear, and so no destination for a server that speaks TLS: what came over TLS is
not sent on in clear unless somebody says so.

Not here: sending (`services`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from dul_fsm.cli.options import check_ae_title
from dul_fsm.cli.tls import TLSOptions, connector
from dul_fsm.services.handler import Destination
from dul_fsm.value import value

_DESTINATION: Final = re.compile(
    r"(?P<title>[^=]+)=(?:(?P<scheme>tls|tcp)://)?"
    r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^\s:/\[\]]+)):(?P<port>[0-9]{1,5})"
)


@value
class Address:
    """A destination as it was typed."""

    ae_title: str
    scheme: str
    """"tls", "tcp" or empty."""
    host: str
    port: int


def parse(text: str) -> Address:
    """What was typed. Raises `ValueError`."""
    match = _DESTINATION.fullmatch(text)
    if match is None or not 1 <= int(match["port"]) <= 65535:
        raise ValueError(f"{text!r} is not AE=HOST:PORT, AE=tls://HOST:PORT or AE=tcp://HOST:PORT")
    return Address(
        check_ae_title(match["title"]),
        match["scheme"] or "",
        match["six"] or match["host"],
        int(match["port"]),
    )


def check(texts: Iterable[str], tls: bool) -> None:
    """Whether destinations are what they should be. Raises `ValueError`."""
    seen: set[str] = set()
    for one in map(parse, texts):
        if one.ae_title in seen:
            raise ValueError(f"--destination {one.ae_title} is there twice")
        seen.add(one.ae_title)
        if one.scheme == "tls" and not tls:
            raise ValueError(f"--destination {one.ae_title}: tls:// goes with --tls")
        if one.scheme == "" and tls:
            raise ValueError(
                f"--destination {one.ae_title}: with --tls say tls://, or tcp:// for in clear"
            )


def connect_to(texts: Iterable[str], tls: TLSOptions | None) -> dict[str, Destination]:
    """The destinations, by AE title. Raises `ValueError` or `OSError` for TLS files that do not
    do."""
    return {
        one.ae_title: Destination(
            connector=connector(one.host, one.port, tls if one.scheme == "tls" else None),
            called_ae_title=one.ae_title,
            clear=one.scheme == "tcp",
        )
        for one in map(parse, texts)
    }
