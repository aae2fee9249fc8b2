"""A loop that saves at its ticks, with worlds in folders of their own."""

import os
import sys

from storify import Storify

storify = Storify(root="data", save_interval=0)
worlds = {}
for name in ("overworld", "nether"):
    # 0.0.11 took get_db("worlds/overworld").
    path = os.path.join("data", "worlds", name + ".mpack")
    worlds[name] = storify.get_db_by_path(path)
    storify.databases.append(worlds[name])
players = storify.get_db("players")

for tick in range(3):
    for world in worlds.values():
        world["age"] = world.get("age", 0) + 1
    players[tick] = players.get(tick, 0) + 1
    storify.tick()
    print(tick, any(db.dirty() for db in storify.databases))

backups = players.backups
print(backups.latest in backups.list, storify.get_loaded_db("nobody"))
print(worlds["nether"]["age"], players.data, os.path.isabs(players.path))
sys.stdout.flush()
os._exit(0)  # the server is killed
