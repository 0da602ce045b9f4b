"""What the charts show: the same thing at several sizes.

Not here: how a chart is drawn (`charts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.bench import Bench, Pair, arrow
from benchmarks.charts import Chart, Curve
from benchmarks.competitors import BARE, DCMTK, FORKING, OURS, PYNETDICOM, missing, peer
from benchmarks.data import DataSets

_PAIRS: tuple[Pair, ...] = ((OURS, OURS), (DCMTK, DCMTK), (BARE, BARE))
PDU = 16384


def _measured(
    bench: Bench, chart: Chart, x: float, data: DataSets, pairs: Sequence[Pair], maximum: int
) -> None:
    """One place of a throughput chart."""
    row = bench.transfers(f"chart {chart.name} at {x:g}", chart.title, data, pairs, maximum=maximum)
    for name, samples in row.samples.items():
        values = [sample.value for sample in samples]
        chart.curves.setdefault(name, Curve()).points.append((x, values))


def by_pdu_size(bench: Bench) -> list[Chart]:
    """MB/s at each maximum PDU length."""
    chart = Chart("pdu-size", "A large object, by PDU size", "maximum PDU length", "MB/s")
    chart.x_is_bytes = True
    for maximum in (
        (4096, 16384, 131072) if bench.quick else (4096, 8192, 16384, 32768, 65536, 131072)
    ):
        _measured(bench, chart, maximum, bench.large, _PAIRS, maximum)
    return [chart]


def by_object_size(bench: Bench) -> list[Chart]:
    """MB/s for one object; and the same as cost per PDU of 16 KiB, as their number grows."""
    sizes = [1 << 16, 1 << 20, 1 << 24] if bench.quick else [1 << n for n in range(14, 29, 2)]
    speed = Chart("object-size", "One object over one association", "object", "MB/s")
    speed.x_is_bytes = True
    cost = Chart("cost-per-pdu", "One object in PDUs of 16 KiB", "PDUs", "µs per PDU")
    for size in sizes:
        with bench.object(size) as data:
            _measured(bench, speed, size, data, _PAIRS, 131072)
            if size >= 1 << 18:
                _measured(bench, cost, size // PDU, data, _PAIRS, PDU)
    for curve in cost.curves.values():
        curve.points = [(n, [n * PDU / value for value in many]) for n, many in curve.points]
    return [speed, cost]


def by_parallel(bench: Bench) -> list[Chart]:
    """MB/s of one SCP with several SCUs at once."""
    chart = Chart("parallel", "Several SCUs at once, into one SCP", "SCUs", "MB/s in all")
    pairs = ((OURS, OURS), (DCMTK, OURS), (DCMTK, FORKING))
    for clients in (1, 4) if bench.quick else (1, 2, 4, 8, 16):
        row = bench.transfers(
            f"chart parallel at {clients}", chart.title, bench.large, pairs, clients=clients
        )
        for name, samples in row.samples.items():
            values = [sample.value for sample in samples]
            chart.curves.setdefault(name, Curve()).points.append((clients, values))
    return [chart]


def by_associations(bench: Bench) -> list[Chart]:
    """µs for each of a number of associations in turn."""
    chart = Chart(
        "cost-per-association",
        "Associations with one C-ECHO, one after the other",
        "associations",
        "µs per association",
    )
    for name in (OURS, PYNETDICOM):
        if missing(name):
            continue
        with bench.scp(name) as (process, port):
            most = (100 if bench.quick else 3000) // (1 if name == OURS else 10)
            for count in [n for n in (1, 10, 30, 100, 300, 1000, 3000, 10000) if n <= most]:
                command = peer("associate", name, port, count)
                run = partial(bench.timed, [command], process, port, lambda seconds: seconds * 1e6)
                samples = bench.interleaved(f"chart associations at {count}", {name: run}, [])
                values = [sample.value / count for sample in samples[name]]
                label = arrow((name, name))
                chart.curves.setdefault(label, Curve()).points.append((count, values))
    return [chart]
