"""Run all benchmarks, each in a process of its own: ``make bench``."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def import_times() -> None:
    """Print what importing costs over a bare interpreter, in new processes."""
    print("\nimport, over a bare interpreter")
    times_s: dict[str, list[float]] = {}
    statements = ("pass", "import attrs, msgpack", "import storify", "import cattrs")
    for _ in range(9):
        for statement in statements:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)  # noqa: S603 - our own code
            times_s.setdefault(statement, []).append(time.perf_counter() - start)
    bare_s = statistics.median(times_s["pass"])
    for statement in statements[1:]:
        over_ms = (statistics.median(times_s[statement]) - bare_s) * 1e3
        print(f"  {statement:34} {over_ms:8.1f}ms")


def main() -> None:
    """Print all tables."""
    print("Medians of interleaved rounds; ratios within a table can be trusted,")
    print("times depend on the machine.")
    for script in ("codec.py", "model_layer.py", "stack.py"):
        subprocess.run([sys.executable, str(HERE / script)], check=True)  # noqa: S603 - our own scripts
    import_times()


if __name__ == "__main__":
    main()
