"""`make bench`: run the workloads, print the table, write JSON and charts.

    python -m benchmarks.run [WORKLOAD ...] [--runs N] [--quick] [--output FOLDER]

How it is measured, and how to read it: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from time import monotonic

from benchmarks import idle, others, queries, secure, startup, stores, sweeps, workers
from benchmarks.bench import Bench
from benchmarks.charts import Chart, draw
from benchmarks.processes import BenchmarkError
from benchmarks.report import Row, as_text, surroundings, write_json
from benchmarks.tap import best_tap

HERE = Path(__file__).parent
RUNS, QUICK_RUNS = 5, 2

WORKLOADS: dict[str, Callable[[Bench], list[Row]]] = {
    "1": stores.as_scp,
    "2": stores.as_scu,
    "3": stores.both_ends,
    "4": stores.against_sockets,
    "5": stores.to_disk,
    "6": others.echo,
    "7": others.associations,
    "8": stores.stock,
    "9": idle.idle,
    "10": stores.huge_object,
    "11": others.negotiation,
    "12": stores.small_pdus,
    "13": secure.tls,
    "14": startup.startup,
    "15": queries.matches,
    "16": workers.workers,
}
"""By the numbers of the table in README.md."""

CHARTS: dict[str, Callable[[Bench], list[Chart]]] = {
    "pdu-size": sweeps.by_pdu_size,
    "object-size": sweeps.by_object_size,
    "parallel": sweeps.by_parallel,
    "associations": sweeps.by_associations,
}


def main() -> int:
    """Measure; status 1 if a workload failed (not if it is slow)."""
    if sys.platform != "linux":
        print("The benchmarks read /proc and need Linux.", file=sys.stderr)
        return 2
    given = _arguments()
    names = given.workloads or [*WORKLOADS, *CHARTS]
    unknown = [name for name in names if name not in WORKLOADS and name not in CHARTS]
    if unknown:
        print(f"no such workload: {', '.join(unknown)}", file=sys.stderr)
        return 2
    runs = given.runs or (QUICK_RUNS if given.quick else RUNS)
    given.output.mkdir(parents=True, exist_ok=True)
    tap = best_tap()
    about = surroundings(tap.name, runs, given.quick)
    for name, text in about.items():
        print(f"{name}: {text}")
    print(f"median of {runs} runs each, in turn, after a warm-up\n", flush=True)
    rows: list[Row] = []
    charts: list[Chart] = []
    failures = 0
    with tempfile.TemporaryDirectory(prefix="dul-fsm-bench-", dir=given.folder) as folder:
        bench = Bench(Path(folder), tap, runs, given.quick, _tell)
        for name in names:
            began = monotonic()
            try:
                if name in WORKLOADS:
                    new = WORKLOADS[name](bench)
                    rows += new
                    _clear()
                    print("\n".join(map(as_text, new)))
                else:
                    drawn = CHARTS[name](bench)
                    charts += drawn
                    _clear()
                    for chart in drawn:
                        path = given.output / f"{chart.name}.svg"
                        path.write_text(draw(chart))
                        print(f"     chart: {path}")
            except BenchmarkError as error:
                failures += 1
                rows.append(Row(name, "failed", "", {}, notes=[str(error)]))
                _clear()
                print(f"{name:>3}  failed: {error}")
            print(f"     ({monotonic() - began:.0f} s)\n", flush=True)
    curves = {chart.name: asdict(chart) for chart in charts}
    path = given.output / ("quick.json" if given.quick else "full.json")
    write_json(path, about, rows, curves)
    print(f"written: {path}")
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument(
        "workloads", nargs="*", help=f"{', '.join(WORKLOADS)}, {', '.join(CHARTS)}; all by default"
    )
    parser.add_argument("--runs", type=int, help=f"counted runs of each, {RUNS} by default")
    parser.add_argument(
        "--quick", action="store_true", help=f"less of everything, {QUICK_RUNS} runs: does it work?"
    )
    parser.add_argument("--output", type=Path, default=HERE / "results", help="for JSON and charts")
    parser.add_argument("--folder", type=Path, help="for data, 6 GB; the system's by default")
    return parser.parse_args()


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    _tell("")


if __name__ == "__main__":
    sys.exit(main())
