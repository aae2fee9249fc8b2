"""The explorer runs in a real terminal, where tmux is installed."""

import shlex
import shutil
import subprocess
import sys
import time
from uuid import uuid4

import pytest

from explorer.conftest import folder  # noqa: F401 - a fixture

TMUX = shutil.which("tmux")


@pytest.fixture
def tmux():
    """Runs commands of a server of its own."""
    name = f"storify-{uuid4().hex}"

    def run(*arguments):
        command = [TMUX, "-f", "/dev/null", "-L", name, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        return done.stdout

    yield run
    run("kill-server")


def until(tmux, text, *, gone=False):
    """What is on the screen, once a text is there, or no more."""
    for _ in range(300):
        screen = tmux("capture-pane", "-p")
        if (text in screen) is not gone:
            return screen
        time.sleep(0.1)  # another process draws it
    raise AssertionError(screen)


@pytest.mark.skipif(TMUX is None, reason="tmux is not installed")
def test_a_journey_by_keys(tmux, folder):  # noqa: F811 - the fixture
    """Databases, records, one of them, and the end."""
    command = shlex.join([sys.executable, "-m", "storify", "explore", str(folder)])
    tmux("new-session", "-d", "-x", "80", "-y", "24", command)

    until(tmux, "log: 1-3 of 3")
    tmux("send-keys", "BTab", "Down", "Down", "Enter")
    assert "Ann" in until(tmux, "users: 1-3 of 3")
    tmux("send-keys", "Enter")
    assert ".age 32" in until(tmux, ".name 'Ann'")
    tmux("send-keys", "q")
    until(tmux, ".age 32", gone=True)
    tmux("send-keys", "q")
    for _ in range(300):
        if not tmux("list-sessions"):
            return
        time.sleep(0.1)  # it ends by itself
    raise AssertionError
