"""Records as rows with columns: out to other formats, and back with their classes.

- `lines`: a record as a key, a class and fields, and what a format cannot hold
- `text`: jsonl, json and csv
- `sqlite`: a table of SQLite
- `arrow`: Arrow and parquet, with pyarrow where it is installed

A row has a column ``_key``, ``_class`` where the record is of one, and one for each
field; a record that has no fields stands in ``_value``. What a format cannot hold is
found before anything is written, by writing each record and reading it back: it must be
stored as the same bytes.
"""
