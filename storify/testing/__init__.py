"""Prove that what you store comes back, with Hypothesis.

* `models`, `storable`: strategies for your models and for what has no type.
* `assert_roundtrip`, `assert_upgrades`: what is stored comes back, also from a
  database that an older class wrote.
* `database_machine`: a database equals a dict, whatever is done to it.
* `crash_points`: your code, ended at each disk call that it makes.
* `interrupt_points`: your code, interrupted anywhere inside of Storify, as by Ctrl-C.
* `connection_points`: your code, cut off from its PostgreSQL server at each question.
* `temp_db`, `reopen`: a database for each example, read anew. For whole tests there are
  pytest's fixtures ``sf``, ``make_storify``, ``reopen`` and ``memory_sf``.
* `same`, `difference`: exact comparison, to the type and the bit.

``pip install storify[testing]`` brings Hypothesis along.
"""

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    msg = "storify.testing needs Hypothesis; pip install 'storify[testing]'"
    raise ModuleNotFoundError(msg, name="hypothesis")

import _storify_hypothesis
from storify._fixtures import MakeStorify, Reopen, reopen, temp_db

from ._connection import ConnectionPoints, Severed, connection_points
from ._crash import Crashed, CrashPoints, crash_points
from ._interrupt import Interrupted, InterruptPoints, interrupt_points
from ._machine import DatabaseMachine, database_machine
from ._models import models
from ._roundtrip import assert_roundtrip, assert_upgrades
from ._same import Difference, difference, same
from ._scalars import storable

__all__ = [
    "ConnectionPoints",
    "CrashPoints",
    "Crashed",
    "DatabaseMachine",
    "Difference",
    "InterruptPoints",
    "Interrupted",
    "MakeStorify",
    "Reopen",
    "Severed",
    "assert_roundtrip",
    "assert_upgrades",
    "connection_points",
    "crash_points",
    "database_machine",
    "difference",
    "interrupt_points",
    "models",
    "reopen",
    "same",
    "storable",
    "temp_db",
]

# for the models that were made before Hypothesis was there
_storify_hypothesis.setup()
