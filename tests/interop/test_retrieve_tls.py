"""Retrieval over TLS (PS3.15 Annex B) with pynetdicom, which has it, and DCMTK's storescp.

DCMTK's own getscu, movescu and dcmqrscp have no TLS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dul_fsm import associate, serve
from dul_fsm.scu.query import get, scp_roles
from dul_fsm.services.handler import Destination
from dul_fsm.services.sop_classes import STUDY_ROOT_GET
from dul_fsm.transports import TCP, TLS, Connector, client_context, server_context
from tests.certificates import Certificates, make
from tests.interop.archives import DCMTK, THEIRS, Archives, installed
from tests.interop.ours import (
    IMAGES,
    OurArchive,
    Received,
    contents,
    proposal,
    study_keys,
    those_of,
)
from tests.interop.programs import HOST, storescp
from tests.interop.pynetdicom_user import use
from tests.interop.rows import SCP, SCU, exercises
from tests.interop.studies import LAMARR_MR, LOVELACE_CT_MR

pytestmark = pytest.mark.interop

SUCCESS, UNABLE = 0x0000, 0xA702


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("certificates"))


@exercises("C-GET", SCU, "pynetdicom")
def test_a_study_comes_over_tls(
    archives: Archives,
    certificates: Certificates,
    tmp_path: Path,
    studies: tuple[Path, ...],
) -> None:
    archive = archives.pynetdicom("--tls", certificates.ca, certificates.server)
    received = Received(tmp_path / "received")
    secure = TLS(HOST, archive.port, client_context(ca=certificates.ca, cert=certificates.client))
    with associate(
        secure,
        **proposal(archive, STUDY_ROOT_GET, *IMAGES),
        roles=scp_roles(IMAGES),
        handler=received(),
    ) as association:
        assert get(association, study_keys(LOVELACE_CT_MR)).completed == 5
    assert contents(received.files) == those_of(LOVELACE_CT_MR, studies)


Move = Callable[[Mapping[str, Connector | Destination]], list[int]]


@pytest.fixture
def move(certificates: Certificates, tmp_path: Path, studies: tuple[Path, ...]) -> Move:
    """`move(destinations)`: pynetdicom asks an archive of ours over TLS to send a study to THEIRS;
    the statuses of the responses."""

    def run(destinations: Mapping[str, Connector | Destination]) -> list[int]:
        ours = OurArchive(tmp_path / "ours", studies, destinations)
        context = server_context(ca=certificates.ca, cert=certificates.server)
        with serve(ours, TLS(HOST, 0, context)) as server:
            shown = (certificates.ca, certificates.client)
            told = use("move", server.port, LAMARR_MR.uid, "--tls", *shown)
        return [line["status"] for line in told]

    return run


@exercises("C-MOVE", SCP, "pynetdicom")
@exercises("C-STORE", SCU, "storescp")
def test_a_study_of_ours_is_sent_over_tls_where_it_was_asked_for_over_tls(
    move: Move, certificates: Certificates, tmp_path: Path, studies: tuple[Path, ...]
) -> None:
    pem = certificates.server
    program = str(installed(DCMTK / "storescp", "dcmtk"))
    options = ("+tls", pem, pem, "+cf", certificates.ca, "+B")
    with storescp(program, tmp_path / "storescp", *options) as there:
        context = client_context(ca=certificates.ca, cert=certificates.client)
        assert move({THEIRS: TLS(HOST, there.port, context)})[-1] == SUCCESS
    files = [path for path in (tmp_path / "storescp").iterdir() if path.name != "log"]
    assert contents(files) == those_of(LAMARR_MR, studies)


@exercises("C-MOVE", SCP, "pynetdicom")
def test_a_study_that_was_asked_for_over_tls_is_not_sent_in_clear(
    move: Move, tmp_path: Path
) -> None:
    program = str(installed(DCMTK / "storescp", "dcmtk"))
    with storescp(program, tmp_path / "storescp", "+B", "-v") as there:
        assert move({THEIRS: TCP(HOST, there.port)}) == [UNABLE]
        assert "Association Received" not in there.output
    assert [path.name for path in (tmp_path / "storescp").iterdir()] == ["log"]


@exercises("C-MOVE", SCP, "pynetdicom")
@exercises("C-STORE", SCU, "storescp")
def test_a_study_is_sent_in_clear_where_that_was_said(
    move: Move, tmp_path: Path, studies: tuple[Path, ...]
) -> None:
    program = str(installed(DCMTK / "storescp", "dcmtk"))
    with storescp(program, tmp_path / "storescp", "+B", "-v") as there:
        known = Destination(TCP(HOST, there.port), THEIRS, clear=True)
        assert move({THEIRS: known})[-1] == SUCCESS
        assert "Association Received" in there.output
    files = [path for path in (tmp_path / "storescp").iterdir() if path.name != "log"]
    assert contents(files) == those_of(LAMARR_MR, studies)
