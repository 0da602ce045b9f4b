"""TLS without I/O: ciphertext in and out on one side, plaintext on the other.

Rules:
1. The peer's close_notify is the end of the stream; an end of the connection without it is a
   truncation, and an error. OpenSSL can be told to take the one for the other: here it is never
   asked.
2. Errors are `TLSError`, whose text a person can act on. After the first one nothing else comes.
3. Not for two threads at once, as OpenSSL's own object is not.

What is *not* here: sockets and waiting (`dul_fsm.transports.tls`), and what is trusted
(`dul_fsm.transports.tls_contexts`).
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from dul_fsm.transports.base import Buffer

WRITE_LIMIT = 1 << 18
"""Bytes of plaintext that one `write` takes at most: many records, so that the calls around them
cost little, and few enough to wait for."""

_RECORD = 1 << 14  # bytes of plaintext in a TLS record at most (RFC 8446 §5.1)
_HANDSHAKE, _ALERT = 0x16, 0x15  # content types that a connection can begin with

_ALERT_REASON = re.compile(r"(?:SSL|TLS)V\d+_ALERT_(\w+)")
_REASONS = {
    "CERTIFICATE_REQUIRED": "it asks for a certificate of ours",
    "UNKNOWN_CA": "it does not know the CA of our certificate",
    "CERTIFICATE_EXPIRED": "our certificate has expired",
    "BAD_CERTIFICATE": "it does not accept our certificate",
    "HANDSHAKE_FAILURE": "handshake failure; it may want a certificate, or other cipher suites",
    "PROTOCOL_VERSION": "it speaks other versions of TLS",
}
_FAILURES = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer has shown no certificate",
    "NO_SHARED_CIPHER": "no cipher suite in common with the peer",
    "UNSUPPORTED_PROTOCOL": "the peer speaks only versions of TLS that are too old",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "what arrived is not what the peer sent",
}


class TLSError(ConnectionError):
    """There is no TLS connection with the peer, or no more; the text says why."""


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """The certificate that the peer has shown."""

    der: bytes
    """It, as it came (DER)."""
    subject: str
    """Its subject in words, empty unless the certificate was verified."""
    names: tuple[str, ...]
    """Its subject alternative names without their kinds: host names, addresses, URIs. None unless
    the certificate was verified."""

    @property
    def fingerprint(self) -> str:
        """Its SHA-256, as 64 lower-case hexadecimal digits."""
        return hashlib.sha256(self.der).hexdigest()


class TLSEngine:
    """One end of one TLS connection."""

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._server_side = server_side
        self._begun = False  # the first byte has come
        self._ended = False  # the peer's close_notify has come
        self._failure = ""
        self._kept = b""  # plaintext that `look` has found
        self.ready = False
        """Whether the handshake is over."""
        self.cut = False
        """Whether the connection has ended below."""

    # Ciphertext ---------------------------------------------------------------------------------

    def feed(self, data: memoryview) -> None:
        """Ciphertext has arrived, at least one byte. What is wrong with it shows later."""
        if not self._begun:
            self._begun = True
            if data[0] != _HANDSHAKE and (self._server_side or data[0] != _ALERT):
                # OpenSSL finds out too, but some peers send less than the header it waits for.
                self._failure = (
                    f"the peer does not speak TLS: the first byte that it sends is {data[0]:02X}H"
                )
        self._incoming.write(data)

    def feed_end(self) -> None:
        """The connection has ended below."""
        self.cut = True

    @property
    def has_outgoing(self) -> bool:
        """Whether there is ciphertext to be sent."""
        return self._outgoing.pending > 0

    def outgoing(self) -> bytes:
        """All the ciphertext that is to be sent; empty if there is none."""
        return self._outgoing.read()

    # Plaintext ----------------------------------------------------------------------------------

    def handshake(self) -> bool:
        """Go on with the handshake; whether it is over. False: feed more. Raises `TLSError`."""
        if self.ready:
            return True
        self._check()
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            if self.cut:
                hung_up = "the peer hung up in the middle of the TLS handshake"
                text = hung_up if self._begun else f"{hung_up}: it may not speak TLS"
                raise self.fail(text) from None
            return False
        except ssl.SSLError as error:
            raise self.fail(_in_words(error)) from None
        self.ready = True
        return True

    def read_into(self, view: memoryview) -> int | None:
        """Plaintext: how many bytes, 0 at the end of the stream, None: feed more.

        As many as there are: nothing that can be decrypted is left waiting while `view` has room.
        Raises `TLSError`.
        """
        count = 0
        view = view.cast("B")
        if self._kept:
            count = min(len(view), len(self._kept))
            view[:count] = self._kept[:count]
            self._kept = self._kept[count:]
        while count < len(view):
            more = self._read(view[count:])
            if not more:
                # An end, an error or a wait: told once the bytes before it are gone.
                break
            count += more
        if count:
            return count
        self._check()
        if self._ended:
            return 0
        if self.cut:
            raise self.fail(
                "the connection was cut: no TLS close_notify came before its end, so what was "
                "sent last may be missing"
            )
        return None

    def _read(self, view: memoryview) -> int:
        if self._ended or self._failure:
            return 0
        try:
            count = cast(int, self._ssl.read(len(view), view))  # typeshed knows bytes only
        except ssl.SSLWantReadError:
            return 0
        except ssl.SSLZeroReturnError:  # some versions of Python return 0
            count = 0
        except ssl.SSLError as error:
            self._failure = _in_words(error)
            return 0
        self._ended = not count
        return count

    def look(self) -> str:
        """Whether an error has come in: its text, else empty. Plaintext before it is kept."""
        found = memoryview(bytearray(_RECORD))
        while count := self._read(found):
            self._kept += found[:count]
        return self._failure

    def write(self, buffers: Sequence[Buffer]) -> int:
        """Encrypt the beginning of `buffers`, `WRITE_LIMIT` bytes at most; how many.

        The handshake is over. Raises `TLSError`.
        """
        self._check()
        room = WRITE_LIMIT
        record = bytearray()  # one that several buffers share: a header of 12 bytes needs none
        for buffer in buffers:
            piece = memoryview(buffer).cast("B")[:room]
            room -= len(piece)
            if record:
                shared = piece[: _RECORD - len(record)]
                record += shared
                piece = piece[len(shared) :]
                if len(record) == _RECORD:
                    self._encrypt(record)
                    record = bytearray()
            whole = len(piece) - len(piece) % _RECORD
            self._encrypt(piece[:whole])  # as it lies there, uncopied
            record += piece[whole:]
            if not room:
                break
        self._encrypt(record)
        return WRITE_LIMIT - room

    def _encrypt(self, data: bytearray | memoryview) -> None:
        try:
            while data:
                data = data[self._ssl.write(data) :]
        except ssl.SSLError as error:
            raise self.fail(_in_words(error)) from None

    def close(self) -> None:
        """Say close_notify, once the handshake is over: it is in `outgoing`."""
        if self.ready and not self._failure:
            # It asks for the peer's close_notify, which nobody waits for (RFC 8446 §6.1).
            with suppress(ssl.SSLError):
                self._ssl.unwrap()

    # What is known ------------------------------------------------------------------------------

    @property
    def peer_certificate(self) -> PeerCertificate | None:
        """The certificate that the peer has shown; None before the handshake is over."""
        der = self._ssl.getpeercert(binary_form=True) if self.ready else None
        if not der:
            return None
        shown: dict[str, Any] = self._ssl.getpeercert() or {}
        parts = [part for rdn in shown.get("subject", ()) for part in rdn]
        subject = ", ".join(f"{key}={value}" for key, value in parts)
        names = tuple(str(name[1]) for name in shown.get("subjectAltName", ()))
        return PeerCertificate(der, subject, names)

    @property
    def version(self) -> str:
        """The version of TLS, such as "TLSv1.3"; empty before the handshake is over."""
        return (self._ssl.version() or "") if self.ready else ""

    @property
    def cipher_suite(self) -> str:
        """OpenSSL's name of the cipher suite; empty before the handshake is over."""
        chosen = self._ssl.cipher() if self.ready else None
        return chosen[0] if chosen else ""

    @property
    def alpn_protocol(self) -> str:
        """What ALPN agreed on; empty if the peer does not know it."""
        return self._ssl.selected_alpn_protocol() or ""

    # What is wrong ------------------------------------------------------------------------------

    def fail(self, text: str) -> TLSError:
        """The error to raise, now and whenever something is tried again."""
        self._failure = text
        return TLSError(text)

    def _check(self) -> None:
        if self._failure:
            raise TLSError(self._failure)


def _in_words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is not accepted: {error.verify_message.rstrip('.')}"
    reason = error.reason or str(error)
    alert = _ALERT_REASON.fullmatch(reason)
    if alert:
        words = _REASONS.get(alert[1], alert[1].lower().replace("_", " "))
        return f"the peer refuses the TLS connection: {words}"
    return _FAILURES.get(reason, f"TLS failed: {reason.lower().replace('_', ' ')}")
