"""Count the syncs of a commit, so that no one has to believe documentation.

A worker commits some changes under ``strace``, then another commits more of them;
the difference belongs to the commits, and opening and closing cancel out.
"""

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from compare import Comparison, SkipError
from peers import PEERS, Spec

__all__ = ["syncs_per_commit"]

CALLS = ("fsync", "fdatasync", "msync", "sync_file_range")
CALL = re.compile(rf"\b({'|'.join(CALLS)})\(")
FEWER, MORE = 10, 20


def syncs_per_commit(
    comparison: Comparison, size: int
) -> dict[str, dict[str, float] | None]:
    """Give the calls that each commit of each peer makes, in stores of *size*.

    A peer has none where it cannot be measured: there is no ``strace``, or it may
    not trace here, or the peer was left out.
    """
    return {spec.name: _count(comparison, spec, size) for spec in PEERS}


def _count(comparison: Comparison, spec: Spec, size: int) -> dict[str, float] | None:
    store = comparison.store(spec, size)
    if not shutil.which("strace") or (spec.name, size) in comparison.skipped:
        return None
    try:
        fewer = _trace(comparison, spec, store, FEWER)
        more = _trace(comparison, spec, store, MORE)
    except (subprocess.SubprocessError, SkipError):
        return None
    each = {call: (more[call] - fewer[call]) / (MORE - FEWER) for call in CALLS}
    return {call: count for call, count in each.items() if count > 0}


def _trace(
    comparison: Comparison, spec: Spec, store: Path, commits: int
) -> Counter[str]:
    """Count the calls of a worker and all its threads."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
        subprocess.run(  # noqa: S603 - our own code
            [
                *("strace", "-f", "-qq", "-o", log.name),
                *("-e", f"trace={','.join(CALLS)}"),
                *comparison.command(spec, "sync", store, commits),
            ],
            env=comparison.environment(spec),
            capture_output=True,
            check=True,
            timeout=comparison.plan.worker_budget_s,
        )
        return Counter(CALL.findall(log.read()))
