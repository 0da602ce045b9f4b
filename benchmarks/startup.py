"""Row 14 of the table: what a process pays before it does anything.

`import dul_fsm` is timed inside a new interpreter, from before the statement to after it; a C-ECHO
as a command from the start of the process to its end. `dul-fsm echo` and `python -m pynetdicom
echoscu` take turns against one `dul-fsm listen`, so that whatever else the machine does hits both.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from time import perf_counter

from benchmarks.bench import Bench
from benchmarks.competitors import OURS, PYNETDICOM, missing
from benchmarks.measuring import Sample
from benchmarks.processes import HOST, BenchmarkError
from benchmarks.report import Floor, Row

_IMPORT = """
from time import perf_counter
began = perf_counter()
{}
print(perf_counter() - began)
"""

# What is installed has its bytecode. What lies in a working copy has it after the warm-up round,
# unless this keeps it from being written.
_ENVIRONMENT = {
    name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}


def startup(bench: Bench) -> list[Row]:
    """14: import, and `echo` as a whole process."""
    bare, both = "import dul_fsm", "from dul_fsm import associate, serve"
    imports = Row("14a", "import, in a new interpreter", "s", {})
    imports.floors = [Floor(each, None, 0.12, at_least=False) for each in (bare, both)]
    imports.samples = bench.interleaved(
        "14", {bare: lambda: _imported(bare), both: lambda: _imported(both)}, imports.notes
    )
    ours, theirs = "dul-fsm echo", "pynetdicom echoscu"
    whole = Row("14b", "C-ECHO as a command, whole process", "s", {})
    whole.floors = [Floor(ours, theirs, 0.5, at_least=False)]
    with bench.scp(OURS) as (_, port):
        contestants: dict[str, Callable[[], Sample]] = {
            ours: lambda: _process("dul_fsm", "echo", HOST, str(port))
        }
        if missing(PYNETDICOM):
            whole.notes.append(f"left out: {PYNETDICOM}: {missing(PYNETDICOM)}")
        else:
            contestants[theirs] = lambda: _process("pynetdicom", "echoscu", HOST, str(port))
        whole.samples = bench.interleaved("14", contestants, whole.notes)
    return [imports, whole]


def _imported(statement: str) -> Sample:
    program = [sys.executable, "-c", _IMPORT.format(statement)]
    ran = subprocess.run(program, capture_output=True, check=True, env=_ENVIRONMENT)
    return Sample(float(ran.stdout))


def _process(module: str, *arguments: str) -> Sample:
    """One run, which must succeed; its processor time is that of its whole life."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = perf_counter()
    status = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        check=False,
        stdout=subprocess.DEVNULL,
        env=_ENVIRONMENT,
    ).returncode
    seconds = perf_counter() - began
    if status:
        raise BenchmarkError(f"{module} {' '.join(arguments)}: status {status}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Sample(seconds, seconds, cpu)
