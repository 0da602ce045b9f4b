"""`make fuzz SECONDS=n`: each target for n seconds, one after the other.

Starts from tests/fuzz/corpus/ and what earlier runs have added to it under build/fuzz/. An input
that is a finding is kept under tests/fuzz/regressions/, where the test suite finds it.
Status 1 if there was a finding.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.harness import TARGETS

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
GROWN = ROOT / "build" / "fuzz"

LONGEST = {"pdu_decoder": 4096, "upper_layer": 512, "command_set": 4096}
"""Bytes of an input: every item that there is; and some hundred operations, one after the other."""
ONE_INPUT = 10
"""Seconds; the slowest input of the corpus takes some milliseconds."""
MEMORY = 1024
"""MiB; nothing of what is fuzzed may need a fraction of that."""


def fuzz(target: str, seconds: int) -> bool:
    """Run one target; whether nothing was found."""
    grown, findings = GROWN / target, HERE / "regressions" / target
    log = GROWN / f"{target}.log"
    for folder in (grown, findings):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    arguments = (
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST[target]}",
        f"-timeout={ONE_INPUT}",
        f"-rss_limit_mb={MEMORY}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
        # New inputs go to the first folder.
        str(grown),
        str(HERE / "corpus" / target),
    )
    start = time.monotonic()
    with log.open("wb") as output:
        status = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.harness", target, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            check=False,
        ).returncode
    said = log.read_text(errors="replace")
    executions = int((re.findall(r"number_of_executed_units: *(\d+)", said) or ["0"])[-1])
    took = time.monotonic() - start
    found = sorted(set(findings.iterdir()) - before)
    clean = status == 0 and not found
    print(
        f"{target:12} {executions:>10} executions in {took:4.0f} s, {executions / took:>7.0f}/s: "
        f"{'clean' if clean else 'FOUND SOMETHING'}",
        flush=True,
    )
    if not clean:
        print(said[-4000:])
        for path in found:
            print(f"the input is kept: {path.relative_to(ROOT)}")
        print(f"all that was said: {log.relative_to(ROOT)}", flush=True)
    return clean


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description="Coverage-guided fuzzing.")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="all unless named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    options = parser.parse_args()
    results = [fuzz(target, options.seconds) for target in options.targets or TARGETS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
