"""A to-do list with a hand-written model: what section 10 of the guide does.

``python examples/todo.py WHERE``, in a folder or on the server of a URL, makes the list,
changes it, saves it, opens it again as a restarted program would, and changes it once more.
"""

import sys
from pathlib import Path
from typing import Any

from storify import Database, Storify
from storify.model import Model


class Task(Model):
    """Something to do. The class has its own ``__init__``, so it is left alone."""

    def __init__(
        self,
        task_id: str | None = None,
        description: str | None = None,
        completed: bool = False,
    ) -> None:
        self.task_id = task_id
        self.description = description
        self.completed = completed

    def __repr__(self) -> str:
        """Show the task with a tick or a cross."""
        mark = "✓" if self.completed else "✗"
        return f"<Task {mark} ({self.task_id}): {self.description}>"


def show(title: str, db: Database[Any, Any]) -> None:
    """Print the content of *db*, live objects and plain data alike."""
    print(f"  {title}")
    for key, value in db.data.items():
        print(f"    {key}: {value}")


def open_tasks(root: str | Path) -> Database[Any, Any]:
    """Open the list; records of `Task` come back as objects."""
    return Storify(root=root, models=[Task], save_interval=10).get_db("daily_tasks")


def main(root: str | Path) -> None:
    """Make the list, restart, change it."""
    tasks = open_tasks(root)
    tasks["t1"] = Task("t1", "Buy groceries")
    tasks["t2"] = Task("t2", "Read the README", completed=True)
    tasks["settings"] = {"colour": "green", "shown": [1, 2, 3]}  # plain data too
    tasks["t3"] = Task("t3", "Write an example")
    tasks["t3"].description = "Write a good example"  # a live object: this is saved
    show("in memory", tasks)
    tasks.flush()
    print(f"  saved to {Path(tasks.path).name}")

    again = open_tasks(root)  # what a restarted program does
    again["t1"].completed = True
    again.flush()
    show("after a restart and one more change", again)
    print(f"  backups: {len(again.backups.list)}")


if __name__ == "__main__":
    main(sys.argv[1])
