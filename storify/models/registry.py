"""The registry: which class a keyname stands for, and the way through its hooks.

One registry has one cattrs converter; two databases with different models never
meet in it. A class is found out about when it is registered (its annotations are
resolved and checked, the models and enums in them join), and planned when its first
record is stored or loaded.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, cast, get_args, get_origin

from storify.exceptions import (
    DuplicateKeynameError,
    ModelError,
    ModelLoadError,
    StorifyError,
    UnstorableError,
)

from .base import Model
from .conform import Misfit, misfits
from .converter import Hook, StorifyConverter
from .evolution import History
from .fields import options_of
from .hints import (
    Anything,
    Instance,
    Parser,
    Shape,
    UnresolvedError,
    Unsupported,
    refuse_unstorable,
    resolve,
)
from .options import class_options, definitions, is_model, is_model_class
from .plan import Hooks, make_hooks
from .state import UNKNOWN, public

__all__ = ["Registry", "Unloaded", "own_hooks"]
