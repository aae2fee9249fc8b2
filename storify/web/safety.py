"""Safety of the local server: who may ask it, and what a page may do.

A page of somebody else in the same browser can send requests here (CSRF), and can make
its own name mean this machine (DNS rebinding). So a request needs the cookie that the
token in the printed address gave, a ``Host`` that is ours, and for a form an ``Origin``
that is ours and the token of the form. No page has a script, and none is taken from
elsewhere.
"""

import hmac
import secrets
from collections.abc import Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import URL, Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["COOKIE", "Guard", "Keys"]

COOKIE: Final = "storify_session"
_LOCAL: Final = ("127.0.0.1", "localhost", "::1", "[::1]")

_HEADERS: Final = {
    b"content-security-policy": (
        b"default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self';"
        b" base-uri 'none'; frame-ancestors 'none'"
    ),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    # not no-referrer, with which a browser says that a form of ours is of nobody
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class Keys:
    """The secrets of one run of a server.

    Args:
        token: What opens the door, as often as it is shown; one that opens it once is
            made if there is none.
    """

    def __init__(self, token: str | None = None) -> None:
        self._is_lasting = token is not None
        self.token: str = token or secrets.token_urlsafe(24)
        self._cookie = secrets.token_urlsafe(24)
        self._form = secrets.token_bytes(24)
        self._used = False

    @property
    def cookie(self) -> str:
        """The cookie that the browser keeps."""
        return self._cookie

    def opens(self, token: str) -> bool:
        """Whether a token opens the door; one that was made opens it once."""
        if self._used and not self._is_lasting:
            return False
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            return False
        self._used = True
        return True

    def is_known(self, cookie: str) -> bool:
        """Whether a cookie is ours."""
        return hmac.compare_digest(cookie.encode(), self._cookie.encode())

    def form_token(self, path: str) -> str:
        """Return the token of the forms of one page."""
        return hmac.new(self._form, path.encode(), "sha256").hexdigest()

    def allows(self, token: str, path: str) -> bool:
        """Whether a form of that page was sent from it."""
        return hmac.compare_digest(token.encode(), self.form_token(path).encode())


class Guard:
    """The door of an application.

    Args:
        app: What is behind it.
        keys: The secrets.
        hosts: The names and addresses that a request may be for, beside this machine.
    """

    def __init__(self, app: ASGIApp, keys: Keys, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._keys = keys
        self._hosts = {*_LOCAL, *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the request through."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        refused = self._refuse(Request(scope))
        answer: ASGIApp = self._app if refused is None else refused

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add(message)
            await send(message)

        await answer(scope, receive, send_safely)

    def _refuse(self, request: Request) -> Response | None:  # noqa: PLR0911 - a reason each
        headers = request.headers
        if not self._is_ours(headers.get("host", "")):
            return _plain(
                HTTPStatus.MISDIRECTED_REQUEST, "this host is not served here"
            )
        if request.method not in {"GET", "HEAD", "POST"}:
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, "there is no such method")
        if request.method == "POST" and not self._came_from_here(headers):
            return _plain(HTTPStatus.FORBIDDEN, "the form is of another page")
        token = request.query_params.get("token")
        if token is not None and request.method == "GET":
            if not self._keys.opens(token):
                return _plain(
                    HTTPStatus.FORBIDDEN, "the token was used, or is another's"
                )
            return self._let_in(request.url)
        if not self._keys.is_known(request.cookies.get(COOKIE, "")):
            return _plain(
                HTTPStatus.FORBIDDEN,
                "open the address that 'storify serve' printed: it has a token",
            )
        return None

    def _is_ours(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname if host else None
        return name is not None and name.lower() in self._hosts

    def _came_from_here(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "") in {"same-origin", "none"}
        return urlsplit(origin).netloc == headers.get("host")

    def _let_in(self, url: URL) -> Response:
        clean = url.remove_query_params("token")
        path = clean.path + (f"?{clean.query}" if clean.query else "")
        answer = RedirectResponse(path, HTTPStatus.SEE_OTHER)
        answer.set_cookie(COOKIE, self._keys.cookie, httponly=True, samesite="strict")
        return answer


def _add(message: MutableMapping[str, Any]) -> None:
    there: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
    names = {name.lower() for name, _ in there}
    there += [(name, value) for name, value in _HEADERS.items() if name not in names]
    message["headers"] = there


def _plain(status: HTTPStatus, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status)
