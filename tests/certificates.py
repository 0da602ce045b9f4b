"""Certificates for tests: two CAs, and who they signed. All of it lasts as long as the test."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """PEM files."""

    ca: Path
    server: Path
    """Names 127.0.0.1, ::1 and localhost; the key is in the same file, as for all but the next."""
    key: Path
    """The key of `server` alone."""
    certificate: Path
    """The certificate of `server` alone."""
    client: Path
    """Names ct1.example.org."""
    expired: Path
    """As `server`, until yesterday."""
    elsewhere: Path
    """As `server`, but names another host."""
    other_ca: Path
    stranger: Path
    """As `client`, signed by the other CA."""


def make(folder: Path) -> Certificates:
    """Write them into a folder. RSA: the profiles of older peers know no other."""
    rsa = trustme.KeyType.RSA
    ca, other_ca = trustme.CA(key_type=rsa), trustme.CA(key_type=rsa)
    hosts = ("127.0.0.1", "::1", "localhost")
    now = datetime.datetime.now(datetime.UTC)
    before, yesterday = now - datetime.timedelta(days=9), now - datetime.timedelta(days=1)
    issued = {
        "server": ca.issue_cert(*hosts, key_type=rsa),
        "client": ca.issue_cert("ct1.example.org", key_type=rsa),
        "expired": ca.issue_cert(*hosts, key_type=rsa, not_before=before, not_after=yesterday),
        "elsewhere": ca.issue_cert("elsewhere.example.org", key_type=rsa),
        "stranger": other_ca.issue_cert("ct1.example.org", key_type=rsa),
    }
    paths = {name: folder / f"{name}.pem" for name in issued}
    for name, leaf in issued.items():
        leaf.private_key_and_cert_chain_pem.write_to_path(str(paths[name]))
    for name, blob in (
        ("ca", ca.cert_pem),
        ("other_ca", other_ca.cert_pem),
        ("key", issued["server"].private_key_pem),
        ("certificate", issued["server"].cert_chain_pems[0]),
    ):
        paths[name] = folder / f"{name}.pem"
        blob.write_to_path(str(paths[name]))
    return Certificates(**paths)
