"""Opening anew what is open: all that is read afterwards comes from what was saved.

It is for tests, and for what wants to see a folder as the next start of the program
would.
"""

from typing import Any, cast, overload

from storify._manager import Storify
from storify._typing import TypeVar
from storify.database import BaseDatabase
from storify.database._resolver import StorifyHome

__all__ = ["reopen"]

D = TypeVar("D", bound=BaseDatabase[Any, Any])


@overload
def reopen(what: Storify, **options: Any) -> Storify: ...
@overload
def reopen(what: D) -> D: ...
def reopen(what: Storify | D, **options: Any) -> Storify | D:
    """Close *what*, which saves it, and open it anew.

    Args:
        what: A `Storify`: a new one over the same folder is given, with the same
            classes and options. Or a database that was got from one by its name:
            the same `Storify` opens it again, with the same types.
        options: Of `Storify`, to be others than before: ``models=[UserV2]`` opens
            the folder as a later version of the program.

    Raises:
        ValueError: There is nothing to open it from: a ``memory://`` without a
            name, whose data are gone with it, or a database that no `Storify`
            opened by its name.
        The errors of `Database.flush`: what could not be saved stays open.
    """
    if isinstance(what, Storify):
        return _reopen_storify(what, options)
    return _reopen_db(what)


def _reopen_storify(sf: Storify, options: dict[str, Any]) -> Storify:
    if sf.root.endswith("://"):
        msg = (
            f"cannot reopen {sf!r}: its data live and die with it; give it a name, "
            f'as Storify("memory://name")'
        )
        raise ValueError(msg)
    sf.close()
    return type(sf)(sf.root, **{**_options_of(sf), **options})


def _options_of(sf: Storify) -> dict[str, Any]:
    schema, saving = sf._schema, sf._saving
    return {
        "save_interval": sf.save_interval,
        "log": sf.log,
        # Those that databases named, too: a program names them again when it starts.
        "models": list(dict.fromkeys([*sf.models, *schema.registry._by_class])),
        "types": schema.types,
        "strict": sf._strict,
        "keep": saving.keep,
        "sync": saving.sync,
        "sync_interval": saving.sync_interval_s,
        "journal": saving.journal,
        "clock": saving.clock,
        "background": sf._background,
        "handle_signals": sf._handle_signals,
        "cache_bytes": saving.cache_bytes,
    }


def _reopen_db(db: D) -> D:
    sf = _storify_of(db)
    opened = sf.get_loaded_db(db.name)
    for each in (db, opened):  # it may have been closed, and got anew by others
        if each is not None:
            each.close()
    use = db._use
    again = sf.get_db(
        db.name, model=use.hint, key=use.key, readonly=use.readonly, strict=use.strict
    )
    return cast("D", again)


def _storify_of(db: BaseDatabase[Any, Any]) -> Storify:
    home = db._schema.home
    sf = home._folder() if isinstance(home, StorifyHome) else None
    if isinstance(sf, Storify) and sf._catalog.engine(db.name).location == db.path:
        return sf
    msg = (
        f"cannot reopen database {db.name!r}: no Storify that is still there got it by "
        f"this name; close it and open it as it was opened"
    )
    raise ValueError(msg)
