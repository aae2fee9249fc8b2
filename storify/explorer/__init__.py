"""Looking at data without a screen: what all faces have in common.

- `session`: a place of databases: its records, states, misfits, drafts
- `reading`: one state of one database, a page at a time
- `states`: the states on a line, what differs between two, the history of a key
- `filters`: the small language of ``find``
- `drafts`: edits before they are written
- `values`: how a value looks, with its class and without
- `lines`: what faces tell alike, as text
- `pictures`: growth and sizes as SVG
- `export`: records in the formats of others

The command line, ``storify explore`` and ``storify serve`` are thin faces on it. Nothing
of it is loaded by ``import storify``.
"""

from storify.explorer.drafts import Draft
from storify.explorer.filters import Filter, FilterError, field_value, parse_filter
from storify.explorer.lines import (
    change_lines,
    salvage_text,
    side,
    size_text,
    state_text,
    time_text,
)
from storify.explorer.plain import tree_of, tree_of_row
from storify.explorer.reading import (
    Page,
    Reading,
    Row,
    column_value,
    columns_of,
    heads_of,
    key_token,
)
from storify.explorer.session import (
    About,
    ByClass,
    Health,
    NotThereError,
    ReadOnlyError,
    Session,
    Stats,
)
from storify.explorer.states import (
    NOW,
    Change,
    Comparison,
    Edit,
    Moment,
    State,
    edits,
    parse_state,
)
from storify.explorer.tree import node_of
from storify.explorer.values import (
    MISSING,
    Fields,
    Part,
    PathError,
    Undecodable,
    at_path,
    cell,
    count_parts,
    fields_of,
    kind_of,
    literal,
    one_line,
    parts_of,
    printable,
)

__all__ = [
    "MISSING",
    "NOW",
    "About",
    "ByClass",
    "Change",
    "Comparison",
    "Draft",
    "Edit",
    "Fields",
    "Filter",
    "FilterError",
    "Health",
    "Moment",
    "NotThereError",
    "Page",
    "Part",
    "PathError",
    "ReadOnlyError",
    "Reading",
    "Row",
    "Session",
    "State",
    "Stats",
    "Undecodable",
    "at_path",
    "cell",
    "change_lines",
    "column_value",
    "columns_of",
    "count_parts",
    "edits",
    "field_value",
    "fields_of",
    "heads_of",
    "key_token",
    "kind_of",
    "literal",
    "node_of",
    "one_line",
    "parse_filter",
    "parse_state",
    "parts_of",
    "printable",
    "salvage_text",
    "side",
    "size_text",
    "state_text",
    "time_text",
    "tree_of",
    "tree_of_row",
]
