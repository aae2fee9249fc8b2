"""A program whose files must stay small, for a while.

``python -m faults.file_size_limit FOLDER`` says the errno of the flush that is
refused, and what is saved then and later.
"""

import resource
import sys
from pathlib import Path

from faults.generations import SHAPES, open_db, saved
from faults.programs import say


def main(folder: Path) -> None:
    """Flush below the limit, above it, and without it."""
    form = SHAPES["small"]
    sf, db = open_db(folder)
    form.move(db, 1)
    db.flush()
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    form.move(db, 2)
    # Python ignores SIGXFSZ, so the write fails instead.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        db.flush()
    except OSError as err:
        say("refused", err.errno)
    say("found", saved(folder, form))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    db.flush()
    say("found", saved(folder, form))
    sf.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
