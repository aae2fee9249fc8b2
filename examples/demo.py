"""The main job on real data: save, then read back in new processes.

``make demo`` runs this. It leaves the files in ``demo_data/``.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import msgpack

HERE = Path(__file__).parent
DATA = HERE.parent / "demo_data"


def run(title: str, script: str, *arguments: str) -> None:
    """Run an example in a process of its own."""
    print(f"\n{title}", flush=True)
    subprocess.run(  # noqa: S603 - our own scripts
        [sys.executable, str(HERE / script), str(DATA), *arguments], check=True
    )


def look(*arguments: str) -> None:
    """Look at what is on disk with the command line, which needs none of the classes."""
    print(f"\n    $ storify {' '.join(arguments)}", flush=True)
    command = [sys.executable, "-m", "storify", *arguments]
    # diff ends with 1 if something differs
    subprocess.run(command, cwd=DATA.parent, check=False)  # noqa: S603 - our own command


def main() -> None:
    """Run both examples, then look at what they left on disk."""
    shutil.rmtree(DATA, ignore_errors=True)
    run("1. A to-do list with a hand-written model", "todo.py")
    run("2. The packages installed here, as typed models", "packages.py")
    run("3. The same file, read by a new process", "packages.py", "--report")

    print("\n4. The to-do list as any MessagePack reader in any language sees it")
    plain = msgpack.unpackb((DATA / "daily_tasks.mpack").read_bytes())
    for key, value in plain.items():
        print(f"    {key}: {value}")

    print("\n5. What is on disk")
    for path in sorted(DATA.rglob("*")):
        if path.is_file():
            print(f"    {path.relative_to(DATA.parent)}  {path.stat().st_size:,} bytes")

    print("\n6. The same, without a line of Python")
    look("ls", DATA.name)
    look("show", DATA.name, "packages", "--limit", "3", "--columns", "name,version")
    look("diff", DATA.name, "daily_tasks")


if __name__ == "__main__":
    main()
