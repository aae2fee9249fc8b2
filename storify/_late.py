"""Public names that are imported when they are used: the ``__getattr__`` of a package.

`import storify` takes as long as what it loads, and most programs use little of it. So
a package names where its names are, and each is loaded with the first access to it
(PEP 562). Type checkers see the plain imports beside that.

What saves data at the end of a program is never loaded so: whoever can open a database
has loaded all that closes it. A file that is imported then might not be there any more.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module

from storify.threads import without_collector

__all__ = ["late"]


def late(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and the ``__dir__`` of a package.

    Args:
        package: The name of the package.
        homes: In which module each name is. One without a name there is the module.
    """
    namespace = vars(sys.modules[package])

    def get(name: str) -> object:
        if name not in homes:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=sys.modules[package])
        module = without_collector(partial(import_module, homes[name]))
        found = module if homes[name] == f"{package}.{name}" else getattr(module, name)
        namespace[name] = found
        return found

    def names() -> list[str]:
        return sorted({*namespace, *homes})

    return get, names
