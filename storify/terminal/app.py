"""The screen: databases on the left, records on the right, one record as a tree.

::

    databases | records, a page at a time      enter  one record as a tree
              | filter, sort by a column       t      another state of the line
              |                                d      what changed since that state
    -------------------------------------------------------------------------------
    what was said last                         e, x, ctrl+s   drafts, with --write

A face on `Session`: what is shown, found and written is the session's.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar, cast

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Label, OptionList, Static, Tree
from textual.widgets.option_list import Option
from textual.widgets.tree import TreeNode

from storify.exceptions import StorifyError
from storify.explorer import (
    MISSING,
    NOW,
    Change,
    Draft,
    Part,
    Row,
    Session,
    State,
    at_path,
    cell,
    column_value,
    columns_of,
    count_parts,
    key_token,
    kind_of,
    literal,
    one_line,
    parts_of,
    printable,
    tree_of_row,
)
from storify.models import Ref
from storify.models.hints import field_step
from storify.models.options import class_of

__all__ = ["Explorer"]

_PAGE: Final = 50
_NAMES: Final = 1000
_PARTS: Final = 200
_SECONDS: Final = 2.0

T = TypeVar("T")


def _plain(text: str) -> Text:
    """Return a text that is no markup, whatever is in it."""
    return Text(text, no_wrap=True)


class Asking(ModalScreen[str | None]):
    """A line to type; None if it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back")]

    def __init__(self, question: str, value: str = "") -> None:
        super().__init__()
        self._question = question
        self._value = value

    def compose(self) -> ComposeResult:
        """Show the question and the line."""
        with Vertical(id="asking"):
            yield Label(_plain(self._question))
            yield Input(self._value)

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)

    def action_leave(self) -> None:
        """Answer nothing."""
        self.dismiss(None)


class Choosing(ModalScreen[str | None]):
    """A list to choose from; None if it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back")]

    def __init__(self, title: str, choices: list[tuple[str, str]]) -> None:
        super().__init__()
        self._title = title
        self._choices = choices

    def compose(self) -> ComposeResult:
        """Show the list."""
        with Vertical(id="asking"):
            yield Label(_plain(self._title))
            yield OptionList(
                *(Option(_plain(text)) for _, text in self._choices), id="choices"
            )

    def on_mount(self) -> None:
        """Begin at the first."""
        self.query_one("#choices", OptionList).highlighted = 0

    @on(OptionList.OptionSelected)
    def _take(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices[event.option_index][0])

    def action_leave(self) -> None:
        """Answer nothing."""
        self.dismiss(None)


class Telling(ModalScreen[None]):
    """Lines to read."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "leave", "Back"),
    ]

    def __init__(self, title: str, lines: list[str]) -> None:
        super().__init__()
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        """Show the lines."""
        with Vertical(id="telling"):
            yield Label(_plain(self._title))
            lines = (Option(_plain(line)) for line in self._lines or ["nothing"])
            yield OptionList(*lines, id="lines")

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self.dismiss(None)

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss(None)


class Showing(ModalScreen[str | None]):
    """One record as a tree; gives the path of a place to edit, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "Back"),
        Binding("e", "edit", "Edit this place"),
        Binding("g", "follow", "Follow the reference"),
    ]

    def __init__(self, title: str, row: Row) -> None:
        super().__init__()
        self._title = title
        self._row = row

    def compose(self) -> ComposeResult:
        """Show the tree; what is in a part is put there when it is opened."""
        with Vertical(id="telling"):
            yield Label(_plain(self._title))
            root = Part("$", self._row.value)
            tree: Tree[Part] = Tree(_label(root), data=root)
            tree.root.expand()
            yield tree

    def on_mount(self) -> None:
        """Put the first parts in."""
        self.query_one(Tree).focus()

    @on(Tree.NodeExpanded)
    def _fill(self, event: "Tree.NodeExpanded[Part]") -> None:
        node = event.node
        if node.children or node.data is None:
            return
        for number, part in enumerate(parts_of(node.data.value)):
            if number == _PARTS:
                node.add_leaf(_plain("… and more"))
                break
            inside = None if class_of(part.value) is Ref else count_parts(part.value)
            (node.add if inside else node.add_leaf)(_label(part), data=part)

    def _path(self) -> tuple[str, Any]:
        tree = cast("Tree[Part]", self.query_one(Tree))
        node: TreeNode[Part] | None = tree.cursor_node
        steps: list[str] = []
        value = MISSING if node is None or node.data is None else node.data.value
        while node is not None and node.parent is not None and node.data is not None:
            steps.append(node.data.step)
            node = node.parent
        return "".join(reversed(steps)), value

    def action_edit(self) -> None:
        """Edit the place under the cursor."""
        self.dismiss(f"edit {self._path()[0]}")

    def action_follow(self) -> None:
        """Follow the reference under the cursor."""
        path, value = self._path()
        if class_of(value) is Ref:
            self.dismiss(f"follow {path}")

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss(None)


def _label(part: Part) -> Text:
    count = None if class_of(part.value) is Ref else count_parts(part.value)
    step = printable(part.step)
    if count:
        return _plain(f"{step} {kind_of(part.value)}, {count} part{'s' * (count != 1)}")
    return _plain(f"{step} {one_line(part.value, 200)}")


class Explorer(App[None]):
    """The application.

    Args:
        session: What is shown; it writes if the session may.
    """

    TITLE: str | None = "storify explore"
    CSS: ClassVar[str] = """
    #names { width: 24; border-right: solid $primary; }
    #said { height: 1; padding: 0 1; }
    #asking, #telling { border: round $primary; padding: 0 1; background: $surface; }
    #asking { height: auto; max-height: 80%; margin: 2 4; }
    #telling { height: 90%; margin: 1 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter"),
        Binding("s", "sort", "Sort"),
        Binding("n,pagedown", "turn(1)", "Next"),
        Binding("p,pageup", "turn(-1)", "Back"),
        Binding("t", "time", "Time"),
        Binding("d", "diff", "Changes"),
        Binding("h", "history", "History"),
        Binding("c", "check", "Misfits"),
        Binding("i", "sizes", "Sizes"),
        Binding("o", "export", "Export"),
        Binding("x", "remove", "Remove"),
        Binding("r", "restore", "Restore"),
        Binding("ctrl+s", "save", "Save drafts"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session: Session = session
        self.db: str = ""
        self.where: str = ""
        self.sort: str = ""
        self.state: str = NOW
        self.offset_shown: int = 0
        self.more: bool = False
        self.rows: list[Row] = []

    def compose(self) -> ComposeResult:
        """Show databases and records."""
        with Horizontal():
            yield OptionList(id="names")
            yield DataTable[Text](id="records", cursor_type="row", zebra_stripes=True)
        yield Static("", id="said", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """List the databases and open the first."""
        listed = self.query_one("#names", OptionList)
        names = self.session.names()
        for name in names[:_NAMES]:
            listed.add_option(Option(_plain(printable(name))))
        if names:
            listed.highlighted = 0
            self.open(names[0])
        self.query_one("#records" if names else "#names").focus()

    def say(self, text: str) -> None:
        """Say something in the last line."""
        drafts = len(self.session.drafts())
        left = f"  [{drafts} draft{'s' * (drafts != 1)}]" if drafts else ""
        self.query_one("#said", Static).update(_plain(printable(text) + left))

    def tried(self, action: Callable[[], T]) -> T | None:
        """Do something, and say what went wrong."""
        try:
            return action()
        except (StorifyError, ValueError, OSError) as error:
            self.say(str(error))
            return None

    # -- records ---------------------------------------------------------------

    def open(self, name: str) -> None:
        """Show a database from its beginning."""
        self.db, self.where, self.sort, self.state = name, "", "", NOW
        self.offset_shown = 0
        self.show_page()

    def _table(self) -> DataTable[Text]:
        return cast("DataTable[Text]", self.query_one("#records", DataTable))

    def show_page(self) -> None:
        """Show the page that was asked for."""
        found = self.tried(
            lambda: self.session.page(
                self.db,
                offset=self.offset_shown,
                limit=_PAGE,
                where=self.where,
                sort=self.sort.removeprefix("-"),
                reverse=self.sort.startswith("-"),
                state=self.state,
                seconds=_SECONDS,
            )
        )
        if found is None:
            return
        page, unmet = found
        self.rows, self.more = page.rows, page.more
        table = self._table()
        table.clear(columns=True)
        columns = ["_key", *columns_of(page.rows)]
        table.add_columns(*(_plain(printable(each)) for each in columns))
        for row in page.rows:
            table.add_row(*(_plain(cell(column_value(each, row))) for each in columns))
        first = page.offset + bool(page.rows)
        total = "" if page.total is None else f" of {page.total:,}"
        at = "" if self.state == NOW else f", as of {self.state[:26]}"
        missing = (
            f", no record has {', '.join(unmet)}" if unmet and not page.rows else ""
        )
        cut = f", after {page.looked_at:,} records time was up" if page.cut else ""
        last = page.offset + len(page.rows)
        self.say(f"{self.db}: {first}-{last}{total}{at}{missing}{cut}")

    def current(self) -> Row | None:
        """The record under the cursor."""
        table = self._table()
        at = table.cursor_row
        return self.rows[at] if 0 <= at < len(self.rows) else None

    @on(OptionList.OptionSelected, "#names")
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.open(self.session.names()[event.option_index])
        self.query_one("#records").focus()

    @on(DataTable.RowSelected)
    def _opened(self) -> None:
        row = self.current()
        if row is not None:
            self.show_record(self.db, row)

    def show_record(self, name: str, row: Row) -> None:
        """Show one record as a tree."""

        def done(answer: str | None) -> None:
            if answer is None:
                return
            what, _, path = answer.partition(" ")
            if what == "edit":
                self._edit(name, row, path)
            else:
                self._follow(row, path)

        self.push_screen(Showing(f"{name} {literal(row.key)}", row), done)

    def _follow(self, row: Row, path: str) -> None:
        ref = at_path(row.value, path)
        found = self.session.follow(ref)
        if found is None:
            self.say(f"{one_line(ref)} leads nowhere")
            return
        target = self.tried(lambda: self.session.row(*found))
        if target is not None:
            self.show_record(found[0], target)

    def action_turn(self, way: int) -> None:
        """Turn the page."""
        if way > 0 and not self.more:
            return
        self.offset_shown = max(self.offset_shown + way * _PAGE, 0)
        self.show_page()

    def action_filter(self) -> None:
        """Ask for a filter."""

        def done(answer: str | None) -> None:
            if answer is not None:
                self.where, self.offset_shown = answer, 0
                self.show_page()

        self.push_screen(Asking("Filter, as age > 30 and name ~ ann", self.where), done)

    def action_sort(self) -> None:
        """Ask for a column to sort by."""
        columns = [field_step(each).removeprefix(".") for each in columns_of(self.rows)]
        choices = [("", "as they are stored")]
        choices += [(each, printable(each)) for each in columns]
        choices += [(f"-{each}", f"{printable(each)}, backwards") for each in columns]

        def done(answer: str | None) -> None:
            if answer is not None:
                self.sort, self.offset_shown = answer, 0
                self.show_page()

        self.push_screen(Choosing("Sort by", choices), done)

    # -- time ------------------------------------------------------------------

    def _choose_state(self, title: str, then: Callable[[str], None]) -> None:
        states = self.tried(lambda: self.session.states(self.db)) or []
        choices = [(each.id, _state_line(each)) for each in states]

        def done(answer: str | None) -> None:
            if answer is not None:
                then(answer)

        self.push_screen(Choosing(title, choices), done)

    def action_time(self) -> None:
        """Show the database as it was."""

        def then(state: str) -> None:
            self.state, self.offset_shown = state, 0
            self.show_page()

        self._choose_state("Show the state of", then)

    def action_diff(self) -> None:
        """Show what changed since a state."""

        def then(state: str) -> None:
            found = self.tried(lambda: self.session.diff(self.db, state, most=200))
            if found is not None:
                title = f"{found.added} added, {found.removed} removed, {found.changed} changed"
                lines = [line for change in found.changes for line in _lines(change)]
                self.push_screen(Telling(title, lines))

        self._choose_state("What changed since", then)

    def action_history(self) -> None:
        """Show what the record under the cursor was."""
        row = self.current()
        if row is None:
            return
        found = self.tried(lambda: self.session.history(self.db, key_token(row)))
        lines = [
            f"{_state_line(each.state)}  "
            + ("not there" if each.value is MISSING else one_line(each.value, 200))
            for each in found or ()
        ]
        self.push_screen(Telling(f"History of {literal(row.key)}", lines))

    def action_restore(self) -> None:
        """Make an older state the present one."""

        def then(state: str) -> None:
            found = self.tried(lambda: self.session.restore(self.db, state))
            if found is not None:
                self.state = NOW
                self.show_page()
                self.say(
                    f"restored: {found.changed} changed, {found.added} added, {found.removed} removed"
                )

        self._choose_state("Restore the state of", then)

    # -- health, sizes, out ------------------------------------------------------

    def action_check(self) -> None:
        """Show misfits and damaged files."""
        problems = self.tried(lambda: self.session.verify(self.db)) or []
        found = self.tried(lambda: self.session.misfits(self.db)) or []
        lines = [f"{each.place}: {each.what}" for each in problems]
        lines += [printable(str(each)) for each in found[:500]]
        self.push_screen(
            Telling(f"{len(found)} misfits, {len(problems)} damaged files", lines)
        )

    def action_sizes(self) -> None:
        """Show which classes and fields are large, and the growth."""
        found = self.tried(lambda: self.session.stats(self.db))
        if found is None:
            return
        lines: list[str] = []
        for each in found.classes:
            lines.append(
                f"{each.name}: {each.records:,} records, {each.size_bytes:,} bytes"
            )
            whole = sum(each.fields.values()) or 1
            lines += [
                f"  .{printable(name)[:20]:20} {'█' * round(30 * taken / whole)} {100 * taken / whole:.0f} %"
                for name, taken in each.fields.items()
            ]
        most = max((taken for *_, taken in found.growth), default=1) or 1
        lines += [
            f"{_state_line(state)[:30]:30} {'█' * round(30 * taken / most)} {records:,}"
            for state, records, taken in found.growth
        ]
        self.push_screen(Telling("Sizes", lines))

    def action_export(self) -> None:
        """Write what is shown to a file."""

        def done(answer: str | None) -> None:
            if answer:
                text = "".join(
                    json.dumps(tree_of_row(row), ensure_ascii=False) + "\n"
                    for row in self.rows
                )
                done = self.tried(
                    lambda: Path(answer).write_bytes(
                        text.encode("utf-8", "backslashreplace")
                    )
                )
                if done is not None:
                    self.say(f"{answer}: {len(self.rows)} records")

        self.push_screen(
            Asking("Write the records shown, as jsonl, to", f"{self.db}.jsonl"), done
        )

    # -- editing ---------------------------------------------------------------

    def _edit(self, name: str, row: Row, path: str) -> None:
        if not self.session.write:
            self.say("read-only: start with --write to edit")
            return

        def done(answer: str | None) -> None:
            if answer is None:
                return
            draft = self.tried(
                lambda: self.session.stage(name, key_token(row), answer, path)
            )
            if draft is not None:
                self._told(draft)

        self.push_screen(
            Asking(f"${path} of {literal(row.key)}, as JSON or a text"), done
        )

    def _told(self, draft: Draft) -> None:
        lines = _lines(Change(draft.key, draft.before, draft.after))
        self.say(f"draft: {'; '.join(line.strip() for line in lines)}; ctrl+s saves")

    def action_remove(self) -> None:
        """Stage that the record under the cursor goes."""
        row = self.current()
        if row is None:
            return
        if not self.session.write:
            self.say("read-only: start with --write to edit")
            return
        draft = self.tried(lambda: self.session.stage_delete(self.db, key_token(row)))
        if draft is not None:
            self._told(draft)

    def action_save(self) -> None:
        """Save all drafts, each database in one transaction."""
        done = self.tried(self.session.apply)
        if done is not None:
            self.show_page()
            self.say(f"{done} record{'s' * (done != 1)} saved")


def _state_line(state: State) -> str:
    time = f"{state.time:%Y-%m-%d %H:%M:%S}" if state.time else state.id
    return "now" if state.id == NOW else f"{time} {state.kind}"


def _lines(change: Change) -> list[str]:
    if change.kind != "changed":
        sign = "+" if change.kind == "added" else "-"
        value = change.after if change.before is MISSING else change.before
        return [f"{sign} {literal(change.key)} {one_line(value, 150)}"]
    return [
        f"~ {literal(change.key)}",
        *(
            f"    {printable(edit.path)}: {_side(edit.before)} → {_side(edit.after)}"
            for edit in change.edits()
        ),
    ]


def _side(value: Any) -> str:
    return "nothing" if value is MISSING else one_line(value, 60)
