"""The tables of a `Comparison`."""

import statistics
from collections.abc import Callable

from compare import Comparison
from peers import BASE, LIMIT, PEERS, Spec, find
from report import Curve, Line, Table, Target, duration, ratio, size

__all__ = [
    "commit_curve",
    "commit_tables",
    "commit_targets",
    "peer_tables",
    "skipped_table",
    "syncs_table",
]

WAL = "sqlite3 + json, WAL"
#: From so many records on, a commit is level with that within this ratio.
LARGE = 100_000
BESIDE_WAL = 1.2
Syncs = dict[str, dict[str, float] | None]
NOTHING = "–"  # noqa: RUF001 - a dash

COMMITS_NOTE = """\
The columns are numbers of records in the store. Each commit changes records that were
not changed before in the process, which includes reading them. A row that is not
synced is not durable: a power cut takes the commit away."""
TIMES_NOTE = """\
Loading starts with the typed objects in memory. Opening is that of a new process whose
imports are done; the two are opened in turn, so that files are in the system's cache.
Reading a random one comes after all were read."""
SIZES_NOTE = """\
Memory is the growth of the process's peak over what it was before the store was opened,
mapped pages of files included. Disk is the size of all files of the store, closed: once
loaded, and after the 68 commits, of 761 changed records together, of each round (fewer
where they take long). What a store keeps of older states counts, as does the temporary
file that ZODB leaves until it is opened again."""

COMMITS = {
    "commit": "One changed record, committed",
    "commit 100": "A hundred changed records, committed at once",
}


def cell(
    comparison: Comparison,
    spec: Spec,
    measure: str,
    count: int,
    write: Callable[[float], str] = duration,
) -> str:
    """Give a median, and the ratio to Storify with its spread."""
    values = comparison.values(spec.name, measure, count)
    if not values:
        return NOTHING
    text = write(statistics.median(values))
    ratios = comparison.ratios(spec.name, measure, count)
    if spec.name == BASE or not ratios:
        return text
    return f"{text}, {ratio(ratios)}"


def synced(counted: Syncs, spec: Spec) -> bool:
    """Say whether a commit syncs: as counted, else as documented."""
    calls = counted.get(spec.name)
    return spec.documented.startswith("syncs") if calls is None else bool(calls)


def table(
    comparison: Comparison,
    title: str,
    columns: dict[str, tuple[str, int]],
    write: Callable[[float], str] = duration,
) -> Table:
    """Give a row for each peer and a column for each (measure, count)."""
    rows = [
        [
            spec.name,
            *(cell(comparison, spec, *what, write) for what in columns.values()),
        ]
        for spec in PEERS
    ]
    shown = [row for row in rows if any(text != NOTHING for text in row[1:])]
    return Table(title, ["", *columns], shown)


def commit_tables(comparison: Comparison, counted: Syncs) -> list[Table]:
    """Give what commits cost at each size, and whether they are durable."""
    tables = []
    for measure, title in COMMITS.items():
        columns = {f"{count:,}": (measure, count) for count in comparison.plan.rounds}
        found = table(comparison, title, columns)
        found.header.insert(1, "synced")
        for row in found.rows:
            row.insert(1, "yes" if synced(counted, find(row[0])) else "no")
        found.note = COMMITS_NOTE
        tables.append(found)
    return tables


def peer_tables(comparison: Comparison) -> list[Table]:
    """Give what was measured of all peers, beside Storify, but for commits."""
    count = comparison.plan.main
    times = table(
        comparison,
        f"Load and read {count:,} typed records",
        {
            "load all, commit": ("load", count),
            "open, read one": ("open one", count),
            "open, read all": ("read all", count),
            "read a random one": ("point read", count),
            "close after the commits": ("close", count),
        },
    )
    times.note = TIMES_NOTE
    sizes = table(
        comparison,
        f"Memory and disk, {count:,} records",
        {
            "memory, read one": ("memory open", count),
            "memory, read all": ("memory all", count),
            "disk": ("disk", count),
            "disk after the commits": ("disk after", count),
        },
        size,
    )
    sizes.note = SIZES_NOTE
    return [times, sizes]


def syncs_table(comparison: Comparison, counted: Syncs, count: int) -> Table:
    """Give what each peer does, and whether its commits sync."""
    rows = []
    for spec in PEERS:
        if (spec.name, min(comparison.plan.rounds)) in comparison.skipped:
            continue
        calls = counted.get(spec.name)
        named = spec.documented
        if calls is not None:
            each = (f"{number:g} {call}" for call, number in calls.items())
            named = ", ".join(each) or "none"
        measured = "documented" if calls is None else "measured"
        rows.append([spec.name, named, measured, spec.typed])
    return Table(
        "What each store is, and whether a commit syncs",
        ["", "sync calls a commit", "source", "how records are typed"],
        rows,
        f"Sync calls are counted by `strace` with {count:,} records in the store."
        " A row without a setting in its name is the store with its defaults.",
    )


def skipped_table(comparison: Comparison) -> Table:
    """List what was left out, with the reason."""
    reasons: dict[tuple[str, str], list[int]] = {}
    for (name, count), reason in comparison.skipped.items():
        reasons.setdefault((name, reason), []).append(count)
    rows = [
        [name, f"{min(counts):,}" + (" and more" if len(counts) > 1 else ""), reason]
        for (name, reason), counts in sorted(reasons.items())
    ]
    return Table("Left out", ["", "records", "reason"], rows)


def commit_curve(comparison: Comparison, counted: Syncs) -> Curve:
    """The plot of what a commit costs."""
    lines = []
    for spec in PEERS:
        points = [
            (count, statistics.median(values))
            for count in comparison.plan.rounds
            if (values := comparison.values(spec.name, "commit", count))
        ]
        if points:
            role = {BASE: "storify", LIMIT: "limit"}.get(spec.name, "peer")
            lines.append(Line(spec.name, points, role, synced(counted, spec)))
    return Curve(
        "commit-cost",
        "What a commit costs as the store grows",
        "one changed record, committed",
        "s",
        lines,
        "solid: synced at each commit",
    )


def commit_targets(comparison: Comparison) -> list[Target]:
    """What a durable commit is to be beside the stores that sync as well."""
    return [
        Target(
            f"one changed record, durable, of {count:,} / {name}",
            [1 / each for each in ratios],
            BESIDE_WAL if name == WAL and count >= LARGE else None,
        )
        for name in (WAL, "diskcache, synchronous=FULL", "lmdb")
        for count in comparison.plan.rounds
        if (ratios := comparison.ratios(name, "commit", count))
    ]
