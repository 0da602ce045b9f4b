"""The workloads that send images: rows 1 to 5, 8, 10 and 12 of the table."""

from __future__ import annotations

import shutil
from statistics import median

from benchmarks.bench import Bench, Pair, arrow
from benchmarks.competitors import BARE, DCMTK, KINDS, OURS, PYNETDICOM, STOCK
from benchmarks.data import require_space
from benchmarks.measuring import Sample
from benchmarks.report import Floor, Row


def _floor(ours: Pair, theirs: Pair, limit: float) -> Floor:
    return Floor(arrow(ours), arrow(theirs), limit)


def as_scp(bench: Bench) -> list[Row]:
    """1: DCMTK's SCU into ours and into its own SCP."""
    ours, theirs = (DCMTK, OURS), (DCMTK, DCMTK)
    return [
        bench.transfers(
            "1a",
            f"SCP: storescu, {_series(bench)}",
            bench.series,
            [ours, theirs],
            [_floor(ours, theirs, 1.2)],
        ),
        bench.transfers(
            "1b",
            f"SCP: storescu, {_large(bench)}",
            bench.large,
            [ours, theirs],
            [_floor(ours, theirs, 1.5)],
        ),
    ]


def as_scu(bench: Bench) -> list[Row]:
    """2: our SCU and DCMTK's into DCMTK's SCP."""
    ours, theirs = (OURS, DCMTK), (DCMTK, DCMTK)
    floors = [_floor(ours, theirs, 1.0)]
    return [
        bench.transfers(
            "2a", f"SCU: into storescp, {_series(bench)}", bench.series, [ours, theirs], floors
        ),
        bench.transfers(
            "2b", f"SCU: into storescp, {_large(bench)}", bench.large, [ours, theirs], floors
        ),
    ]


def both_ends(bench: Bench) -> list[Row]:
    """3: each to itself."""
    ours, dcmtk, pynetdicom = (OURS, OURS), (DCMTK, DCMTK), (PYNETDICOM, PYNETDICOM)
    floors = [_floor(ours, dcmtk, 1.5), _floor(ours, pynetdicom, 20.0)]
    return [
        bench.transfers(
            "3a",
            f"both ends: {_series(bench)}",
            bench.series,
            [ours, dcmtk, pynetdicom],
            floors,
        ),
        bench.transfers("3b", f"both ends: {_large(bench)}", bench.large, [ours, dcmtk], floors),
    ]


def against_sockets(bench: Bench) -> list[Row]:
    """4: ours to ours against a bare pair of processes."""
    ours, bare = (OURS, OURS), (BARE, BARE)
    floors = [_floor(ours, bare, 0.7)]
    return [
        bench.transfers("4a", f"the limit: {_series(bench)}", bench.series, [ours, bare], floors),
        bench.transfers("4b", f"the limit: {_large(bench)}", bench.large, [ours, bare], floors),
    ]


def to_disk(bench: Bench) -> list[Row]:
    """5: into files that have their names when the SCU has its answer."""
    ours, theirs = (DCMTK, OURS), (DCMTK, DCMTK)
    both = (OURS, OURS)
    return [
        bench.transfers(
            "5",
            f"to disk: {_series(bench)}",
            bench.series,
            [ours, theirs, both],
            [_floor(ours, theirs, 1.0)],
            to_disk=True,
        )
    ]


def stock(bench: Bench) -> list[Row]:
    """8: DCMTK as it comes, with Nagle's algorithm."""
    ours, theirs = (STOCK, OURS), (STOCK, STOCK)
    return [
        bench.transfers(
            "8",
            f"stock storescu (Nagle on): {len(bench.few.files)} x 512 KiB CT",
            bench.few,
            [ours, theirs],
            [_floor(ours, theirs, 10.0)],
        )
    ]


def small_pdus(bench: Bench) -> list[Row]:
    """12: 16 KiB PDUs."""
    ours, theirs, bare = (OURS, OURS), (DCMTK, DCMTK), (BARE, BARE)
    return [
        bench.transfers(
            "12",
            f"16 KiB PDUs: {_series(bench)}",
            bench.series,
            [ours, theirs, bare],
            [_floor(ours, theirs, 0.8)],
            maximum=16384,
        )
    ]


def huge_object(bench: Bench) -> list[Row]:
    """10: how much memory a 2 GB object takes beyond what a small one does, at each end."""
    size = 256 << 20 if bench.quick else 2_000_000_000
    row = Row(
        "10", f"an object of {size / 1e9:.2g} GB, to disk: memory beyond a small one's", "MB", {}
    )
    if not require_space(bench.folder, 2 * size):
        row.notes.append(f"left out: no room for twice {size / 1e9:.2g} GB in {bench.folder}")
        return [row]
    output = bench.folder / "received-huge"
    rates: list[float] = []
    with bench.object(size) as data, bench.object(524288) as small:

        def run() -> tuple[Sample, Sample]:
            output.mkdir()
            try:
                with bench.scp(OURS, output=output) as (process, port):
                    scu = KINDS[OURS].scu
                    before = bench.observe([scu(port, 131072, small)], process, port)
                    seen = bench.observe([scu(port, 131072, data)], process, port)
            finally:
                shutil.rmtree(output)
            rates.append(data.length / seen.seconds / 1e6)
            scu_growth = seen.memory_scu - before.memory_scu
            scp_growth = seen.memory_scp - before.memory_scp
            return seen.sample(scu_growth / 1e6), seen.sample(scp_growth / 1e6)

        both: list[tuple[Sample, Sample]] = []

        def once() -> Sample:
            both.append(run())
            return both[-1][0]

        samples = bench.interleaved("10", {"SCU": once}, row.notes)
    row.samples = {**samples, "SCP": [scp for _, scp in both[1:]]}
    row.floors = [
        Floor("SCU", None, 16.0, at_least=False),
        Floor("SCP", None, 16.0, at_least=False),
    ]
    row.notes.append(f"at {median(rates[1:]):.0f} MB/s, {min(rates[1:]):.0f}..{max(rates[1:]):.0f}")
    row.notes.append("resident memory counts the pages of a mapped file that are in the page cache")
    return [row]


def _series(bench: Bench) -> str:
    return f"{len(bench.series.files)} x 512 KiB CT"


def _large(bench: Bench) -> str:
    return f"one object of {bench.large.length / 1e6:.0f} MB"
