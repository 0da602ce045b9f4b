"""What workloads share: a folder, the data made once, the tap, and a transfer measured.

Not here: the workloads (`stores`, `others`, `sweeps`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from statistics import median

from benchmarks.competitors import KINDS, missing
from benchmarks.data import DataSets, make_object, make_series
from benchmarks.measuring import Observed, Sample, interleaved, observe
from benchmarks.processes import BenchmarkError, Command, Process, free_port
from benchmarks.report import Floor, Row, Tell
from benchmarks.tap import Tap

MAXIMUM = 131072
"""Maximum-length-received of every SCP, unless a workload is about that: DCMTK's most."""

SLOW_FILE = 60e-6
"""Seconds to make an empty file, three times as long as it takes."""

CALM, QUICK_CALM = 400.0, 10.0
"""Seconds to wait for a file system in which it takes longer: inodes stay in mind for six
minutes."""

Pair = tuple[str, str]
"""Who sends, who receives: names of `competitors`."""

Adapt = Callable[[str, Command], Command]


def arrow(pair: Pair) -> str:
    """A pair's name in tables."""
    return f"{pair[0]} -> {pair[1]}"


class Bench:
    """One run of the benchmarks."""

    def __init__(self, folder: Path, tap: Tap, runs: int, quick: bool, tell: Tell) -> None:
        self.folder = folder
        self.tap = tap
        self.runs = runs
        self.quick = quick
        self.tell = tell

    # Data ---------------------------------------------------------------------------------------

    @cached_property
    def series(self) -> DataSets:
        """200 CT images of 512 KiB."""
        return make_series(self.folder / "series", 20 if self.quick else 200)

    @cached_property
    def few(self) -> DataSets:
        """Some of them, for those who take a second for ten."""
        return make_series(self.folder / "few", 5 if self.quick else 50)

    @cached_property
    def large(self) -> DataSets:
        """One object of 210 MB."""
        return make_object(self.folder / "large", 52_428_800 if self.quick else 209_715_200)

    @contextmanager
    def object(self, size: int) -> Iterator[DataSets]:
        """An object of that size, for as long as it is needed."""
        folder = self.folder / f"object-{size}"
        try:
            yield make_object(folder, size)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # Servers ------------------------------------------------------------------------------------

    @contextmanager
    def server(self, command: Command, port: int) -> Iterator[Process]:
        """A server that listens."""
        with Process(command, self.folder) as process:
            process.await_listening(port)
            yield process

    @contextmanager
    def scp(
        self,
        name: str,
        maximum: int = MAXIMUM,
        output: Path | None = None,
        adapt: Adapt = lambda name, command: command,
    ) -> Iterator[tuple[Process, int]]:
        """A competitor's SCP, and its port."""
        port = free_port()
        with self.server(adapt(name, KINDS[name].scp(port, maximum, output)), port) as process:
            yield process, port

    def observe(self, commands: Sequence[Command], server: Process, port: int) -> Observed:
        """See `measuring.observe`."""
        return observe(self.tap, commands, server, port, self.folder)

    def timed(
        self,
        commands: Sequence[Command],
        server: Process,
        port: int,
        figure: Callable[[float], float],
    ) -> Sample:
        """Observe, and make the figure of the seconds that it took."""
        seen = self.observe(commands, server, port)
        return seen.sample(figure(seen.seconds))

    # Transfers ----------------------------------------------------------------------------------

    def transfers(
        self,
        number: str,
        title: str,
        data: DataSets,
        pairs: Sequence[Pair],
        floors: Sequence[Floor] = (),
        *,
        maximum: int = MAXIMUM,
        to_disk: bool = False,
        clients: int = 1,
        adapt: Adapt = lambda name, command: command,
    ) -> Row:
        """MB/s of each pair, with `clients` SCUs at once that each send `data`.

        `adapt` may change what is run, given the competitor's name.
        """
        row = Row(number, title, "MB/s", {}, floors)
        with ExitStack() as stack:
            contestants: dict[str, Callable[[], Sample]] = {}
            for pair in pairs:
                gone = missing(pair[0]) or missing(pair[1])
                if gone:
                    row.notes.append(f"left out: {arrow(pair)}: {gone}")
                    continue
                output = None
                if to_disk:
                    output = self.folder / f"received-{len(contestants)}"
                    for folder in (output, _aside(output)):
                        folder.mkdir()
                        stack.callback(shutil.rmtree, folder, ignore_errors=True)
                    self._await_calm(output, row.notes)
                process, port = stack.enter_context(self.scp(pair[1], maximum, output, adapt))
                contestants[arrow(pair)] = partial(
                    self._transfer,
                    [adapt(pair[0], KINDS[pair[0]].scu(port, maximum, data))] * clients,
                    process,
                    port,
                    data,
                    output,
                )
            row.samples = self.interleaved(number, contestants, row.notes)
        return row

    def _await_calm(self, output: Path, notes: list[str]) -> None:
        """Wait until files are made quickly in `output`, `CALM` seconds at most.

        ext4 without a journal passes over each inode that was freed in the last minutes, one at a
        time: where thousands of files have just been deleted, to make one takes up to a
        millisecond, and that is what would be measured.
        """
        began = time.monotonic()
        while (took := _time_of_a_file(output)) > SLOW_FILE:
            waited = time.monotonic() - began
            if waited > (QUICK_CALM if self.quick else CALM):
                notes.append(
                    f"to make a file takes {took * 1e6:.0f} µs here; waited {waited:.0f} s"
                )
                return
            self.tell(f"files were deleted here lately: waiting, {waited:.0f} s so far")
            time.sleep(1.0)

    def _transfer(
        self,
        commands: Sequence[Command],
        process: Process,
        port: int,
        data: DataSets,
        output: Path | None,
    ) -> Sample:
        seen = self.observe(commands, process, port)
        if seen.connections != len(commands):
            raise BenchmarkError(f"{seen.connections} connections, not {len(commands)}")
        if output is not None:
            _take_back(output, data)
        return seen.sample(data.length * len(commands) / seen.seconds / 1e6)

    def interleaved(
        self, what: str, contestants: Mapping[str, Callable[[], Sample]], notes: list[str]
    ) -> dict[str, list[Sample]]:
        """See `measuring.interleaved`."""
        return interleaved(contestants, self.runs, lambda text: self.tell(f"{what}: {text}"), notes)


def _take_back(output: Path, data: DataSets) -> None:
    """What was stored is all there; then it goes, and the next run finds the folder empty.

    It goes aside, and empty: where files were deleted ext4 makes new ones slowly, for seconds.
    """
    # A hidden file is none that was stored: ours makes the next one ahead, and takes it away again.
    received = [path for path in output.rglob("[!.]*") if path.is_file()]
    size = sum(path.stat().st_size for path in received)
    if len(received) != len(data.files) or abs(size - data.length) > 4096 * len(received):
        raise BenchmarkError(
            f"{len(received)} of {len(data.files)} files were stored, {size} bytes"
        )
    aside = Path(tempfile.mkdtemp(dir=_aside(output)))
    for number, path in enumerate(received):
        os.truncate(path, 0)
        path.rename(aside / str(number))


def _time_of_a_file(output: Path) -> float:
    """Seconds that it takes to make one there; the median of some, which go aside."""
    stamps = [time.perf_counter()]
    for number in range(20):
        (output / f".{number}").touch()
        stamps.append(time.perf_counter())
    aside = Path(tempfile.mkdtemp(dir=_aside(output)))
    for number in range(20):
        (output / f".{number}").rename(aside / str(number))
    return median(after - before for before, after in pairwise(stamps))


def _aside(output: Path) -> Path:
    """Where the files go that an SCP has stored in `output`."""
    return output.with_name(f"{output.name}-aside")
