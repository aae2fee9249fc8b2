"""``log``, ``diff``, ``history``, ``restore``: what was there."""

from typing import Annotated, Any, TypeAlias

import typer

from storify.cli._look import short_id, table, width
from storify.cli._shared import (
    FOUND,
    AsJson,
    DryRun,
    Failure,
    Models,
    Rest,
    Where,
    Yes,
    asked,
    counted,
    looking,
    named,
    print_json,
    print_lines,
)
from storify.explorer import (
    MISSING,
    NOW,
    Change,
    Comparison,
    Draft,
    Edit,
    Session,
    State,
    change_lines,
    edits,
    one_line,
    side,
    size_text,
    time_text,
    tree_of,
)

Place: TypeAlias = Annotated[
    str, typer.Option("--path", "-p", metavar="PATH", help="A place in the record.")
]
Most: TypeAlias = Annotated[
    int, typer.Option("--limit", "-n", min=1, help="How many records at most.")
]


def log(where: Where, rest: Rest = None, *, as_json: AsJson = False) -> None:
    """List the states of a database, newest first: WHERE [DB].

    Example: storify log data users
    """
    with looking(where) as session:
        (name,) = named(session, rest)
        states = session.states(name)
        if as_json:
            print_json([_state(each) for each in states])
            return
        rows = [
            [
                short_id(each, states),
                time_text(each.time),
                each.kind,
                size_text(each.size_bytes),
            ]
            if each.id != NOW
            else [NOW, time_text(session.about(name).written), "the present", "-"]
            for each in states
        ]
        print_lines(
            table(["state", "committed", "kind", "size"], rows, right=("size",))
        )


def _state(state: State) -> dict[str, Any]:
    time = state.time.isoformat() if state.time else None
    return {**state._asdict(), "time": time}


def diff(
    where: Where,
    rest: Rest = None,
    *,
    models: Models = None,
    limit: Most = 100,
    as_json: AsJson = False,
) -> None:
    """Show what differs between two states: WHERE [DB] [STATE] [STATE].

    Without a state the last one is compared with the present, with one that one.

    Exit codes: 0 nothing differs, 1 something does, 2 it could not be compared.

    Example: storify diff data users yesterday
    """
    with looking(where, models) as session:
        name, old, new = named(session, rest, "STATE", "STATE", optional=2)
        found = session.diff(name, old or _last(session, name), new or NOW, limit)
        _tell_comparison(found, as_json=as_json)
    if found.added or found.removed or found.changed:
        raise typer.Exit(FOUND)


def _last(session: Session, name: str) -> str:
    for each in session.states(name):
        if each.kind not in {NOW, "unsaved"}:
            return each.id
    msg = f"database {name!r} has no older state to compare with"
    raise Failure(msg)


def _tell_comparison(found: Comparison, *, as_json: bool) -> None:
    if as_json:
        print_json(_comparison(found))
        return
    for change in found.changes:
        print_lines(list(change_lines(change, width())))
    left = found.added + found.removed + found.changed - len(found.changes)
    if left > 0:
        typer.echo(f"… and {counted(left, 'record')} more; see --limit")
    typer.echo(f"{found.added} added, {found.removed} removed, {found.changed} changed")


def _comparison(found: Comparison) -> dict[str, Any]:
    return {
        "added": found.added,
        "removed": found.removed,
        "changed": found.changed,
        "records": [
            {
                "key": tree_of(each.key),
                "kind": each.kind,
                "edits": [_edit(edit) for edit in each.edits()],
            }
            for each in found.changes
        ],
    }


def _edit(edit: Edit) -> dict[str, Any]:
    found: dict[str, Any] = {"path": edit.path}
    if edit.before is not MISSING:
        found["before"] = tree_of(edit.before)
    if edit.after is not MISSING:
        found["after"] = tree_of(edit.after)
    return found


def history(
    where: Where,
    rest: Rest = None,
    *,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Show what a record was, newest first: WHERE [DB] KEY.

    Example: storify history data users u1
    """
    with looking(where, models) as session:
        name, key = named(session, rest, "KEY")
        moments = session.history(name, key)
        written = session.about(name).written
        if as_json:
            print_json(
                [
                    {
                        "state": _state(each.state),
                        "there": each.value is not MISSING,
                        "value": tree_of(each.value),
                    }
                    for each in moments
                ]
            )
            return
        before: Any = MISSING
        lines: list[str] = []
        for each in reversed(moments):
            time = written if each.state.id == NOW else each.state.time
            head = f"{time_text(time)}  {'now' if each.state.id == NOW else each.state.kind}"
            if before is MISSING:
                lines.append(f"{head}  {one_line(each.value, 100)}")
            elif each.value is MISSING:
                lines.append(f"{head}  removed")
            else:
                inner = "; ".join(
                    f"{edit.path}: {side(edit.before)} → {side(edit.after)}"
                    for edit in edits(before, each.value)[:8]
                )
                lines.append(f"{head}  {inner}")
            before = each.value
        print_lines(lines[::-1])


def restore(
    where: Where,
    rest: Rest = None,
    *,
    path: Place = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Make an older state the present one, or some keys: WHERE [DB] STATE [KEY …].

    With --path only that place in the records becomes what it was. The state before
    joins the older states, so it can be restored in turn.

    Example: storify restore data users yesterday u1 u2
    """
    with looking(where, models, write=not dry_run) as session:
        given = list(rest or ())
        name, state = named(session, given[: 2 - bool(session.only)], "STATE")
        keys = given[2 - bool(session.only) :]
        if path:
            if not keys:
                msg = "write the keys whose --path is to be restored"
                raise Failure(msg)
            _write(
                [session.stage_from(name, key, path, state) for key in keys],
                session,
                dry_run,
                yes,
            )
            return
        found = session.restore(name, state, keys, dry_run=True)
        _tell_comparison(found, as_json=as_json)
        if dry_run or not (found.added or found.removed or found.changed):
            return
        asked(f"Restore this in database {name!r}?", yes=yes)
        session.restore(name, state, keys)
        if not as_json:
            typer.echo("restored")


# ``set`` and ``rm`` write what ``restore`` could undo


def write_key(
    where: Where,
    rest: Rest = None,
    *,
    path: Place = "",
    cls: Annotated[
        str,
        typer.Option("--class", metavar="CLASS", help="The class of a new record."),
    ] = "",
    models: Models = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Set a record, or a place in it: WHERE [DB] KEY VALUE.

    The value is JSON, or a plain text. With --models it must fit the class.

    Example: storify set data users u1 31 --path age --models shop.models
    """
    with looking(where, models, write=not dry_run) as session:
        name, key, text = named(session, rest, "KEY", "VALUE")
        found = None if not cls else session.class_named(cls)
        draft = session.stage(name, key, text, path, cls=found)
        _write([draft], session, dry_run, yes)


def remove_keys(
    where: Where,
    rest: Rest = None,
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Remove records: WHERE [DB] KEY and more keys.

    Example: storify rm data users u1 u2
    """
    with looking(where, write=not dry_run) as session:
        given = list(rest or ())
        name, first = named(session, given[: 2 - bool(session.only)], "KEY")
        drafts = [
            session.stage_delete(name, key)
            for key in (first, *given[2 - bool(session.only) :])
        ]
        _write(drafts, session, dry_run, yes)


def _write(drafts: list[Draft], session: Session, dry_run: bool, yes: bool) -> None:
    """Show what changes, ask, and write it."""
    changes = [Change(each.key, each.before, each.after) for each in drafts]
    for change in changes:
        print_lines(list(change_lines(change, width())))
    if dry_run:
        return
    asked(f"Write {counted(len(drafts), 'record')}?", yes=yes)
    session.apply()
    typer.echo(f"{counted(len(drafts), 'record')} written")
