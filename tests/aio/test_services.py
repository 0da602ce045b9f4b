"""The service classes in asyncio: what `tests/scu` and `tests/scp` prove of them, awaited."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from pydicom import Dataset

from dul_fsm.aio import associate, serve
from dul_fsm.aio.commitment import (
    STORAGE_COMMITMENT,
    CommitmentReports,
    CommitmentResult,
    Reference,
    Transactions,
    commit,
    report,
    request_commitment,
)
from dul_fsm.aio.procedure_step import (
    MODALITY_PERFORMED_PROCEDURE_STEP,
    ProcedureStep,
    performed_series,
)
from dul_fsm.aio.query import (
    MODALITY_WORKLIST,
    OperationFailed,
    Progress,
    find,
    get,
    move,
    scp_roles,
)
from dul_fsm.scp.archive import QUERY_RETRIEVE
from dul_fsm.scp.commitment import CommitmentHandler
from dul_fsm.scp.procedure_step import ProcedureStepHandler, ProcedureSteps
from dul_fsm.scp.worklist import WorklistHandler
from dul_fsm.services.handler import Handler
from dul_fsm.services.sop_classes import VERIFICATION, choose_any
from dul_fsm.transports import Loopback
from tests.aio.support import run
from tests.scp.steps import END, begun, scheduled
from tests.scp.studies import CT, STUDY, Archive, identifier, instance

STUDIES = identifier("QueryRetrieveLevel=STUDY", "StudyInstanceUID")
THE_STUDY = identifier("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={STUDY}")
HERE, GONE = Reference(CT, "1.2.1"), Reference(CT, "1.2.2")
PATIENCE = 30.0


def check(reference: Reference) -> int | None:
    return None if reference == HERE else 0x0112


def test_an_archive_finds_gets_and_moves(tmp_path: Path) -> None:
    async def test() -> None:
        there, endpoint = Loopback(), Loopback()
        kept = Archive(tmp_path / "kept", {"THERE": there})
        here, moved = Archive(tmp_path / "here"), Archive(tmp_path / "moved")
        kept.put(*(instance(number) for number in range(1, 6)))
        told: list[Progress] = []
        async with (
            serve(kept, endpoint),
            serve(moved, there),
            associate(
                endpoint,
                contexts=[CT, VERIFICATION, *QUERY_RETRIEVE],
                roles=scp_roles([CT]),
                handler=here(),
            ) as association,
        ):
            assert [match.StudyInstanceUID async for match in find(association, STUDIES)] == [STUDY]
            assert (await get(association, THE_STUDY, progress=told.append)).completed == 5
            result = await move(association, THE_STUDY, "THERE", progress=told.append)
            assert (result.completed, result.ok) == (5, True)
            with pytest.raises(OperationFailed, match="A801H"):
                await move(association, THE_STUDY, "ELSEWHERE")
            with pytest.raises(OperationFailed, match="A900H"):
                await anext(find(association, identifier("StudyInstanceUID")))
            images = identifier(
                "QueryRetrieveLevel=IMAGE",
                f"StudyInstanceUID={STUDY}",
                f"SeriesInstanceUID={STUDY}.1",
                "SOPInstanceUID",
            )
            async with aclosing(find(association, images)) as matches:
                assert (await anext(matches)).SOPInstanceUID == f"{STUDY}.1.1"
            assert (await association.c_echo()).status == 0
        assert here.uids() == moved.uids() == kept.uids()
        assert [one.completed for one in told] == [1, 2, 3, 4] * 2

    run(test)


def test_a_worklist_is_found() -> None:
    async def test() -> None:
        endpoint = Loopback()
        async with (
            serve(lambda: WorklistHandler(lambda: [scheduled()]), endpoint),
            associate(endpoint, contexts=[MODALITY_WORKLIST.find]) as association,
        ):
            found = find(association, identifier("PatientName"), MODALITY_WORKLIST)
            assert [match.PatientName async for match in found] == ["Doe^Jane"]

    run(test)


def test_a_step_is_performed() -> None:
    async def test() -> None:
        store: dict[str, Dataset] = {}
        steps, endpoint = ProcedureSteps(store), Loopback()
        async with (
            serve(lambda: ProcedureStepHandler(steps), endpoint),
            associate(endpoint, contexts=[MODALITY_PERFORMED_PROCEDURE_STEP]) as association,
        ):
            step = ProcedureStep(association, "1.2.3.4")
            assert (await step.create(begun())).status == 0
            assert (await step.complete(END, performed_series([instance(1)]))).status == 0
            with pytest.raises(OperationFailed, match="may no longer be updated"):
                await step.discontinue(END)
            other = ProcedureStep(association)
            await other.create(begun())
        assert store["1.2.3.4"].PerformedProcedureStepStatus == "COMPLETED"
        assert set(store) == {"1.2.3.4", other.sop_instance_uid}

    run(test)


def test_commit_waits_for_the_report_on_the_same_association() -> None:
    async def test() -> None:
        transactions, endpoint = Transactions(), Loopback()
        reports = CommitmentReports(transactions.arrived)
        async with (
            serve(lambda: CommitmentHandler(check), endpoint),
            associate(endpoint, contexts=[STORAGE_COMMITMENT], handler=reports) as association,
        ):
            result = await commit(association, [HERE, GONE], transactions, PATIENCE)
            assert result is not None
            assert (result.committed, result.failed) == ((HERE,), ((GONE, 0x0112),))

    run(test)


def test_a_report_on_another_association_reaches_a_server_of_ours() -> None:
    async def test() -> None:
        transactions, archive, ours = Transactions(), Loopback(), Loopback()
        async with asyncio.TaskGroup() as tasks:

            def deliver(ae_title: str, result: CommitmentResult) -> None:
                tasks.create_task(send(ae_title, result))

            async def send(ae_title: str, result: CommitmentResult) -> None:
                await report(result, ours, called_ae_title=ae_title)

            handler = CommitmentHandler(check, deliver, same_association=False)
            async with (
                serve(lambda: CommitmentReports(transactions.arrived), ours),
                serve(lambda: handler, archive),
            ):
                async with associate(archive, contexts=[STORAGE_COMMITMENT]) as association:
                    uid = await request_commitment(association, [HERE], transactions)
                result = await transactions.wait(uid, PATIENCE)
                assert result is not None
                assert result.committed == (HERE,)
                assert await transactions.wait(uid, timeout=0) is None

    run(test)


def test_what_is_refused_is_an_error() -> None:
    class Refuses(Handler):
        choose = staticmethod(choose_any(STORAGE_COMMITMENT))

    async def test() -> None:
        transactions, endpoint = Transactions(), Loopback()
        async with serve(Refuses, endpoint):
            async with associate(endpoint, contexts=[STORAGE_COMMITMENT]) as association:
                with pytest.raises(OperationFailed):
                    await request_commitment(association, [HERE], transactions, "1.9")
            with pytest.raises(OperationFailed):
                await report(CommitmentResult("1.9", (HERE,)), endpoint)
        assert not transactions.arrived(CommitmentResult("1.9", (HERE,)))

    run(test)


def test_who_waits_is_woken_by_the_report_and_not_by_the_clock() -> None:
    async def test() -> None:
        transactions, result = Transactions(), CommitmentResult("1.9", (HERE,))
        transactions.expect("1.9")
        waiting = asyncio.create_task(transactions.wait("1.9"))
        await asyncio.sleep(0)
        assert transactions.arrived(result)
        assert await asyncio.wait_for(waiting, PATIENCE) == result

    run(test)
