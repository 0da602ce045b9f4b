"""Who competes: how each is started as an SCU and as an SCP, and whether it is here.

Each SCP is a process of its own that prints nothing to a terminal, each SCU likewise; options are
the ones a user would give, and none that makes only one of them faster. DCMTK has `TCP_NODELAY=1`
unless it is to run as it comes: with Nagle's algorithm each of its messages waits for 40 ms.

Not here: what they are to do (`workloads`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from benchmarks.data import DataSets
from benchmarks.processes import HOST, Command

OURS, DCMTK, STOCK, PYNETDICOM, BARE = "dul_fsm", "DCMTK", "DCMTK stock", "pynetdicom", "sockets"
TWO_WORKERS, FORKING = "dul_fsm, 2 workers", "DCMTK forking"

_NO_NAGLE = {"TCP_NODELAY": "1"}
# Not the interpreter's own folder: pynetdicom has brought programs of the same names there.
_PATH = os.pathsep.join(
    folder for folder in os.get_exec_path() if Path(folder) != Path(sys.executable).parent
)
_TOOLS = {
    tool: shutil.which(tool, path=_PATH)
    for tool in ("storescu", "storescp", "echoscu", "findscu", "wlmscpfs")
}
_OURS = (sys.executable, "-m", "dul_fsm")
_PYNETDICOM = (sys.executable, "-m", "pynetdicom")
_PEERS = (sys.executable, str(Path(__file__).with_name("peers.py")))


@dataclass(frozen=True, slots=True)
class Kind:
    """What a competitor is started with."""

    scp: Callable[[int, int, Path | None], Command]
    """Port, maximum PDU, folder to store into (None: discard)."""
    scu: Callable[[int, int, DataSets], Command]
    """Port, maximum PDU, what to send."""


def _tool(name: str) -> str:
    """The path of one of DCMTK's; `missing` says whether it is there."""
    return _TOOLS[name] or name


def _ours_scp(port: int, maximum: int, output: Path | None) -> Command:
    where = ("--discard",) if output is None else ("--output", str(output))
    plenty = ("--max-associations", "2000", "--idle", "3600")
    at = ("--port", str(port), "--max-pdu", str(maximum))
    return Command((*_OURS, "listen", *at, *where, *plenty))


def _two_workers_scp(port: int, maximum: int, output: Path | None) -> Command:
    return Command((*_ours_scp(port, maximum, output).arguments, "--workers", "2"))


def _ours_scu(port: int, maximum: int, data: DataSets) -> Command:
    return Command((*_OURS, "store", HOST, str(port), str(data.folder), "--max-pdu", str(maximum)))


def _dcmtk_scp(port: int, maximum: int, output: Path | None) -> Command:
    where = ("--ignore",) if output is None else ("+B", "-od", str(output))
    return Command((_tool("storescp"), "-pdu", str(maximum), *where, str(port)), _NO_NAGLE)


def _dcmtk_forking_scp(port: int, maximum: int, output: Path | None) -> Command:
    plain = _dcmtk_scp(port, maximum, output)
    return Command((plain.arguments[0], "--fork", *plain.arguments[1:]), plain.environment)


def _dcmtk_scu(port: int, maximum: int, data: DataSets) -> Command:
    arguments = (_tool("storescu"), "-pdu", str(maximum), "+sd", HOST, str(port), str(data.folder))
    return Command(arguments, _NO_NAGLE)


def _pynetdicom_scp(port: int, maximum: int, output: Path | None) -> Command:
    where = ("--ignore",) if output is None else ("-od", str(output))
    return Command((*_PYNETDICOM, "storescp", "-pdu", str(maximum), *where, str(port)))


def _pynetdicom_scu(port: int, maximum: int, data: DataSets) -> Command:
    command = (*_PYNETDICOM, "storescu", "-cx", "-pdu", str(maximum))
    return Command((*command, HOST, str(port), str(data.folder)))


def _bare_scp(port: int, maximum: int, output: Path | None) -> Command:
    return Command((*_PEERS, "receive", str(port)))


def _bare_scu(port: int, maximum: int, data: DataSets) -> Command:
    return Command((*_PEERS, "send", str(port), str(maximum), str(data.folder)))


KINDS = {
    OURS: Kind(_ours_scp, _ours_scu),
    DCMTK: Kind(_dcmtk_scp, _dcmtk_scu),
    STOCK: Kind(
        lambda *given: Command(_dcmtk_scp(*given).arguments),
        lambda *given: Command(_dcmtk_scu(*given).arguments),
    ),
    TWO_WORKERS: Kind(_two_workers_scp, _ours_scu),
    FORKING: Kind(_dcmtk_forking_scp, _dcmtk_scu),
    PYNETDICOM: Kind(_pynetdicom_scp, _pynetdicom_scu),
    BARE: Kind(_bare_scp, _bare_scu),
}


def peer(*arguments: object) -> Command:
    """One of the programs of `benchmarks/peers.py`."""
    return Command((*_PEERS, *map(str, arguments)))


def echoscu(port: int, count: int) -> Command:
    """DCMTK's C-ECHO SCU."""
    return Command((_tool("echoscu"), "--repeat", str(count), HOST, str(port)), _NO_NAGLE)


def findscu(port: int, cancel: int = 0) -> Command:
    """DCMTK's C-FIND SCU, for the worklist of `peers.py`; `cancel` after so many matches."""
    from benchmarks.peers import KEYS, STEP_KEYS

    steps = (f"ScheduledProcedureStepSequence[0].{keyword}" for keyword in STEP_KEYS)
    keys = [part for key in (*KEYS, *steps) for part in ("-k", key)]
    options = ("--cancel", str(cancel)) if cancel else ()
    return Command((_tool("findscu"), "-q", "-W", *options, *keys, HOST, str(port)), _NO_NAGLE)


def wlmscpfs(port: int, folder: Path) -> Command:
    """DCMTK's worklist SCP, in one process; the items are below `folder`, by AE title."""
    arguments = (_tool("wlmscpfs"), "--single-process", "-dfp", str(folder), str(port))
    return Command(arguments, _NO_NAGLE)


def missing(name: str) -> str:
    """Why a competitor cannot take part; empty if it can."""
    if name.startswith("DCMTK"):
        gone = [tool for tool, path in _TOOLS.items() if path is None]
        return f"{', '.join(gone)} not installed (Debian: dcmtk)" if gone else ""
    if name == PYNETDICOM and find_spec("pynetdicom") is None:
        return "pynetdicom is not installed"
    return ""


def versions() -> dict[str, str]:
    """Of all that takes part."""
    found = {"Python": sys.version.split()[0]}
    for package in ("dul-fsm", "transitions", "pydicom", "pynetdicom"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["DCMTK"] = missing(DCMTK)
    if not found["DCMTK"]:
        said = subprocess.run(
            [_tool("storescu"), "--version"], capture_output=True, text=True, check=False
        )
        found["DCMTK"] = said.stdout.split("$")[1].strip()
    return found
