"""The second process of the fidelity test: open the file, judge every value.

Prints a JSON object: case -> None if it is exact, else what is wrong.
"""

import json
import sys

from kinds import MODELS, TYPES
from positions import HOLDERS, POSITIONS, Anything, cases

from storify import Storify
from storify.testing import same


def open_database(folder: str, name: str = "fidelity"):
    """Open the database that both processes use."""
    models = [*MODELS, *HOLDERS.values(), Anything]
    return Storify(folder, models=models, types=TYPES).get_db(name)


def judge(expected: object, found: object) -> str | None:
    """Say what is wrong with *found*, None if it is exact."""
    if type(found) is not type(expected):
        return f"{type(found).__name__} instead of {type(expected).__name__}"
    if not same(expected, found):
        return f"{found!r:.80} instead of {expected!r:.80}"
    if repr(found) != repr(expected):
        return f"repr {found!r:.80} instead of {expected!r:.80}"
    return None


def main() -> None:
    """Judge all cases."""
    sys.set_int_max_str_digits(0)  # the repr of 10**5000
    db = open_database(sys.argv[1])
    verdicts = {
        f"{kind.name} {position}": judge(
            kind.value, POSITIONS[position][1](db[f"{kind.name} {position}"])
        )
        for kind, position in cases()
    }
    print(json.dumps(verdicts))  # noqa: T201 - the answer to the first process


if __name__ == "__main__":
    main()
