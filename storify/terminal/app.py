"""The screen: databases on the left, records on the right, one record as a tree.

::

    databases | records, a page at a time      enter  one record as a tree
              | filter, sort by a column       t [ ]  another state of the line
              |                                d      what lies between two
    -------------------------------------------------------------------------------
    what was said last                         e, x, v, ctrl+s   drafts, with --write

A face on `Session`: what is shown, found and written is the session's.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice
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
    Comparison,
    Draft,
    Page,
    Part,
    Row,
    Session,
    at_path,
    cell,
    change_lines,
    column_value,
    columns_of,
    count_parts,
    heads_of,
    key_token,
    kind_of,
    literal,
    one_line,
    parts_of,
    printable,
    salvage_text,
    side,
    size_text,
    state_text,
    time_text,
)
from storify.explorer.export import Format, write_records
from storify.models import Ref
from storify.models.hints import field_step
from storify.models.options import class_of
from storify.tables.lines import Losses

__all__ = ["Explorer"]

_PAGE: Final = 50
_NAMES: Final = 1000
_PARTS: Final = 200
_SHOWN: Final = 50
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


class Telling(ModalScreen[bool]):
    """Lines to read; where something is asked, ``y`` agrees."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "leave", "Back"),
        Binding("y", "agree", "Yes, do it"),
    ]

    def __init__(self, title: str, lines: list[str], *, asks: bool = False) -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        self._asks = asks

    def compose(self) -> ComposeResult:
        """Show the lines."""
        with Vertical(id="telling"):
            yield Label(_plain(self._title))
            lines = (Option(_plain(line)) for line in self._lines or ["nothing"])
            yield OptionList(*lines, id="lines")

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self.dismiss(False)

    def action_agree(self) -> None:
        """Do what was asked."""
        if self._asks:
            self.dismiss(True)

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss(False)


class Showing(ModalScreen[str | None]):
    """One record as a tree; answers what to do, and the path of the place."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "Back"),
        Binding("e", "edit", "Edit this place"),
        Binding("g", "follow", "Follow the reference"),
        Binding("r", "restore", "Restore it as here"),
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

    def action_restore(self) -> None:
        """Make the place, or all of it, what it is in the state that is shown."""
        self.dismiss(f"restore {self._path()[0]}")

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss(None)


def _label(part: Part) -> Text:
    count = None if class_of(part.value) is Ref else count_parts(part.value)
    step = printable(part.step[:_PARTS])
    if count:
        kind = cell(kind_of(part.value))
        return _plain(f"{step} {kind}, {count} part{'s' * (count != 1)}")
    return _plain(f"{step} {one_line(part.value, 200)}")


class Explorer(App[None]):
    """The application.

    Args:
        session: What is shown; it writes if the session may.
    """

    TITLE: str | None = "storify explore"
    CSS: ClassVar[str] = """
    OptionList, OptionList:focus { border: none; padding: 0; }
    #names, #names:focus { width: 24; height: 100%; border-right: solid $primary; }
    #said { height: 1; padding: 0 1; }
    #asking, #telling { border: round $primary; padding: 0 1; background: $surface; }
    #asking { height: auto; max-height: 80%; margin: 2 4; }
    #telling { height: 90%; margin: 1 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "show_help_panel", "Keys"),
        Binding("slash", "filter", "Filter"),
        Binding("b", "names", "Databases", show=False),
        Binding("s", "sort", "Sort"),
        Binding("n,pagedown", "turn(1)", "Next", show=False),
        Binding("p,pageup", "turn(-1)", "Back", show=False),
        Binding("t", "time", "Time"),
        Binding("left_square_bracket", "step(-1)", "Older", show=False),
        Binding("right_square_bracket", "step(1)", "Newer", show=False),
        Binding("d", "diff", "Changes"),
        Binding("h", "history", "History"),
        Binding("c", "check", "Misfits", show=False),
        Binding("i", "sizes", "Sizes"),
        Binding("o", "export", "Export"),
        Binding("a", "add", "Add a record", show=False),
        Binding("x", "remove", "Remove", show=False),
        Binding("v", "drafts", "Drafts", show=False),
        Binding("r", "restore", "Restore", show=False),
        Binding("ctrl+s", "save", "Save drafts", show=False),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session: Session = session
        self.db: str = ""
        self.where: str = ""
        self.sort: str = ""
        self.state: str = NOW
        self.names: list[str] = []
        self.start: int = 0
        self.offset_shown: int = 0
        self.page: Page | None = None
        self.rows: list[Row] = []

    def compose(self) -> ComposeResult:
        """Show databases and records."""
        with Horizontal():
            yield OptionList(id="names")
            yield DataTable[Text](id="records", cursor_type="row", zebra_stripes=True)
        yield Static("", id="said", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """List the databases and open the first."""
        self.list_names("")

    def list_names(self, part: str) -> None:
        """List the databases whose names have a part, and open the first."""
        found = [each for each in self.session.names() if part in each]
        self.names = found[:_NAMES]
        listed = self.query_one("#names", OptionList)
        listed.clear_options()
        listed.add_options(Option(_plain(printable(name))) for name in self.names)
        if self.names:
            listed.highlighted = 0
            self.open(self.names[0])
        self.query_one("#records" if self.names else "#names").focus()
        if len(found) > _NAMES or (part and not found):
            self.say(
                f"{len(self.names):,} of {len(found):,} databases; b looks for one"
            )

    def action_names(self) -> None:
        """Ask for a part of the name of a database."""

        def done(answer: str | None) -> None:
            if answer is not None:
                self.list_names(answer)

        self.push_screen(Asking("Databases with this in their names"), done)

    @on(OptionList.OptionHighlighted, "#names")
    def _told_of(self, event: OptionList.OptionHighlighted) -> None:
        if self.focused is not event.option_list:
            return
        about = self.tried(lambda: self.session.about(self.names[event.option_index]))
        if about is not None:
            records = "?" if about.records is None else f"{about.records:,}"
            self.say(
                f"{about.name}: {records} records, {size_text(about.size_bytes)}, "
                f"{time_text(about.written)}, {about.older} older, {about.health}"
            )

    def say(self, text: str) -> None:
        """Say something in the last line."""
        drafts = len(self.session.drafts())
        left = f"  [{drafts} draft{'s' * (drafts != 1)}]" if drafts else ""
        self.query_one("#said", Static).update(_plain(printable(text) + left))

    def tried(self, action: Callable[[], T]) -> T | None:
        """Do something, and say what went wrong."""
        try:
            return action()
        except (StorifyError, ValueError, OSError, ModuleNotFoundError) as error:
            self.say(str(error))
            return None

    # -- records ---------------------------------------------------------------

    def open(self, name: str) -> None:
        """Show a database from its beginning."""
        self.db, self.where, self.sort, self.state = name, "", "", NOW
        self.show_from(0)

    def show_from(self, start: int, offset: int = 0) -> None:
        """Show a page; a search begins behind so many records."""
        self.start, self.offset_shown = start, offset
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
                start=self.start,
            )
        )
        table = self._table()
        table.clear(columns=True)
        self.page, self.rows = None, []
        if found is None:
            return  # nothing of another database stays, which could be edited
        page, unmet = found
        self.page, self.rows = page, page.rows
        columns = heads_of(page.rows)
        table.add_columns(*(_plain(cell(each)) for each in columns))
        for row in page.rows:
            table.add_row(*(_plain(cell(column_value(each, row))) for each in columns))
        first = page.offset + bool(page.rows)
        total = "" if page.total is None else f" of {page.total:,}"
        at = ""
        if self.state != NOW:
            shown = self.session.around(self.db, self.state)[1]
            at = f", as of {state_text(shown)}"
        missing = (
            f", no record has {', '.join(unmet)}" if unmet and not page.rows else ""
        )
        cut = f", after {page.looked_at:,} records time was up: n" if page.cut else ""
        last = page.offset + len(page.rows)
        self.say(f"{self.db}: {first}-{last}{total}{at}{missing}{cut}")

    def current(self) -> Row | None:
        """The record under the cursor."""
        table = self._table()
        at = table.cursor_row
        return self.rows[at] if 0 <= at < len(self.rows) else None

    @on(OptionList.OptionSelected, "#names")
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.open(self.names[event.option_index])
        self.query_one("#records").focus()

    @on(DataTable.RowSelected)
    def _opened(self) -> None:
        row = self.current()
        if row is not None:
            self.show_record(self.db, row, self.state)

    def show_record(self, name: str, row: Row, state: str = NOW) -> None:
        """Show one record as a tree, as it is in a state."""

        def done(answer: str | None) -> None:
            if answer is None:
                return
            what, _, path = answer.partition(" ")
            if what == "edit":
                self._edit(name, row, path)
            elif what == "follow":
                self._follow(row, path)
            elif not path:
                self.restore(name, state, [key_token(row)])
            elif self._may_write():
                key = key_token(row)
                draft = self.tried(
                    lambda: self.session.stage_from(name, key, path, state)
                )
                if draft is not None:
                    self._told(draft)

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
        """Turn the page, or let a search go on that gave up."""
        page = self.page
        if page is None or (way > 0 and not page.more):
            return
        if way > 0 and page.cut and not self.sort:
            self.show_from(page.looked_at)
        else:
            # before the first page of a search that went on is its beginning
            offset = self.offset_shown + way * _PAGE
            self.show_from(self.start if offset >= 0 else 0, max(offset, 0))

    def action_filter(self) -> None:
        """Ask for a filter."""

        def done(answer: str | None) -> None:
            if answer is not None:
                self.where = answer
                self.show_from(0)

        self.push_screen(Asking("Filter, as age > 30 and name ~ ann", self.where), done)

    def action_sort(self) -> None:
        """Ask for a column to sort by."""
        columns = [field_step(each).removeprefix(".") for each in columns_of(self.rows)]
        choices = [("", "as they are stored")]
        choices += [(each, printable(each)) for each in columns]
        choices += [(f"-{each}", f"{printable(each)}, backwards") for each in columns]

        def done(answer: str | None) -> None:
            if answer is not None:
                self.sort = answer
                self.show_from(0)

        self.push_screen(Choosing("Sort by", choices), done)

    # -- time ------------------------------------------------------------------

    def _choose_state(self, title: str, then: Callable[[str], None]) -> None:
        states = self.tried(lambda: self.session.states(self.db)) or []
        choices = [(each.id, state_text(each)) for each in states]

        def done(answer: str | None) -> None:
            if answer is not None:
                then(answer)

        self.push_screen(Choosing(title, choices), done)

    def action_time(self) -> None:
        """Show the database as it was."""

        def then(state: str) -> None:
            self.state = state
            self.show_from(0)

        self._choose_state("Show the state of", then)

    def action_step(self, way: int) -> None:
        """Show the state before or after the one that is shown."""
        line = self.tried(lambda: self.session.around(self.db, self.state))
        state = line and line[1 + way]
        if state:
            self.state = state.id
            self.show_from(0)

    def action_diff(self) -> None:
        """Show what lies between another state and the one that is shown."""

        def then(state: str) -> None:
            found = self.tried(
                lambda: self.session.diff(self.db, state, self.state, most=200)
            )
            if found is not None:
                self.push_screen(Telling(_counts(found), _lines(found.changes)))

        self._choose_state("What changed from there to here", then)

    def action_history(self) -> None:
        """Show what the record under the cursor was; enter shows all of it."""
        row = self.current()
        if row is None:
            return
        key = key_token(row)
        found = self.tried(lambda: self.session.history(self.db, key)) or []
        choices = [
            (
                "" if each.value is MISSING else each.state.id,
                f"{state_text(each.state)}  {side(each.value, 200)}",
            )
            for each in found
        ]

        def done(state: str | None) -> None:
            if state:
                then = self.tried(lambda: self.session.row(self.db, key, state))
                if then is not None:
                    self.show_record(self.db, then, state)

        self.push_screen(Choosing(f"History of {literal(row.key)}", choices), done)

    def action_restore(self) -> None:
        """Make an older state the present one."""
        self._choose_state(
            "Restore the state of", lambda state: self.restore(self.db, state)
        )

    def restore(self, name: str, state: str, keys: Sequence[str] = ()) -> None:
        """Show what a restore would change, and do it if that is wanted."""
        found = self.tried(
            lambda: self.session.restore(name, state, keys, dry_run=True)
        )
        if found is None:
            return

        def done(agreed: bool | None) -> None:
            if agreed and self.tried(lambda: self.session.restore(name, state, keys)):
                self.state = NOW
                self.show_from(0)
                self.say(f"restored: {_counts(found)}")

        title = f"{_counts(found)}; y restores this"
        self.push_screen(Telling(title, _lines(found.changes), asks=True), done)

    # -- health, sizes, out ------------------------------------------------------

    def action_check(self) -> None:
        """Show misfits and damaged files; enter shows the record."""
        found = self.tried(lambda: self.session.health(self.db, seconds=_SECONDS))
        if found is None:
            return
        damage = [printable(f"{each.place}: {each.what}") for each in found.problems]
        if found.broken:
            self._offer_salvage([printable(found.broken), *damage])
            return
        choices = [("", each) for each in damage]
        choices += [
            (each.path, printable(str(each)[:1000])) for each in found.misfits[:500]
        ]
        looked_at = found.looked_at
        cut = "" if looked_at is None else f", of {looked_at:,} records; time was up"
        title = f"{len(found.misfits)} misfits, {len(damage)} damaged files{cut}"

        def done(path: str | None) -> None:
            key = self.session.key_at(self.db, path) if path else None
            if key is not None:
                row = self.tried(lambda: self.session.row(self.db, key))
                if row is not None:
                    self.show_record(self.db, row)

        self.push_screen(Choosing(title, choices or [("", "nothing")]), done)

    def _offer_salvage(self, lines: list[str]) -> None:
        """Show why a database cannot be opened, and save what is intact."""

        def done(agreed: bool | None) -> None:
            found = (
                self.tried(lambda: self.session.salvage(self.db)) if agreed else None
            )
            if found is not None:
                self.show_from(0)
                self.say(f"{self.db}: {salvage_text(found)}")

        title = "It cannot be opened; y saves what is intact"
        self.push_screen(Telling(title, lines, asks=True), done)

    def action_sizes(self) -> None:
        """Show which classes and fields are large, and the growth."""
        found = self.tried(lambda: self.session.stats(self.db, seconds=_SECONDS))
        if found is None:
            return
        lines: list[str] = []
        for each in found.classes[:_SHOWN]:
            lines.append(
                f"{cell(each.name)}: {each.records:,} records, {size_text(each.size_bytes)}"
            )
            whole = sum(each.fields.values()) or 1
            lines += [
                f"  .{printable(name)[:20]:20} {'█' * round(30 * taken / whole)} {100 * taken / whole:.0f} %"
                for name, taken in islice(each.fields.items(), _SHOWN)
            ]
        most = max((taken for *_, taken in found.growth), default=1) or 1
        lines += [
            f"{state_text(state)[:30]:30} {'█' * round(30 * taken / most)} {records:,} records, {size_text(taken)}"
            for state, records, taken in found.growth
        ]
        records = found.about.records or 0
        cut = (
            ""
            if found.looked_at >= records
            else f"; time was up after {found.looked_at:,}"
        )
        self.push_screen(Telling(f"Sizes of {records:,} records{cut}", lines))

    def action_export(self) -> None:
        """Write all records that pass the filter to a file, as its ending says."""

        def done(answer: str | None) -> None:
            if answer:
                self.tried(lambda: self._export(Path(answer)))

        self.push_screen(
            Asking(f"Write to a file: {', '.join(Format)}", f"{self.db}.jsonl"), done
        )

    def _export(self, path: Path) -> None:
        ending = path.suffix.removeprefix(".")
        if ending not in list(Format):
            msg = (
                f"cannot write {str(path)!r}: it ends with none of {', '.join(Format)}"
            )
            raise ValueError(msg)
        losses = Losses(ending, lossy=True)
        with ExitStack() as stack:
            out: Any = path
            if Format(ending).is_text:
                out = stack.enter_context(path.open("w", encoding="utf-8", newline=""))
            count = write_records(
                self.session, self.db, out, losses, where=self.where, state=self.state
            )
        lost = sum(losses.causes.values())
        left = f", {lost} not held as they are" if lost else ""
        self.say(f"{path}: {count} records{left}")

    # -- editing ---------------------------------------------------------------

    def _may_write(self) -> bool:
        if not self.session.write:
            self.say("read-only: start with --write to edit")
        return self.session.write

    def _edit(self, name: str, row: Row, path: str) -> None:
        self._stage(name, key_token(row), path, f"${path} of {literal(row.key)}")

    def _stage(self, name: str, key: str, path: str, what: str) -> None:
        """Ask for a value, and stage it."""

        def done(answer: str | None) -> None:
            if answer is not None:
                draft = self.tried(lambda: self.session.stage(name, key, answer, path))
                if draft is not None:
                    self._told(draft)

        if self._may_write():
            self.push_screen(Asking(f"{what}, as JSON or a text"), done)

    def action_add(self) -> None:
        """Ask for a new key, and what is to stand there."""

        def done(key: str | None) -> None:
            if key:
                self._stage(self.db, key, "", key)

        if self._may_write():
            self.push_screen(Asking("The key of a new record"), done)

    def _told(self, draft: Draft) -> None:
        lines = change_lines(Change(draft.key, draft.before, draft.after))
        self.say(f"draft: {'; '.join(line.strip() for line in lines)}; ctrl+s saves")

    def action_remove(self) -> None:
        """Stage that the record under the cursor goes."""
        row = self.current()
        if row is None or not self._may_write():
            return
        draft = self.tried(lambda: self.session.stage_delete(self.db, key_token(row)))
        if draft is not None:
            self._told(draft)

    def action_drafts(self) -> None:
        """List what is staged; enter drops it."""
        drafts = self.session.drafts()
        choices = [
            (
                str(number),
                f"{printable(each.name)} "
                + "; ".join(
                    line.strip()
                    for line in change_lines(Change(each.key, each.before, each.after))
                ),
            )
            for number, each in enumerate(drafts)
        ]

        def done(answer: str | None) -> None:
            if answer:
                self.session.drop(drafts[int(answer)])
                self.say("dropped")

        title = f"{len(drafts)} draft{'s' * (len(drafts) != 1)}; enter drops one, ctrl+s saves all"
        self.push_screen(Choosing(title, choices or [("", "nothing")]), done)

    def action_save(self) -> None:
        """Save all drafts, each database in one transaction."""
        done = self.tried(self.session.apply)
        if done is not None:
            self.show_page()
            self.say(f"{done} record{'s' * (done != 1)} saved")


def _counts(found: Comparison) -> str:
    return f"{found.added} added, {found.removed} removed, {found.changed} changed"


def _lines(changes: list[Change]) -> list[str]:
    return [line for change in changes for line in change_lines(change)]
