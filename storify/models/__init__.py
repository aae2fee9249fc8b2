"""Objects <-> plain trees: typed classes, and the registry that knows them.

A tree is what the codec can write: dicts, lists and scalars. Every model is
``{keyname: {field: value}}`` in it, in typed and untyped places alike, and the
values in the fields stay live: nothing is walked here.

* `base`, `fields`, `state`: the classes and objects of the user, and references.
* `options`: what a class line says; records written by older and newer classes.
* `hints`, `conform`: what an annotation admits, whether a value conforms, and what
  converts one that does not.
* `misfits`: where it does not, in any value.
* `fitting`: generated checks of what was loaded.
* `plan`, `lower`: generated code, in the form of cattrs hooks.
* `cattrs_hooks`: the converter that holds them, for who asks for it.
* `registry`: from keyname to class and back.
* `jsonable`, `json_schema`: objects as JSON, classes as JSON Schema and for pydantic.
* `schema_lock`: a schema as data, to be compared.
"""

from .base import Expected, Model, Records, Ref, Resolver
from .conform import Check
from .fields import field
from .misfits import Lead, Leads, Misfit
from .options import migration
from .registry import Registry
from .state import Unloaded, asdict, extras

__all__ = [
    "Check",
    "Expected",
    "Lead",
    "Leads",
    "Misfit",
    "Model",
    "Records",
    "Ref",
    "Registry",
    "Resolver",
    "Unloaded",
    "asdict",
    "extras",
    "field",
    "migration",
]
