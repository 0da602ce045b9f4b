"""`find`, `get` and `move` on the command line: their options and their help.

What they do is in the module of their name, which is imported when they are called.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from dul_fsm.cli.arguments import (
    DEFAULT_MAX_PDU,
    Cert,
    Host,
    Key,
    MaxPDU,
    OurAETitle,
    PeersAETitle,
    PeersCA,
    Port,
    Profile,
    TLSProfile,
    UseTLS,
    Verbose,
    checked,
    tls_options,
)
from dul_fsm.cli.options import DEFAULT_CALLED, DEFAULT_CALLING, DEFAULT_OUTPUT, check_ae_title

if TYPE_CHECKING:
    from dul_fsm.cli.asking import Asked


class Level(StrEnum):
    """The levels of Query/Retrieve."""

    patient = "PATIENT"
    study = "STUDY"
    series = "SERIES"
    image = "IMAGE"


class QueryModel(StrEnum):
    """The information models that can be searched."""

    study = "study"
    patient = "patient"
    worklist = "worklist"


class RetrieveModel(StrEnum):
    """The information models that can be retrieved from."""

    study = "study"
    patient = "patient"


class Form(StrEnum):
    """The forms of what was found."""

    table = "table"
    json = "json"
    jsonl = "jsonl"


Keys: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "-k",
        metavar="KEY[=VALUE]",
        help="What to look for, as often as need be: a keyword, (gggg,eeee) or a path into a "
        "sequence; without a value, what to have told.",
        show_default=False,
    ),
]
UniqueKeys: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "-k",
        metavar="KEY=VALUE",
        help="What to retrieve, by unique keys: PatientID, StudyInstanceUID, SeriesInstanceUID, "
        "SOPInstanceUID; those of the level and of the levels above it.",
        show_default=False,
    ),
]
AtLevel: TypeAlias = Annotated[
    Level | None,
    typer.Option(
        "--level",
        help="At which level to look; STUDY if not given.",
        case_sensitive=False,
        show_default=False,
    ),
]
RetrieveFrom: TypeAlias = Annotated[
    RetrieveModel,
    typer.Option("--model", help="The information model: its root.", case_sensitive=False),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="DIR",
        help=f"Folder for what is received.  [default: {DEFAULT_OUTPUT}]",
        file_okay=False,
        show_default=False,
    ),
]


def _asked(keys: list[str] | None, model: str, level: Level | None, *, retrieves: bool) -> Asked:
    """What was asked for; what makes no sense is wrong usage."""
    from dul_fsm.cli.asking import asked

    try:
        return asked(keys or [], model, level.value if level else "", retrieves=retrieves)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def find(
    host: Host,
    port: Port,
    keys: Keys = None,
    level: AtLevel = None,
    model: Annotated[
        QueryModel,
        typer.Option("--model", help="The information model to look in.", case_sensitive=False),
    ] = QueryModel.study,
    form: Annotated[
        Form, typer.Option("--format", help="How to print it.", case_sensitive=False)
    ] = Form.table,
    maximum: Annotated[
        int | None,
        typer.Option("--max", metavar="N", help="Cancel after so many.", min=1, show_default=False),
    ] = None,
    aet: OurAETitle = DEFAULT_CALLING,
    aec: PeersAETitle = DEFAULT_CALLED,
    tls: UseTLS = False,
    cert: Cert = None,
    key: Key = None,
    ca: PeersCA = None,
    tls_profile: TLSProfile = Profile.b12,
    verbose: Verbose = False,
) -> None:
    """Search a peer (C-FIND) for patients, studies, series, images, or a worklist.

    A value may have wild cards (* and ?), a date or a time may be a range (20240101-20241231), a
    list of UIDs is parted by backslashes. Without a key that has no value, the usual ones are told.
    Ctrl-C cancels the search, prints what was found, and exits with 130.

    \b
    dul-fsm find pacs.example.org 104 -aec PACS -k "PatientName=DOE*"
    dul-fsm find pacs.example.org 104 --level SERIES -k StudyInstanceUID=1.2.3 -k Modality
    dul-fsm find pacs.example.org 104 -k StudyDate=20240101- -k StudyInstanceUID --format jsonl
    dul-fsm find ris.example.org 104 --model worklist \\
        -k ScheduledProcedureStepSequence.Modality=CT
    """
    query = _asked(keys, model.value, level, retrieves=False)
    security = tls_options(tls, cert, key, ca, tls_profile)
    from dul_fsm.cli.asking import Peer
    from dul_fsm.cli.find import find

    peer = Peer(host, port, aet, aec, DEFAULT_MAX_PDU, security, verbose)
    raise typer.Exit(find(peer, query, form=form.value, maximum=maximum))


def get(
    host: Host,
    port: Port,
    keys: UniqueKeys = None,
    level: AtLevel = None,
    model: RetrieveFrom = RetrieveModel.study,
    output: Output = None,
    sop_classes: Annotated[
        list[str] | None,
        typer.Option(
            "--sop-class",
            metavar="UID",
            help="Receive instances of this SOP Class only, as often as need be; else of the "
            "usual ones.",
            show_default=False,
        ),
    ] = None,
    aet: OurAETitle = DEFAULT_CALLING,
    aec: PeersAETitle = DEFAULT_CALLED,
    max_pdu: MaxPDU = DEFAULT_MAX_PDU,
    tls: UseTLS = False,
    cert: Cert = None,
    key: Key = None,
    ca: PeersCA = None,
    tls_profile: TLSProfile = Profile.b12,
    verbose: Verbose = False,
) -> None:
    """Retrieve files from a peer over the same association (C-GET).

    Ctrl-C cancels, keeps what has arrived, and exits with 130.

    \b
    dul-fsm get pacs.example.org 104 -aec PACS -k StudyInstanceUID=1.2.3 --output study
    dul-fsm get pacs.example.org 104 --level SERIES -k StudyInstanceUID=1.2.3 \\
        -k SeriesInstanceUID=1.2.3.4
    dul-fsm get pacs.example.org 104 --model patient --level PATIENT -k PatientID=42
    """
    query = _asked(keys, model.value, level, retrieves=True)
    security = tls_options(tls, cert, key, ca, tls_profile)
    from dul_fsm.cli.asking import Peer
    from dul_fsm.cli.get import get

    peer = Peer(host, port, aet, aec, max_pdu, security, verbose)
    raise typer.Exit(get(peer, query, output or DEFAULT_OUTPUT, sop_classes=sop_classes))


def move(
    host: Host,
    port: Port,
    keys: UniqueKeys = None,
    level: AtLevel = None,
    model: RetrieveFrom = RetrieveModel.study,
    destination: Annotated[
        str | None,
        typer.Option(
            "--destination",
            metavar="TITLE",
            help="The AE title to send to, known to the peer; ours with --listen.",
            show_default=False,
            callback=checked(lambda title: None if title is None else check_ae_title(title)),
        ),
    ] = None,
    listen: Annotated[
        int | None,
        typer.Option(
            "--listen",
            metavar="PORT",
            help="Receive here, on this port: the one that the peer knows for the destination.",
            min=0,
            max=65535,
            show_default=False,
        ),
    ] = None,
    listen_host: Annotated[
        str, typer.Option("--listen-host", metavar="HOST", help="Address to receive on.")
    ] = "0.0.0.0",
    output: Output = None,
    aet: OurAETitle = DEFAULT_CALLING,
    aec: PeersAETitle = DEFAULT_CALLED,
    max_pdu: MaxPDU = DEFAULT_MAX_PDU,
    tls: UseTLS = False,
    cert: Cert = None,
    key: Key = None,
    ca: PeersCA = None,
    tls_profile: TLSProfile = Profile.b12,
    verbose: Verbose = False,
) -> None:
    """Have a peer send files to somebody (C-MOVE), or to us.

    Ctrl-C cancels, keeps what has arrived, and exits with 130. TLS is for the peer that is asked;
    what is received with --listen comes without.

    \b
    dul-fsm move pacs.example.org 104 -aec PACS --destination ARCHIVE -k StudyInstanceUID=1.2.3
    dul-fsm move pacs.example.org 104 -aec PACS -aet ME --listen 11112 --output study \\
        -k StudyInstanceUID=1.2.3
    """
    if destination is None and listen is None:
        raise typer.BadParameter("--destination says where to; or --listen to receive here")
    if output is not None and listen is None:
        raise typer.BadParameter("--output goes with --listen")
    query = _asked(keys, model.value, level, retrieves=True)
    security = tls_options(tls, cert, key, ca, tls_profile)
    from dul_fsm.cli.asking import Peer
    from dul_fsm.cli.move import Receiver, move

    peer = Peer(host, port, aet, aec, max_pdu, security, verbose)
    receiver = None
    if listen is not None:
        receiver = Receiver(listen_host, listen, output or DEFAULT_OUTPUT)
    raise typer.Exit(move(peer, query, destination or aet, receiver))
