"""Storify beside its peers, each in a process of its own, in interleaved rounds.

A round visits every peer at every size before the next one begins, so that a slow
quarter of an hour hits all of them alike; ratios are taken within a round. Before
each process starts, what others left to be written is written.

A peer that would take too long at a size is left out there and above, and the
reason is kept: stores that rewrite one file need not be shown to be slow with a
million records when they are so with ten thousand.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from peers import BASE, PEERS, Spec, find
from report import duration

__all__ = ["FULL", "QUICK", "Comparison", "Plan"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: How many for each number of records, ascending.
        main: The number of records at which everything is measured; at others,
            commits are.
        load_budget_s: A peer must be able to fill a store within this.
        commit_budget_s: And to commit a change within this.
        worker_budget_s: A process that takes longer is stopped.
    """

    rounds: dict[int, int]
    main: int
    load_budget_s: float
    commit_budget_s: float
    worker_budget_s: float


FULL = Plan(
    {1_000: 3, 10_000: 2, 100_000: 2, 1_000_000: 1},
    main=100_000,
    load_budget_s=60,
    commit_budget_s=3,
    worker_budget_s=120,
)
QUICK = Plan(
    {1_000: 2, 10_000: 1},
    main=10_000,
    load_budget_s=10,
    commit_budget_s=1,
    worker_budget_s=30,
)


class SkipError(Exception):
    """A peer cannot do what was asked, with the reason for the reader."""


@dataclass
class Comparison:
    """Runs the plan and keeps what came out.

    Attributes:
        plan: What to measure.
        folder: Where the stores are made.
        legacy: A folder that holds storify 0.0.11, or none.
        samples: For each (peer, measure, size), a value for each round; none in a
            round without one.
        skipped: The reason, for each peer and size that was left out.
    """

    plan: Plan
    folder: Path
    legacy: Path | None
    samples: dict[tuple[str, str, int], list[float | None]] = field(
        default_factory=dict
    )
    skipped: dict[tuple[str, int], str] = field(default_factory=dict)

    def run(self) -> None:
        """Measure everything, saying on the error stream how far it is."""
        for number in range(max(self.plan.rounds.values())):
            for size, rounds in self.plan.rounds.items():
                if number >= rounds:
                    continue
                for spec in PEERS:
                    self._visit(spec, size, number)

    def _visit(self, spec: Spec, size: int, number: int) -> None:
        """Measure one peer at one size, or note why not."""
        if (spec.name, size) in self.skipped:
            return
        start = time.monotonic()
        try:
            if number == 0:
                self._expect_quick(spec, size)
                self._fill(spec, size)
            if size == self.plan.main and not spec.variant_of:
                if number:
                    self._load_again(spec, size, number)
                self._measure(spec, "read", size, number)
            self._measure(spec, "commit", size, number)
        except SkipError as err:
            for larger in self.plan.rounds:
                if larger >= size:
                    self.skipped.setdefault((spec.name, larger), str(err))
        elapsed_s = time.monotonic() - start
        outcome = self.skipped.get((spec.name, size), "")
        print(
            f"round {number + 1}, {size:,} records: {spec.name}"
            f" ({elapsed_s:.1f} s) {outcome}",
            file=sys.stderr,
        )

    def _expect_quick(self, spec: Spec, size: int) -> None:
        """Refuse what would take too long if the cost is linear."""
        sizes = list(self.plan.rounds)
        if size == sizes[0]:
            return
        smaller = sizes[sizes.index(size) - 1]
        limits = {
            "load": self.plan.load_budget_s,
            "commit": self.plan.commit_budget_s,
        }
        for name, budget_s in limits.items():
            taken_s = self.samples.get((spec.name, name, smaller), [None])[0]
            if taken_s and taken_s * size / smaller > budget_s:
                msg = (
                    f"a {name} takes {duration(taken_s)} with {smaller:,} records;"
                    f" if linear, over {budget_s:g} s here"
                )
                raise SkipError(msg)

    def _fill(self, spec: Spec, size: int) -> None:
        """Make the store that the rounds use."""
        folder = self.store(spec, size)
        if spec.variant_of:
            original = find(spec.variant_of)
            if not self.store(original, size).exists():
                msg = f"no records: {spec.variant_of} was left out"
                raise SkipError(msg)
            shutil.copytree(self.store(original, size), folder)
            return
        phase = "load" if size <= self.plan.main else "stream"
        try:
            self._measure(spec, phase, size, 0)
        except SkipError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _load_again(self, spec: Spec, size: int, number: int) -> None:
        """Time the filling of one more store."""
        folder = self.store(spec, size).with_name("again")
        self._measure(spec, "load", size, number, folder)
        shutil.rmtree(folder)

    def _measure(
        self, spec: Spec, phase: str, size: int, number: int, folder: Path | None = None
    ) -> None:
        """Run a worker and keep its measures as those of this round."""
        measures = self._work(spec, phase, folder or self.store(spec, size), size)
        for name, value in measures.items():
            values = self.samples.setdefault((spec.name, name, size), [])
            values.extend([None] * (number - len(values)))
            values.append(value)

    def _work(
        self, spec: Spec, phase: str, folder: Path, size: int
    ) -> dict[str, float]:
        """Give what a worker measured.

        Raises:
            SkipError: It is not installed, too slow, or failed.
        """
        environment = self.environment(spec)
        os.sync()
        try:
            done = subprocess.run(  # noqa: S603 - our own code
                self.command(spec, phase, folder, size),
                env=environment,
                capture_output=True,
                check=False,
                text=True,
                timeout=self.plan.worker_budget_s,
            )
        except subprocess.TimeoutExpired as err:
            msg = f"its process took over {self.plan.worker_budget_s:g} s ({phase})"
            raise SkipError(msg) from err
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            error = done.stderr.strip().rpartition("\n")[2].partition(":")[0]
            msg = f"failed: {error} ({phase})"
            raise SkipError(msg)
        measures: dict[str, float] = json.loads(done.stdout)
        if "missing" in measures:
            msg = "not installed"
            raise SkipError(msg)
        return measures

    def environment(self, spec: Spec) -> dict[str, str]:
        """Give the environment of a peer's process.

        Raises:
            SkipError: It is the old package, and there is none.
        """
        if not spec.legacy:
            return dict(os.environ)
        if self.legacy is None:
            msg = "pip could not install it"
            raise SkipError(msg)
        return {**os.environ, "PYTHONPATH": str(self.legacy)}

    def command(self, spec: Spec, phase: str, folder: Path, size: int) -> list[str]:
        """Give the command line of a peer's process."""
        worker = str(HERE / "worker.py")
        return [sys.executable, worker, spec.name, phase, str(folder), str(size)]

    def store(self, spec: Spec, size: int) -> Path:
        """Give the folder of a peer's store."""
        letters = (letter if letter.isalnum() else "_" for letter in spec.name)
        return self.folder / "".join(letters) / str(size)

    def values(self, name: str, measure: str, size: int) -> list[float]:
        """Give what a peer's rounds gave."""
        values = self.samples.get((name, measure, size), [])
        return [value for value in values if value is not None]

    def ratios(self, name: str, measure: str, size: int) -> list[float]:
        """Give a peer's values over those of Storify in the same round."""
        mine = self.samples.get((name, measure, size), [])
        base = self.samples.get((BASE, measure, size), [])
        return [a / b for a, b in zip(mine, base, strict=False) if a and b]
