"""Run all benchmarks, each in a process of its own: ``make bench``."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent


def import_times() -> None:
    """Print what importing costs over a bare interpreter, in new processes."""
    print("\nimport, over a bare interpreter")
    times_s: dict[str, list[float]] = {}
    # With compiled modules, wherever this runs, as an installed package has them.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": tempfile.mkdtemp()}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    statements = ("pass", "import attrs, msgpack", "import storify", "import cattrs")
    for counted in [False, *[True] * 9]:
        for statement in statements:
            start = time.perf_counter()
            subprocess.run(  # noqa: S603 - our own code
                [sys.executable, "-c", statement], check=True, env=environment
            )
            if counted:
                elapsed_s = time.perf_counter() - start
                times_s.setdefault(statement, []).append(elapsed_s)
    shutil.rmtree(environment["PYTHONPYCACHEPREFIX"])
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
