"""What is arranged when storify is imported, whatever is used of it later.

How a process forks and how it ends. What is told of a fork first is ready first in the
child, so the order counts: threads, then the locks and files, then the databases, and
signals are let in last. And handlers of signals can be set in the main thread only,
while a database may be opened in any.
"""

from storify._autosave import autosaver
from storify.threads import finish_all

# isort: split
from storify.engine.file.lock import Lock

# isort: split
from storify.database.session.shutdown import heed_signals

__all__ = ["Lock", "autosaver", "finish_all", "heed_signals"]
