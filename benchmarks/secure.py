"""Row 13 of the table: TLS, with certificates at both ends, made for the run."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.bench import Bench, Pair, arrow
from benchmarks.competitors import DCMTK, OURS, missing
from benchmarks.processes import HOST, Command
from benchmarks.report import Floor, Row


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files; both ends show the same certificate."""

    ca: Path
    cert: Path
    key: Path

    def secured(self, name: str, command: Command) -> Command:
        """The same program, with TLS."""
        program, *rest = command.arguments
        if name == OURS:
            files = ("--ca", self.ca, "--cert", self.cert, "--key", self.key)
            return Command((program, *rest, "--tls", *map(str, files)))
        theirs = ("+tls", self.key, self.cert, "+cf", self.ca)
        return Command((program, *map(str, theirs), *rest), command.environment)


def tls(bench: Bench) -> list[Row]:
    """13: ours to ours against DCMTK to DCMTK."""
    wanted = {"dul_fsm.transports.tls": "not built yet", "trustme": "trustme is not installed"}
    for module, text in wanted.items():
        if find_spec(module) is None:
            return [Row("13", "TLS, both ends", "MB/s", {}, notes=[text])]
    made = _make(bench.folder)
    pairs: list[Pair] = [(OURS, OURS), (DCMTK, DCMTK), (DCMTK, OURS), (OURS, DCMTK)]
    floors = [Floor(arrow((OURS, OURS)), arrow((DCMTK, DCMTK)), 1.0)]
    rows = [
        bench.transfers(
            number,
            f"TLS, both ends: {title}",
            data,
            pairs,
            floors,
            adapt=made.secured,
        )
        for number, title, data in (
            ("13a", f"{len(bench.series.files)} x 512 KiB CT", bench.series),
            ("13b", f"one object of {bench.large.length / 1e6:.0f} MB", bench.large),
        )
    ]
    for name in (OURS, DCMTK):
        if not missing(name):
            with bench.scp(name, adapt=made.secured) as (_, port):
                rows[0].notes.append(f"{name} as SCP agrees on {_agreed(made, port)}")
    return rows


def _agreed(made: Certificates, port: int) -> str:
    """Protocol and cipher suite, with a client that offers all that OpenSSL has."""
    context = ssl.create_default_context(cafile=made.ca)
    context.load_cert_chain(made.cert, made.key)
    with (
        socket.create_connection((HOST, port)) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as wrapped,
    ):
        suite = wrapped.cipher()
        return f"{wrapped.version()}, {suite[0] if suite else 'no cipher'}"


def _make(folder: Path) -> Certificates:
    import trustme

    made = Certificates(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    if not made.ca.exists():
        rsa = trustme.KeyType.RSA
        ca = trustme.CA(key_type=rsa)
        issued = ca.issue_cert(HOST, "localhost", key_type=rsa)
        ca.cert_pem.write_to_path(str(made.ca))
        issued.cert_chain_pems[0].write_to_path(str(made.cert))
        issued.private_key_pem.write_to_path(str(made.key))
    return made
