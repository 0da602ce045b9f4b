"""Which peer may call itself what: certificates bound to AE titles.

TLS proves who a peer is, an AE title only says it. A binding lets a server reject who uses the AE
title of somebody else, or any that was not given to it.

Not here: what proves a certificate (a transport), and when it is asked for (`scp`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

_FINGERPRINT = re.compile(r"(?:SHA256:)?((?:[0-9A-F]{2}:?){31}[0-9A-F]{2})", re.IGNORECASE)


class Certificate(Protocol):
    """What a transport tells of the peer's certificate, which it has verified."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its subject alternative names."""
        ...

    @property
    def fingerprint(self) -> str:
        """Its SHA-256, as 64 lower-case hexadecimal digits."""
        ...


class PeerBinding:
    """The AE titles that each peer may use, by its certificate."""

    def __init__(self, allowed: Mapping[str, str | Iterable[str]]) -> None:
        """`allowed`: a subject alternative name ("ct1.example.org"), or a SHA-256 fingerprint (64
        hexadecimal digits, colons between them or not), to an AE title or several.

        A certificate may match several of them, and may use the AE titles of all. Who matches none
        may use none. Raises `ValueError` for an AE title that cannot be one.
        """
        self._allowed: dict[str, frozenset[str]] = {}
        for key, titles in allowed.items():
            stripped = {
                title.strip(" ") for title in ([titles] if isinstance(titles, str) else titles)
            }
            for title in stripped:
                if not 1 <= len(title) <= 16:
                    raise ValueError(f"an AE title has 1 to 16 characters, not {title!r}")
            name = _key(key)
            self._allowed[name] = self._allowed.get(name, frozenset()) | stripped

    def allows(self, certificate: Certificate | None, ae_title: str) -> bool:
        """Whether the holder of `certificate`, None for a peer without, may use `ae_title`."""
        if certificate is None:
            return False
        keys = (certificate.fingerprint, *(name.lower() for name in certificate.names))
        return any(ae_title in self._allowed.get(key, ()) for key in keys)


def _key(text: str) -> str:
    """A fingerprint without its colons, or a name; names do not care for case (RFC 5280 §7.2)."""
    found = _FINGERPRINT.fullmatch(text.strip())
    return (found[1].replace(":", "") if found else text.strip()).lower()
