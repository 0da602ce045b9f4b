"""What is on the command line: the commands, their options and their help.

What a command does is in the module of its name, which is imported when it is called. The commands
for queries are in `query_app`, what commands share in `arguments`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dul_fsm import __version__
from dul_fsm.cli.arguments import (
    DEFAULT_MAX_PDU,
    Cert,
    ClientsCA,
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
from dul_fsm.cli.options import (
    DEFAULT_CALLED,
    DEFAULT_CALLING,
    DEFAULT_OUTPUT,
    DEFAULT_PORT,
    DEFAULT_WINDOW,
    check_seconds,
    check_workers,
)
from dul_fsm.cli.query_app import find, get, move

app = typer.Typer(
    epilog="Exit status: 0 all well, 1 something failed, 2 wrong usage, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    # A failure that a user can cause is told in a line; what remains is a bug, told in full.
    pretty_exceptions_enable=False,
    # Plain help reads the same on a terminal and in a pipe.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

# Commands ----------------------------------------------------------------------------------------


def _version(wanted: bool) -> None:
    if wanted:
        print(f"dul-fsm {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """DICOM over the network: test a peer, send, find, retrieve and receive files."""


@app.command("demo")
def _demo() -> None:
    """Show an SCU and an SCP at work.

    The whole ladder on a real image, in memory and over TCP.
    """
    from dul_fsm.cli.demo import demo

    raise typer.Exit(demo())


@app.command("echo")
def _echo(
    host: Host,
    port: Port,
    aet: OurAETitle = DEFAULT_CALLING,
    aec: PeersAETitle = DEFAULT_CALLED,
    repeat: Annotated[
        int, typer.Option("--repeat", metavar="N", help="How many C-ECHOs to send.", min=1)
    ] = 1,
    tls: UseTLS = False,
    cert: Cert = None,
    key: Key = None,
    ca: PeersCA = None,
    tls_profile: TLSProfile = Profile.b12,
    verbose: Verbose = False,
) -> None:
    """Verify that a peer answers (C-ECHO), and how fast.

    \b
    dul-fsm echo 127.0.0.1 11112
    dul-fsm echo pacs.example.org 104 -aet WORKSTATION -aec PACS --repeat 10
    dul-fsm echo pacs.example.org 2762 --tls --ca ca.pem --cert me.pem --key me.key
    """
    from dul_fsm.cli.echo import echo

    raise typer.Exit(
        echo(
            host,
            port,
            calling_ae_title=aet,
            called_ae_title=aec,
            repeat=repeat,
            tls=tls_options(tls, cert, key, ca, tls_profile),
            verbose=verbose,
        )
    )


@app.command("store")
def _store(
    host: Host,
    port: Port,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Files, and folders to search for files.",
            exists=True,
            show_default=False,
        ),
    ],
    aet: OurAETitle = DEFAULT_CALLING,
    aec: PeersAETitle = DEFAULT_CALLED,
    max_pdu: MaxPDU = DEFAULT_MAX_PDU,
    window: Annotated[
        int,
        typer.Option(
            "--window",
            metavar="N",
            help="Files under way at once, if the peer agrees; 1 proposes nothing, 0 any number.",
            min=0,
            max=65535,
        ),
    ] = DEFAULT_WINDOW,
    tls: UseTLS = False,
    cert: Cert = None,
    key: Key = None,
    ca: PeersCA = None,
    tls_profile: TLSProfile = Profile.b12,
    verbose: Verbose = False,
) -> None:
    """Send DICOM files to a peer (C-STORE).

    A file is sent as it is where the peer accepts its transfer syntax, and recoded where it does
    not. What is not a DICOM file is skipped in folders, and an error when it is named itself.
    Ctrl-C aborts the association, says what was not sent, and exits with 130.

    \b
    dul-fsm store 127.0.0.1 11112 image.dcm
    dul-fsm store pacs.example.org 104 study/ more/ -aet WORKSTATION -aec PACS
    dul-fsm store pacs.example.org 2762 study/ --tls --ca ca.pem --cert me.pem --key me.key
    """
    from dul_fsm.cli.store import store_files

    raise typer.Exit(
        store_files(
            paths,
            host,
            port,
            calling_ae_title=aet,
            called_ae_title=aec,
            maximum_length=max_pdu,
            window=window,
            tls=tls_options(tls, cert, key, ca, tls_profile),
            verbose=verbose,
        )
    )


app.command("find")(find)
app.command("get")(get)
app.command("move")(move)


@app.command("listen")
def _listen(
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="Address to listen on; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", help="TCP port; 0 for any.", min=0, max=65535)
    ] = DEFAULT_PORT,
    aet: OurAETitle = DEFAULT_CALLING,
    require_called_aet: Annotated[
        bool,
        typer.Option("--require-called-aet", help="Reject who calls another AE title than ours."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help=f"Folder for what is received.  [default: {DEFAULT_OUTPUT}]",
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    discard: Annotated[bool, typer.Option("--discard", help="Receive, and keep nothing.")] = False,
    max_pdu: MaxPDU = DEFAULT_MAX_PDU,
    max_associations: Annotated[
        int,
        typer.Option(
            "--max-associations", metavar="N", help="How many may be open at once.", min=1
        ),
    ] = 100,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            metavar="N",
            help="Processes that share the port; each has its own --max-associations.",
            min=1,
            callback=checked(check_workers),
        ),
    ] = 1,
    query: Annotated[
        bool | None,
        typer.Option(
            "--query/--no-query",
            help="Answer C-FIND, C-GET and C-MOVE of what is stored.  [default: --query]",
            show_default=False,
        ),
    ] = None,
    destination: Annotated[
        list[str] | None,
        typer.Option(
            "--destination",
            metavar="AE=HOST:PORT",
            help="Where C-MOVE may send; may be repeated. AE=tls://HOST:PORT over TLS.",
            show_default=False,
        ),
    ] = None,
    artim: Annotated[
        float,
        typer.Option(
            "--artim",
            metavar="SECONDS",
            help="How long to wait for an A-ASSOCIATE-RQ, and for a peer to close.",
            callback=checked(check_seconds),
        ),
    ] = 30.0,
    idle: Annotated[
        float,
        typer.Option(
            "--idle",
            metavar="SECONDS",
            help="How long an association may do nothing.",
            callback=checked(check_seconds),
        ),
    ] = 300.0,
    tls: UseTLS = False,
    cert: Cert = None,
    key: Key = None,
    ca: ClientsCA = None,
    tls_profile: TLSProfile = Profile.b12,
    verbose: Verbose = False,
) -> None:
    """Receive DICOM files (C-STORE), and give them back (C-FIND, C-GET, C-MOVE).

    Prints "listening on HOST:PORT" when it is ready. Ctrl-C (SIGINT) and SIGTERM end it within
    seconds and with status 0: what is open is aborted, and no part of a file is left behind.

    \b
    dul-fsm listen --output study
    dul-fsm listen --host 0.0.0.0 --port 104 -aet ARCHIVE --require-called-aet
    dul-fsm listen --port 0 --discard
    dul-fsm listen --output study --workers 4
    dul-fsm listen --output study --destination VIEWER=127.0.0.1:11113
    dul-fsm listen --port 2762 --tls --cert me.pem --key me.key --ca ca.pem
    """
    if discard and output is not None:
        raise typer.BadParameter("--output and --discard exclude each other")
    if tls and cert is None:
        raise typer.BadParameter("--tls needs --cert: what shall clients be shown?")
    query = not discard if query is None else query
    if discard and query:
        raise typer.BadParameter("--discard keeps nothing that --query could find")
    from dul_fsm.cli.destinations import check

    try:
        check(destination or (), tls)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if destination and not query:
        raise typer.BadParameter("--destination goes with --query")
    from dul_fsm.cli.listen import listen
    from dul_fsm.timers import TimeLimits

    raise typer.Exit(
        listen(
            None if discard else output or DEFAULT_OUTPUT,
            host,
            port,
            ae_title=aet,
            require_called_ae_title=require_called_aet,
            maximum_length=max_pdu,
            max_associations=max_associations,
            workers=workers,
            query=query,
            destinations=destination or (),
            time_limits=TimeLimits(artim=artim, idle=idle),
            tls=tls_options(tls, cert, key, ca, tls_profile),
            verbose=verbose,
        )
    )


class Form(StrEnum):
    """The forms of the table."""

    text = "text"
    csv = "csv"
    markdown = "markdown"
    mermaid = "mermaid"


@app.command("table")
def _table(
    form: Annotated[
        Form, typer.Option("--format", help="How to print it.", case_sensitive=False)
    ] = Form.text,
) -> None:
    """Print the state table, PS3.8 Table 9-10.

    It is made from the table that the machine runs.

    \b
    dul-fsm table                       to read, 100 columns wide
    dul-fsm table --format csv          event,state,action,next_states; N/A where it is blank
    dul-fsm table --format mermaid      a state diagram
    """
    from dul_fsm.fsm.render import FORMS

    print(FORMS[form.value](), end="")
