"""What the test kit costs: an oracle's examples, and `import hypothesis`.

    python benchmarks/testing.py

CPU time, because other programs may run meanwhile. The entry point is measured as
installed and without it, in new interpreters in turn.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from records import User
from storify.testing import assert_roundtrip, models, storable

ROOT = Path(__file__).parent.parent
EXAMPLES = 200
RUNS = 15

IMPORT = """
import time
start = time.process_time()
import hypothesis
print(time.process_time() - start)
"""


def cpu_s(action: Callable[[], object]) -> float:
    """Give the processor seconds of one call."""
    start = time.process_time()
    action()
    return time.process_time() - start


def import_ms(folder: str) -> float:
    """Give the CPU milliseconds of `import hypothesis` in a new interpreter."""
    path = os.pathsep.join([folder, str(ROOT)])
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", IMPORT],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    return 1000 * float(done.stdout)


def install(folder: str) -> None:
    """Put into *folder* what an installed storify tells of its entry points."""
    info = Path(folder, "storify_entry-1.dist-info")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: storify-entry\n")
    points = "[hypothesis]\nstorify_entry = _storify_hypothesis:setup\n"
    (info / "entry_points.txt").write_text(points)


def imports() -> tuple[float, float]:
    """Give the medians of `import hypothesis` without and with the entry point."""
    with tempfile.TemporaryDirectory() as without, tempfile.TemporaryDirectory() as own:
        install(own)
        pairs = [(import_ms(without), import_ms(own)) for _ in range(RUNS)]
    plain, ours = zip(*pairs, strict=True)
    return statistics.median(plain), statistics.median(ours)


def main() -> None:
    """Print what each costs."""
    for name, what in (
        ("assert_roundtrip(User)", User),
        ("the same, adversarial", models(User, adversarial=True)),
        ("storable()", storable()),
    ):
        seconds = cpu_s(lambda what=what: assert_roundtrip(what, examples=EXAMPLES))
        print(f"{name}, {EXAMPLES} examples: {seconds:.2f} s")
    fresh = cpu_s(lambda: assert_roundtrip(User, examples=EXAMPLES, new_process=True))
    print(f"with a new process, without its own time: {fresh:.2f} s")
    plain, ours = imports()
    print(f"import hypothesis: {plain:.1f} ms, with the entry point {ours:.1f} ms")


if __name__ == "__main__":
    main()
