"""`dul-fsm store`: send files to a peer."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from time import perf_counter

from dul_fsm.cli.explain import explain, fail, with_names
from dul_fsm.cli.interrupts import Interrupts
from dul_fsm.cli.options import INTERRUPTED
from dul_fsm.cli.progress import Progress
from dul_fsm.cli.tls import TLSOptions, connector
from dul_fsm.cli.watch import observer
from dul_fsm.errors import AssociationError
from dul_fsm.negotiation import Window
from dul_fsm.scu.store import FileResult, StorePlan, plan, store


def store_files(
    paths: list[Path],
    host: str,
    port: int,
    *,
    calling_ae_title: str,
    called_ae_title: str,
    maximum_length: int,
    window: int,
    tls: TLSOptions | None,
    verbose: bool,
) -> int:
    """Plan, send, and print what became of each file; the exit status."""
    try:
        peer = connector(host, port, tls)
    except (OSError, ValueError) as error:
        fail(f"TLS: {with_names(str(error))}")
        return 1
    try:
        planned = plan(paths)
    except KeyboardInterrupt:
        fail("interrupted; nothing was sent")
        return INTERRUPTED
    missed = _told_skipped(planned, verbose)
    if not planned.files:
        fail("nothing to send: no DICOM file with a SOP Instance in it was found")
        return 1
    report = _Report(f"{host}:{port}")
    interrupted = False
    with Progress(planned.files) as progress:
        results = store(
            planned,
            peer,
            calling_ae_title=calling_ae_title,
            called_ae_title=called_ae_title,
            maximum_length=maximum_length,
            window=Window(invoked=window),
            observer=observer(verbose, progress.error),
        )
        # Closing aborts what is open, wherever the interrupt came.
        with Interrupts() as interrupts, closing(results):
            try:
                for result in results:
                    with interrupts.whole():
                        report.take(result, progress)
            except KeyboardInterrupt:
                interrupted = True
        report.finish(planned, progress, interrupted)
    if interrupted:
        return INTERRUPTED
    return 1 if report.failed or missed else 0


def _told_skipped(planned: StorePlan, verbose: bool) -> int:
    """Say which files are not sent at all, and count those that somebody will miss."""
    for skipped in planned.skipped:
        if skipped.wanted:
            fail(f"not sent: {skipped.path}: {skipped.reason}")
        elif verbose:
            print(f"skipped {skipped.path}: {skipped.reason}")
    others = sum(not skipped.wanted for skipped in planned.skipped)
    if others and not verbose:
        print(f"skipped {others} other file{'s' * (others > 1)} (-v names them)")
    return len(planned.skipped) - others


class _Report:
    """Tells the results as they come, and sums them up."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._done: set[Path] = set()
        self._error: Exception | None = None
        self._began = perf_counter()
        self._bytes = 0
        self.stored = 0
        self.failed = 0

    def take(self, result: FileResult, progress: Progress) -> None:
        """Tell one result."""
        self._done.add(result.path)
        if result.ok:
            self.stored += 1
            self._bytes += result.length
            note = f": {with_names(result.reason)}" if result.warning else ""
            text = f"stored {result.path}{note}"
            progress.step(text, worth_telling=result.warning)
            return
        self.failed += 1
        if isinstance(result.error, AssociationError) and result.error is not self._error:
            # Said once, with what to do about it, and not for every file that it keeps back.
            self._error = result.error
            progress.error(f"dul-fsm: {explain(result.error, self._where)}")
        progress.step(f"failed {result.path}: {with_names(result.reason)}", worth_telling=True)

    def finish(self, planned: StorePlan, progress: Progress, interrupted: bool) -> None:
        """Tell what is left and the sum."""
        if interrupted:
            progress.error("dul-fsm: interrupted")
            for association in planned.associations:
                for file in association.files:
                    if file.path not in self._done:
                        progress.tell(f"not sent {file.path}")
        seconds = perf_counter() - self._began
        unsent = planned.files - self.stored - self.failed
        parts = [f"{self.stored} of {planned.files} stored"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{unsent} not sent"] if unsent else []
        megabytes = self._bytes / 1e6
        rate = f", {megabytes / seconds:.1f} MB/s" if seconds and self._bytes else ""
        progress.tell(f"{', '.join(parts)}; {megabytes:.1f} MB in {seconds:.2f} s{rate}")
