"""Every storable file of pydicom's, over the network, by ours and by theirs, both ways.

Data sets are compared as bytes. Where a peer itself refuses a file, `REFUSED_BY_...` names file and
reason, and a test fails when the peer stops refusing it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pydicom
import pytest

from dul_fsm.files import read_part10
from tests.files.samples import FILES, stored
from tests.interop.programs import HOST, Listen, Program, dul_fsm, run, storescp
from tests.interop.pynetdicom_pauses import steady
from tests.interop.rows import SCP, SCU, exercises

pytestmark = [
    pytest.mark.interop,
    # pydicom and pynetdicom warn of what is odd in these files, in threads of their own.
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

FindPeer: TypeAlias = Callable[[str], str]
StartListen: TypeAlias = Callable[..., Listen]
Encoded: TypeAlias = tuple[str, bytes]
"""Transfer syntax UID, encoded data set."""


def storable() -> list[Path]:
    """Files with SOP Class and Instance UID in the data set, and a transfer syntax in the meta."""
    found = []
    for path in FILES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                data_set = pydicom.dcmread(path, stop_before_pixels=True)
            except pydicom.errors.InvalidDicomError:
                continue
        identity = "SOPClassUID" in data_set and "SOPInstanceUID" in data_set
        if identity and getattr(data_set.file_meta, "TransferSyntaxUID", None):
            found.append(path)
    return found


STORABLE = storable()

ODD = "its data set has an odd length, which PS3.5 §7.1 forbids"

REFUSED_BY_STORESCP = {
    "image_dfl.dcm": ODD,
    "rtplan_truncated.dcm": ODD,
}
"""storescp aborts: `DIMSE: Odd Fragment Length`."""

REFUSED_BY_STORESCU = {
    "MR_truncated.dcm": "PixelData (7fe0,0010) larger (8192) than remaining bytes in file",
    "SC_rgb_jpeg.dcm": "Unknown Tag & Data (4544,4952) larger",
    "rtdose_rle.dcm": "No SOP Class or Instance UID in file",
    "rtdose_rle_1frame.dcm": "No SOP Class or Instance UID in file",
    "rtplan_truncated.dcm": "IsocenterPosition (300a,012c) larger (50) than remaining bytes",
}
"""storescu cannot read them; the words are its own."""


def encoded(path: Path) -> Encoded:
    return read_part10(path).transfer_syntax_uid, stored(path)


def named(data_sets: Iterable[Encoded]) -> list[str]:
    """The names of pydicom's files with these data sets: readable when a test fails."""
    wanted = set(data_sets)
    return [path.name for path in STORABLE if encoded(path) in wanted]


def assert_same(arrived: Iterable[Encoded], sent: Iterable[Path]) -> None:
    """Each data set that was sent arrived, and nothing else did."""
    got, wanted = set(arrived), {encoded(path) for path in sent}
    assert named(wanted - got) == []
    assert got == wanted


def without(refused: Iterable[str]) -> list[Path]:
    names = set(refused)
    assert names <= {path.name for path in STORABLE}
    return [path for path in STORABLE if path.name not in names]


def test_there_are_68_of_them() -> None:
    if pydicom.__version__ == "3.0.2":
        assert len(STORABLE) == 68
    assert len(STORABLE) >= 68


# Ours to ours ------------------------------------------------------------------------------------


def test_ours_to_ours(listen: StartListen) -> None:
    ours = listen()
    done = dul_fsm("store", HOST, ours.port, *STORABLE)
    assert done.status == 0, done
    assert f"{len(STORABLE)} of {len(STORABLE)} stored" in done.output
    assert_same(map(encoded, ours.files), STORABLE)
    # Several share a SOP Instance UID; one data set is there twice, and is kept once.
    assert len(ours.files) == len({encoded(path) for path in STORABLE})
    ours.says(f"released; {len(STORABLE)} stored")


def test_ours_to_ours_by_the_folder(listen: StartListen) -> None:
    ours = listen("--max-pdu", 4096)
    folder = STORABLE[0].parent
    done = dul_fsm("store", HOST, ours.port, folder, "--max-pdu", 16384)
    assert set(map(encoded, ours.files)) >= set(map(encoded, STORABLE)), done


# DCMTK -------------------------------------------------------------------------------------------


@contextmanager
def bit_preserving(peer: FindPeer, root: Path) -> Iterator[tuple[int, Callable[[], list[Path]]]]:
    """A storescp that keeps what it receives as it came; its port, and its files."""
    kept = root / "kept"
    root.mkdir()
    kept.mkdir()
    options = ("+B", "+xa", "--unique-filenames", "-od", kept)
    with storescp(peer("storescp"), root / "scp", *options) as theirs:
        yield theirs.port, lambda: sorted(kept.iterdir())


@exercises("C-STORE", SCU, "storescp")
def test_ours_to_storescp(peer: FindPeer, tmp_path: Path) -> None:
    files = without(REFUSED_BY_STORESCP)
    with bit_preserving(peer, tmp_path / "scp") as (port, kept):
        done = dul_fsm("store", HOST, port, *files)
        assert done.status == 0, done
        assert_same(map(encoded, kept()), files)
        assert len(kept()) == len(files)


@pytest.mark.parametrize("name", REFUSED_BY_STORESCP)
def test_storescp_refuses(peer: FindPeer, tmp_path: Path, name: str) -> None:
    (file,) = (path for path in STORABLE if path.name == name)
    with storescp(peer("storescp"), tmp_path / "scp", "+B", "+xa") as theirs:
        done = dul_fsm("store", HOST, theirs.port, file)
        assert done.status == 1, done
        assert "association aborted by the peer's user" in done.output
        theirs.says(f"Odd Fragment Length: {len(stored(file))}")


def test_a_file_that_storescp_aborts_for_keeps_no_other_back(
    peer: FindPeer, tmp_path: Path
) -> None:
    with bit_preserving(peer, tmp_path / "scp") as (port, kept):
        done = dul_fsm("store", HOST, port, *STORABLE)
        assert done.status == 1, done
        assert_same(map(encoded, kept()), without(REFUSED_BY_STORESCP))


def storescu(program: str, root: Path, port: int) -> str:
    """Send everything by storescu, each file in its own transfer syntax; what it says."""
    pairs = sorted({_pair(path) for path in STORABLE})
    syntaxes = sorted({syntax for _, syntax in pairs})
    lines = ["[[TransferSyntaxes]]"]
    for number, syntax in enumerate(syntaxes):
        lines += [f"[Syntax{number}]", f"TransferSyntax1 = {syntax}"]
    lines += ["[[PresentationContexts]]", "[Needed]"]
    for number, (sop_class, syntax) in enumerate(pairs, 1):
        name = f"Syntax{syntaxes.index(syntax)}"
        lines.append(f"PresentationContext{number} = {sop_class}\\{name}")
    lines += ["[[Profiles]]", "[Needed]", "PresentationContexts = Needed"]
    configuration = root / "storescu.cfg"
    configuration.write_text("\n".join(lines) + "\n")
    done = run(program, "-v", "-nh", "-xf", configuration, "Needed", HOST, port, *STORABLE)
    assert done.status == 0, done
    return done.output


def _pair(path: Path) -> tuple[str, str]:
    part10 = read_part10(path)
    return part10.sop_class_uid, part10.transfer_syntax_uid


@exercises("C-STORE", SCP, "storescu")
def test_storescu_to_ours_is_as_storescu_to_storescp(
    listen: StartListen, peer: FindPeer, tmp_path: Path
) -> None:
    """storescu decodes each file and encodes it again. What it makes of them, storescp tells."""
    ours = listen()
    said = storescu(peer("storescu"), tmp_path, ours.port)
    for name, words in REFUSED_BY_STORESCU.items():
        assert words in said, name
    with bit_preserving(peer, tmp_path / "scp") as (port, kept):
        storescu(peer("storescu"), tmp_path, port)
        theirs = set(map(encoded, kept()))
        count = len(kept())
    assert count == len(STORABLE) - len(REFUSED_BY_STORESCU)
    assert said.count("Received Store Response (Success)") == count
    assert set(map(encoded, ours.files)) == theirs
    ours.says(f"released; {count} stored")

    for file in without(REFUSED_BY_STORESCU):
        part10 = read_part10(file)
        candidates = [
            path
            for path in ours.files
            if path.name.partition("_")[0].removesuffix(".dcm") == part10.sop_instance_uid
            and read_part10(path).transfer_syntax_uid == part10.transfer_syntax_uid
        ]
        arrived = any(stored(path) == stored(file) for path in candidates) or any(
            values(path) == values(file) for path in candidates
        )
        assert arrived, file.name


def values(path: Path) -> list[tuple[str, str, object]]:
    """What a data set says, without what DCMTK changes and may change: it leaves group lengths and
    the padding at the end out, fills values up to an even length, and makes encapsulated pixel data
    OB (PS3.5 §7.1, §7.2, §7.5, §A.4)."""
    return list(_values(pydicom.dcmread(path), ""))


def _values(data_set: pydicom.Dataset, inside: str) -> Iterator[tuple[str, str, object]]:
    for element in data_set:
        place = f"{inside}{element.tag}"
        if element.VR == "SQ":
            yield place, "SQ", len(element.value)
            for number, item in enumerate(element.value):
                yield from _values(item, f"{place}[{number}]")
        elif element.tag.element != 0 and element.tag != DATA_SET_TRAILING_PADDING:
            value = element.value
            is_bytes = isinstance(value, bytes)
            text = value + bytes(len(value) % 2) if is_bytes else str(value)
            yield place, element.VR.replace("OW", "OB"), text


DATA_SET_TRAILING_PADDING = 0xFFFCFFFC


# pynetdicom --------------------------------------------------------------------------------------

PYNETDICOM_SCP = """
import sys, threading
from pathlib import Path
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pydicom.uid import AllTransferSyntaxes

kept = Path(sys.argv[1])
ended = threading.Event()

def store(event):
    name = f"{len(list(kept.iterdir())):04}.dcm"
    (kept / name).write_bytes(event.encoded_dataset())
    return 0x0000

ae = AE()
ae.maximum_pdu_size = 0
for context in AllStoragePresentationContexts:
    ae.add_supported_context(context.abstract_syntax, AllTransferSyntaxes)
server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
print("port", server.socket.getsockname()[1], flush=True)
ended.wait()
"""
"""A Storage SCP of pynetdicom's: what comes goes to a file, its data set as the bytes it was."""


@exercises("C-STORE", SCU, "pynetdicom")
def test_ours_to_pynetdicom(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    script = tmp_path / "scp.py"
    script.write_text(PYNETDICOM_SCP)
    with Program((sys.executable, script, kept), tmp_path / "log") as theirs:
        theirs.says("port ")
        port = int(theirs.output.partition("port ")[2].split()[0])
        done = dul_fsm("store", HOST, port, *STORABLE)
        assert done.status == 0, (done, theirs.output)
    files = sorted(kept.iterdir())
    assert_same(map(encoded, files), STORABLE)
    assert len(files) == len(STORABLE)


@exercises("C-STORE", SCP, "pynetdicom")
def test_pynetdicom_to_ours(listen: StartListen, monkeypatch: pytest.MonkeyPatch) -> None:
    from pynetdicom import AE, _config

    # Send a file's data set as it lies in the file.
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    ours = listen()
    ae = AE()
    for sop_class, syntax in sorted({_pair(path) for path in STORABLE}):
        ae.add_requested_context(sop_class, syntax)
    association = ae.associate(HOST, ours.port)
    assert steady(association).is_established
    statuses = {path.name: association.send_c_store(path).get("Status") for path in STORABLE}
    association.release()
    assert {name for name, status in statuses.items() if status != 0x0000} == set()
    assert_same(map(encoded, ours.files), STORABLE)
    ours.says(f"released; {len(STORABLE)} stored")
