"""The first page of a large database, by each face: time and memory.

``python benchmarks/look.py FOLDER [RECORDS]`` fills the folder once, then prints for
each face what its first page took, and what a thousand pages in a row add.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from storify import Model, Storify
from storify.explorer import Session

_PAGES = 1000
_MB = 1e6


class User(Model):
    """A small record."""

    name: str
    age: int = 0
    city: str = ""
    tags: list[str] = []  # noqa: RUF012 - a model copies it for each object


def resident() -> float:
    """Return the memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / _MB


def fill(folder: Path, count: int) -> None:
    """Make the database, if it is not there."""
    if (folder / "users.mpack").exists():
        return
    with Storify(folder, save_interval=None, models=[User]) as sf:
        db = sf.get_db("users")
        for number in range(count):
            city = "Paris" if number % 3 else "Rome"
            db[f"u{number:07}"] = User(f"name {number}", number % 90, city, ["a", "b"])


def measured(
    face: str, first: Callable[[], object], turn: Callable[[int], object]
) -> None:
    """Print what the first page and those after it take."""
    before, start = resident(), time.perf_counter()
    first()
    taken_ms, grown = (time.perf_counter() - start) * 1e3, resident() - before
    there = resident()
    for number in range(1, _PAGES):
        turn(number)
    more = resident() - there
    print(
        f"{face}: first page {taken_ms:.1f} ms, {grown:.1f} MB; 1,000 pages {more:+.1f} MB"
    )


def session_face(folder: Path) -> None:
    """The session, with nothing over it."""
    made: list[Session] = []

    def first() -> None:
        made.append(Session(folder))
        made[0].page("users", limit=50)

    measured("session", first, lambda n: made[0].page("users", offset=50 * n, limit=50))


def web_face(folder: Path) -> None:
    """The application of ``storify serve``, without the wire."""
    from starlette.testclient import TestClient  # noqa: PLC0415 - of this face

    from storify.web import application  # noqa: PLC0415 - as above
    from storify.web.safety import Keys  # noqa: PLC0415 - as above

    keys = Keys()
    client = TestClient(application(Session(folder), keys), base_url="http://127.0.0.1")
    client.get("/style.css", params={"token": keys.token})

    def page(number: int) -> None:
        answer = client.get("/db/users", params={"offset": 50 * number})
        answer.raise_for_status()

    measured("serve", lambda: page(0), page)


def main() -> None:
    """Measure each face in a process of its own."""
    folder = Path(sys.argv[1])
    if sys.argv[2:3] == ["session"]:
        session_face(folder)
    elif sys.argv[2:3] == ["serve"]:
        web_face(folder)
    else:
        fill(folder, int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)  # noqa: PLR2004 - given or not
        for face in ("session", "serve"):
            command = [sys.executable, __file__, str(folder), face]
            subprocess.run(command, check=True)  # noqa: S603 - this file


if __name__ == "__main__":
    main()
