"""``ls``, ``show``, ``get``, ``find``, ``stats``: what is there, as plain text."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Annotated, Any, Final, TypeAlias

import typer

from storify.cli._shared import (
    FOUND,
    AsJson,
    Models,
    Rest,
    Where,
    all_named,
    complain,
    counted,
    looking,
    named,
    print_json,
    print_lines,
    progress,
)
from storify.explorer import (
    NOW,
    About,
    Page,
    Row,
    Session,
    State,
    Stats,
    at_path,
    cell,
    column_value,
    count_parts,
    heads_of,
    kind_of,
    one_line,
    parts_of,
    printable,
    size_text,
    time_text,
    tree_of,
    tree_of_row,
)
from storify.models import Ref

# --- tables and trees, as wide as the terminal ----------------------------------------

_WIDE: Final = 200
_CELL: Final = 40
_LINES: Final = 2000
_MANY: Final = 100


def width() -> int:
    """Return how wide a line may be: the terminal; in a pipe it is of no matter."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return _WIDE


def bar(part: float, whole: float, wide: int = 20) -> str:
    return "█" * max(round(wide * part / whole) if whole else 0, part > 0)


def short_id(state: State, others: Iterable[State]) -> str:
    """Return the beginning of an id that no other state's begins with."""
    head = state.id.partition("-")[0]
    same = [each for each in others if each.id.startswith(head)]
    return head if len(same) == 1 else state.id


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()
) -> list[str]:
    """Lay out a table; columns that find no room are named in a last line."""
    listed = [list(row) for row in rows]
    ending = set(right)
    wide = [
        max([len(name), *(len(row[index]) for row in listed)])
        for index, name in enumerate(columns)
    ]
    room = width()
    shown = 0
    taken = 0
    while shown < len(columns) and (shown == 0 or taken + wide[shown] <= room):
        taken += wide[shown] + 2
        shown += 1

    def line(cells: Sequence[str]) -> str:
        parts = [
            text.rjust(wide[index])
            if columns[index] in ending
            else text.ljust(wide[index])
            for index, text in enumerate(cells[:shown])
        ]
        return "  ".join(parts).rstrip()

    found = [line(columns), *map(line, listed)]
    if shown < len(columns):
        found.append(f"… and {', '.join(columns[shown:])}")
    return found


def record_table(rows: Sequence[Row], columns: Sequence[str] = ()) -> list[str]:
    """Lay out records, a column for each field."""
    heads = heads_of(rows, columns)
    return table(
        [cell(head, _CELL) for head in heads],
        [[cell(column_value(head, row), _CELL) for head in heads] for row in rows],
    )


def tree_lines(value: Any, *, most: int = _LINES) -> list[str]:
    """Lay out a value as a tree, a line for each place."""
    found = list(islice(_tree(value, "$", 0), most + 1))
    if len(found) > most:
        found[most:] = ["… and more; name a place in it"]
    return found


def _tree(value: Any, path: str, deep: int) -> Iterator[str]:
    step = cell(path, _WIDE)
    room = max(width() - 2 * deep - len(step) - 1, 20)
    count = None if isinstance(value, Ref) else count_parts(value)
    text = one_line(value, room)
    is_short = count is not None and deep and len(text) < room and not _has_depth(value)
    if count is None or is_short or deep > _MANY:
        yield f"{'  ' * deep}{step} {text}"
        return
    yield f"{'  ' * deep}{step} {kind_of(value)}, {count} part{'s' * (count != 1)}"
    for number, part in enumerate(parts_of(value)):
        if number == _MANY:
            yield f"{'  ' * (deep + 1)}… and {count - number} more"
            return
        yield from _tree(part.value, part.step, deep + 1)


def _has_depth(value: Any) -> bool:
    inner = islice(parts_of(value), _MANY)
    return any(
        count_parts(part.value) and not isinstance(part.value, Ref) for part in inner
    )


# --- the commands ---------------------------------------------------------------------

Limit: TypeAlias = Annotated[
    int, typer.Option("--limit", "-n", min=1, help="How many records.")
]
Offset: TypeAlias = Annotated[
    int, typer.Option("--offset", min=0, help="How many come before them.")
]
Sort: TypeAlias = Annotated[
    str,
    typer.Option("--sort", metavar="FIELD", help="Sort by a field; -FIELD backwards."),
]
Columns: TypeAlias = Annotated[
    str, typer.Option("--columns", metavar="A,B", help="Which fields to show.")
]
At: TypeAlias = Annotated[
    str,
    typer.Option(
        "--at",
        metavar="STATE",
        help="As it was: an id of `log`, a time, 'yesterday', '2 hours ago'.",
    ),
]


def ls(
    where: Where,
    *,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="How many at most.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the databases: records, bytes, when written last, older states, health.

    Exit codes: 0 all can be read, 1 some cannot, 2 there is no such place.

    Example: storify ls data
    """
    with looking(where) as session, progress(where) as tell:
        names = session.names()
        found = session.databases(names[:limit], tell)
    if as_json:
        print_json([_about(each) for each in found])
    else:
        heads = ["database", "records", "size", "written", "older", "health"]
        rows = [
            [
                each.name,
                "-" if each.records is None else f"{each.records:,}",
                size_text(each.size_bytes),
                time_text(each.written) if each.written else "-",
                str(each.older),
                cell(each.health, 30),
            ]
            for each in found
        ]
        print_lines(table(heads, rows, right=("records", "size", "older")))
        for each in found:
            if each.records is None:
                complain(f"{each.name}: {printable(each.health)}")
        left = len(names) - len(found)
        typer.echo(
            counted(len(found), "database") + (f" and {left:,} more" if left else "")
        )
    if any(each.records is None for each in found):
        raise typer.Exit(FOUND)


def _about(about: About) -> dict[str, Any]:
    written = about.written.isoformat() if about.written else None
    return {**about._asdict(), "written": written}


def show(
    where: Where,
    rest: Rest = None,
    *,
    models: Models = None,
    limit: Limit = 20,
    offset: Offset = 0,
    sort: Sort = "",
    columns: Columns = "",
    at: At = NOW,
    as_json: AsJson = False,
) -> None:
    """Show records as a table: WHERE [DB].

    Example: storify show data users --sort -age --limit 5
    """
    with looking(where, models) as session:
        if session.only is None and not rest:
            names = session.names()
            if len(names) == 1:
                rest = names
        (name,) = named(session, rest)
        page, _ = _page(session, name, "", offset, limit, sort, at)
        _tell_page(page, columns, as_json=as_json)
        if not as_json:
            total = len(session.reading(name, at))
            last = page.offset + len(page.rows)
            first = page.offset + 1 if page.rows else 0
            more = f"; go on with --offset {last}" if page.more else ""
            typer.echo(f"{first}-{last} of {counted(total, 'record')}{more}")


def _page(
    session: Session, name: str, where: str, offset: int, limit: int, sort: str, at: str
) -> tuple[Page, list[str]]:
    with progress(name) as tell:
        return session.page(
            name,
            where=where,
            offset=offset,
            limit=limit,
            sort=sort.removeprefix("-"),
            reverse=sort.startswith("-"),
            state=at,
            told=tell,
        )


def _tell_page(page: Page, columns: str, *, as_json: bool) -> None:
    if as_json:
        print_json([tree_of_row(row) for row in page.rows])
        return
    if not page.rows:
        return
    wanted = [each.strip() for each in columns.split(",") if each.strip()]
    print_lines(record_table(page.rows, wanted))


def find(
    where: Where,
    rest: Rest = None,
    *,
    models: Models = None,
    limit: Limit = 20,
    offset: Offset = 0,
    sort: Sort = "",
    columns: Columns = "",
    at: At = NOW,
    as_json: AsJson = False,
) -> None:
    """Find records: WHERE [DB] FILTER.

    A filter compares fields: age > 30 and (city == Paris or name ~ ann), tags contains
    x, status in [NEW, OPEN], not done. _key is the key, _class the class.

    Exit codes: 0 some are there, 1 none is, 2 it could not be looked for.

    Example: storify find data users 'age > 30 and name ~ ann'
    """
    with looking(where, models) as session:
        name, text = named(session, rest, "FILTER")
        page, unmet = _page(session, name, text, offset, limit, sort, at)
        _tell_page(page, columns, as_json=as_json)
    if not page.rows:
        for field in unmet:
            complain(f"no record has a field {field!r}")
        if not as_json:
            typer.echo("none found")
        raise typer.Exit(FOUND)
    if not as_json and page.more:
        last = page.offset + len(page.rows)
        typer.echo(f"there are more; go on with --offset {last}")


def get(
    where: Where,
    rest: Rest = None,
    *,
    models: Models = None,
    at: At = NOW,
    as_json: AsJson = False,
) -> None:
    """Show one record as a tree, or a place in it: WHERE [DB] KEY [PATH].

    A path is written as in errors: .address.city or tags[0].

    Example: storify get data users u1 address.city
    """
    with looking(where, models) as session:
        name, key, path = named(session, rest, "KEY", "PATH", optional=1)
        row = session.row(name, key, at)
        value = at_path(row.value, path) if path else row.value
        if as_json:
            print_json(tree_of(value) if path else tree_of_row(row))
        else:
            print_lines(tree_lines(value))


def stats(
    where: Where,
    rest: Rest = None,
    *,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Show sizes: bytes by class and field, growth over the states: WHERE [DB].

    Example: storify stats data users
    """
    with looking(where, models) as session:
        documents: list[dict[str, Any]] = []
        for name in all_named(session, rest):
            with progress(name) as tell:
                found = session.stats(name, told=tell)
            documents.append(
                {
                    "database": _about(found.about),
                    "classes": [
                        {**each._asdict(), "fields": dict(each.fields)}
                        for each in found.classes
                    ],
                    "sampled": found.sampled,
                    "growth": [
                        {
                            "state": state.id,
                            "time": state.time.isoformat() if state.time else None,
                            "records": records,
                            "size_bytes": taken,
                        }
                        for state, records, taken in found.growth
                    ],
                }
            )
            if not as_json:
                _tell_stats(name, found)
    if as_json:
        print_json(documents)


def _tell_stats(name: str, found: Stats) -> None:
    about = found.about
    typer.echo(
        f"{name}: {counted(about.records or 0, 'record')}, {size_text(about.size_bytes)}"
    )
    whole = sum(each.size_bytes for each in found.classes)
    rows: list[list[str]] = []
    for each in found.classes:
        share = bar(each.size_bytes, whole)
        rows.append([each.name, f"{each.records:,}", size_text(each.size_bytes), share])
        inside = sum(each.fields.values())
        rows += [
            [f"  .{field}", "", f"{100 * taken / inside:.0f} %", bar(taken, inside)]
            for field, taken in each.fields.items()
            if inside
        ]
    print_lines(
        table(["class", "records", "size", ""], rows, right=("records", "size"))
    )
    if len(found.growth) > 1:
        most = max(taken for _, _, taken in found.growth)
        rows = [
            [
                "now" if state.id == NOW else time_text(state.time),
                f"{records:,}",
                size_text(taken),
                bar(taken, most),
            ]
            for state, records, taken in found.growth
        ]
        typer.echo("")
        print_lines(
            table(["state", "records", "size", ""], rows, right=("records", "size"))
        )
