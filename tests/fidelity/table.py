"""Print the README's table of types; ``--write`` puts it into the README."""

import sys
from pathlib import Path

from kinds import KINDS
from positions import is_hashable

START = "<!-- types: printed by tests/fidelity/table.py -->"
END = "<!-- end of types -->"


def table() -> str:
    """Give the table as Markdown: a row a group, keys marked with a dagger."""
    rows = ["| | stored exactly, typed or untyped, alone or nested |", "|---|---|"]
    for group in dict.fromkeys(kind.group for kind in KINDS):
        names = [
            kind.name + ("" if is_hashable(kind.value) else "*")
            for kind in KINDS
            if kind.group == group
        ]
        rows.append(f"| {group} | {', '.join(names)} |")
    rows.append("")
    rows.append(
        f"{len(KINDS)} kinds, each tested alone, in a typed and an untyped field, "
        "in a list, tuple, dict and set, and as a dict key, read in a new process. "
        "\\* not hashable, so in no set and no key."
    )
    return "\n".join(rows).replace(" * ", " \\* ").replace("**", "\\*\\*")


def main() -> None:
    """Print the table, or put it where it belongs."""
    if "--write" not in sys.argv:
        print(table())  # noqa: T201 - that is its purpose
        return
    readme = Path(__file__).parent.parent.parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, after = text.split(START)[0], text.split(END)[1]
    readme.write_text(f"{before}{START}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
