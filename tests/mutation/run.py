"""`make mutants`: does a test fail when the code is wrong?

Each mutant of `mutations` meets the tests that guard its module; one that none of them fails for
has survived. Survivors that no test could tell from the code stand, with the reason, in
equivalent.txt; the others are listed, and the score is what was killed of all but the equivalent.

Two ways, both of which fork, so that nothing outlives its mutant and no file is touched:

- in a function: the tests are collected once; in a fork the code of the function is replaced, and
  those tests run that have called it before;
- at import (a table, a constant), or with no such test, or survived, for what it does at import: a
  fork of a process that has not imported the package imports the mutant and collects the tests
  anew.

Status 1 if the score of a module is below 95 %, or a listed survivor is killed.
"""

from __future__ import annotations

import argparse
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import hypothesis
import pydicom  # noqa: F401  # imported once, and not again in each fork
import pytest
import transitions  # noqa: F401

from tests.mutation.equivalent import reasons
from tests.mutation.mutations import ROOT, Mutant, mutants

GUARDS: dict[str, tuple[str, ...]] = {
    "dul_fsm/fsm": ("tests/fsm", "tests/test_spec.py", "tests/upper_layer"),
    "dul_fsm/pdu": ("tests/pdu", "tests/property/test_pdu.py"),
    "dul_fsm/upper_layer": ("tests/upper_layer", "tests/property/test_upper_layer.py"),
    "dul_fsm/negotiation.py": ("tests/test_negotiation.py",),
    "dul_fsm/dimse/messages.py": ("tests/dimse/test_messages.py", "tests/property/test_dimse.py"),
}
"""Which tests guard which modules."""

FRESH = ("tests/upper_layer/test_streams.py",)
"""These compute at import what they compare with, so they say something of a mutant only if they
are imported after it: they have no part in the first way."""

GOAL = 0.95
MEMORY = 4 << 30
"""Bytes that a mutant may take: one that appends for ever must not take the machine with it."""

KILLED, SURVIVED, COLD, BROKEN = "killed", "survived", "cold", "broken"

Key = tuple[str, int, str]
"""Of a function: file, first line, qualified name."""


def modules(part: str) -> list[str]:
    """The modules of a part, from the root of the repository."""
    path = ROOT / part
    paths = sorted(path.glob("*.py")) if path.is_dir() else [path]
    return [str(path.relative_to(ROOT)) for path in paths]


# Forks -------------------------------------------------------------------------------------------


def in_forks(
    jobs: Iterable[tuple[Mutant, Callable[[], str], float]], workers: int
) -> Iterator[tuple[Mutant, str]]:
    """Run each job in a fork of this process, `workers` at a time.

    What takes longer than its seconds is killed, which is as good as a failing test.
    """
    waiting = iter(jobs)
    running: dict[int, tuple[Mutant, float]] = {}
    exhausted = False
    while running or not exhausted:
        while not exhausted and len(running) < workers:
            job = next(waiting, None)
            if job is None:
                exhausted = True
                break
            mutant, run, seconds = job
            running[_fork(run)] = mutant, time.monotonic() + seconds
        for pid, (mutant, deadline) in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if not done and time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                done, status = pid, 0
            if done:
                del running[pid]
                code = os.waitstatus_to_exitcode(status)
                # A crash of the interpreter and the end of its memory are no survivors either.
                yield mutant, _STATUS.get(code, KILLED)
        time.sleep(0.002)


_STATUS = {10: SURVIVED, 11: COLD, 12: BROKEN}


def _fork(run: Callable[[], str]) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    outcome = KILLED
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        outcome = run()
    finally:
        # Whatever it was; and without the clean-up of the process that this is a copy of.
        codes = {name: code for code, name in _STATUS.items()}
        os._exit(codes.get(outcome, 0))


class Briefly:
    """A pytest plugin: a failing example is enough, nobody wants the smallest one."""

    def pytest_configure(self) -> None:
        """After the profile of tests/conftest.py was loaded."""
        hypothesis.settings.register_profile(
            "mutants",
            hypothesis.settings(),
            phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        )
        hypothesis.settings.load_profile("mutants")


OPTIONS = (
    *("-x", "-q", "-p", "no:cacheprovider", "-p", "no:cov"),
    # The plugins are imported already, so that forks need not do it again.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


# Cold: from the import on ------------------------------------------------------------------------


class Imports(importlib.abc.MetaPathFinder):
    """Finds one module of the package to be its mutant."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        self.name = mutant.path.removesuffix(".py").replace("/", ".")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The specification of the mutant."""
        if fullname != self.name:
            return None
        file = str(ROOT / self.mutant.path)
        return importlib.util.spec_from_file_location(
            fullname, file, loader=Loads(self.mutant, fullname, file)
        )


class Loads(importlib.machinery.SourceFileLoader):
    """Loads a mutant, past the cache of compiled files."""

    def __init__(self, mutant: Mutant, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self.mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        """The code of the mutant."""
        return self.mutant.compile()


def cold(mutant: Mutant | None, tests: Sequence[str]) -> str:
    """Import the mutant and run all tests, in this process."""
    if mutant is not None:
        sys.meta_path.insert(0, Imports(mutant))
    status = pytest.main([*OPTIONS, *tests], plugins=[Briefly()])
    if status == pytest.ExitCode.OK:
        return SURVIVED
    return BROKEN if status == pytest.ExitCode.NO_TESTS_COLLECTED else KILLED


def cold_all(found: list[Mutant], tests: Sequence[str], workers: int) -> dict[str, str]:
    """What became of each mutant, by its key."""
    start = time.monotonic()
    for _, outcome in in_forks([(found[0], lambda: cold(None, tests), 600.0)], 1):
        if outcome != SURVIVED:
            raise SystemExit(f"the tests fail as they are: {' '.join(tests)}")
    seconds = 10 + 5 * (time.monotonic() - start)
    jobs = ((mutant, partial(cold, mutant, tests), seconds) for mutant in found)
    results = {mutant.key: outcome for mutant, outcome in in_forks(jobs, workers)}
    if BROKEN in results.values():
        raise SystemExit(f"no tests: {' '.join(tests)}")
    return results


# Hot: a function, in tests that are there --------------------------------------------------------


class Hot:
    """A pytest plugin: instead of running the tests once, runs them for each mutant."""

    def __init__(self, found: list[Mutant], workers: int) -> None:
        self.mutants = found
        self.workers = workers
        self.results: list[tuple[str, str]] = []
        self.seconds: dict[int, float] = {}
        self.callers: dict[Key, set[int]] = defaultdict(set)
        self.items: list[pytest.Item] = []
        self.functions: dict[Key, list[FunctionType]] = defaultdict(list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """The tests as they are, watched; then the mutants."""
        fresh = {ROOT / path for path in FRESH}
        self.items = [item for item in session.items if item.path not in fresh]
        for index, item in enumerate(self.items):
            self.watch(index, item)
        if session.testsfailed:
            return True
        for thing in gc.get_objects():
            if isinstance(thing, FunctionType):
                self.functions[_key(thing.__code__)].append(thing)
        jobs = ((mutant, *self.job(mutant, session)) for mutant in self.mutants)
        for mutant, outcome in in_forks(jobs, self.workers):
            self.results.append((mutant.key, outcome))
        return True

    def watch(self, index: int, item: pytest.Item) -> None:
        """Run one test, and note which functions of the package it calls."""
        package = str(ROOT / "dul_fsm")
        callers = self.callers

        def called(frame: object, event: str, argument: object) -> None:
            code: CodeType = frame.f_code  # type: ignore[attr-defined]
            if event == "call" and code.co_filename.startswith(package):
                callers[_key(code)].add(index)

        start = time.monotonic()
        sys.setprofile(called)
        try:
            self.run(index, index + 1)
        finally:
            sys.setprofile(None)
        self.seconds[index] = time.monotonic() - start

    def run(self, index: int, following_index: int | None) -> None:
        """Run one test, with its fixtures; those that the following one shares stay."""
        item = self.items[index]
        following = None
        if following_index is not None and following_index < len(self.items):
            following = self.items[following_index]
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)

    def job(self, mutant: Mutant, session: pytest.Session) -> tuple[Callable[[], str], float]:
        """What to do with a mutant, and for how many seconds at most."""
        callers: set[int] = set()
        for line, name in mutant.functions:
            callers |= self.callers.get((str(ROOT / mutant.path), line, name), set())
        # The quick ones first: most mutants do not live to see the others.
        order = sorted(callers, key=lambda index: self.seconds[index])
        seconds = 10 + 5 * sum(self.seconds[index] for index in order)

        def run() -> str:
            if not order or not self.replace(mutant):
                return COLD
            for index, following in zip(order, [*order[1:], None], strict=True):
                # A test that takes so much longer hangs; the signal ends the fork.
                signal.alarm(5 + int(5 * self.seconds[index]))
                self.run(index, following)
                if session.testsfailed:
                    return KILLED
            return SURVIVED

        return run, seconds

    def replace(self, mutant: Mutant) -> bool:
        """Give the functions that are there the code of the mutant; whether that can be done."""
        path = str(ROOT / mutant.path)
        wanted = {(path, line, name) for line, name in mutant.functions}
        replaced = False
        for code in _codes(mutant.compile()):
            if _key(code) not in wanted:
                continue
            functions = self.functions.get(_key(code), [])
            for function in functions:
                if len({id(f.__code__) for f in functions}) > 1:
                    return False  # two of the same name in one line
                try:
                    function.__code__ = code
                except ValueError:
                    return False  # another closure
                replaced = True
        return replaced


def _key(code: CodeType) -> Key:
    return code.co_filename, code.co_firstlineno, code.co_qualname


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def hot(found: list[Mutant], tests: Sequence[str], workers: int) -> dict[str, str]:
    """What became of each mutant, by its key; in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "results")
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            status = 1
            said = os.open(Path(folder, "said"), os.O_CREAT | os.O_WRONLY)
            os.dup2(said, 1)
            os.dup2(said, 2)
            try:
                plugin = Hot(found, workers)
                code = pytest.main([*OPTIONS[1:], *tests], plugins=[Briefly(), plugin])
                file.write_bytes(pickle.dumps(plugin.results))
                status = int(code != pytest.ExitCode.OK)
            finally:
                sys.stdout.flush()
                os._exit(status)
        _, waited = os.waitpid(pid, 0)
        if waited or not file.exists():
            print(Path(folder, "said").read_text(errors="replace")[-4000:])
            raise SystemExit(f"the tests fail as they are: {' '.join(tests)}")
        return dict(pickle.loads(file.read_bytes()))


# All of it ---------------------------------------------------------------------------------------


def judge(found: list[Mutant], tests: Sequence[str], workers: int) -> dict[str, str]:
    """What became of each mutant, by its key."""
    in_functions = [mutant for mutant in found if mutant.functions]
    results: dict[str, str] = {}
    if in_functions:
        # The runner itself must not be what kills: a mutant that is the code survives.
        same = [mutant.unchanged() for mutant in in_functions[:: 1 + len(in_functions) // 5]]
        results = hot(same + in_functions, tests, workers)
        killed = [key for key in {mutant.key for mutant in same} if results.pop(key) == KILLED]
        if killed:
            raise SystemExit(f"killed although nothing was changed: {killed}")
    # To collect one folder is quicker than all, and it kills most.
    for stage in (tests[:1], tests):
        again = [mutant for mutant in found if results.get(mutant.key) != KILLED]
        if again:
            results.update(cold_all(again, stage, workers))
    return results


def tests_of(module: str) -> tuple[str, ...]:
    """The tests that guard a module."""
    return next(tests for part, tests in GUARDS.items() if Path(module).is_relative_to(part))


class Tally:
    """What became of the mutants of one module, or of all."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.killed: list[str] = []
        self.equivalent: list[str] = []
        self.survived: list[str] = []

    def add(self, key: str, *, killed: bool, listed: bool) -> None:
        """One more."""
        (self.killed if killed else self.equivalent if listed else self.survived).append(key)

    @property
    def score(self) -> float:
        """Killed, of all but the equivalent."""
        return len(self.killed) / max(1, len(self.killed) + len(self.survived))

    def __str__(self) -> str:
        counts = [len(keys) for keys in (self.killed, self.equivalent, self.survived)]
        numbers = "".join(f"{count:>12}" for count in (sum(counts), *counts))
        return f"{self.name:40}{numbers}{self.score:>9.1%}"


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description="Mutation testing.")
    parser.add_argument("parts", nargs="*", default=list(GUARDS), help="folders or modules")
    parser.add_argument("--only", default="", help="those with this text in their name")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    listed = reasons()
    everything = Tally("all")
    wrong: list[str] = []
    good = True
    heads = "".join(f"{head:>12}" for head in ("mutants", "killed", "equivalent", "survived"))
    print(f"{'module':40}{heads}{'score':>9}")
    for part in options.parts:
        found = {
            module: [mutant for mutant in mutants(module) if options.only in mutant.key]
            for module in modules(part)
        }
        start = time.monotonic()
        every = [mutant for those in found.values() for mutant in those]
        results = judge(every, tests_of(modules(part)[0]), options.workers)
        for module, those in found.items():
            tally = Tally(module)
            for key in [mutant.key for mutant in those]:
                killed = results[key] == KILLED
                for one in (tally, everything):
                    one.add(key, killed=killed, listed=key in listed)
                if killed and key in listed:
                    wrong.append(key)
            if those:
                good = good and tally.score >= GOAL
                print(tally)
        print(f"{part}: {time.monotonic() - start:.0f} s", flush=True)
    print(everything)
    for key in everything.survived:
        print(f"survived: {key}")
    for key in wrong:
        print(f"listed as equivalent, but killed: {key}")
    return 0 if good and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
