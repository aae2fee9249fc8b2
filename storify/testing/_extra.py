"""Told before anything else is imported: what the kit needs, and where it comes from."""

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    msg = "storify.testing needs Hypothesis; pip install 'storify[testing]'"
    raise ModuleNotFoundError(msg, name="hypothesis")
