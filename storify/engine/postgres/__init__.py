"""Databases on a PostgreSQL server, over psycopg 3: the extra ``storify[postgres]``.

Three tables hold everything: the present entries, what each commit has replaced, and
the states that are or were committed (`tables`). A commit is one transaction that
compares the version and sets it (`commit`); a `ServerSnapshot` asks for single keys.
"""
