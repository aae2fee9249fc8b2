"""The five kinds of programs that use release 0.0.11, on files that it wrote.

Each is written as those programs are: classes with an ``__init__`` and no annotations,
ticks in a loop, `get_db` with a root. What they save is there at the next start.
"""

import threading

import msgpack
import pytest

from storify import DatabaseNameError, Storify
from storify.model import Model


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
