"""The five kinds of programs that use release 0.0.11, on files that it wrote.

Each is written as those programs are: classes with an ``__init__`` and no annotations,
ticks in a loop, `get_db` with a root. What they save is there at the next start.
"""

import logging
import re
import subprocess
import sys
import threading
from pathlib import Path

import msgpack
import pytest

from storify import DatabaseClosedError, DatabaseNameError, ModelLoadError, Storify
from storify.model import Model

PROGRAMS = Path(__file__).parent / "programs"


def stored(folder, name):
    """What another program finds in a file."""
    payload = (folder / f"{name}.mpack").read_bytes()
    return msgpack.unpackb(payload, strict_map_key=False)


class Clock:
    """Seconds that pass when the program says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        """Give the time."""
        return self.now


# -- a wrapper around a game server: ticks at 20 Hz -----------------------------------


class Player(Model):
    """A player, as the wrapper has it."""

    def __init__(self, name=None):
        self.name = name
        self.coins = 0
        self.position = (0.0, 64.0, 0.0)


@pytest.mark.parametrize("interval", [1, 0])
def test_a_wrapper_saves_at_ticks_alone(folder, interval):
    """Money that goes from one player to another is never seen on its way."""
    clock = Clock()
    sf = Storify(
        folder, interval, models=[Player], clock=clock, background=not interval
    )
    players = sf.get_db("players")
    players["bo"] = Player("bo")
    sf.tick(force=True)
    sums = set()
    for turn in range(60):  # three seconds
        players["ann"].coins -= 1
        assert sf.autosave() > 0  # what the background would do, had it a turn now
        sums.add(sum(stored_coins(folder)))
        players["bo"].coins += 1
        players["bo"].position = (turn, 64.0, 0.5)
        clock.now += 0.05
        sf.tick()
        sums.add(sum(stored_coins(folder)))
    assert sums == {5}
    assert stored_coins(folder)[1] >= 40
    sf.close()

    with Storify(folder, models=[Player]) as again:
        assert again["players"]["bo"].position == (59, 64.0, 0.5)
        assert again["players"]["ann"].coins == -55


def stored_coins(folder):
    """The coins of all players, on disk."""
    return [p["__Player__"].get("coins", 0) for p in stored(folder, "players").values()]


def test_a_path_as_a_name_is_told_what_to_call_instead(folder):
    """As the wrapper's version 0.2 passes one when it starts."""
    sf = Storify(folder)

    with pytest.raises(DatabaseNameError, match="get_db_by_path"):
        sf.get_db("worlds/overworld")

    with sf.get_db_by_path(folder / "worlds" / "overworld.mpack") as db:
        db["seed"] = 1
    assert stored(folder / "worlds", "overworld") == {"seed": 1}


# -- a music player: a class that builds itself ---------------------------------------


class Song(Model):
    """A song, which is made from a dict by a method of its own."""

    def __init__(self, title, length):
        self.title = title
        self.length = length
        self.is_playing = False

    def _to_dict(self, recursive=True):
        return {"title": self.title, "length": self.length}

    @classmethod
    def _from_dict(cls, data):
        return cls(data["title"], data["length"])


def test_a_music_player_keeps_its_queue(folder):
    """A list of models, with a classmethod that makes each."""
    with Storify(folder, models=[Song]) as sf:
        queue = sf.get_db("queue", root=[])
        library = sf.get_db("library")

        assert [each.title for each in queue] == ["One", "One"]
        assert not queue[0].is_playing
        queue.append(Song("Two", 4))
        queue.insert(0, Song("Zero", 2))
        queue.pop()
        queue.sort(key=lambda each: each.length)
        library["lists"]["best"].append(Song("Two", 4))

    assert [each["__Song__"]["title"] for each in stored(folder, "queue")] == [
        "Zero",
        "One",
        "One",
    ]
    with Storify(folder, models=[Song]) as sf:
        assert [s.title for s in sf["library"]["lists"]["best"]] == ["One", "Two"]
        sf.get_db("queue", root=[]).clear()
    assert stored(folder, "queue") == []


# -- a web radio: threads that add, one loop that saves --------------------------------


def test_a_radio_takes_votes_in_threads(folder):
    """The loop saves, the listeners' threads add; nothing is lost."""
    sf = Storify(root=str(folder), save_interval=0, background=False)
    votes, history = sf["votes"], sf.get_db("history", root=[])

    def listen():
        for _ in range(50):
            with votes.lock:
                votes["song"] += 1
                history.append("vote")

    threads = [threading.Thread(target=listen) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sf.tick()
    for thread in threads:
        thread.join()
    sf.tick()

    assert stored(folder, "votes") == {"song": 203}
    assert stored(folder, "history") == ["a", "b"] + ["vote"] * 200
    sf.close()


# -- a game engine: a world of models in models ----------------------------------------


class Item(Model):
    """A thing."""

    def __init__(self, name=""):
        self.name = name


class Room(Model):
    """A room with things in it, and one that says what it is called in the file."""

    @classmethod
    def _keyname(cls):
        return "game.room"

    def __init__(self, title="", items=None):
        self.title = title
        self.items = items or []


def test_a_game_engine_loads_its_world_and_goes_on(folder):
    """Models in models; a record of a class that is not there is kept."""
    lamp = {"__Item__": {"name": "lamp"}}
    sf = Storify(folder, models=[Item, Room], save_interval=None)
    world = sf.get_db("world")

    hall = world["hall"]
    world["cellar"] = Room("Cellar", [hall.items.pop()])
    hall.title = "Great Hall"
    sf.flush()
    sf.close()

    assert stored(folder, "world") == {
        "hall": {"game.room": {"title": "Great Hall", "items": []}},
        "ghost": {"__Gone__": {"x": 1}},
        "meta": {"version": 2, "opened": ["hall"]},
        "cellar": {"game.room": {"title": "Cellar", "items": [lamp]}},
    }


# -- a server panel: settings, users, names of servers ---------------------------------


class Account(Model):
    """A user of the panel, whose password is not to be shown."""

    def __init__(self, name=None, password=None):
        self.name = name
        self.password = password
        self._session = None


def test_a_panel_manages_users_and_databases(folder):
    """It makes, renames, removes and lists databases, and restores a backup."""
    with Storify(folder, models=[Account], save_interval=None) as sf:
        accounts = sf.get_db("accounts")
        accounts["root"].password = "y"  # noqa: S105 - no real one
        accounts["root"]._session = "secret"
        accounts.flush()
        settings = sf.get_db("settings", root={"port": 80})
        settings.flush()
        settings.close()
        sf.rename_db("settings", "config")

        assert sf.db_exists("config")
        assert not sf.db_exists("settings")
        assert {"accounts", "config", "my_data", "binary", "list_root"} <= set(sf)
        sf.remove_db("config")
        assert "config" not in sf
        accounts.backups.restore(accounts.backups.latest)
        assert accounts["root"].password == "x"  # noqa: S105 - as above

    assert stored(folder, "accounts") == {
        "root": {"__Account__": {"name": "root", "password": "x"}}
    }


# -- programs as the first pages of the package show them -----------------------------

#: What each prints at its first start, and at the next one.
PRINTED = {
    "notes": (
        "starts 1\nnotes ['note 1']\n2 True False\n",
        "starts 2\nnotes ['note 2']\n2 True True\n",
    ),
    "cars": (
        "Home Car 0 '' 2024\n",
        "Home Car 0 '' 2024\nHome Car 1 '' 2024\n",
    ),
    "server": tuple(
        f"0 False\n1 False\n2 False\nTrue None\n{age} {players} True\n"
        for age, players in ((3, {0: 1, 1: 1, 2: 1}), (6, {0: 2, 1: 2, 2: 2}))
    ),
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_program_goes_on_where_it_ended(name, tmp_path):
    """Whoever wrote it closes nothing; not a word is logged."""
    for expected in PRINTED[name]:
        done = subprocess.run(  # noqa: S603 - a file of ours
            [sys.executable, "-W", "error", str(PROGRAMS / f"{name}.py")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

        assert (done.stdout, done.stderr) == (expected, "")


class Van(Model):
    """A class with annotations, as an example of the package has one."""

    name: str
    color: str


class Lorry(Model):
    """A class that makes itself, and cannot without arguments any more."""

    def __init__(self, name):
        self.name = name

    @classmethod
    def _from_dict(cls, data):
        lorry = cls()
        lorry.name = data["name"]
        return lorry


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        (Van, r"required field 'color' is missing; with a default such records load"),
        (Lorry, r"TypeError while loading: .*missing 1 .*'name'; give .* a default"),
    ],
)
def test_a_record_that_its_class_cannot_take_says_what_would_help(
    tmp_path, caplog, model, hint
):
    """In the warning, and where it is read; never with a value."""
    record = {model._keyname(): {"name": "a secret"}}
    (tmp_path / "fleet.mpack").write_bytes(msgpack.packb({"a": record}))

    with Storify(tmp_path, log=logging.getLogger("fleet")) as sf:
        fleet = sf.get_db("fleet", model=model)
        with pytest.raises(ModelLoadError, match=hint):
            fleet["a"]

    assert re.search(hint, caplog.text)
    assert "secret" not in caplog.text
    assert stored(tmp_path, "fleet") == {"a": record}


def test_what_is_different_is_as_the_page_says(folder):
    """Those calls of 0.0.11 that give something else now."""
    with Storify(folder, models=[Song], save_interval=None) as sf:
        new, queue = sf["new"], sf.get_db("queue", root=[])

        assert new.backups.latest is None
        assert sf.get_loaded_db("nobody") is None
        assert sf["new"] is new
        new[7] = (1, b"x")
        new.flush()
        new.load()
        assert dict(new) == {7: (1, b"x")}
        assert Path(new.path).is_absolute()
        assert isinstance(new.data, dict)
        assert queue[0].title == queue.pop().title == "One"
        new.close()
        with pytest.raises(DatabaseClosedError):
            new[7]
