"""``storify serve``: data in a browser, as pages of real HTML with links to share.

- `app`: the pages
- `safety`: who may ask, and for what
- ``templates``: what they look like

It needs starlette, jinja2 and uvicorn, which come with ``storify[serve]``. Pages work
without JavaScript and have none. `application` is an ASGI application: it may be mounted
in one of yours.
"""

from storify.web.app import application

__all__ = ["application"]
