"""The pages: databases, records, one record, states, what differs, misfits, sizes."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final, TextIO
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.types import ASGIApp

from storify.exceptions import ConflictError, StorifyError
from storify.explorer import (
    MISSING,
    NOW,
    NotThereError,
    Session,
    cell,
    column_value,
    heads_of,
    key_token,
    kind_of,
    literal,
    node_of,
    one_line,
    pictures,
    printable,
    salvage_text,
    side,
    size_text,
    state_text,
    time_text,
)
from storify.explorer.export import Format, write_records
from storify.models.hints import field_step
from storify.tables.lines import Losses
from storify.web.safety import Guard, Keys

__all__ = ["application"]

_PAGE: Final = 50
_NAMES: Final = 200
#: So long is no name of a column.
_LONG: Final = 200
#: How long a page may search.
_SECONDS: Final = 2.0
_CHUNK: Final = 1 << 16

_KINDS: Final = {Format.CSV: "text/csv", Format.JSONL: "application/jsonl"}

_Page = Callable[[Request], Response]


def application(
    session: Session, keys: Keys | None = None, hosts: tuple[str, ...] = ()
) -> ASGIApp:
    """Make the application that shows a session.

    Args:
        session: What is shown; it writes if the session may.
        keys: The secrets of the door; new ones unless given.
        hosts: Names that requests may be for, beside those of this machine.
    """
    pages = _Pages(session, keys or Keys())
    routes = [
        Route("/", pages.page(pages.databases)),
        Route("/style.css", pages.style),
        Route("/db/{name}", pages.page(pages.records)),
        Route("/db/{name}/record", pages.page(pages.record)),
        Route("/db/{name}/record", pages.page(pages.edit), methods=["POST"]),
        Route("/db/{name}/log", pages.page(pages.log)),
        Route("/db/{name}/restore", pages.page(pages.restore), methods=["POST"]),
        Route("/db/{name}/salvage", pages.page(pages.salvage), methods=["POST"]),
        Route("/db/{name}/diff", pages.page(pages.diff)),
        Route("/db/{name}/history", pages.page(pages.history)),
        Route("/db/{name}/misfits", pages.page(pages.misfits)),
        Route("/db/{name}/sizes", pages.page(pages.sizes)),
        Route("/db/{name}/export", pages.page(pages.export)),
        Route("/drafts", pages.page(pages.drafts)),
        Route("/drafts", pages.page(pages.save), methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes), pages.keys, hosts)


def _number(text: str | None, least: int = 0, most: int = 1 << 40) -> int:
    try:
        return min(max(int(text or 0), least), most)
    except ValueError:
        return least


def _sorting(column: str) -> str:
    """Return the path that sorts by a column; none for one that is too long."""
    return field_step(column).removeprefix(".") if len(column) < _LONG else ""


class _Pages:
    """Makes pages; one at a time, as a session is not for several threads."""

    def __init__(self, session: Session, keys: Keys) -> None:
        self.session = session
        self.keys = keys
        self._lock = threading.Lock()
        self._jinja = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        shared: Any = self._jinja.globals
        shared.update(
            size=size_text,
            when=time_text,
            state_text=state_text,
            salvage_text=salvage_text,
            side=side,
            line=one_line,
            cell=cell,
            printable=printable,
            kind=kind_of,
            token=key_token,
            column=column_value,
            sorting=_sorting,
            literal=literal,
            missing=MISSING,
            now=NOW,
            url=self._url,
            write=session.write,
            place=session.where,
        )
        # Now, or the first page would wait for it.
        for template in self._jinja.list_templates(extensions=("html",)):
            self._jinja.get_template(template)

    @staticmethod
    def _url(request: Request, page: str, name: str | None = None, **query: Any) -> str:
        """Return the address of a page, from the root of the application."""
        root = str(request.scope.get("root_path", ""))
        path = f"/db/{_quoted(name)}" if name is not None else ""
        shown = {key: value for key, value in query.items() if value not in {"", None}}
        tail = f"?{urlencode(shown, errors='surrogatepass')}" if shown else ""
        return f"{root}{path}{'/' + page if page else ''}{tail}" or "/"

    def page(self, make: _Page) -> Any:
        """Make a page in a thread, and tell what went wrong as a page."""

        async def answer(request: Request) -> Response:
            if request.method == "POST":
                form = await request.form()
                request.state.form = {key: str(value) for key, value in form.items()}
            return await run_in_threadpool(partial(self._made, make, request))

        return answer

    def _made(self, make: _Page, request: Request) -> Response:
        with self._lock:
            try:
                if request.method == "POST":
                    self._check_form(request)
                return make(request)
            except (NotThereError, FileNotFoundError) as error:
                return self._error(request, error, HTTPStatus.NOT_FOUND)
            except ConflictError as error:
                return self._error(request, error, HTTPStatus.CONFLICT)
            except (StorifyError, ValueError, OSError) as error:
                return self._error(request, error, HTTPStatus.BAD_REQUEST)

    def _check_form(self, request: Request) -> None:
        if not self.session.write:
            raise HTTPException(HTTPStatus.FORBIDDEN, "read-only: start with --write")
        token = request.state.form.get("csrf", "")
        if not self.keys.allows(token, request.url.path):
            raise HTTPException(HTTPStatus.FORBIDDEN, "the form is of another page")

    def _error(self, request: Request, error: Exception, status: int) -> Response:
        return self._render(request, "error.html", status, error=printable(str(error)))

    def _render(
        self, request: Request, template: str, status: int = 200, **values: Any
    ) -> Response:
        made = self._jinja.get_template(template).render(
            request=request,
            csrf=self.keys.form_token,
            count=len(self.session.drafts()),
            **values,
        )
        # A lone surrogate in a value is no reason to fail.
        return HTMLResponse(made.encode("utf-8", "backslashreplace"), status)

    async def style(self, request: Request) -> Response:
        """The style, the only file that is served; it is none of the request's choice."""
        del request
        css = Path(__file__).parent / "templates" / "style.css"
        return Response(css.read_text(encoding="utf-8"), media_type="text/css")

    # -- pages -----------------------------------------------------------------

    def databases(self, request: Request) -> Response:
        """All databases, so many on a page."""
        offset = _number(request.query_params.get("offset"))
        names = self.session.names()
        listed = self.session.databases(names[offset : offset + _NAMES])
        more = offset + _NAMES if len(names) > offset + _NAMES else None
        return self._render(
            request, "databases.html", listed=listed, total=len(names), more=more
        )

    def records(self, request: Request) -> Response:
        """A page of records, found and sorted by the address."""
        name = request.path_params["name"]
        query = request.query_params
        where, sort = query.get("where", ""), query.get("sort", "")
        state = query.get("at", NOW)
        offset, start = _number(query.get("offset")), _number(query.get("start"))
        older, shown, newer = self.session.around(name, state)
        page, unmet = self.session.page(
            name,
            offset=offset,
            limit=_PAGE,
            where=where,
            sort=sort.removeprefix("-"),
            reverse=sort.startswith("-"),
            state=state,
            seconds=_SECONDS,
            start=start,
        )
        return self._render(
            request,
            "records.html",
            name=name,
            page=page,
            columns=heads_of(page.rows),
            unmet=[] if page.rows else unmet,
            where=where,
            sort=sort,
            at="" if state == NOW else state,
            shown=shown,
            older=older,
            newer=newer,
            start=start,
            size_of_page=_PAGE,
        )

    def record(self, request: Request) -> Response:
        """One record as a tree."""
        name = request.path_params["name"]
        state = request.query_params.get("at", NOW)
        key = request.query_params.get("key", "")
        row = self.session.row(name, key, state)
        _, shown, _ = self.session.around(name, state)
        return self._render(
            request,
            "record.html",
            name=name,
            row=row,
            key=key_token(row),
            shown=shown,
            tree=node_of(row.value),
            follow=self.session.follow,
        )

    def log(self, request: Request) -> Response:
        """The states on a line."""
        name = request.path_params["name"]
        states = self.session.states(name)
        return self._render(request, "log.html", name=name, states=states)

    def diff(self, request: Request) -> Response:
        """The differences between two states."""
        name = request.path_params["name"]
        query = request.query_params
        _, old, _ = self.session.around(name, query.get("old", NOW))
        _, new, _ = self.session.around(name, query.get("new", NOW))
        found = self.session.diff(name, old.id, new.id, most=200)
        return self._render(
            request, "diff.html", name=name, found=found, old=old, new=new
        )

    def history(self, request: Request) -> Response:
        """The history of one key."""
        name = request.path_params["name"]
        key = request.query_params.get("key", "")
        moments = self.session.history(name, key)
        return self._render(
            request, "history.html", name=name, key=key, moments=moments
        )

    def misfits(self, request: Request) -> Response:
        """The records that do not fit their classes, and damaged files."""
        name = request.path_params["name"]
        found = self.session.health(name, seconds=_SECONDS)
        shown = [
            (each, self.session.key_at(name, each.path))
            for each in found.misfits[:_NAMES]
        ]
        return self._render(
            request,
            "misfits.html",
            name=name,
            found=found,
            shown=shown,
        )

    def sizes(self, request: Request) -> Response:
        """The sizes of classes and fields, and the growth of the database."""
        name = request.path_params["name"]
        found = self.session.stats(name, seconds=_SECONDS)
        drawn = Markup(pictures.sizes_table(found) + pictures.growth(found))  # noqa: S704 - it escapes
        return self._render(
            request, "sizes.html", name=name, found=found, pictures=drawn
        )

    def export(self, request: Request) -> Response:
        """All records that pass the filter, as a file that `storify import` reads."""
        name, query = request.path_params["name"], request.query_params
        to = Format.CSV if query.get("to") == Format.CSV else Format.JSONL
        file = TemporaryFile("w+", encoding="utf-8", newline="")  # noqa: SIM115 - closed when it is sent
        try:
            where, state = query.get("where", ""), query.get("at", NOW)
            losses = Losses(to, lossy=True)
            write_records(
                self.session, name, file, losses, where=where, state=state, guarded=True
            )
        except BaseException:
            file.close()
            raise
        shown = _quoted(f"{name}.{to}")
        return StreamingResponse(
            _sent(file),
            media_type=f"{_KINDS[to]}; charset=utf-8",
            headers={"content-disposition": f"attachment; filename*=UTF-8''{shown}"},
        )

    # -- writing ---------------------------------------------------------------

    def edit(self, request: Request) -> Response:
        """Stage an edit of one record."""
        name, form = request.path_params["name"], request.state.form
        key = form.get("key", "")
        if form.get("do") == "delete":
            self.session.stage_delete(name, key)
        else:
            path = form.get("path", "").removeprefix("$")
            cls = form.get("class", "")
            found = self.session.class_named(cls) if cls else None
            self.session.stage(name, key, form.get("value", ""), path, cls=found)
        return self._to(request, "drafts")

    def _to(self, request: Request, page: str, name: str | None = None) -> Response:
        return RedirectResponse(self._url(request, page, name), HTTPStatus.SEE_OTHER)

    def drafts(self, request: Request) -> Response:
        """The staged changes, as a diff."""
        return self._render(request, "drafts.html", drafts=self.session.drafts())

    def save(self, request: Request) -> Response:
        """Save all drafts, or drop them."""
        if request.state.form.get("do") == "drop":
            for draft in self.session.drafts():
                self.session.drop(draft)
        else:
            self.session.apply()
        return self._to(request, "drafts")

    def salvage(self, request: Request) -> Response:
        """Save what is intact of a damaged database."""
        name = request.path_params["name"]
        found = self.session.salvage(name)
        return self._render(request, "salvaged.html", name=name, found=found)

    def restore(self, request: Request) -> Response:
        """Make an older state the present one, or one record of it."""
        name, form = request.path_params["name"], request.state.form
        key = form.get("key")
        path = form.get("path", "").removeprefix("$")
        if key is not None and path:
            self.session.stage_from(name, key, path, form.get("state", ""))
            return self._to(request, "drafts")
        self.session.restore(name, form.get("state", ""), [] if key is None else [key])
        return self._to(request, "log", name)


def _quoted(name: str) -> str:
    return quote(name, safe="", errors="surrogatepass")


def _sent(file: TextIO) -> Iterator[bytes]:
    """Iterate over a file from its beginning; it is closed at its end."""
    with file:
        file.seek(0)
        while text := file.read(_CHUNK):
            yield text.encode()
