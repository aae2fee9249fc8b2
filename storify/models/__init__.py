"""Objects <-> plain trees: typed classes, and the registry that knows them.

A tree is what the codec can write: dicts, lists and scalars. Every model is
``{keyname: {field: value}}`` in it, in typed and untyped places alike, and the
values in the fields stay live: nothing is walked here.

* `base`, `fields`, `options`, `state`: the classes and objects of the user.
* `hints`, `conform`: what an annotation admits, and whether a value conforms.
* `walk`, `inspection`, `plain`, `misfit`: where it does not, in any value.
* `checks`, `fitting`: generated checks of what was loaded.
* `plan`, `converter`: generated code, in the form of cattrs hooks.
* `cattrs_hooks`: the converter that holds them, for who asks for it.
* `registry`: from keyname to class and back.
* `ref`, `binding`: references from record to record.
* `evolution`: records written by older and newer classes.
* `schema_lock`, `schema_changes`, `type_text`: a schema as data, to be compared.
"""

from .base import Model
from .conform import Check
from .evolution import migration
from .fields import field
from .inspection import Lead, Leads
from .misfit import Misfit
from .ref import Expected, Home, Records, Ref
from .registry import Registry
from .state import Unloaded, asdict, extras

__all__ = [
    "Check",
    "Expected",
    "Home",
    "Lead",
    "Leads",
    "Misfit",
    "Model",
    "Records",
    "Ref",
    "Registry",
    "Unloaded",
    "asdict",
    "extras",
    "field",
    "migration",
]
