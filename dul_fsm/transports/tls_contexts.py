"""Who is trusted and what is spoken: TLS contexts by the profiles of PS3.15 Annex B.

Both ends show a certificate and check the other's, unless told otherwise; a client checks that the
server's names the host it called. TLS 1.2 is the least, 1.3 is preferred, ALPN `dicom` is offered
and not required.

Which profiles: those that are not retired and that this is for (PS3.15 2026a §B.12, §B.13). Of the
suites that B.13 asks for, some TLS 1.3 ones are off in OpenSSL unless its configuration turns them
on, and until Python 3.15 no program can. Then this says so, and claims nothing.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

ALPN = "dicom"
"""The protocol name that IANA registers for DICOM over TLS."""


class TLSProfile(StrEnum):
    """The secure transport connection profiles, by their sections of PS3.15."""

    BCP_195 = "B.12"
    """BCP 195 RFC 8996, 9325: TLS 1.2 with the suites that RFC 9325 recommends, TLS 1.3 if both
    have it."""
    MODIFIED_BCP_195 = "B.13"
    """Modified BCP 195 RFC 8996, 9325: a server must have TLS 1.2 and 1.3 and a list of suites."""

    @classmethod
    def _missing_(cls, value: object) -> TLSProfile | None:
        text = str(value).upper()
        return next((profile for profile in cls if profile.value == text), None)


_TLS_1_2 = {
    # RFC 9325 §4.2.
    TLSProfile.BCP_195: (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
    ),
    # PS3.15 §B.13, without the Camellia suites, which later editions made optional, and the DHE
    # ones, which a server may have.
    TLSProfile.MODIFIED_BCP_195: (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES256-CCM",
        "ECDHE-ECDSA-AES256-CCM8",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES128-CCM",
        "ECDHE-ECDSA-AES128-CCM8",
    ),
}
_TLS_1_3 = {
    TLSProfile.BCP_195: (),  # optional (PS3.15 §B.12)
    TLSProfile.MODIFIED_BCP_195: (
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_128_CCM_SHA256",
        "TLS_AES_128_CCM_8_SHA256",
    ),
}

# 112 bits: no RSA key below 2048 bits, no elliptic curve below 224, no SHA-1 (PS3.15 §B.13).
_SECURITY_LEVEL = 2

PathLike = str | os.PathLike[str]


def client_context(
    profile: TLSProfile | str = TLSProfile.BCP_195,
    *,
    ca: PathLike | None = None,
    cert: PathLike | None = None,
    key: PathLike | None = None,
    password: str | None = None,
    check_hostname: bool = True,
) -> ssl.SSLContext:
    """A context to connect with.

    `ca`: a PEM file, or a folder as OpenSSL hashes it, of the CAs that servers are trusted by;
    without it those of the system. `cert`, `key`: PEM files of our certificate, with its chain,
    and of its key, which may be in the same file; without them we show none, and most servers
    refuse us. `password`: of the key. `check_hostname`: whether the certificate must name the
    host; without it any certificate of `ca` will do.

    Raises `ValueError` for a file that does not hold what it should and for a profile that the
    local OpenSSL has nothing of; `OSError` for a file that cannot be read.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, TLSProfile(profile), server=False)
    context.check_hostname = check_hostname
    context.verify_mode = ssl.CERT_REQUIRED
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _trust(context, ca)
    if cert is not None:
        _show(context, cert, key, password)
    elif key is not None:
        raise ValueError("a key without a certificate")
    return context


def server_context(
    profile: TLSProfile | str = TLSProfile.BCP_195,
    *,
    cert: PathLike,
    key: PathLike | None = None,
    ca: PathLike | None = None,
    password: str | None = None,
    require_client_certificate: bool = True,
) -> ssl.SSLContext:
    """A context to listen with.

    `cert`, `key`, `password`: as for `client_context`. `ca`: the CAs that clients are trusted by.
    `require_client_certificate`: whether who shows no certificate is refused; if not, a
    certificate that is shown is still checked where there is a `ca`.

    Raises `ValueError` as `client_context` does, for client certificates that are required without
    a `ca`, and for a profile that the local OpenSSL does not have all of, which it names.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, TLSProfile(profile), server=True)
    # Nobody resumes a session, and a client that only sends would have its last bytes reset away
    # when it closes over the tickets that it has not read.
    context.num_tickets = 0
    _show(context, cert, key, password)
    if ca is not None:
        _trust(context, ca)
        context.verify_mode = ssl.CERT_REQUIRED if require_client_certificate else ssl.CERT_OPTIONAL
    elif require_client_certificate:
        raise ValueError("which clients are trusted? Give ca, or require_client_certificate=False")
    return context


def _context(kind: int, profile: TLSProfile, *, server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(kind)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([ALPN])
    wanted = _TLS_1_2[profile]
    try:
        context.set_ciphers(":".join((*wanted, f"@SECLEVEL={_SECURITY_LEVEL}")))
    except ssl.SSLError:
        raise ValueError(f"{ssl.OPENSSL_VERSION} has no cipher suite of {profile}") from None
    wanted_1_3 = _TLS_1_3[profile]
    choose = getattr(context, "set_ciphersuites", None)  # Python 3.15
    if wanted_1_3 and choose is not None:
        choose(":".join(wanted_1_3))
    if server:
        _require(context, profile, (*wanted, *wanted_1_3))
    return context


def _require(context: ssl.SSLContext, profile: TLSProfile, wanted: tuple[str, ...]) -> None:
    """A server must have every suite of its profile; a client any (PS3.15 §B.13)."""
    if profile is TLSProfile.BCP_195:
        return  # TLS 1.2 and any of the recommended suites: `set_ciphers` has seen to it
    there = {suite["name"] for suite in context.get_ciphers()}
    missing = [name for name in wanted if name not in there]
    if not ssl.HAS_TLSv1_3:
        missing.insert(0, "TLS 1.3")
    if missing:
        raise ValueError(
            f"{ssl.OPENSSL_VERSION} as it is configured here cannot serve the profile {profile}: "
            f"it lacks {', '.join(missing)}; TLS 1.3 suites are turned on by Ciphersuites in "
            "openssl.cnf (OPENSSL_CONF)"
        )


def _trust(context: ssl.SSLContext, ca: PathLike) -> None:
    folder = Path(ca).is_dir()
    try:
        if folder:
            context.load_verify_locations(capath=os.fspath(ca))
        else:
            context.load_verify_locations(cafile=os.fspath(ca))
    except ssl.SSLError:
        raise ValueError(f"{os.fspath(ca)}: no CA certificates in PEM form") from None
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, error.strerror, os.fspath(ca)) from None


def _show(
    context: ssl.SSLContext, cert: PathLike, key: PathLike | None, password: str | None
) -> None:
    for path in (cert, key):
        if path is not None:
            with open(path, "rb"):  # OpenSSL would not say which of the two it cannot read
                pass
    key_file = os.fspath(cert if key is None else key)
    try:
        context.load_cert_chain(
            os.fspath(cert),
            os.fspath(key) if key is not None else None,
            _no_password(key_file) if password is None else password,
        )
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            text = f"{key_file}: not the key of the certificate in {os.fspath(cert)}"
        elif password is not None and error.reason != "PEM_LIB":
            text = f"{key_file}: the key does not open with that password"
        elif error.reason and error.reason != "PEM_LIB":
            words = error.reason.lower().replace("_", " ")
            text = f"{os.fspath(cert)}: OpenSSL does not take it: {words}"
        else:
            text = f"{os.fspath(cert)}, {key_file}: no certificate and key in PEM form"
        raise ValueError(text) from None


def _no_password(key: str) -> Callable[[], NoReturn]:
    """OpenSSL would ask the terminal, which a server may not have."""

    def ask() -> NoReturn:
        raise ValueError(f"{key}: the key is encrypted, and no password was given")

    return ask
