"""The unit of work: what changed is found, merged with what others did, and saved.

`session.Session` flushes; `changes` are what it saves, `merge` what it takes from other
writers, `transaction` what is saved together or not at all, `shutdown` the last flush.
"""
