"""Reading everything that is kept, to see what is damaged before it is needed."""

from storify.engine.file import vfs
from storify.engine.file.held import Held
from storify.engine.file.history import Kept, leads_to
from storify.engine.file.log import Frames
from storify.engine.file.manifest import DamagedManifestError, read_manifest
from storify.engine.file.past import check_whole
from storify.engine.file.replay import Corruption
from storify.engine.file.state import State, Verdict
from storify.engine.protocol import Problem
from storify.exceptions import CorruptionError

__all__ = ["verify"]


def verify(held: Held) -> list[Problem]:
    """Return what is wrong with the main file, its journal and the backups.

    Raises:
        OSError: Something could not be read now.
    """
    now = held.read()
    return [*_present(held, now), *_past(held), *_between(held, now)]


def _present(held: Held, now: State) -> list[Problem]:
    paths = held.paths
    problems: list[Problem] = []
    try:
        read_manifest(paths.manifest)
    except DamagedManifestError as err:
        problems.append(Problem(paths.manifest, str(err)))
    if now.verdict in {Verdict.CORRUPT, Verdict.LOST}:
        problems.append(Problem(paths.main, now.wrong))
    elif now.main is not None:
        try:
            check_whole(held.root_format, Kept.main(held, now.main))
        except (ValueError, CorruptionError) as err:
            problems.append(Problem(paths.main, str(err)))
    if now.journal.corruption is Corruption.STALE:
        problems.append(Problem(paths.journal, "it belongs to another main file"))
    problems += [Problem(paths.journal, note) for note in now.journal.notes]
    return problems


def _past(held: Held) -> list[Problem]:
    problems: list[Problem] = []
    for entry in held.folder.entries():
        path = held.folder.file(entry.name)
        try:
            check_whole(held.root_format, Kept.backup(held, entry))
        except (ValueError, CorruptionError, OSError) as err:
            problems.append(Problem(path, str(err)))
        journal = held.folder.journal(entry.id)
        try:
            source = vfs.source(journal)
            size = source.found.size
            frames = Frames.found(source, entry.digest, size)
        except FileNotFoundError:
            continue
        except OSError as err:
            problems.append(Problem(journal, str(err)))
            continue
        if frames is None or frames.end != size:
            problems.append(Problem(journal, "it is damaged"))
    return problems


def _between(held: Held, now: State) -> list[Problem]:
    """Whether the backup before the main file still leads to it."""
    current = now.current
    follows = None if current is None else current.follows
    if current is None or follows is None or "+" not in follows:
        return []
    digest = follows.partition("+")[0]
    before = [
        entry
        for entry in held.folder.entries()
        # A copy of the main file is not before it, be the content the same.
        if entry.stamp < current.time
        and entry.digest
        and digest.startswith(entry.digest)
    ]
    if not before or leads_to(held, follows):
        return []
    what = "it is gone, or lacks the last commit before the main file"
    return [Problem(held.folder.journal(before[0].id), what)]
