"""C-ECHO and C-STORE between ours and the archives, both ways.

All kinds of files: `test_files_everywhere.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.interop.archives import AE_TITLE, OURS, Archive, Archives, Destinations
from tests.interop.clients import DCMTKClient
from tests.interop.conftest import StartListen
from tests.interop.programs import HOST, dul_fsm, run
from tests.interop.rows import SCP, SCU, each_archive, exercises
from tests.interop.studies import STUDIES

pytestmark = pytest.mark.interop

ALL = sorted(uid for study in STUDIES for uid in study.instances)


@each_archive("C-ECHO", "dcmqrscp", "wlmscpfs", "orthanc", "pynetdicom")
def test_an_archive_answers_an_echo(archive: Archive) -> None:
    done = dul_fsm("echo", HOST, archive.port, "-aec", AE_TITLE, "--repeat", 2)
    assert done.status == 0, (done, archive.process.output)
    assert done.output.count("Success") == 2


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=exercises("C-STORE", SCU, name))
        for name in ("dcmqrscp", "orthanc", "pynetdicom")
    ],
)
def test_an_archive_has_what_was_stored_to_it(
    archives: Archives, studies: tuple[Path, ...], dcmtk: DCMTKClient, name: str
) -> None:
    archive = archives.start(name, load=False)
    done = dul_fsm("store", HOST, archive.port, "-aec", AE_TITLE, *studies)
    assert done.status == 0, (done, archive.process.output)
    there = [
        uid
        for study in STUDIES
        for uid in dcmtk.get(archive.port, "STUDY", f"StudyInstanceUID={study.uid}").instances
    ]
    assert sorted(there) == ALL


@exercises("C-ECHO", SCP, "orthanc")
@exercises("C-STORE", SCP, "orthanc")
def test_orthanc_echoes_and_sends_all_that_it_has(
    archives: Archives, destinations: Destinations, listen: StartListen
) -> None:
    orthanc = archives.orthanc()
    ours = listen("--port", destinations.ours)
    assert orthanc.post(f"/modalities/{OURS}/echo", {}) == {}
    sent = orthanc.post(f"/modalities/{OURS}/store", orthanc.get("/studies"))
    assert sent["FailedInstancesCount"] == 0, (sent, orthanc.process.output)
    assert len(ours.files) == len(ALL)


@exercises("C-ECHO", SCP, "pynetdicom")
def test_echoscu_of_pynetdicom_is_answered(listen: StartListen) -> None:
    ours = listen()
    done = run(sys.executable, "-m", "pynetdicom", "echoscu", "-v", HOST, ours.port)
    assert "Received Echo Response (Status: 0x0000 - Success)" in done.output, done
    ours.says("released")
