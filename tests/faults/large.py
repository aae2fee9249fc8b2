"""A large database with a past, and how much of it may be in memory."""

from pathlib import Path

from faults.database import main
from stand_ins import Log
from storify import Storify

MEBIBYTE = 1 << 20
#: Less than the database; threads of other tests may take some of it, too.
MOST_BYTES = 13 * MEBIBYTE
RECORDS = 3000
RECORD = "x" * 8000


def make_large(folder: Path) -> None:
    """Make a database of 24 MB: a backup with a journal beside it, and main."""
    with Storify(folder, save_interval=None, log=Log()) as sf:
        db = sf.get_db("users", root={f"k{n}": RECORD for n in range(RECORDS)})
        db.flush(compact=True)
        for number in range(5):
            db[f"k{number}"] = number
            db.flush(compact=number == 3)
        assert main(folder).stat().st_size > 22 * MEBIBYTE
