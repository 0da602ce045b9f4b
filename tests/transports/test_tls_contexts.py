"""TLS contexts: the profiles of PS3.15 Annex B, and files that do not hold what they should."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from dul_fsm.transports.tls import TLSProfile, client_context, server_context
from tests.certificates import Certificates

AEAD = ("GCM", "CCM", "CHACHA20")
CCM_1_3 = ("TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256")


def suites(context: ssl.SSLContext, protocol: str) -> set[str]:
    return {s["name"] for s in context.get_ciphers() if s["protocol"] == protocol}


def test_the_default_profile_is_bcp_195(certificates: Certificates) -> None:
    assert TLSProfile("b.12") is TLSProfile.BCP_195
    for context in (
        client_context(ca=certificates.ca),
        server_context(ca=certificates.ca, cert=certificates.server),
    ):
        assert suites(context, "TLSv1.2") == {
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-RSA-AES128-GCM-SHA256",
        }
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.maximum_version is ssl.TLSVersion.MAXIMUM_SUPPORTED
        assert context.security_level == 2
        assert context.verify_mode is ssl.CERT_REQUIRED
        for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION):
            assert context.options & option


@pytest.mark.parametrize("profile", list(TLSProfile))
def test_a_profile_has_only_what_encrypts_proves_and_forgets(
    certificates: Certificates, profile: TLSProfile
) -> None:
    """No NULL, CBC, RC4, 3DES, SHA-1, static key exchange (PS3.15 §B.12, §B.13)."""
    context = client_context(profile, ca=certificates.ca)
    for name in suites(context, "TLSv1.2"):
        assert name.startswith("ECDHE-")
        assert any(mode in name for mode in AEAD)
    for name in suites(context, "TLSv1.3"):
        assert any(mode in name for mode in AEAD)


def test_a_client_of_the_modified_profile_offers_all_of_its_tls_1_2_suites(
    certificates: Certificates,
) -> None:
    context = client_context("B.13", ca=certificates.ca)
    assert len(suites(context, "TLSv1.2")) == 10


@pytest.mark.skipif(
    set(CCM_1_3) <= {suite["name"] for suite in ssl.create_default_context().get_ciphers()},
    reason="this OpenSSL is configured for B.13",
)
def test_a_server_of_the_modified_profile_says_what_openssl_lacks(
    certificates: Certificates,
) -> None:
    """OpenSSL leaves the CCM suites of TLS 1.3 out unless its configuration names them."""
    with pytest.raises(ValueError, match=r"B\.13") as caught:
        server_context("B.13", ca=certificates.ca, cert=certificates.server)
    text = str(caught.value)
    for word in ("Ciphersuites", ssl.OPENSSL_VERSION, *CCM_1_3):
        assert word in text
    assert "GCM" not in text
    assert "\n" not in text


def test_a_server_of_the_modified_profile_serves_where_openssl_has_it_all(
    certificates: Certificates, tmp_path: Path
) -> None:
    configuration = tmp_path / "openssl.cnf"
    wanted = ":".join(
        (
            "TLS_AES_256_GCM_SHA384",
            "TLS_CHACHA20_POLY1305_SHA256",
            "TLS_AES_128_GCM_SHA256",
            *CCM_1_3,
        )
    )
    configuration.write_text(
        "openssl_conf = all\n[all]\nssl_conf = modules\n[modules]\nsystem_default = here\n"
        f"[here]\nCiphersuites = {wanted}\n"
    )
    code = """
import sys
from dul_fsm.transports.tls import server_context
context = server_context("B.13", ca=sys.argv[1], cert=sys.argv[2])
print(sum(suite["protocol"] == "TLSv1.3" for suite in context.get_ciphers()))
"""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, certificates.ca, certificates.server],
        env={**os.environ, "OPENSSL_CONF": str(configuration)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("5\n", "")


def test_a_profile_that_openssl_has_nothing_of_is_refused(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dul_fsm.transports import tls_contexts

    monkeypatch.setitem(tls_contexts._TLS_1_2, TLSProfile.BCP_195, ("NO-SUCH-SUITE",))
    with pytest.raises(ValueError, match=r"no cipher suite of B\.12"):
        client_context(ca=certificates.ca)


def test_a_profile_that_is_none_is_refused(certificates: Certificates) -> None:
    for text in ("B.1", "", "modern"):
        with pytest.raises(ValueError, match="is not a valid TLSProfile"):
            client_context(text, ca=certificates.ca)


def test_a_server_that_requires_certificates_needs_to_know_whose(
    certificates: Certificates,
) -> None:
    with pytest.raises(ValueError, match="which clients are trusted"):
        server_context(cert=certificates.server)


def test_a_key_needs_its_certificate(certificates: Certificates) -> None:
    with pytest.raises(ValueError, match="a key without a certificate"):
        client_context(ca=certificates.ca, key=certificates.key)


def test_the_key_may_be_in_a_file_of_its_own(certificates: Certificates) -> None:
    client_context(ca=certificates.ca, cert=certificates.certificate, key=certificates.key)
    client_context(ca=str(certificates.ca), cert=str(certificates.server))


def test_without_a_ca_a_client_trusts_whom_the_system_trusts() -> None:
    context = client_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_folder_of_cas_is_taken(tmp_path: Path) -> None:
    client_context(ca=tmp_path)


def test_files_that_do_not_hold_what_they_should_are_named(
    certificates: Certificates, tmp_path: Path
) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    missing = tmp_path / "missing.pem"
    ca, cert, key = certificates.ca, certificates.certificate, certificates.key
    with pytest.raises(ValueError, match=r"nonsense\.pem: no CA certificates"):
        client_context(ca=nonsense)
    with pytest.raises(FileNotFoundError, match=r"missing\.pem"):
        client_context(ca=missing)
    with pytest.raises(FileNotFoundError, match=r"missing\.pem"):
        client_context(ca=ca, cert=missing)
    with pytest.raises(FileNotFoundError, match=r"missing\.pem"):
        client_context(ca=ca, cert=cert, key=missing)
    for wrong, its_key in ((nonsense, None), (cert, nonsense), (cert, None)):
        with pytest.raises(ValueError, match="no certificate and key in PEM form"):
            client_context(ca=ca, cert=wrong, key=its_key)
    with pytest.raises(ValueError, match=r"client\.pem: not the key of the certificate in"):
        client_context(ca=ca, cert=cert, key=certificates.client)
    client_context(ca=ca, cert=cert, key=key)


def test_an_encrypted_key_needs_its_password_and_asks_no_terminal(
    certificates: Certificates, tmp_path: Path
) -> None:
    key = load_pem_private_key(certificates.key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    files = {"ca": certificates.ca, "cert": certificates.certificate, "key": encrypted}
    client_context(**files, password="secret")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"encrypted\.pem: the key is encrypted"):
        client_context(**files)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"encrypted\.pem: the key does not open"):
        client_context(**files, password="wrong")  # type: ignore[arg-type]
