"""The live objects of a database: which there are, whose they are, what is durable.

A value has one slot in a `data.Data`, a dict. `slots` says what stands there and what a
flush does with it, `ownership` who else holds a value, `refresh` how slots and objects
take what another writer committed, `savepoints` how memory returns to what it was.
"""
